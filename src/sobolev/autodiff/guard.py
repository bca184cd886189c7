"""One context in which derivatives are right, whatever mode the caller is in."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def guarded(device: torch.device) -> Iterator[None]:
    """Switch on gradients and switch off whatever breaks or blurs second derivatives; restore all on exit.

    Inference mode and autocast go off, attention takes its mathematical form (the fused kernels have no
    second derivative), the Transformer encoder's fused path, cuDNN (whose recurrent layers have none either)
    and `torch.compile`d code (no double backward) are avoided.

    Args:
        device: where the function runs; autocast is switched off there.
    """
    with ExitStack() as stack:
        stack.enter_context(undisturbed(device))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_without_encoder_fast_path())
        if device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=False, allow_tf32=False))
        yield


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Switch off what blurs or breaks even a single forward pass: inference mode, autocast, compiled code.

    What is off already is not touched: on a small batch, entering all of these takes longer than the network.

    Args:
        device: where the function runs.
    """
    inference, autocast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled(device.type)
    if not (inference or autocast or _may_be_compiled()):
        yield
        return
    with ExitStack() as stack:
        if inference:
            stack.enter_context(torch.inference_mode(False))
        if autocast:
            stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(_eager())
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule into eval mode and give each its own flag back."""
    flags = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in flags:
            child.training = training


@contextmanager
def _eager() -> Iterator[None]:
    if not _may_be_compiled():
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _may_be_compiled() -> bool:
    """Nothing is before dynamo is imported; from inside compiled code the stance cannot be changed."""
    return "torch._dynamo" in sys.modules and not torch.compiler.is_compiling()


@contextmanager
def _without_encoder_fast_path() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
