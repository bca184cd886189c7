"""Which algorithm computes an operator: the one place where that is decided.

By name, the first that applies; what it costs, in forward passes of the function, and where it is written:

* `directional`: a perceptron along a direction, order 1 or 2, on bare tensors; 1 + order (`perceptron/directional.py`);
* `units`: a perceptron of few outputs and no graph; a reverse pass for each output and, for second derivatives, the sum
  of g f''(z) (dz/dx)(dz/dx)ᵀ over its units; `inputs`, for a Jacobian `outputs` (`perceptron/many_inputs.py`);
* `reversed`: a Jacobian of few outputs, by a reverse pass for each through the values of the rules; `outputs`
  (`taylor/operators.py`, `taylor/tape.py`);
* `collapsed`: a Hessian of few outputs, from what each operation adds to it; `inputs` (`taylor/tape.py`);
* `pushed`: all coefficients through each operation; order² along a direction, `inputs` for a Jacobian, a diagonal and a
  Laplacian, `inputs`² for a Hessian (`taylor/operators.py`);
* `nested`: nested reverse mode, where Taylor mode lacks a rule or is not wanted; 2^order `inputs` `outputs`
  (`reverse.py`).

`reversed` and `collapsed` may find on the way that they do not apply, by `NotCollapsibleError`: then `pushed` is taken.
"""

from typing import Literal

import torch

from sobolev.autodiff.torch_export import passes_backwards, recording

Algorithm = Literal["directional", "units", "reversed", "collapsed", "pushed", "nested"]
Situation = Literal["no graph", "graph", "compiled", "transformed", "recorded"]

_FEWEST_COLLAPSED: dict[Situation, int] = {
    "no graph": 3,
    "graph": 2,
    "compiled": 4,
    "transformed": 4,
    "recorded": 2,
}
"""With fewer inputs, carrying the entries of the Hessian along takes less time than a reverse pass..."""
_FEWEST_ENTRIES: dict[Situation, int] = {"no graph": 1500, "graph": 500}
"""...and if the Hessians of the batch have fewer entries than this: what counts then is the calls."""
_FEWEST_REVERSED = 4
"""With fewer inputs, carrying the columns of the Jacobian along takes less time than a reverse pass..."""
_FEW_INPUTS, _FEW_NUMBERS = 16, 2000
"""...with fewer than this, too, if the batch holds fewer numbers than that: what counts then is the calls."""


def situation() -> Situation:
    """Whether a graph is kept, and whether the code runs on numbers at all, or compiled, transformed, recorded."""
    if recording():
        return "recorded"
    if torch.compiler.is_compiling():
        return "compiled"
    if torch._C._are_functorch_transforms_active():
        return "transformed"
    return "graph" if torch.is_grad_enabled() else "no graph"


def of_perceptron(operator: str, order: int, rows: int, inputs: int, outputs: int) -> Algorithm | None:
    """The algorithm for linear layers and activations; None: that of any other function."""
    now = situation()
    if operator == "derivatives":
        return "directional" if order in (1, 2) and now in ("no graph", "graph") else None
    return "units" if now in ("no graph", "compiled", "recorded") and rows and are_few(outputs, inputs) else None


def of_any_function(operator: str, rows: int, inputs: int) -> list[Algorithm]:
    """The algorithms of Taylor mode, in the order in which they are tried."""
    now, found = situation(), []
    if now == "recorded" and not passes_backwards():
        return ["pushed"]
    if operator == "jacobian" and now == "recorded":
        return ["reversed", "pushed"] if inputs > 1 else ["pushed"]
    if operator == "jacobian" and rows and now in ("no graph", "graph"):
        enough = rows * inputs >= _FEW_NUMBERS
        found += ["reversed"] if inputs >= (_FEWEST_REVERSED if enough else _FEW_INPUTS) else []
    enough = now not in _FEWEST_ENTRIES or rows * inputs**2 >= _FEWEST_ENTRIES[now]
    if operator == "hessian" and rows and enough and inputs >= _FEWEST_COLLAPSED[now]:
        found.append("collapsed")
    found.append("pushed")
    return found


def are_few(outputs: int, inputs: int) -> bool:
    """Whether a reverse pass for each output pays."""
    return 2 * outputs <= inputs
