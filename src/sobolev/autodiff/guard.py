"""One context in which derivatives are right, whatever mode the caller is in."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from threading import Lock
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def guarded(device: torch.device) -> Iterator[None]:
    """Switch on gradients and switch off whatever breaks or blurs second derivatives; restore all on exit.

    Inference mode, autocast and reduced precision of float32 products go off, attention takes its mathematical
    form (the fused kernels have no second derivative), the Transformer encoder's fused path, cuDNN (whose recurrent
    layers have none either) and `torch.compile`d code (no double backward) are avoided.

    Contexts may be nested, and entered in several threads: of the switches that all threads share, the first to come
    in sets them and the last to leave restores them.

    Args:
        device: where the function runs; autocast is switched off there.
    """
    with ExitStack() as stack:
        stack.enter_context(undisturbed(device))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(_DIFFERENTIABLE)
        if device.type == "cuda":
            stack.enter_context(_WITHOUT_CUDNN)
        yield


def undisturbed(device: torch.device) -> AbstractContextManager[None]:
    """Switch off what blurs or breaks even a single forward pass.

    That is inference mode, autocast, float32 products in less than float32 (TF32, bfloat16), compiled code. What is
    off already is not touched: on a small batch, entering all of these takes longer than the network.

    Args:
        device: where the function runs.
    """
    if torch.compiler.is_compiling():  # dynamo cannot enter these
        return _NOTHING
    inference, autocast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled(device.type)
    if inference or autocast or _products_are_coarse():
        return _switched_off(device, inference, autocast)
    return _EAGER if _may_be_compiled() else _NOTHING


@contextmanager
def _switched_off(device: torch.device, inference: bool, autocast: bool) -> Iterator[None]:
    gradients = torch.is_grad_enabled()
    with ExitStack() as stack:
        if inference:
            stack.enter_context(torch.inference_mode(False))  # switches gradients on
            stack.enter_context(torch.set_grad_enabled(gradients))
        if autocast:
            stack.enter_context(torch.autocast(device.type, enabled=False))
        if _products_are_coarse():
            stack.enter_context(_EXACT_PRODUCTS)
        if _may_be_compiled():
            stack.enter_context(_EAGER)
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule into eval mode and give each its own flag back."""
    flags = [(child, child.training) for child in module.modules() if hasattr(child, "training")]  # no frozen scripts
    try:
        for child, _ in flags:  # not module.eval(), which runs whatever its author made of it
            child.training = False
        yield
    finally:
        for child, training in flags:
            child.training = training


class _Shared(AbstractContextManager[None]):
    """A context of the whole process: the first thread to come in enters it, the last to leave exits it."""

    def __init__(self, make: Callable[[], AbstractContextManager]) -> None:
        self._make, self._lock, self._inside = make, Lock(), 0
        self._stack = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._stack.enter_context(self._make())
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._stack.close()


def _eager() -> AbstractContextManager:
    return torch.compiler.set_stance("force_eager")


def _may_be_compiled() -> bool:
    """Nothing is before dynamo is imported."""
    return "torch._dynamo" in sys.modules


def _products_are_coarse() -> bool:
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # it was set by its newer name, torch.backends.cuda.matmul.fp32_precision
        return True


@contextmanager
def _exact_products() -> Iterator[None]:
    """Float32 in matrix products, by both of the names under which PyTorch keeps that setting."""
    places: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.mkldnn
    homes = [place for place in places if hasattr(place, "fp32_precision")]
    newer = [home.fp32_precision for home in homes]
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:
        older = None
    try:
        if older is not None:
            torch.set_float32_matmul_precision("highest")
        for home in homes:
            home.fp32_precision = "ieee"
        yield
    finally:
        if older is not None:
            torch.set_float32_matmul_precision(older)
        for home, precision in zip(homes, newer, strict=True):
            home.fp32_precision = precision


@contextmanager
def _differentiable() -> Iterator[None]:
    """Attention by its formula, and a Transformer encoder layer by its parts."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _without_cudnn() -> Iterator[None]:
    """By the one switch: `cudnn.flags` fails where somebody set a precision by its newer name."""
    enabled = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = enabled


_NOTHING = nullcontext()
_EAGER, _EXACT_PRODUCTS = _Shared(_eager), _Shared(_exact_products)
_DIFFERENTIABLE, _WITHOUT_CUDNN = _Shared(_differentiable), _Shared(_without_cudnn)
