"""The end of a run: one table in the terminal, report.json, pictures, the final errors beside the settings."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor
from typing_extensions import override

from sobolev.callbacks.base import Callback, callbacks_of, is_a, pass_over
from sobolev.callbacks.restored_state import state_restored
from sobolev.callbacks.tensorboard import add_image, tensorboard
from sobolev.estimates.verdict import percent
from sobolev.monitor.budget import advice
from sobolev.monitor.findings import as_text
from sobolev.monitor.monitor import DerivativeMonitor
from sobolev.monitor.named_derivatives import unit_of, units_of_orders
from sobolev.monitor.scalars import estimated_orders
from sobolev.readout.callback import LeastSquaresReadout
from sobolev.readout.training_data import own_split
from sobolev.report.run_directory import free_path, is_fast_dev_run, run_directory
from sobolev.report.settings import settings_of
from sobolev.training.evidence_regressor import EvidenceRegressor
from sobolev.training.residual_regressor import ResidualRegressor

_NOTICEABLE, _LARGE = 1e-2, 0.1
"""Shares of the size of an equation's terms from which on its solution is doubtful."""

_LEFT_OUT = ("of its\nsize", "in\nscatters")
"""Columns that a narrow terminal has no room for, the first can be told from others; report.json has them all."""

_CAPTIONS = {
    "± error": "± error: an estimate",
    "in\nscatters": "in scatters: what one standard deviation of each input makes of the output's",
}

