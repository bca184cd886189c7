"""What proofs cost, and how near they come: proven bounds beside what is attained and what dense samples find."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import sobolev
from benchmarks.machine import sentence
from sobolev.autodiff.operators import derivative_tensors
from sobolev.equations import Problem
from sobolev.readout import solve_readout

POINTS = 200_000
"""Random points that stand for dense sampling."""
_BURGERS = "du_dt + u*du_dx - 0.01/pi*d2u_dx2"
_BURGERS_CONDITIONS = ("u(t, -1) = 0", "u(t, 1) = 0", "u(0, x) = -sin(pi*x)")


@dataclass(frozen=True)
class Job:
    """A network that is trained, and what is proved of it."""

    name: str
    domain: dict[str, tuple[float, float]]
    function: str | None = None
    """What it learns and is compared with."""
    compared: bool = True
    """Otherwise the network's own derivatives are bounded."""
    residual: str | None = None
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "silu"
    steps: int = 4000
    readout: bool = False
    tolerance: float = 0.02
    most: float = 1.02
    """The ratio of proven and attained that we accept."""
    seconds: float = 1.0
    """The time that we accept, of one thread."""


_X, _XY, _XYZ = {"x": (-50.0, 50.0)}, dict.fromkeys("xy", (-3.0, 3.0)), dict.fromkeys("xyz", (-2.0, 2.0))
JOBS = (
    Job("x², 1-64-64-1: f, f', f''", _X, "x**2"),
    Job("the same after the readout", _X, "x**2", readout=True, most=1.1),
    Job("sin(x)cos(y), 2-64-64-1: f, gradient, Hessian", _XY, "sin(x)*cos(y)", seconds=10),
    Job(
        "sin(x)cos(y)exp(-z²/4), 3-32-32-1: the same",
        _XYZ,
        "sin(x)*cos(y)*exp(-z**2/4)",
        hidden=(32, 32),
        tolerance=0.1,
        most=1.2,
        seconds=60,
    ),
    Job(
        "2-128-128-1 tanh: its own f, gradient, Hessian",
        dict.fromkeys("xy", (-1.0, 1.0)),
        "sin(x*y) + x**2",
        compared=False,
        hidden=(128, 128),
        activation="tanh",
        steps=2000,
        seconds=5,
    ),
    Job(
        "Burgers' equation, 2-20x9-1 tanh, inputs scaled inside, by L-BFGS: its residual",
        {"t": (0.0, 1.0), "x": (-1.0, 1.0)},
        residual=_BURGERS,
        hidden=(20,) * 9,
        activation="tanh",
        steps=3000,
        tolerance=0.05,
        most=1.05,
        seconds=60,
    ),
)


