"""A module called without a trace: flags, buffers, random numbers and logs are afterwards those of before."""

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from sobolev.autodiff.guard import evaluating


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode inside; afterwards the flags, buffers and random numbers are those of before.

    A forward may count its calls in a buffer, draw random numbers even in eval mode, or log.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(_random_numbers())
        stack.enter_context(_buffers(model))
        stack.enter_context(evaluating(model))
        stack.enter_context(_not_logging(model))
        yield


@contextmanager
def _random_numbers() -> Iterator[None]:
    """Those of Python and numpy."""
    python, numpy = random.getstate(), sys.modules.get("numpy")
    numbers = numpy.random.get_state() if numpy else None
    try:
        yield
    finally:
        random.setstate(python)
        if numpy:
            numpy.random.set_state(numbers)


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    buffers = [(owner, name, b) for owner in model.modules() for name, b in owner._buffers.items() if b is not None]
    copies = [buffer.detach().clone() for _, _, buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for (owner, name, buffer), copy in zip(buffers, copies, strict=True):
                owner._buffers[name] = buffer
                if not buffer.is_inference():  # those cannot be written to everywhere
                    buffer.copy_(copy)


@contextmanager
def _not_logging(model: nn.Module) -> Iterator[None]:
    """A forward that calls `self.log` must not log from our calls of it."""
    attributes, silent = vars(model), {"log": _ignored, "log_dict": _ignored}
    saved = {name: attributes[name] for name in silent if name in attributes}
    attributes.update({name: ignored for name, ignored in silent.items() if hasattr(model, name)})
    try:
        yield
    finally:
        for name in silent:
            attributes.pop(name, None)
        attributes.update(saved)


def _ignored(*_: Any, **__: Any) -> None:
    return
