"""A module called without a trace: flags, buffers, attributes, random numbers, logs are afterwards those of before."""

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.autodiff.perceptron.layers import unhooked
from sobolev.callbacks.attributes import attributes_kept

_KNOWN = ("torch.nn.modules.", "sobolev.")
_NOT_KNOWN = "torch.nn.modules.transformer"
"""Its activation may be anybody's function."""


@contextmanager
def state_restored(model: nn.Module, device: torch.device, *, others: bool = True) -> Iterator[None]:
    """Eval mode inside; afterwards flags, buffers, attributes and random numbers are those of before.

    A forward may count its calls in a buffer or an attribute, keep a state, store by a hook, draw random numbers even
    in eval mode, or log. The layers of torch and of ours do none of this in eval mode, but that some draw numbers of
    torch's.

    Args:
        model: to be called.
        device: where it is.
        others: whether code of somebody else's may run besides the model's.
    """
    modules = list(model.modules())
    with ExitStack() as stack:
        stack.callback(torch.set_rng_state, torch.get_rng_state())
        if device.type == "cuda":
            stack.callback(torch.cuda.set_rng_state, torch.cuda.get_rng_state(device), device)
        if others or not _are_known(modules):
            stack.enter_context(random_numbers_kept())
            stack.enter_context(attributes_kept(_not_known(modules)))
            stack.enter_context(_not_logging(model))
            stack.callback(_restore_buffers, _copied_buffers(modules))
        flags = [(module, module.training) for module in modules if hasattr(module, "training")]  # no frozen scripts
        stack.callback(_restore_flags, flags)
        for module, training in flags:
            if training:
                module.training = False
        yield


def _are_known(modules: Sequence[nn.Module]) -> bool:
    """Whether nothing runs but torch's layers and ours."""
    return not _not_known(modules)


def _not_known(modules: Sequence[nn.Module]) -> list[nn.Module]:
    return [module for module in modules if not (_is_known(type(module).__module__) and unhooked(module))]


def _is_known(home: str) -> bool:
    return home.startswith(_KNOWN) and home != _NOT_KNOWN


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Those of Python and numpy are afterwards drawn as before."""
    python, numpy = random.getstate(), sys.modules.get("numpy")
    numbers = numpy.random.get_state() if numpy else None
    try:
        yield
    finally:
        random.setstate(python)
        if numpy:
            numpy.random.set_state(numbers)


@contextmanager
def one_thread() -> Iterator[None]:
    """For small matrices: several threads mostly wait for each other, on a busy machine many times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _restore_flags(flags: list[tuple[nn.Module, bool]]) -> None:
    for module, training in flags:
        if module.training != training:  # nn.Module takes its time over every attribute that is set
            module.training = training


def _copied_buffers(modules: Sequence[nn.Module]) -> list[tuple[nn.Module, str, Tensor, Tensor]]:
    return [
        (owner, name, buffer, buffer.detach().clone())
        for owner in modules
        for name, buffer in owner._buffers.items()
        if buffer is not None
    ]


@torch.no_grad()
def _restore_buffers(copies: list[tuple[nn.Module, str, Tensor, Tensor]]) -> None:
    for owner, name, buffer, copy in copies:
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
