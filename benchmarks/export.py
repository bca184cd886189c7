"""Derivatives as one file beside other ways to write them: time in onnxruntime, and whether a file comes about at all.

`python -m benchmarks export` sets up an environment with the peers and measures in it. One thread.
"""

import argparse
import json
import re
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import sobolev
from benchmarks.environments import ROOT, laid_over
from benchmarks.machine import sentence
from benchmarks.timing import seconds

PACKAGES = ("onnx-ad", "torch2casadi")
ROWS, ROUNDS = 1000, 25
Arrays = list[np.ndarray]
Run = Callable[[], Arrays]
"""Value, and derivatives of the highest order."""


class Transformer(nn.Module):
    """A layer that reads the inputs one after the other."""

    def __init__(self, inputs: int, width: int = 16) -> None:
        super().__init__()
        self.embed, self.out = nn.Linear(1, width), nn.Linear(width, 1)
        self.place = nn.Parameter(torch.randn(inputs, width))
        self.layer = nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, activation="gelu", batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(x.unsqueeze(-1)) + self.place).mean(1))


class Job(NamedTuple):
    """A network, an operator, and the ratio to the plain forward that we accept."""

    name: str
    network: Callable[[], nn.Module]
    inputs: int
    operator: str
    most: float


def _mlp(activation: type[nn.Module], inputs: int, norm: bool = False) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for before in (inputs, 64):
            layers += [nn.Linear(before, 64), *([nn.LayerNorm(64)] if norm else []), activation()]
        return nn.Sequential(*layers, nn.Linear(64, 1))

    return make


JOBS = (
    Job("f, f', f'', tanh", _mlp(nn.Tanh, 1), 1, "derivatives", 5.5),
    Job("f, f', f'', SiLU", _mlp(nn.SiLU, 1), 1, "derivatives", 5.5),
    Job("f, f', f'', GELU", _mlp(nn.GELU, 1), 1, "derivatives", 5),
    Job("Jacobian of 3 inputs", _mlp(nn.Tanh, 3), 3, "jacobian", 3),
    Job("Jacobian of 10 inputs", _mlp(nn.Tanh, 10), 10, "jacobian", 3),
    Job("Hessian of 3 inputs, tanh", _mlp(nn.Tanh, 3), 3, "hessian", 9),
    Job("the same with LayerNorm", _mlp(nn.Tanh, 3, norm=True), 3, "hessian", 30),
    Job("the same of a Transformer layer", lambda: Transformer(3), 3, "hessian", 20),
)


def run(quick: bool) -> dict:
    """Measure in the environment of the peers; a quick run leaves out Hessians."""
    python = laid_over("export", PACKAGES)
    rows = []
    for k, job in enumerate(JOBS):
        if not (quick and job.operator == "hessian"):
            done = subprocess.run(
                [python, "-m", "benchmarks.export", str(k)], cwd=ROOT, capture_output=True, text=True, check=False
            )
            last = (done.stdout.strip().splitlines() or ["{}"])[-1]
            rows.append({"name": job.name, **json.loads(last)})
            print(_row(rows[-1]), flush=True)
    return {"rows": rows}


def document(data: dict) -> str:
    """The table in Markdown."""
    head = f"| | {' | '.join(METHODS)} |\n|---{'|---' * len(METHODS)}|\n"
    words = (
        f"Processor time of a call in onnxruntime, one thread, {ROWS} rows, in plain forwards of the same network in "
        f"onnxruntime: medians of {ROUNDS} rounds. In brackets the largest error of the highest derivatives, relative, "
        "where it is above 2e-5.\n\n"
    )
    notes = [
        f"* {row['name']}, {m}: {row[m]['why']}" for row in data["rows"] for m in METHODS if "why" in row.get(m, {})
    ]
    table = "\n".join(map(_row, data["rows"]))
    return f"{words}{head}{table}\n\n" + "\n".join([*notes, "", f"Machine: {sentence(data['machine'])}.", ""])


