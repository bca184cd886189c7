"""Models of a market in which one call is priced: simulated paths, and the closed form as the truth."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.functions import Function
from sobolev.functions.options import bachelier, black_scholes

TEST_INTERVAL = (0.5, 1.5)
"""Of the prices in the test set of a basket, widened with the number of assets."""
SPOT_INTERVAL = (0.35, 1.65)
"""Of the spot in the test set of a single asset."""


@dataclass(frozen=True)
class Contract:
    """A call on assets that all cost 1 today, without interest; times in years.

    Attributes:
        strike: what is paid at maturity.
        volatility: of the asset or the basket, a year; relative in Black-Scholes, absolute in Bachelier.
        exposure: when the state is observed that the price is learned as a function of.
        maturity: when the call pays.
        spread: multiplies the volatility until the exposure, so that rare states are met more often.
        antithetic: average each payoff over the path after the exposure and its mirror image.
    """

    strike: float = 1.1
    volatility: float = 0.2
    exposure: float = 1.0
    maturity: float = 2.0
    spread: float = 1.5
    antithetic: bool = True

    def __post_init__(self) -> None:
        for name in ("strike", "volatility", "exposure", "maturity", "spread"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value!r}; it is a number above 0")
        if self.exposure >= self.maturity:
            raise ValueError(f"exposure is {self.exposure}, not before the maturity, {self.maturity}: no path is left")

    @property
    def deviation(self) -> float:
        """Standard deviation from the exposure to maturity."""
        return self.volatility * math.sqrt(self.maturity - self.exposure)


Payoffs = tuple[Float64[Tensor, "paths 1"], Float64[Tensor, "paths 1 assets"]]
"""Payoffs at maturity, and their pathwise differentials by the state at the exposure."""

Paths = tuple[Float64[Tensor, "paths assets"], Float64[Tensor, "paths 1"], Float64[Tensor, "paths 1 assets"]]
"""States at the exposure, then `Payoffs`."""


class Market(Protocol):
    """What `PathsData` asks of a model."""

    input_names: tuple[str, ...]
    derivative_names: Mapping[str, str]
    reference: Function

    def paths(self, count: int, generator: torch.Generator) -> Paths:
        """Simulate: one payoff for each state."""
        ...

    def test_points(self, count: int, generator: torch.Generator) -> Float64[Tensor, "count assets"]:
        """States to test at, of another distribution than the simulated ones."""
        ...


class BlackScholes:
    """A call on one asset that follows a geometric Brownian motion (Black & Scholes, 1973).

    Pathwise, d max(S_T - K, 0) / dS = S_T / S where the call pays, else 0 (Broadie & Glasserman, 1996).

    Args:
        contract: the call.
    """

    input_names: tuple[str, ...] = ("spot",)
    derivative_names: Mapping[str, str] = MappingProxyType({"dprice/dspot": "delta", "d2price/dspot2": "gamma"})

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.reference = Function(self.price, self.input_names)

    def price(self, x: Float64[Tensor, "batch 1"]) -> Float64[Tensor, "batch 1"]:
        """The closed form, at spots (batch, 1)."""
        return black_scholes(x, self.contract.strike, self.contract.deviation, 1.0)

    def paths(self, count: int, generator: torch.Generator) -> Paths:
        """Simulate `count` paths."""
        before, after = _normals((2, count, 1), generator)
        until = self.contract.spread * self.contract.volatility * math.sqrt(self.contract.exposure)
        x = (until * before - until**2 / 2).exp()
        return x, *self.payoffs(x, after)

    def payoffs(self, x: Float64[Tensor, "paths 1"], shock: Float64[Tensor, "paths 1"]) -> Payoffs:
        """Payoff and differential after standard normal shocks from the states x."""
        return _mirrored(self._paid, x, shock, self.contract)

    def _paid(self, x: Tensor, shock: Tensor) -> Payoffs:
        deviation = self.contract.deviation
        growth = (deviation * shock - deviation**2 / 2).exp()
        gain = x * growth - self.contract.strike
        return gain.relu(), (growth * (gain > 0))[:, None]

    def test_points(self, count: int, generator: torch.Generator) -> Float64[Tensor, "count 1"]:
        """A grid over SPOT_INTERVAL."""
        del generator
        return torch.linspace(*SPOT_INTERVAL, count, dtype=torch.float64)[:, None]


class BachelierBasket:
    """A call on a weighted sum of correlated assets that follow Brownian motions (Bachelier, 1900).

    Weights, volatilities and correlations are drawn as in Huge & Savine, "Differential Machine Learning" (2020), and
    scaled so that the basket has the contract's volatility. The price depends on the basket alone, so the gradients
    of all paths are multiples of one vector, the weights.

    Args:
        contract: the call on the basket.
        assets: how many.
        generator: draws the market.
    """

    derivative_names: Mapping[str, str] = MappingProxyType({})

    def __init__(self, contract: Contract, assets: int, generator: torch.Generator) -> None:
        self.contract = contract
        self.input_names = tuple(f"asset{i + 1}" for i in range(assets))
        factors = _uniform(-1, 1, (2 * assets, assets), generator)
        covariance = factors.T @ factors
        inverse = covariance.diagonal().rsqrt()
        weights = _uniform(1, 10, (assets,), generator)
        self.weights = weights / weights.sum()
        volatilities = _uniform(5, 50, (assets,), generator)
        covariance = covariance * torch.outer(volatilities * inverse, volatilities * inverse)
        of_basket = self.weights @ covariance @ self.weights
        self.covariance = covariance * contract.volatility**2 / of_basket
        self.reference = Function(self.price, self.input_names)

    def price(self, x: Float64[Tensor, "batch assets"]) -> Float64[Tensor, "batch 1"]:
        """The closed form, at states (batch, assets)."""
        return bachelier(x @ self.weights.to(x)[:, None], self.contract.strike, self.contract.deviation)

    def paths(self, count: int, generator: torch.Generator) -> Paths:
        """Simulate `count` paths."""
        root = torch.linalg.cholesky(self.covariance)
        before, after = _normals((2, count, len(self.weights)), generator) @ root.T
        x = 1 + self.contract.spread * math.sqrt(self.contract.exposure) * before
        return x, *self.payoffs(x, after)

    def payoffs(self, x: Float64[Tensor, "paths assets"], shock: Float64[Tensor, "paths assets"]) -> Payoffs:
        """Payoff and differential after normal shocks with the assets' covariance from the states x."""
        return _mirrored(self._paid, x, shock, self.contract)

    def _paid(self, x: Tensor, shock: Tensor) -> Payoffs:
        years = self.contract.maturity - self.contract.exposure
        gain = (x + math.sqrt(years) * shock) @ self.weights[:, None] - self.contract.strike
        return gain.relu(), ((gain > 0) * self.weights)[:, None]

    def test_points(self, count: int, generator: torch.Generator) -> Float64[Tensor, "count assets"]:
        """Uniform in TEST_INTERVAL, widened so that the basket, an average, still varies."""
        low, high = TEST_INTERVAL
        wider = 1 + math.sqrt((len(self.weights) - 1) * (high - low) / 12) / 2
        return 1 + wider * _uniform(low - 1, high - 1, (count, len(self.weights)), generator)


def _mirrored(paid: Callable[[Tensor, Tensor], Payoffs], x: Tensor, shock: Tensor, contract: Contract) -> Payoffs:
    """Payoff and differential after a shock, or their means over the shock and its opposite."""
    if not contract.antithetic:
        return paid(x, shock)
    (up, up_slope), (down, down_slope) = paid(x, shock), paid(x, -shock)
    return (up + down) / 2, (up_slope + down_slope) / 2


def _normals(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