_COORDINATES = 4
"""Of the worst point, in the terminal; report.json has them all."""

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class Report(Callback):
    """Writes down, at the end of `fit`, `validate` or `test`, what a `DerivativeMonitor` measured.

    In the run's folder: `report.json`, `derivatives.png` and, where several epochs were measured, `digits.png`: correct
    digits of the value and each derivative over the epochs, as far as they are known or estimated. In the terminal: one
    table, the findings of the audit, and the path of each file. In TensorBoard: the settings with the final errors, and
    the findings as text.

    Examples:
        >>> import lightning, sobolev
        >>> callbacks = [sobolev.DerivativeMonitor(), sobolev.Report()]
        >>> trainer = lightning.Trainer(max_epochs=1, callbacks=callbacks)
        >>> trainer.fit(sobolev.Regressor(sobolev.MLP()), sobolev.FunctionData("x**2", domain=(-1, 1)))
        x**2: derivatives at 2000 points...
        .../report.json
        .../derivatives.png
    """

    @override
    def setup(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        pass_over(self, trainer)
        self._start = perf_counter()
        self._to_print: tuple[dict[str, Any], list[Path]] | None = None
        run_directory(trainer)

    @override
    def on_fit_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        monitor = _monitor(trainer)
        if monitor is not None:
            monitor.finish(trainer, pl_module)
        self._write(trainer, pl_module)

    @override
    def on_validation_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if trainer.state.fn == "validate":
            self._write(trainer, pl_module)

    @override
    def on_test_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self._write(trainer, pl_module)

    @override
    def on_exception(self, trainer: "Trainer", pl_module: "LightningModule", exception: BaseException) -> None:
        """After Ctrl-C, what was measured so far."""
        if isinstance(exception, KeyboardInterrupt) and trainer.state.fn == "fit":
            self._write(trainer, pl_module)
            self.teardown(trainer, pl_module, "fit")

    @override
    def teardown(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        """Print when the progress bar is gone and the last checkpoint written."""
        if self._to_print is not None:
            report, paths = self._to_print
            _print(report, [] if is_fast_dev_run(trainer) else paths + _checkpoints(trainer))
            self._to_print = None

    def _write(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        monitor = _monitor(trainer)
        if monitor is None or not monitor.errors or not trainer.is_global_zero:
            return
        seconds = {trainer.state.fn or "fit": perf_counter() - self._start}
        seconds |= {"monitor": monitor.seconds, "monitor_once": monitor.seconds_once}
        readout = next((c for c in callbacks_of(trainer) if isinstance(c, LeastSquaresReadout)), None)
        report = _report(trainer, monitor, seconds | ({"readout": readout.seconds} if readout else {}))
        if readout is not None and readout.result is not None:
            report["readout"] = asdict(readout.result)
        if isinstance(pl_module, ResidualRegressor) and (points := own_split(trainer, "validation")) is not None:
            report |= _of_equations(pl_module, points.inputs)
        if trainer.interrupted:
            report["interrupted"] = {"epoch": trainer.current_epoch}
        if isinstance(pl_module, EvidenceRegressor) and pl_module.chosen:
            report["model"] = pl_module.chosen
        paths = [_write_json(report, run_directory(trainer))]
        if monitor.measurement.kept:  # by this process
            paths.append(_write_figure(trainer, monitor))
        if trainer.state.fn == "fit" and len(monitor.history) > 1 and any(monitor.history.values()):
            paths.append(_write_digits(trainer, monitor))
        _write_tensorboard(trainer, pl_module, report, monitor)
        self._to_print = report, paths


def _report(trainer: "Trainer", monitor: DerivativeMonitor, seconds: dict[str, float]) -> dict[str, Any]:
    data = getattr(trainer, "datamodule", None)
    reference = monitor.reference or getattr(data, "reference", None)
    orders = units_of_orders(data, [entry["order"] for entry in monitor.errors])
    names = {name: unit_of(place, data) for name, place in monitor.measurement.named.items()}
    derivatives = [_with_unit(entry, orders.get(entry["order"], "")) for entry in monitor.errors]
    named = [_with_unit(entry, names.get(entry["name"], "")) for entry in monitor.named_errors]
    return {
        "function": getattr(reference, "name", None),
        "points": monitor.points,
        "weights": monitor.weights,
        "derivatives": derivatives,
        "kinds": {str(entry["order"]): _kind(entry) for entry in monitor.errors},
        **({"estimate": summary} if (summary := monitor.estimation.summary()) else {}),
        "digits": _digits(monitor.history),
        **({"named": named} if named else {}),
        "audit": [{k: getattr(f, k) for k in ("kind", "severity", "where", "message")} for f in monitor.findings],
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def _with_unit(entry: dict[str, Any], unit: str) -> dict[str, Any]:
    return {**entry, "unit": unit} if unit else entry


def _labelled(label: str, entry: dict[str, Any]) -> str:
    """With the unit behind it, where it is known."""
    return f"{label} [{entry['unit']}]" if "unit" in entry else label


def _of_equations(model: ResidualRegressor, points: Tensor) -> dict[str, Any]:
    """How far the network is from each equation and condition, and the coefficients that were learnt."""
    with state_restored(model, model.device), torch.no_grad():
        violated = [violation._asdict() for violation in model.violated(points)]
        learnt = {name: value.detach().item() for name, value in model.coefficients.items()}
    return {"equations": violated, **({"coefficients": learnt} if learnt else {})}


def _kind(entry: dict[str, Any]) -> str:
    """Whether the numbers of an order are errors, estimates of errors, or its own size."""
    return "error" if "rmse" in entry else "estimate of the error" if "estimated_rmse" in entry else "size"


def _digits(history: dict[int, dict[int, float]]) -> dict[str, list[Any]]:
    """Correct digits over the epochs, a list for each order."""
    orders = sorted({order for digits in history.values() for order in digits})
    columns = {f"d{k}": [digits.get(k) for digits in history.values()] for k in orders}
    return {"epochs": list(history), **columns}


def _write_json(report: dict[str, Any], directory: Path) -> Path:
    path = free_path(directory / "report.json")
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(_finite(report), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return draft.replace(path)


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_figure(trainer: "Trainer", monitor: DerivativeMonitor) -> Path:
    from matplotlib.image import imread

    from sobolev.plots import save

    path = save(monitor.figure(trainer), free_path(run_directory(trainer) / "derivatives.png"))
    add_image(trainer, "derivatives", lambda: imread(path))  # drawing twice takes twice as long
    return path


def _write_digits(trainer: "Trainer", monitor: DerivativeMonitor) -> Path:
    from sobolev.plots import digits_figure, save

    figure = digits_figure(monitor.history, estimated_orders(monitor.errors))
    return save(figure, free_path(run_directory(trainer) / "digits.png"))


def _write_tensorboard(
    trainer: "Trainer", pl_module: "LightningModule", report: dict[str, Any], monitor: DerivativeMonitor
) -> None:
    logger = tensorboard(trainer)
    if logger is None:
        return
    stage = "test" if trainer.state.fn == "test" else "val"
    errors = {
        f"{stage}/d{entry['order']}_{name}": entry[name]
        for entry in report["derivatives"]
        for name in ("relative_l2", "estimated_relative_l2")
        if name in entry
    }
    logger.log_hyperparams(settings_of(trainer, pl_module), errors, trainer.global_step)
    logger.experiment.add_text("audit", as_text(monitor.findings), global_step=trainer.global_step)


def _monitor(trainer: "Trainer") -> DerivativeMonitor | None:
    return next((c for c in callbacks_of(trainer) if isinstance(c, DerivativeMonitor)), None)


def _checkpoints(trainer: "Trainer") -> list[Path]:
    if trainer.state.fn != "fit":
        return []
    saved = [c.last_model_path or c.best_model_path for c in callbacks_of(trainer) if is_a(c, "ModelCheckpoint")]
    return [Path(path) for path in saved if path]


def _print(report: dict[str, Any], paths: list[Path]) -> None:
    console = Console(soft_wrap=True)
    title = f"{report['function']}: " if report["function"] else ""
    table = Table(title=f"{title}derivatives at {report['points']} points", title_justify="left")
    for name in ("order", "RMSE", "relative L2", "max", "where"):
        table.add_column(name, justify="right", overflow="fold")
    for bare, entry in _rows(report):
        label = escape(_labelled(bare, entry))
        beside = "rmse" in entry and "estimated_rmse" in entry
        to_labels = beside and entry["order"] in estimated_orders(report["derivatives"])
        table.add_row(label + ", to the labels" * to_labels, *_cells(entry))
        if beside:
            table.add_row(*_estimated_cells(label, entry))
    console.print(table)
    if unknown := _without_truth(report):
        console.print(_one_by_one(unknown, console.width))
    for line in _equation_lines(report.get("equations", [])):
        console.print(line, markup=False, highlight=False)
    for name, value in report.get("coefficients", {}).items():
        console.print(f"{name} = {value:.6g}, learnt", markup=False, highlight=False)
    for line in _estimate_lines(report.get("estimate", {})):
        console.print(line, markup=False, highlight=False)
    for finding in report["audit"]:
        if finding["severity"] != "note":
            console.print(f"{finding['severity']}: {finding['where']}: {finding['message']}", markup=False)
    if report["weights"] != "as trained":
        console.print(f"measured: the {report['weights']}", markup=False)
    seconds = dict(report["seconds"])
    estimated = "verdict" in report.get("estimate", {})
    slow = advice(seconds.pop("monitor"), seconds.get("fit", 0.0), report["points"], estimated=estimated)
    if slow and "fit" in seconds:
        console.print(slow, markup=False)
    for path in paths:
        console.print(str(path), markup=False, highlight=False)


def _rows(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A line for every order, then for every named derivative; one that is all of its order names that line."""
    named = {f"{e['order']} {e['name']}": e for e in report.get("named", []) if "rmse" in e}
    apart = {entry["order"] for entry in _without_truth(report)}
    rows = []
    for entry in report["derivatives"]:
        if "rmse" not in entry and entry["order"] in apart:
            continue
        same = [label for label, other in named.items() if {**entry, "name": other["name"]} == other]
        rows.append((same[0] if same else str(entry["order"]), entry))
    return rows + [row for row in named.items() if row[0] not in dict(rows)]


def _without_truth(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The derivatives with a name that nobody knows the truth of."""
    return [entry for entry in report.get("named", []) if "rmse" not in entry]


def _one_by_one(entries: list[dict[str, Any]], width: int) -> Table:
    """Each derivative in its own unit, as sizes and errors of several units have no sum; a line each if that can be."""
    columns = _columns(entries)
    for name in _LEFT_OUT:
        if _width(columns) > width:
            columns.pop(name, None)
    if _width(columns) > width:  # broken where it can be read
        columns["derivative"] = [name.replace("/", "/\n  ", 1) for name in columns["derivative"]]
    table = Table(title="without a truth, each in its own unit", title_justify="left", box=SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.padding = False, False, (0, 1, 0, 0)
    for name in columns:
        text = name in ("derivative", "unit")
        table.add_column(name, justify="left" if text else "right", overflow="fold", no_wrap=not text)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, cells))
    captions = [text for name, text in _CAPTIONS.items() if name in columns]
    table.caption, table.caption_justify = "; ".join(captions) or None, "left"
    return table


def _columns(entries: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Titles, and the cells below each."""
    columns = {
        "derivative": [entry["name"] for entry in entries],
        "unit": [entry.get("unit", "") for entry in entries],
        "size": [f"{entry.get('size', entry['rms']):.3g}" for entry in entries],
    }
    if not any(columns["unit"]):
        del columns["unit"]
    if "estimated_rmse" in entries[0]:
        columns["± error"] = [f"{entry['estimated_rmse']:.3g}" for entry in entries]
        columns["of its\nsize"] = [percent(entry["estimated_relative_l2"]) for entry in entries]
        columns["in\nscatters"] = [percent(entry["of_scatter"]) for entry in entries]
    return columns


def _width(columns: dict[str, list[str]]) -> int:
    """Characters of the longest line, two between columns."""
    lines = [[line for cell in (name, *cells) for line in cell.split("\n")] for name, cells in columns.items()]
    return sum(max(map(len, column)) for column in lines) + 2 * (len(columns) - 1)


def _cells(entry: dict[str, Any]) -> list[str]:
    where = ", ".join(f"{value:.4g}" for value in entry["at"][:_COORDINATES])
    where += ", …" * (len(entry["at"]) > _COORDINATES)
    if "rmse" not in entry and "estimated_rmse" in entry:
        found = [f"± {entry[name]:.3g}" for name in ("estimated_rmse", "estimated_relative_l2")]
        return [*found, "estimated", ""]
    if "rmse" not in entry:
        return ["no truth", f"RMS {entry['rms']:.3g}", f"{entry['max']:.3g}", where]
    return [*(f"{entry[name]:.3g}" for name in ("rmse", "relative_l2", "max")), where]


def _estimated_cells(label: str, entry: dict[str, Any]) -> list[str]:
    """A line of its own below the errors of an order."""
    estimated = {name: value for name, value in entry.items() if name.startswith("estimated")}
    return [label, *_cells({**estimated, "at": []})]


def _equation_lines(violations: list[dict[str, Any]]) -> list[str]:
    """How well equations and conditions are obeyed, and what to do where they are not."""
    lines = [
        f"{v['statement']}: off by {v['rms']:.2g} (root mean square; at most {v['max']:.2g}), "
        f"{percent(v['share'])} of the size of its terms"
        for v in violations
    ]
    worst = max((v["share"] for v in violations), default=0.0)
    if worst > _NOTICEABLE:
        much, off = "noticeable", "off by some per cent"
        if worst > _LARGE:
            much, off = "large", "far off although it looks smooth"
        lines.append(
            f"warning: {percent(worst)} is {much}, and the solution may be {off}: "
            "train longer, with points where the residual is large (--data.adapt_every_n_epochs 5), more points "
            "(--data.samples) or a wider network"
        )
    return lines


def _estimate_lines(estimate: dict[str, Any]) -> list[str]:
    """Verdict, noise and remark: `±` are estimates of errors, no errors."""
    lines = []
    if "verdict" in estimate:
        shown = f"{estimate['rows']} rows and {estimate['held_out']} held out, at {estimate['points']} points"
        lines.append(f"± is an estimate of the error, from {shown}: {estimate['verdict']}")
        lines.append(estimate["noise_text"])
    return lines + [estimate[name] for name in ("remark", "odd_row") if estimate.get(name)]
