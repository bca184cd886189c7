"""What a data module calls its inputs, outputs and derivatives, where it has names for them."""

from typing import Any

from sobolev.functions.notation import Place, derivative_place

_NAMES = ("input_names", "output_names", "derivative_names")


def named_places(data: Any) -> dict[str, Place]:
    """Where the derivatives stand that a data module has names for; none without one."""
    names = getattr(data, "derivative_names", {})
    return {
        name: derivative_place(derivative, data.input_names, data.output_names, "derivative_names")
        for derivative, name in names.items()
    }


def names_for_figures(data: Any) -> dict[str, Any]:
    """As `sobolev.plots.derivatives_figure` takes them."""
    return {name: getattr(data, name) for name in _NAMES if hasattr(data, name)}
