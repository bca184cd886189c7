"""What dynamo must be told."""

import sys

import torch
from torch.nn import functional
from torch.overrides import get_overridable_functions

_FORGOTTEN = {functional: [functional.hardsigmoid, functional.hardswish], torch: [torch.relu_]}
"""PyTorch asks `__torch_function__` about them, but leaves them out of the list that dynamo goes by."""


def register() -> None:
    """Complete PyTorch's list of functions that can be overridden."""
    overridable = get_overridable_functions()
    for home, functions in _FORGOTTEN.items():
        overridable[home] += [function for function in functions if function not in overridable[home]]
    if dynamo := sys.modules.get("torch._dynamo.variables.torch"):
        dynamo.get_overridable_functions.cache_clear()
