"""One context in which derivatives are right, whatever mode the caller is in."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

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


def undisturbed(device: torch.device) -> AbstractContextManager[None]:
    """Switch off what blurs or breaks even a single forward pass: inference mode, autocast, compiled code.

    What is off already is not touched: on a small batch, entering all of these takes longer than the network.

    Args:
        device: where the function runs.
    """
    if torch.compiler.is_compiling():  # dynamo cannot enter these
        return _NOTHING
    inference, autocast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled(device.type)
    if inference or autocast:
        return _switched_off(device, inference, autocast)
    return _eager()


@contextmanager
def _switched_off(device: torch.device, inference: bool, autocast: bool) -> Iterator[None]:
    gradients = torch.is_grad_enabled()
    with ExitStack() as stack:
        if inference:
            stack.enter_context(torch.inference_mode(False))  # switches gradients on
            stack.enter_context(torch.set_grad_enabled(gradients))
        if autocast:
            stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(_eager())
        yield


_NOTHING = nullcontext()


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


def _eager() -> AbstractContextManager[None]:
    """Run `torch.compile`d code uncompiled; nothing is compiled before dynamo is imported."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else _NOTHING


@contextmanager
def _without_encoder_fast_path() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
