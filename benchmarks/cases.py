"""What is timed: jobs, networks, batches, and the ratios we have promised."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    key: str
    title: str
    job: str
    """derivatives, training, laplacian or hessian."""
    rows: int
    inputs: int = 1
    order: int = 2
    hidden: int = 64
    must: float | None = None
    """The highest ratio to a plain forward that we accept of ourselves, eager."""
    must_compiled: float | None = None
    lead: float = 1.4
    """How many times faster than each peer we want to be, eager."""
    lead_compiled: float = 1.4
    quick: bool = True
    """Whether `--quick` times it."""

    def network(self) -> nn.Sequential:
        """A tanh perceptron with two hidden layers, float32, always the same weights."""
        torch.manual_seed(0)
        width = self.hidden
        return nn.Sequential(
            nn.Linear(self.inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def batch(self) -> Tensor:
        """Standard normal points, (rows, inputs)."""
        return torch.randn(self.rows, self.inputs, generator=torch.Generator().manual_seed(1))


def _table() -> list[Case]:
    cases = [
        Case(f"d2-{rows}", f"f, f', f'', {rows // 1000}k rows", "derivatives", rows, must=must, quick=rows < 1e5)
        for rows, must in ((1000, 3.5), (10_000, 2.8), (100_000, 1.8))
    ]
    cases.append(Case("d4", "all orders to 4, 1k rows", "derivatives", 1000, order=4, quick=False))
    cases.append(
        Case(
            *("d10", "all orders to 10, 1k rows", "derivatives", 1000),
            order=10,
            must=35,
            must_compiled=19,
            lead_compiled=1.1,
            quick=False,
        )
    )
    cases += [
        Case(f"train-{rows}", f"training step on f, f', f'', {rows // 1000}k rows", "training", rows, must=must)
        for rows, must in ((1000, None), (10_000, 9))
    ]
    cases.append(Case("train-100000", "training step on f, f', f'', 100k rows", "training", 100_000, quick=False))
    many_inputs = (
        ("laplacian", 1000, "value, gradient, Laplacian, {} inputs, 1k rows", ((2, 5), (10, 12), (100, 70))),
        ("hessian", 256, "full Hessian, {} inputs, 256 rows", ((10, 14), (100, 110))),
    )
    for job, rows, title, promises in many_inputs:
        for d, must in promises:
            sizes = {"inputs": d, "hidden": 256, "must": must, "quick": d < 100}
            cases.append(Case(f"{job}-{d}", title.format(d), job, rows, **sizes))
    return cases


CASES: dict[str, Case] = {case.key: case for case in _table()}