def shortfalls(data: dict) -> list[str]:
    """The promises that were not kept."""
    promises = {job.name: job.most for job in JOBS}
    found = []
    for row in data["rows"]:
        ratio = row.get("sobolev", {}).get("ratio", float("inf"))
        if not ratio <= promises[row["name"]]:
            found.append(f"{row['name']}: {ratio:.2f}, promised {promises[row['name']]:g}")
    return found


def measure(job: Job) -> dict:
    """Each way: its ratio and error, or why it fails."""
    torch.manual_seed(0)
    network, x = job.network().eval().requires_grad_(False), torch.randn(ROWS, job.inputs)
    truth = _truth(job, network, x)
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), {}
        plain = _plain(network, x, folder / "plain.onnx")
        for method, prepare in METHODS.items():
            try:
                found[method] = _timed(prepare(job, network, x, folder), plain, truth)
            except Exception as error:
                found[method] = {"why": _first_line(error)}
    return found


def _timed(job: Run, plain: Run, truth: np.ndarray) -> dict:
    value = job()[-1].reshape(truth.shape)
    ratios = []
    for _ in range(ROUNDS):
        before = seconds(plain, 5)
        ratios.append(seconds(job, 5) / before)
    return {"ratio": float(np.median(ratios)), "error": float(np.abs(value - truth).max() / np.abs(truth).max())}


def _truth(job: Job, network: nn.Module, x: Tensor) -> np.ndarray:
    """The highest derivatives by reverse mode in float64; of a Hessian all entries."""
    double = job.network().eval().double().requires_grad_(False)
    double.load_state_dict(network.double().state_dict())
    network.float()
    options = {"order": 2} if job.operator == "derivatives" else {}
    return getattr(sobolev, job.operator)(double, x.double(), method="reverse", **options)[-1].detach().numpy()


def _session(path: Path, given: Callable[[list[tuple[str, list]]], dict[str, np.ndarray]]) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = given([(entry.name, entry.shape) for entry in session.get_inputs()])
    return lambda: session.run(None, inputs)


def _written(program: nn.Module, x: Tensor, path: Path) -> Path:
    dynamic = ({0: torch.export.Dim("batch", min=1)},)
    torch.onnx.export(
        program, (x[:5],), path, dynamo=True, verbose=False, dynamic_shapes=dynamic, input_names=["x"],
        output_names=["y"], external_data=False,
    )  # fmt: skip
    return path


def _plain(network: nn.Module, x: Tensor, path: Path) -> Run:
    return _session(_written(network, x, path), lambda _: {"x": x.numpy()})


def _ours(job: Job, network: nn.Module, x: Tensor, folder: Path) -> Run:
    sobolev.export(network, folder / "ours.onnx", job.operator, inputs=x)  # pyright: ignore[reportArgumentType]
    run = _session(folder / "ours.onnx", lambda _: {"x": x.numpy()})
    return run if job.operator == "derivatives" else _joined(run, job)


def _joined(run: Run, job: Job) -> Run:
    """Columns as one array, the Hessian's below the diagonal repeated; that costs next to nothing beside the call."""
    d = job.inputs
    i, j = np.triu_indices(d)

    def joined() -> Arrays:
        y, *columns = run()
        if job.operator == "jacobian":
            return [y, np.concatenate(columns, 1)]
        whole = np.empty((len(y), d, d), dtype=y.dtype)
        whole[:, i, j] = whole[:, j, i] = np.concatenate(columns[d:], 1)
        return [y, whole]

    return joined


