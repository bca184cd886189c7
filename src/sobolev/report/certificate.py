"""`CertificateWriter`: at the end of a training, how wrong the network can be anywhere in its domain, proved."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_utilities.core.rank_zero import rank_zero_warn
from typing_extensions import override

from sobolev.autodiff.guard import evaluating
from sobolev.callbacks.base import Callback, pass_over
from sobolev.certify import Certificate, certify
from sobolev.report.run_directory import free_path, run_directory

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class CertificateWriter(Callback):
    """Proves bounds of the errors at the end of `fit`, over the domain of the data: see `sobolev.certify`.

    For a `FunctionData` those of value and derivatives against the function, for a `ResidualData` those of the
    equation and its conditions. In the run's folder: `certificate.json` with all cells, and `certificate.png`; in the
    terminal the table. What no proof goes through is said, and the training is none the worse.

    Args:
        order: the highest derivative.
        tolerance: how near the bounds should come to what is attained, relative.
        seconds: how long it may take.

    Attributes:
        certificate: the last one.
    """

    def __init__(self, order: int = 2, tolerance: float = 0.02, seconds: float = 60) -> None:
        self.order, self.tolerance, self.seconds = order, tolerance, seconds
        self.certificate: Certificate | None = None

    @override
    def setup(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        pass_over(self, trainer)
        run_directory(trainer)

    @override
    def on_fit_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if not trainer.is_global_zero:
            return
        data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        try:
            with evaluating(pl_module):
                self.certificate = certify_on(pl_module, data, None, self.order, self.tolerance, self.seconds)
        except (TypeError, ValueError) as error:
            rank_zero_warn(f"nothing is proved: {error}")
            return
        folder = run_directory(trainer)
        paths = [free_path(folder / f"certificate{suffix}") for suffix in (".json", ".png")]
        self._write(self.certificate, paths)

    def _write(self, certificate: Certificate, paths: list[Path]) -> None:
        from rich.console import Console

        certificate.save(paths[0])
        certificate.picture(paths[1])
        console = Console(soft_wrap=True)
        console.print(str(certificate), markup=False, highlight=False)
        for path in paths:
            console.print(str(path), markup=False, highlight=False)


def certify_on(
    model: Any,
    data: Any,
    domain: dict[str, tuple[float, float]] | None,
    order: int,
    tolerance: float,
    seconds: float,
    rounding: str | None = None,
) -> Certificate:
    """The certificate of a model over the domain of its data, against their function or equation.

    Args:
        model: maps (batch, inputs) to (batch, outputs).
        data: a data module; of another's than ours the network alone is bounded.
        domain: in place of that of the data.
        order: the highest derivative.
        tolerance: relative.
        seconds: how long it may take.
        rounding: the precision of a forward whose rounding is counted.

    Raises:
        ValueError: there is no domain.
        TypeError: no proof goes through the model.
    """
    domain = domain or getattr(data, "domain", None)
    if not isinstance(domain, dict):
        raise ValueError(f"{type(data).__name__} has no domain; give one: --domain x=0:1")
    problem = getattr(data, "problem", None)
    if problem is None:
        reference = getattr(data, "reference", None)
        return certify(model, reference, domain, order, tolerance, seconds, rounding=rounding)
    equations, conditions = problem.equations, problem.conditions
    return certify(
        model,
        domain=domain,
        tolerance=tolerance,
        seconds=seconds,
        residual=equations,
        conditions=conditions,
        unknowns=data.output_names,
        rounding=rounding,
    )
