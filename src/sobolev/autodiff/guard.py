"""One context in which derivatives are right, whatever mode the caller is in."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import cache
from threading import Lock
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

_COARSE = ("tf32", "bf16")


@contextmanager
def guarded(device: torch.device, *, exact: bool = True) -> Iterator[None]:
    """Switch on gradients and switch off whatever breaks or blurs second derivatives; restore all on exit.

    Inference mode, autocast and reduced precision of float32 products go off, attention takes its mathematical
    form (the fused kernels have no second derivative), the Transformer encoder's fused path, cuDNN (whose recurrent
    layers have none either) and `torch.compile`d code (no double backward) are avoided.

    Contexts may be nested, and entered in several threads: of the switches that all threads share, the first to come
    in sets them and the last to leave restores them.

    Args:
        device: where the function runs; autocast is switched off there.
        exact: whether the precision of products is raised as well, for which cuDNN is avoided.
    """
    with ExitStack() as stack:
        stack.enter_context(plain_forward(device, exact=exact))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(_DIFFERENTIABLE)
        if device.type == "cuda" and exact:
            stack.enter_context(_WITHOUT_CUDNN)
        yield


def plain_forward(
    device: torch.device, *, exact: bool = True, perceptron: bool = False
) -> AbstractContextManager[None]:
    """Switch off what blurs or breaks even a single forward pass.

    That is inference mode, autocast, float32 products in less than float32 (TF32, bfloat16), compiled code. What is
    off already is not touched: on a small batch, entering all of these takes longer than the network.

    Args:
        device: where the function runs.
        exact: whether the precision of products is raised as well.
        perceptron: whether the function is made of plain linear layers and activations. Then it holds neither
            compiled code, during whose absence every call of Python takes longer, nor convolutions.
    """
    if torch.compiler.is_compiling():  # dynamo cannot enter these
        return _NOTHING
    inference, autocast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled(device.type)
    coarse = exact and (matrix_products_are_coarse() if perceptron else products_are_coarse(device))
    eager = not perceptron and "torch._dynamo" in sys.modules  # before dynamo is imported, nothing is compiled
    if inference or autocast or coarse:
        return _switched_off(device, inference, autocast, coarse, eager)
    return _EAGER if eager else _NOTHING


@contextmanager
def _switched_off(device: torch.device, inference: bool, autocast: bool, coarse: bool, eager: bool) -> Iterator[None]:
    gradients = torch.is_grad_enabled()
    with ExitStack() as stack:
        if inference:
            stack.enter_context(torch.inference_mode(False))  # switches gradients on
            stack.enter_context(torch.set_grad_enabled(gradients))
        if autocast:
            stack.enter_context(torch.autocast(device.type, enabled=False))
        if coarse:
            stack.enter_context(_EXACT_PRODUCTS)
        if eager:
            stack.enter_context(_EAGER)
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule into eval mode and give each its own flag back."""
    flags = [(child, child.training) for child in module.modules() if hasattr(child, "training")]  # no frozen scripts
    try:
        for child, training in flags:  # not module.eval(), which runs whatever its author made of it
            if training:  # for nn.Module takes its time over every attribute that is set
                child.training = False
        yield
    finally:
        for child, training in flags:
            if child.training != training:
                child.training = training


def attention_by_its_formula() -> AbstractContextManager[None]:
    """Attention and Transformer encoder layers by operations that have second derivatives."""
    return _DIFFERENTIABLE


class Shared(AbstractContextManager[None]):
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


def products_are_coarse(device: torch.device) -> bool:
    """Whether products, convolutions or recurrent layers of float32 may be computed in less (TF32, bfloat16) there."""
    return matrix_products_are_coarse() or any(home.fp32_precision in _COARSE for home in _homes(device.type))


def matrix_products_are_coarse() -> bool:
    """Whether matrix products of float32 may be computed in less on some device."""
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # it was set by one of its newer names
        return True


@cache
def _homes(device: str) -> list[Any]:
    """Where PyTorch keeps the precision of float32 by its newer name, one for each kind of operation."""
    backends = torch.backends
    places = {"cuda": [(backends.cuda, "matmul"), (backends.cudnn, "conv"), (backends.cudnn, "rnn")]}
    places["cpu"] = [(backends.mkldnn, kind) for kind in ("matmul", "conv", "rnn")]
    homes = [getattr(module, kind, None) for module, kind in places.get(device, [])]
    return [home for home in homes if hasattr(home, "fp32_precision")]


@contextmanager
def _exact_products() -> Iterator[None]:
    """Float32 in products, by all of the names under which PyTorch keeps that setting."""
    parents = (("cuda", torch.backends.cudnn), ("cpu", torch.backends.mkldnn))
    newer = [(home, _own(home, parent)) for device, parent in parents for home in _homes(device)]
    with ExitStack() as stack:
        for home, precision in newer:  # restored after the older names, which set these too
            stack.callback(setattr, home, "fp32_precision", precision)
        for get, set_, exact in _OLDER:
            with suppress(RuntimeError):  # it was set by one of its newer names
                stack.callback(set_, get())
                set_(exact)
        for home, _ in newer:
            home.fp32_precision = "ieee"
        yield


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed


_OLDER: tuple[tuple[Callable, Callable, Any], ...] = (
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    (lambda: torch.backends.cudnn.allow_tf32, _allow_tf32, False),
)


def _own(home: Any, parent: Any) -> str:
    """The precision that was set for an operation, `none` where it is its parent's."""
    inherited = getattr(parent, "fp32_precision", "none")
    return "none" if home.fp32_precision == inherited else home.fp32_precision


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
_EAGER, _EXACT_PRODUCTS = Shared(_eager), Shared(_exact_products)
_DIFFERENTIABLE, _WITHOUT_CUDNN = Shared(_differentiable), Shared(_without_cudnn)
