"""Prices of European calls in closed form, to differentiate: delta, gamma, vega and theta are their derivatives."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

STRIKE, RATE, VOLATILITY, MATURITY = 100.0, 0.02, 0.2, 1.0
"""Of `call`, where its inputs leave them open: a rate and a volatility a year, a time in years."""


def call(x: Float[Tensor, "batch inputs"]) -> Float[Tensor, " batch"]:
    """A call with strike 100 at a rate of 2 %, as configs/black_scholes.yaml and black_scholes_surface.yaml learn it.

    Args:
        x: columns spot, or spot, volatility and maturity; by default 20 % and one year.

    Raises:
        ValueError: another number of columns.
    """
    if x.shape[1] not in (1, 3):
        raise ValueError(f"x has {x.shape[1]} columns; a call has spot, or spot, volatility and maturity")
    spot, volatility, maturity = x.T if x.shape[1] == 3 else (x[:, 0], VOLATILITY, MATURITY)
    return black_scholes(spot, STRIKE, volatility, maturity, RATE)


def black_scholes(
    spot: Tensor, strike: float, volatility: Tensor | float, maturity: Tensor | float, rate: float = 0.0
) -> Tensor:
    """A call on a geometric Brownian motion (Black & Scholes, 1973), elementwise.

    Args:
        spot: the price of the asset.
        strike: what is paid for it at maturity.
        volatility: a year.
        maturity: in years.
        rate: of interest, continuous, a year.
    """
    deviation = volatility * maturity**0.5
    discounted = strike * _exp(-rate * maturity)
    d1 = (spot / discounted).log() / deviation + deviation / 2
    return spot * _normal(d1) - discounted * _normal(d1 - deviation)


def bachelier(forward: Tensor, strike: float, deviation: float) -> Tensor:
    """A call on a Brownian motion (Bachelier, 1900), undiscounted, elementwise.

    Args:
        forward: the expected price of the asset at maturity.
        strike: what is paid for it then.
        deviation: standard deviation of that price.
    """
    d = (forward - strike) / deviation
    return deviation * (d * _normal(d) + (-d * d / 2).exp() / math.sqrt(2 * math.pi))


def _normal(d: Tensor) -> Tensor:
    """The normal distribution function, with its digits in the lower tail."""
    return torch.special.erfc(d * -math.sqrt(0.5)) / 2


def _exp(x: Tensor | float) -> Tensor | float:
    return x.exp() if isinstance(x, Tensor) else math.exp(x)
