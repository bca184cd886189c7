"""The LightningModule for differential equations: a network that learns to obey one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from sobolev.equations import Problem
from sobolev.equations.problem import Violation
from sobolev.networks.standardized import Standardized
from sobolev.optimizers.quasi_newton import SEARCHING
from sobolev.training.regressor import Batch, Regressor
from sobolev.training.row_weights import weight_of

_BLOCK = 10_000
"""Points at which the residual is computed at a time."""


class ResidualRegressor(Regressor):
    """Fits a network to the equation and the conditions of a `ResidualData`, instead of values.

    The loss is the mean square of each equation's residual, plus that of each condition's, all in units of their
    typical sizes (`sobolev.equations.Problem`). Logged are `train/loss`, `val/loss` and its parts `val/equation_loss`,
    `val/condition_loss` and, where there are measurements, `val/measurement_loss`; coefficients that are learnt as
    `coefficient/k`. `Standardized` takes the inputs' mean and deviation from the domain, and the outputs' scale from
    the conditions and the equation.

    Args:
        *args: those of `Regressor`; the network maps (batch, inputs) to (batch, unknowns) and is smooth.
        **kwargs: those of `Regressor`.

    Examples:
        >>> import lightning, sobolev
        >>> from sobolev.optimizers import SelfScaledBFGS
        >>> data = sobolev.ResidualData("du_dx = -u", ["u(0) = 1"], domain={"x": (0, 1)}, samples=30)
        >>> model = sobolev.ResidualRegressor(sobolev.MLP(hidden=(10,), activation="tanh"), optimizer=SelfScaledBFGS)
        >>> trainer = lightning.Trainer(max_epochs=20, precision="64-true", check_val_every_n_epoch=20)
        >>> trainer.fit(model, data)
        >>> x = data.validation_points
        >>> bool((model(x) - (-x).exp()).abs().max() < 1e-3)
        True
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "_class_path" in self.hparams:
            self.hparams["_class_path"] = "sobolev.ResidualRegressor"
        self.learnt = nn.ParameterDict()

    @property
    def problem(self) -> Problem:
        """The equations and conditions of the data module.

        Raises:
            TypeError: the data module has none.
        """
        data: Any = getattr(self.trainer, "datamodule", None)
        if not isinstance(getattr(data, "problem", None), Problem):
            raise TypeError(
                f"ResidualRegressor trains on sobolev.ResidualData, not on {type(data).__name__}; for values take "
                "sobolev.Regressor"
            )
        return data.problem

    @property
    def coefficients(self) -> dict[str, Tensor]:
        """The numbers in the equations that are learnt, by name."""
        return {name: self.get_buffer(f"unit_of_{name}") * parameter for name, parameter in self.learnt.items()}

    def violated(self, points: Tensor) -> list[Violation]:
        """How far it is from each equation at points (points, inputs), and from each condition."""
        return self.problem.violated(self, points.to(next(self.parameters())), self.coefficients)

    def _add_coefficients(self, guess: Mapping[str, float]) -> None:
        """A parameter for each, in units of its first guess."""
        like = next(self.parameters())
        for name, value in guess.items():
            if name not in self.learnt:
                self.register_buffer(f"unit_of_{name}", like.new_tensor(abs(value) or 1.0))
                self.learnt[name] = nn.Parameter(like.new_tensor(value / (abs(value) or 1.0)))

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        if isinstance(getattr(getattr(self.trainer, "datamodule", None), "problem", None), Problem):
            self._add_coefficients(self.problem.coefficients)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The coefficients that were learnt come with the weights."""
        saved = [name for name in checkpoint["state_dict"] if name.startswith("learnt.")]
        self._add_coefficients(dict.fromkeys((name.removeprefix("learnt.") for name in saved), 1.0))
        super().on_load_checkpoint(checkpoint)

    @override
    def on_fit_start(self) -> None:
        problem, signs = self.problem, torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        for module in self.modules():
            if isinstance(module, Standardized) and not module.fitted:
                module.fit(problem.mean + signs * problem.deviation, signs * problem.sizes)

    @override
    def on_train_start(self) -> None: ...

    @override
    def on_validation_start(self) -> None: ...

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        equations, conditions = self.problem.loss(self, batch[0], self.coefficients)
        loss = equations + conditions + self.problem.misfit(self, batch[0])
        searches = isinstance(self._optimizer(), SEARCHING)  # and steps back from a loss that is not finite
        if not loss.isfinite() and (self.global_step == 0 or not searches):
            self._refuse_undefined(batch[0])
        if self.trainer.world_size > 1:  # derivatives alone leave the last bias without a gradient, which DDP refuses
            loss = loss + 0.0 * sum(parameter.sum() for parameter in self.parameters())
        if self._is_logged():
            self.log("train/loss", loss, batch_size=len(batch[0]))
        return loss

    @override
    def on_train_epoch_end(self) -> None:
        data: Any = getattr(self.trainer, "datamodule", None)
        every, done = getattr(data, "adapt_every_n_epochs", None), self.current_epoch + 1
        if every and done % every == 0 and done != self.trainer.max_epochs:
            data.adapt(self._residual, done)

    @torch.no_grad()
    def _residual(self, points: Tensor) -> Tensor:
        """How far it is from the equations, (points,), at points (points, inputs)."""
        like = next(self.parameters())
        blocks = points.to(like).split(_BLOCK)
        return torch.cat([self.problem.sizes_of_residuals(self, block, self.coefficients) for block in blocks])

    def _optimizer(self) -> Any:
        return self.trainer.optimizers[0]

    def _refuse_undefined(self, points: Tensor) -> None:
        """No weights are learnt from what is no number."""
        if said := self.problem.undefined(self, points, self.coefficients):
            raise ValueError(said)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._measure(batch, "val")

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._measure(batch, "test")

    def _measure(self, batch: Batch, stage: str) -> None:
        equations, conditions = self.problem.loss(self, batch[0], self.coefficients)
        measurements = self.problem.misfit(self, batch[0])
        losses = {"equation_loss": equations, "condition_loss": conditions}
        if self.problem.measurements is not None:
            losses["measurement_loss"] = measurements
        named = {f"{stage}/{name}": loss for name, loss in losses.items()}
        named[f"{stage}/loss"] = equations + conditions + measurements
        named |= {f"coefficient/{name}": value.detach() for name, value in self.coefficients.items()}
        self.log_dict(named, sync_dist=True, batch_size=weight_of(len(batch[0])))
