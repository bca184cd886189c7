"""Points in a box: uniform, grid, Chebyshev, Sobol; and further points that are none of those."""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

Sampling = Literal["uniform", "grid", "chebyshev", "sobol"]


def disjoint_samples(
    sampling: Sampling,
    sizes: tuple[int, int, int],
    domain: Mapping[str, tuple[float, float]],
    generator: torch.Generator,
) -> list[Float64[Tensor, "_ inputs"]]:
    """Points for training by a sampling, then random ones for validation and test; none belongs to two of them.

    Args:
        sampling: of the training points, see `sample`.
        sizes: how many for training, validation and test.
        domain: the interval of each input.
        generator: of the random numbers.
    """
    low, high = torch.tensor(list(domain.values()), dtype=torch.float64).T
    training = sample(sampling, sizes[0], low, high, generator)
    return [training, *further(training, sum(sizes[1:]), low, high, generator).split(sizes[1:])]


def sample(
    sampling: Sampling,
    count: int,
    low: Float64[Tensor, " inputs"],
    high: Float64[Tensor, " inputs"],
    generator: torch.Generator,
) -> Float64[Tensor, "{count} inputs"]:
    """`count` distinct points (count, inputs) in the box from `low` to `high` (inputs), float64.

    Args:
        sampling: `"uniform"` (random), `"grid"` (equidistant, with the ends), `"chebyshev"` (zeros of the
            Chebyshev polynomial), both as products over the inputs; `"sobol"` (scrambled).
        count: how many; for a product, a power of the number of inputs.
        low: the lower ends.
        high: the upper ends.
        generator: of the random numbers.

    Raises:
        ValueError: an unknown sampling; a count that is no product grid.
    """
    if sampling == "uniform":
        return further(torch.empty(0, len(low), dtype=torch.float64), count, low, high, generator)
    if sampling == "sobol":
        seed = int(torch.randint(1 << 31, (), generator=generator))
        unit = torch.quasirandom.SobolEngine(len(low), scramble=True, seed=seed).draw(count, dtype=torch.float64)
        return low + (high - low) * unit
    if sampling not in get_args(Sampling):
        raise ValueError(f"sampling is {sampling!r}; choose one of {', '.join(get_args(Sampling))}")
    per_axis = _per_axis(sampling, count, len(low))
    axis = torch.linspace(0, 1, per_axis, dtype=torch.float64)
    if sampling == "chebyshev":
        axis = (1 - torch.cos((torch.arange(per_axis, dtype=torch.float64) + 0.5) * (torch.pi / per_axis))) / 2
    axes = [(1 - axis) * a + axis * b for a, b in zip(low, high, strict=True)]
    return torch.cartesian_prod(*axes).reshape(count, len(low))


def further(
    taken: Float64[Tensor, "taken inputs"],
    count: int,
    low: Float64[Tensor, " inputs"],
    high: Float64[Tensor, " inputs"],
    generator: torch.Generator,
) -> Float64[Tensor, "{count} inputs"]:
    """`count` random points in the box that are neither among `taken` nor twice, not even as float32.

    Raises:
        ValueError: the box holds too few distinct float32 numbers.
    """
    points = taken
    for _ in range(20):
        missing = len(taken) + count - len(points)
        if not missing:
            return points[len(taken) :]
        unit = torch.rand(missing, len(low), dtype=torch.float64, generator=generator)
        points = _without_repeats(torch.cat([points, low + (high - low) * unit]), len(points))
    raise ValueError(
        f"the domain has too few distinct float32 points for {count} more of them; shift or widen the domain"
    )


def _without_repeats(points: Tensor, kept: int) -> Tensor:
    """Without the rows from `kept` on that repeat an earlier one as float32."""
    _, group = torch.unique(points.float(), dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(points)).scatter_reduce_(
        0, group, torch.arange(len(points)), "amin"
    )
    number = torch.arange(len(points))
    return points[(first[group] == number) | (number < kept)]


def _per_axis(sampling: str, count: int, inputs: int) -> int:
    per_axis = round(count ** (1 / inputs))
    if per_axis**inputs != count:
        near = int(count ** (1 / inputs))
        raise ValueError(
            f"samples is {count}, but {sampling} over {inputs} variables needs the same number on each: "
            f"{near**inputs} ({near} on each) or {(near + 1) ** inputs} ({near + 1} on each)"
        )
    return per_axis


def interval(name: str, ends: Any) -> tuple[float, float]:
    """Both ends of the domain of an input; refused where they are no interval."""
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        raise ValueError(f"the domain of {name} is {ends!r}; give two numbers, as [0, 1]") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the domain of {name} is [{low:g}, {high:g}]; the first end must be below the second")
    return low, high