def _make_fx(job: Job, network: nn.Module, x: Tensor, folder: Path) -> Run:
    """Nested autograd.grad, recorded by make_fx."""
    from torch.fx.experimental.proxy_tensor import make_fx

    def nested(x: Tensor) -> tuple[Tensor, ...]:
        x = x.detach().requires_grad_()
        y = network(x)
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        if job.operator == "jacobian":
            return y, first
        columns = [torch.autograd.grad(column.sum(), x, create_graph=True)[0] for column in first.unbind(1)]
        return y, first, torch.stack(columns, 1)

    graph = make_fx(nested, tracing_mode="symbolic", _allow_non_fake_inputs=True)(x[:5])
    return _session(_written(graph, x, folder / "make_fx.onnx"), lambda _: {"x": x.numpy()})


def _onnx_ad(job: Job, network: nn.Module, x: Tensor, folder: Path) -> Run:
    """The graph of the forward, rewritten."""
    import onnx
    from onnx_ad import forward, reverse  # pyright: ignore[reportMissingImports]

    model = onnx.load(_written(network, x, folder / "primal.onnx"))
    passes = {"derivatives": (forward, forward), "jacobian": (reverse,), "hessian": (reverse, forward)}[job.operator]
    for differentiate in passes:
        model = differentiate(model)
    onnx.save(model, folder / "onnx_ad.onnx")
    return _session(folder / "onnx_ad.onnx", lambda names: _seeds(names, job, x))


def _seeds(names: Sequence[tuple[str, list]], job: Job, x: Tensor) -> dict[str, np.ndarray]:
    """Ones for the first derivatives, each direction once for a Hessian, zeros for the second ones."""
    rows, d = x.shape
    directions = np.tile(np.eye(d, dtype=np.float32).reshape(1, -1), (rows, 1))
    one, none = np.ones((rows, 1), np.float32), np.zeros((rows, d), np.float32)
    known = {"x": x.numpy(), "adj_y": one, "fwd_adj_y": none, "fwd2_x": one, "fwd2_fwd_x": 0 * one}
    known["fwd_x"] = one if job.operator == "derivatives" else directions
    return {name: known[name] for name, _ in names}


def _torch2casadi(job: Job, network: nn.Module, x: Tensor, folder: Path) -> Run:
    """Files for CasADi, of one fixed batch; all rows are one column there."""
    from torch2casadi import export  # pyright: ignore[reportMissingImports]

    hessian = job.operator != "jacobian"
    export(network, x, str(folder / "casadi"), hessian=hessian)
    path = folder / "casadi" / ("fwd_adj_f.onnx" if hessian else "adj_f.onnx")
    rows, d = x.shape
    directions = np.tile(np.eye(d, dtype=np.float32), (rows, 1))
    known = {"x": x.reshape(-1, 1).numpy(), "adj": np.ones((rows, 1), np.float32), "fwd": directions}

    def given(names: Sequence[tuple[str, list]]) -> dict[str, np.ndarray]:
        found = {}
        for name, shape in names:
            kind = "zero" if name.startswith("fwd_adj") else name.partition("_")[0]
            value = np.zeros((rows, d), np.float32) if kind == "zero" else known.get(kind, known["x"])
            found[name] = value.reshape(-1) if len(shape) == 1 else value
        return found

    run = _session(path, given)
    last = lambda y: y.reshape(rows, d, -1).squeeze(-1) if not hessian else y.reshape(rows, d, d)  # noqa: E731
    return lambda: [last(run()[-1])]


def _first_line(error: Exception) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return (plain.splitlines() or [type(error).__name__])[0][:160]


METHODS = {"sobolev": _ours, "make_fx": _make_fx, "onnx-ad": _onnx_ad, "torch2casadi": _torch2casadi}


def _row(row: dict) -> str:
    return f"| {row['name']} | {' | '.join(_cell(row.get(method, {})) for method in METHODS)} |"


def _cell(found: dict) -> str:
    if "ratio" not in found:
        return "fails"
    error = f" ({found['error']:.0e})" if found["error"] > 2e-5 else ""
    return f"{found['ratio']:.1f}{error}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=int)
    torch.set_num_threads(1)
    outcome = measure(JOBS[parser.parse_args().job])
    print(json.dumps(outcome))