def run(quick: bool) -> dict:
    """Train each network, prove, and look at points; a quick run leaves out the differential equation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {"rows": [_one(job) for job in JOBS if not (quick and job.residual)]}
    finally:
        torch.set_num_threads(threads)


def document(data: dict) -> str:
    """The table in Markdown."""
    head = "| network | proven | proven / attained | proven / sampled | cells | seconds |\n" + "|---" * 6 + "|\n"
    words = (
        "Largest magnitudes over the whole domain, for each order; attained: proved to be exceeded somewhere; sampled: "
        f"the largest of {POINTS} random points in float64, whose own rounding may add to it. Seconds of processor "
        "time; numpy's own threads are one where OMP_NUM_THREADS=1.\n\n"
    )
    return f"{words}{head}" + "\n".join(map(_row, data["rows"])) + f"\n\nMachine: {sentence(data['machine'])}.\n"


def shortfalls(data: dict) -> list[str]:
    """The promises that were not kept."""
    promises, found = {job.name: job for job in JOBS}, []
    for row in data["rows"]:
        job, ratio = promises[row["name"]], max(_ratios(row, "lower"))
        if ratio > job.most * (1 + 1e-9) or row["seconds"] > job.seconds:
            found.append(
                f"{job.name}: {ratio:.3f} in {row['seconds']:.1f} s, promised {job.most:g} in {job.seconds:g} s"
            )
    return found


def _one(job: Job) -> dict:
    torch.manual_seed(0)
    network = _solver(job) if job.residual else _learner(job)
    about = {"residual": job.residual} if job.residual else {"function": job.function if job.compared else None}
    sobolev.certify(network, domain=job.domain, tolerance=1.0, seconds=1, **about)  # tables are made once
    start = time.process_time()
    certificate = sobolev.certify(network, domain=job.domain, tolerance=job.tolerance, seconds=600, **about)
    seconds = time.process_time() - start
    row = {
        "name": job.name,
        "upper": certificate.upper,
        "lower": certificate.lower,
        "sampled": _sampled(job, network.double()),
        "cells": certificate.cells,
        "seconds": seconds,
    }
    print(_row(row), flush=True)
    return row


def _learner(job: Job) -> nn.Module:
    """Adam on values, batches of 250 of 10,000 points, the cosine to zero; then the readout in float64."""
    assert job.function is not None
    inputs = len(job.domain)
    network = sobolev.Standardized(sobolev.MLP(inputs, 1, job.hidden, job.activation))
    points = [_points(job, 10_000, seed) for seed in (1, 2)]
    (x, y), held_out = ((p, sobolev.Function(job.function, tuple(job.domain))(p)) for p in points)
    network.fit(x, y)
    optimizer = torch.optim.Adam(network.parameters(), 0.01, betas=(0.95, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, job.steps)
    for _ in range(job.steps):
        rows = torch.randint(0, len(x), (250,))
        error = (network(x[rows].float()) - y[rows].float()) / network.output_scale
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()
        schedule.step()
    if job.readout:
        solve_readout(network.double(), lambda: [(x, y)], lambda: [held_out])
    return network.requires_grad_(False)


class _ScaledInside(nn.Module):
    """A network that maps its domain to [-1, 1] first, as published solutions do."""

    low: Tensor
    high: Tensor

    def __init__(self, network: nn.Module, domain: dict[str, tuple[float, float]]) -> None:
        super().__init__()
        self.network = network
        for name, ends in zip(("low", "high"), zip(*domain.values(), strict=True), strict=True):
            self.register_buffer(name, torch.tensor(ends))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(2 * (x - self.low) / (self.high - self.low) - 1)


def _solver(job: Job) -> nn.Module:
    """L-BFGS on the residual and the conditions, Glorot's weights (Raissi, Perdikaris & Karniadakis 2019)."""
    assert job.residual is not None
    network = sobolev.MLP(len(job.domain), 1, job.hidden, job.activation)
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    solver, x = _ScaledInside(network, job.domain).double(), _points(job, 2000, 0)
    x[::3, 1] *= 0.15  # where the shock is
    problem = Problem([job.residual], _BURGERS_CONDITIONS, job.domain)
    optimizer = torch.optim.LBFGS(
        solver.parameters(), max_iter=job.steps, history_size=50, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = sum(problem.loss(solver, x), torch.zeros(()))
        total.backward()
        return total

    optimizer.step(loss)
    return solver.requires_grad_(False)


def _points(job: Job, count: int, seed: int) -> Tensor:
    low, high = torch.tensor(list(job.domain.values()), dtype=torch.float64).T
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, len(low), dtype=torch.float64, generator=generator)


def _sampled(job: Job, network: nn.Module) -> list[float]:
    """The largest magnitude of each order at random points."""
    x = _points(job, POINTS, 3)
    blocks = []
    for block in x.split(20_000):
        if job.residual:
            found = [Problem([job.residual], _BURGERS_CONDITIONS, job.domain).residuals(network, block)[0]]
        else:
            found = derivative_tensors(network, block, 2)
            if job.compared and job.function:
                exact = sobolev.Function(job.function, tuple(job.domain)).tensors(block, 2)
                found = [a - b for a, b in zip(found, exact, strict=True)]
        blocks.append([float(values.detach().abs().max()) for values in found])
    return [max(column) for column in zip(*blocks, strict=True)]


def _ratios(row: dict, other: str) -> list[float]:
    return [upper / max(value, 1e-300) for upper, value in zip(row["upper"], row[other], strict=True)]


def _row(row: dict) -> str:
    proven = " / ".join(f"{upper:.3g}" for upper in row["upper"])
    ratios = (" / ".join(f"{ratio:.3f}" for ratio in _ratios(row, other)) for other in ("lower", "sampled"))
    return f"| {row['name']} | {proven} | {' | '.join(ratios)} | {row['cells']} | {row['seconds']:.2f} |"
