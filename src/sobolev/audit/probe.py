"""The numbers that the checks look at, each computed once and only when asked for."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sobolev.audit.agreement import mismatch, rms
from sobolev.audit.finite import Estimate, as_rows, finite_differences, relative_rounding, rounding
from sobolev.audit.trace import Step, traced
from sobolev.audit.twin import Widening, isolated
from sobolev.autodiff import reverse
from sobolev.autodiff.guard import guarded
from sobolev.autodiff.operators import derivatives

Derivatives = list[Tensor]
_T = TypeVar("_T")

_SEED = 2024
_PLACES, _NEAR, _SHAKEN = 8, 1e-6, 8
"""Rounding is measured at so many places, so far from each other, around so many points."""
_CACHED = 1 << 18
"""So many numbers of one intermediate result stay in the cache."""
_FAINT = 1e6
"""An output that is rounding alone counts so many times less than the others."""
_MERGED = 1e-9
"""Of the points' spread: numbers that are farther apart are worth a word."""
_CONSTANT = 1e-13
"""An input that varies by less than this part of its size is constant but for rounding."""
_CONSTANTS = 8
"""At most so many constant inputs are looked at more closely."""
_FINER = (4e-3, 8e-5)
"""The first steps of finite differences of functions that vary faster than usual."""


