"""What a network is compared with, on enclosures."""

from collections.abc import Callable, Sequence
from typing import Any

from sobolev.certify.enclosure import Enclosure
from sobolev.certify.formula import Formula
from sobolev.certify.network import matrix, on_enclosures
from sobolev.certify.program import steps_of
from sobolev.certify.rules.shape import stack, unbind
from sobolev.functions import Function
from sobolev.functions.callable import CallableSource
from sobolev.functions.parser import parse, symbol


def target_of(
    function: str | Function | Callable, inputs: Sequence[str]
) -> tuple[Callable[[Enclosure], Enclosure], int, str, list[dict[str, Any]] | None]:
    """From the inputs (cells, inputs) to the values (cells, outputs); how many outputs, a name, and its operations.

    Args:
        function: a formula of the inputs, an import path, or a callable of torch.
        inputs: their names, in order.

    Raises:
        ValueError: it is no function of these inputs.
        TypeError: no proof goes through what it computes.
    """
    found = function if isinstance(function, Function) else Function(function, tuple(inputs))
    if len(found.inputs) != len(inputs):
        raise ValueError(f"{found.name!r} has the inputs {', '.join(found.inputs)}, the domain {', '.join(inputs)}")
    if isinstance(found.source, CallableSource):
        steps = steps_of(found.source.function, len(inputs))
        return on_enclosures(found.source.function, found.name), found.source.outputs, found.name, steps
    names, expressions = parse(found.name, found.inputs)
    formulas, symbols = [Formula(e) for e in expressions], [symbol(name) for name in names]

    def target(x: Enclosure) -> Enclosure:
        values = dict(zip(symbols, unbind(x, 1), strict=True))
        return matrix(stack([formula(values) for formula in formulas], 1))

    return target, len(formulas), found.name, None
