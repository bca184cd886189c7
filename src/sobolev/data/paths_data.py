"""`PathsData`: simulated payoffs and their pathwise differentials, the setting of differential machine learning."""

from typing import Literal

import torch

from sobolev.data.market import BachelierBasket, BlackScholes, Contract, Market
from sobolev.data.module import Split, TensorDataModule
from sobolev.data.prediction_points import PredictPoints
from sobolev.errors import check_counts
from sobolev.functions import Function


class PathsData(TensorDataModule):
    """One simulated payoff per path as the value, its pathwise differential as the derivative label.

    A network that is trained on such samples learns the price of a call as a function of the market's state, without
    ever having seen a price (Longstaff & Schwartz, 2001; with differentials: Huge & Savine, "Differential Machine
    Learning", 2020, whose two textbook cases these are, with their parameters as defaults). The labels are noisy but
    right on average. Batches are `(x, y, d1)`: states (batch, assets), payoffs (batch, 1), differentials
    (batch, 1, assets). Training and validation are simulated; the test set is the closed form at states of its own: a
    grid of the spot from 0.35 to 1.65; for a basket uniform points, farther out the more assets there are.

    Args:
        model: `black_scholes`, a call on one asset, or `bachelier`, a call on a basket of correlated normal assets
            with weights, volatilities and correlations drawn at random.
        assets: of the basket.
        samples: how many paths for training.
        strike: of the call; every asset costs 1 today, and there is no interest.
        volatility: a year, of the asset or of the basket.
        exposure: when, in years, the state is observed that the price is learned as a function of.
        maturity: when, in years, the call pays.
        spread: multiplies the volatility until the exposure, so that rare states are met more often.
        antithetic: each label is the mean over a path and its mirror image after the exposure.
        seed: of the market, the paths and the order of every epoch.
        validation_samples: how many paths for validation.
        test_samples: how many test points.
        batch_size: training paths per batch and process; None: 256, or all for an optimiser that needs them (L-BFGS).
        evaluation_batch_size: points per batch in validation, test and prediction.
        shuffle: a new order each epoch.
        num_workers: processes that fetch batches; paths in memory need none.
        predict_points: see `TensorDataModule`: None for the test points, a path, or `{spot: [low, high, count]}`.

    Attributes:
        market: the model, with its closed form.
        reference: the closed form; `DerivativeMonitor` compares with it.

    Raises:
        ValueError: a number that makes no sense; several assets in the model of Black and Scholes.

    Examples:
        >>> import sobolev
        >>> data = sobolev.PathsData("black_scholes", samples=1000)
        >>> data.setup()
        >>> data.training.labels[0].shape  # d payoff / d spot along each path
        torch.Size([1000, 1, 1])
    """

    output_names = ("price",)
    usual_batch = 256
    reference: Function
    market: Market

    def __init__(
        self,
        model: Literal["black_scholes", "bachelier"] = "bachelier",
        assets: int = 1,
        samples: int = 4096,
        strike: float = 1.1,
        volatility: float = 0.2,
        exposure: float = 1.0,
        maturity: float = 2.0,
        spread: float = 1.5,
        antithetic: bool = True,
        seed: int = 0,
        validation_samples: int = 2000,
        test_samples: int = 4096,
        batch_size: int | None = None,
        evaluation_batch_size: int = 4096,
        shuffle: bool = True,
        num_workers: int = 0,
        predict_points: PredictPoints | None = None,
    ) -> None:
        super().__init__(batch_size, evaluation_batch_size, seed, shuffle, num_workers, predict_points)
        check_counts(1, samples=samples, validation_samples=validation_samples, test_samples=test_samples)
        check_counts(1, assets=assets)
        self.model = model
        self.samples, self.validation_samples, self.test_samples = samples, validation_samples, test_samples
        self._generator = torch.Generator().manual_seed(seed)
        contract = Contract(strike, volatility, exposure, maturity, spread, antithetic)
        self.market = _market(model, assets, contract, self._generator)
        self.reference, self.input_names = self.market.reference, self.market.input_names
        self.derivative_names = self.market.derivative_names

    def make_splits(self) -> tuple[Split, Split, Split]:
        """Simulate for training and validation, evaluate the closed form for the test."""
        generator = torch.Generator()
        generator.set_state(self._generator.get_state())
        training, validation = (
            Split(states, payoffs, (differentials,))
            for states, payoffs, differentials in (
                self.market.paths(count, generator) for count in (self.samples, self.validation_samples)
            )
        )
        points = self.market.test_points(self.test_samples, generator)
        with torch.no_grad():
            price, delta = self.reference.tensors(points, 1)
        return training, validation, Split(points, price, (delta,))


def _market(model: str, assets: int, contract: Contract, generator: torch.Generator) -> Market:
    if model == "bachelier":
        return BachelierBasket(contract, assets, generator)
    if model != "black_scholes":
        raise ValueError(f"model is {model!r}; it is 'black_scholes' or 'bachelier'")
    if assets != 1:
        raise ValueError(
            f"black_scholes has one asset, not {assets}: a basket of them has no closed form; use bachelier"
        )
    return BlackScholes(contract)