class Probe:
    """A function on a few points, and its derivatives along one random direction.

    Several outputs are looked at through one random weighted sum of them, `scalar`: an error in any of them
    shows in it. Along `direction`, t = 1 is about the distance between two of the points.

    Attributes:
        f: the user's function.
        x: the points, (batch, *in).
        order: the highest derivative asked for.
        modules: the modules behind f by path.
        widening: around whatever runs code of f's; computes in float64 what it asks for in less.
        jitter: by how much, relative, other samples in the batch change the values: a little, by the steps of a solver.
    """

    jitter = 0.0

    by_row = False
    """Whether the samples look at different inputs and outputs, and cannot be compared with each other."""

    def __init__(self, f: Callable, x: Tensor, order: int, modules: dict[str, nn.Module]) -> None:
        self.f, self.x, self.order, self.modules = f, x, order, modules
        self._found: dict[Callable, Any] = {}
        self.widening: Widening | nullcontext[None] = nullcontext()
        self._noises: dict[str, list[float]] = {}

    def __call__(self, x: Tensor) -> Any:
        """f(x), of a copy, for f may write to its argument; f may also leave gradients switched off."""
        enabled, x = torch.is_grad_enabled(), x.clone()
        try:
            with self.widening:
                return self.f(x)
        finally:
            if torch.is_grad_enabled() != enabled:
                torch.set_grad_enabled(enabled)

    def once(self, find: Callable[["Probe"], _T]) -> _T:
        """What a function finds out about this probe, computed when it is first asked for."""
        if find not in self._found:
            self._found[find] = find(self)
        return self._found[find]

    def relax(self) -> None:
        """See `Widening.relax`."""
        if isinstance(self.widening, Widening):
            self.widening.relax()

    @cached_property
    def y(self) -> Tensor:
        """f(x), without a graph."""
        return self(self.x).detach()

    def scalar(self, x: Tensor) -> Tensor:
        """One number per sample: the weighted sum of f(x)'s entries."""
        _ = self.output_sizes  # first, for they take calls of f, which may write to its weights before the backward
        return self._projected(as_rows(self(x)))

    def _projected(self, entries: Tensor) -> Tensor:
        """(..., batch, outputs) to (..., batch)."""
        return (entries * self._weights).sum(-1)

    def values(self, x: Tensor) -> Tensor:
        """`scalar` without a graph, NaN where f fails; gradients are enabled, for f may differentiate inside."""
        return self._projected(self.entries(x))

    def entries(self, x: Tensor) -> Tensor:
        """F(x)'s entries, (batch, outputs), likewise."""
        try:
            return as_rows(self(x)).detach()
        except Exception:  # somebody's check of the domain, beyond which differences reach: try the others
            if len(x) == 1:
                return torch.full_like(as_rows(self.y)[:1], torch.nan)
        return torch.cat([self.entries(half) for half in x.split(-(-len(x) // 2))])

    def values_along(self, distances: Sequence[float]) -> Tensor:
        """`values` at x + t direction, (distances, batch), as many at a time as stay in the cache."""
        places = self._places(distances)
        groups = [self.entries(group.flatten(0, 1)) for group in places.split(self._together)]
        return self._projected(torch.cat(groups).unflatten(0, places.shape[:2]))

    def _places(self, distances: Sequence[float]) -> Tensor:
        """(distances, batch, *in)."""
        t = torch.tensor(distances, dtype=self.x.dtype, device=self.x.device)
        return self.x + t.reshape(-1, *[1] * self.x.dim()) * self.direction

    @cached_property
    def _together(self) -> int:
        """How many batches like x to compute at a time: the calls of a small network take longer than what they do."""
        try:
            largest = max(step.value.numel() for step in self.steps)
        except Exception:  # f cannot be traced, or makes nothing
            return 1
        return max(1, _CACHED // max(1, largest))

    @cached_property
    def values_here(self) -> Tensor:
        """`values` at the points themselves."""
        return self.values(self.x)

    @cached_property
    def _weights(self) -> Tensor:
        """Random, of either sign, none near zero; each output divided by its own size."""
        count = len(self.output_sizes)
        draws = torch.rand(count, generator=self._random(), dtype=torch.float64) + 0.5
        return (draws * (1 - 2 * (torch.arange(count, dtype=torch.float64) % 2))).to(
            self.output_sizes
        ) / self.output_sizes

    @cached_property
    def output_sizes(self) -> Tensor:
        """The largest absolute value of every output, (outputs,); of one that is all rounding, far more."""
        size = as_rows(self.y).abs().amax(0)
        size = size.where(size.isfinite(), 1)
        shaken, least = rounding(self.outputs_nearby).amax(0), 50 * torch.finfo(size.dtype).eps * size.amax()
        real = (shaken < 0.1 * size) & (size > least)
        largest = size[real].amax() if real.any() else size.amax()
        rounded = _FAINT * largest  # what is rounding alone hardly counts
        return size.where(real, torch.where(size > 0, rounded, largest if largest > 0 else 1))

    @cached_property
    def input_sizes(self) -> Tensor:
        """The points' spread in every input, (*in), in any precision the same; of a constant one see `_scale`."""
        x = self.x.cpu().double()
        spread, fallback = x.std(0, correction=0), x.abs().amax(0)
        varies = spread > _CONSTANT * fallback
        sizes = spread.where(varies, fallback.where(fallback > 0, 1)).flatten().to(self.x)
        for entry in (~varies).flatten().nonzero().flatten().tolist()[:_CONSTANTS]:
            sizes[entry] = self._scale(entry, sizes[entry].item())
        return sizes.reshape(spread.shape)

    def _scale(self, entry: int, size: float) -> float:
        """Of a constant input its value or 1, but no more than f is about straight over: f may divide by its spread."""
        here, step = self.entries(self.x), torch.zeros_like(self.x[0]).flatten()
        step[entry] = size
        step, change = step.reshape(self.x[0].shape), self.entries(self.x + step.reshape(self.x[0].shape)) - here
        while size > 1e-12 * step.abs().amax().item() and change.isfinite().all():
            half = self.entries(self.x + size / 2 / step.abs().amax() * step) - here
            if rms(change - 2 * half) <= rms(half) / 2:
                break
            size, change = size / 2, half
        return size

    @cached_property
    def direction(self) -> Tensor:
        """(batch, *in): of the points' own spread in every input."""
        if self.x[0].numel() == 1:
            return self.input_sizes.expand_as(self.x)
        return self.input_sizes * torch.randn(self.x.shape, generator=self._random(), dtype=torch.float64).to(self.x)

    @cached_property
    def size(self) -> float:
        """By how much `scalar` varies over the points, or how large it is where it does not vary."""
        values = self.values_here
        spread = (values.amax() - values.amin()).item()
        largest = values.abs().amax().item()
        return spread if spread > 1e-12 * largest else largest or 1.0

    @cached_property
    def reverse(self) -> Derivatives | Exception:
        """`scalar` and its derivatives along `direction` by nested reverse mode, or why there are none."""
        return self.differentiated("reverse", self.x, self.direction, self.order)

    @cached_property
    def taylor(self) -> Derivatives | Exception:
        """The same by Taylor mode."""
        return self.differentiated("taylor", self.x, self.direction, self.order)

    @cached_property
    def refused_training(self) -> Exception | None:
        """Why Taylor mode keeps no graph to the weights of f, if it does not."""
        try:
            with self.widening:
                derivatives(self, self.x[:1], self.order, self.direction[:1], method="taylor")
        except Exception as error:
            return error
        return None

    def differentiated(self, method: str, x: Tensor, direction: Tensor, order: int) -> Derivatives | Exception:
        """`scalar` and its derivatives anywhere, along (batch, *in), by `"taylor"`; by reverse mode otherwise."""
        try:
            if method == "taylor":
                with torch.no_grad(), self.widening:
                    results = derivatives(self, x, order, direction, method="taylor")
                return [self._projected(as_rows(result)) for result in results]
            with self.widening:  # what runs backwards may be f's own code, too
                return [d.detach() for d in reverse.derivatives(self.scalar, x, order, direction)]
        except Exception as error:  # whatever the user's code or torch raises is a finding, not a traceback
            return error

    @cached_property
    def finite(self) -> list[Estimate]:
        """Derivatives 1 to `order` by finite differences; of the values up to order 2, where these are sharp enough.

        Beyond, first differences of the derivative one order below.
        """
        first, second = self.of_values
        if self.order > 1 and not self.knows(second) and self._first_is_right:
            second = self._of_derivative(1)
        return [first, second, *map(self._of_derivative, range(2, self.order))][: self.order]

    def _of_derivative(self, order: int) -> Estimate:
        return finite_differences(self.along(order), noise=self.noises("reverse")[order])[0]

    @property
    def _first_is_right(self) -> bool:
        """Whether differences of the first derivative by reverse mode are good for the second."""
        if isinstance(self.reverse, Exception) or not self.knows(self.of_values[0]):
            return False
        return mismatch(self.reverse[1], self.of_values[0], 1, self.size, noise=self.noises("reverse")[1]) is None

    def knows(self, estimate: Estimate) -> bool:
        """Whether finite differences know two digits of a derivative at half of the points, where they know any."""
        known = estimate.error.isfinite()
        if not known.any():
            return False
        typical = max(estimate.value[known].abs().quantile(0.75).item(), 1e-3 * self.size)
        return estimate.error.median().item() < 1e-2 * typical

    @cached_property
    def of_values(self) -> tuple[Estimate, Estimate]:
        """First and second derivative by finite differences of the values, with finer steps where f needs them."""
        first, second = finite_differences(self.along(0), noise=self.noise)
        for largest in _FINER:
            if self.is_level_nearby or (self.knows(first) and (self.order == 1 or self.knows(second))):
                break
            finer = finite_differences(self.along(0), largest=largest, noise=self.noise)
            first, second = first.sharper(finer[0]), second.sharper(finer[1])
        return first, second

    @cached_property
    def nearby(self) -> tuple[Tensor, Tensor]:
        """A few of the points, each at places very close to it, (places * points, *in), and their directions."""
        few = (
            torch.linspace(0, len(self.x) - 1, min(_SHAKEN, len(self.x)), dtype=torch.float64).long().to(self.x.device)
        )
        places = _NEAR * torch.arange(1, _PLACES + 1).to(self.x).reshape(-1, *[1] * self.x.dim())
        direction = self.direction[few].expand(_PLACES, *[-1] * self.x.dim())
        return (self.x[few] + places * direction).flatten(0, 1), direction.flatten(0, 1)

    @cached_property
    def values_nearby(self) -> Tensor:
        """`scalar` at the places around each of these points, (places, points)."""
        return self._projected(self.outputs_nearby)

    @cached_property
    def outputs_nearby(self) -> Tensor:
        """F there, (places, points, outputs), one place at a time: samples that f mixes are the same each time."""
        return torch.stack([self.entries(x) for x in self.nearby[0].chunk(_PLACES)])

    @cached_property
    def is_level_nearby(self) -> bool:
        """Whether very close to most points the value is exactly the same: a constant, or a staircase of fine steps."""
        if self.by_row:  # a few of the points cannot be looked at without the others
            return False
        values = self.values_nearby
        return bool((values == values[:1]).all(0).double().mean() > 0.5)

    @property
    def noise(self) -> float:
        """What rounding makes of `scalar`, relative to its size, or what other samples in the batch do."""
        return max(self.rounded, self.jitter, self.merged)

    @cached_property
    def merged(self) -> float:
        """How far apart numbers as large as the points are, in units of the points' spread, of the worst input."""
        return self._spacings.amax().item()

    @property
    def coarse_input(self) -> str:
        """Which input's last digits are most of the noise, and that; empty where there is none."""
        if self.merged < 0.5 * self.noise or self.merged < _MERGED:
            return ""
        entry, digits = int(self._spacings.argmax()), int(-math.log10(self.merged))
        input_ = f"input {entry + 1}" if self.x[0].numel() > 1 else "the input"
        part = (self.input_sizes / self.x.abs().amax(0)).flatten()[entry].item()
        return (
            f"{input_} varies by {part:.0e} of its size, and float64 holds {digits} digits of that. Subtract its mean "
            "in more digits, before anything else is computed"
        )

    @cached_property
    def _spacings(self) -> Tensor:
        """How far apart numbers as large as the points are, in units of the points' spread, (inputs,)."""
        return (torch.finfo(self.x.dtype).eps * self.x.abs().amax(0) / self.input_sizes).flatten()

    @cached_property
    def rounded(self) -> float:
        """What rounding makes of it.

        Of the points around which it is measured the median: some of them may sit on a kink or a singularity.
        """
        return relative_rounding(self.values_nearby)

    @cached_property
    def shaken(self) -> Tensor:
        """How much `scalar` changes with the last digits of x, or with what else is computed in the same call.

        (batch,): far more than the last digit of the value where large weights cancel.
        """
        eps = torch.finfo(self.x.dtype).eps
        changed = [self.values(self.x * (1 + k * eps)) for k in (-2, -1, 1, 2)]
        if not self.by_row and len(self.x) > 1:
            changed += [torch.cat([self.values(part) for part in self.x.chunk(2)])]
        return torch.stack([(values - self.values_here).abs() for values in changed]).nan_to_num(0).amax(0)

    def noises(self, method: str) -> list[float]:
        """The same of `scalar` and of all its derivatives by a method."""
        if method not in self._noises:
            levels = self.differentiated(method, *self.nearby, self.order)
            if isinstance(levels, Exception):
                self._noises[method] = [self.noise] * (self.order + 1)
            else:
                higher = (relative_rounding(level.reshape(_PLACES, -1)) for level in levels[1:])
                self._noises[method] = [self.noise, *(max(level, self.merged) for level in higher)]
        return self._noises[method]

    def along(self, order: int) -> Callable[[Sequence[float]], Tensor]:
        """Distances t -> the derivative of that order at x + t direction, (distances, batch).

        By reverse mode or else by Taylor mode.
        """
        if order:
            return partial(self._derivatives_along, order)
        return lambda distances: self.values_along(distances) if any(distances) else self.values_here[None]

    def _derivatives_along(self, order: int, distances: Sequence[float]) -> Tensor:
        places, method = self._places(distances), "taylor" if isinstance(self.reverse, Exception) else "reverse"
        x, direction = places.flatten(0, 1), self.direction.expand_as(places).flatten(0, 1)
        found = self.differentiated(method, x, direction, order)
        if isinstance(found, list):
            return found[-1].unflatten(0, places.shape[:2])
        if len(distances) == 1:
            return torch.full_like(self.values_here, torch.nan)[None]
        return torch.cat([self._derivatives_along(order, [t]) for t in distances])

    @cached_property
    def steps(self) -> list[Step]:
        """Every intermediate tensor of f(x)."""
        return self.trace(self.x)

    def trace(self, x: Tensor) -> list[Step]:
        """Every intermediate tensor of f at other points."""
        with self.widening:
            return traced(self.f, x.clone(), self.modules)

    @staticmethod
    def _random() -> torch.Generator:
        return torch.Generator().manual_seed(_SEED)


@contextmanager
def probing(
    f: Callable,
    x: Tensor,
    order: int,
    modules: dict[str, nn.Module],
    *,
    double: bool = True,
    evaluate: bool = True,
    exact: bool = True,
) -> Iterator[Probe]:
    """A probe of f under the guard, in float64 and eval mode unless told otherwise; all is as before on exit.

    Not `exact` leaves the precision of products (TF32, bfloat16) as the user set it.
    """
    unique = list({id(module): module for module in modules.values()}.values())
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # what f has to say, it says to its user often enough
        stack.enter_context(guarded(x.device, exact=exact))
        stack.enter_context(isolated(unique, double=double))
        for module in unique if evaluate else []:
            if hasattr(module, "training"):  # a frozen script has no modes
                module.training = False
        x = x.detach().clone()
        probe = Probe(f, x.double() if double else x, order, modules)
        probe.widening = Widening() if double else nullcontext()
        yield probe
