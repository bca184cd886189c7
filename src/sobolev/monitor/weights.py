"""A module as derivatives need it: whole weights, single precision, eval mode; and whether its weights have changed."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.audit.distributed import is_in_pieces, whole, without_distributed
from sobolev.callbacks.base import is_a
from sobolev.callbacks.restored_state import state_restored

_HALF = (torch.float16, torch.bfloat16)
_USUAL = (Tensor, nn.Parameter)


@contextmanager
def differentiable(model: Any, *, others: bool = True) -> Iterator[None]:
    """Inside, a LightningModule can be differentiated; no trace of it is left.

    All processes enter together where the weights are in pieces.

    Args:
        model: the module.
        others: whether code of somebody else's may run besides the model's.
    """
    with ExitStack() as stack:
        stack.enter_context(lent_weights(model))
        stack.enter_context(state_restored(model, model.device, others=others))
        stack.enter_context(torch.inference_mode(False))
        yield


@contextmanager
def lent_weights(model: nn.Module) -> Iterator[None]:
    """Weights as derivatives need them: at least in single precision, and not distributed over processes.

    FSDP2's and tensor parallelism's pieces are gathered, on every process, and their hooks put aside. All processes
    must enter together; inside, forward communicates no more. The module's own tensors are never written to.
    """
    known: dict[int, Tensor] = {}
    exchanged: list[tuple[nn.Module, str, Tensor]] = []
    hooks: list[tuple[dict, dict]] = []
    try:
        with torch.inference_mode(False), torch.no_grad():
            for module in model.modules():
                for name, tensor in _unusual(module):
                    if (lent := _lent(tensor, known)) is not tensor:
                        exchanged.append((module, name, tensor))
                        setattr(module, name, lent)
                if module._forward_pre_hooks or module._forward_hooks:
                    hooks += _without_distributed(module)
        yield
    finally:
        for module, name, tensor in exchanged:
            setattr(module, name, tensor)
        for dictionary, saved in hooks:
            dictionary.clear()
            dictionary.update(saved)


def _unusual(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Weights and buffers of a kind that may have to be exchanged: nearly always none."""
    return [
        (name, tensor)
        for tensors in (module._parameters, module._buffers)
        for name, tensor in tensors.items()
        if tensor is not None and (type(tensor) not in _USUAL or tensor.dtype in _HALF)
    ]


def _lent(tensor: Tensor, known: dict[int, Tensor]) -> Tensor:
    """The same for a tensor that is shared."""
    if not is_in_pieces(tensor) and tensor.dtype not in _HALF:
        return tensor
    if id(tensor) not in known:
        lent = whole(tensor)
        lent = lent.float() if lent.dtype in _HALF else lent.clone()
        known[id(tensor)] = nn.Parameter(lent, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else lent
    return known[id(tensor)]


def _without_distributed(module: nn.Module) -> list[tuple[dict, dict]]:
    """Take out the hooks of torch.distributed; returns what to put back."""
    taken = []
    for dictionary in (module._forward_pre_hooks, module._forward_hooks):
        saved, kept = dict(dictionary), without_distributed(dictionary)
        if len(kept) < len(saved):
            dictionary.clear()
            dictionary.update(kept)
            taken.append((dictionary, saved))
    return taken


def fingerprint(model: nn.Module) -> list[float]:
    """Sum and size of every weight on this process: numbers that change when the weights do."""
    with torch.no_grad():
        weights = [getattr(p, "_local_tensor", p) for p in model.parameters()]
        if not weights:
            return []
        weights = [w.float() if w.dtype in _HALF else w for w in weights]
        numbers = [*(w.sum() for w in weights), *torch._foreach_norm(weights)]
        return torch.stack([number.to(numbers[0].device) for number in numbers]).tolist()


def which_weights(callbacks: list[Any], ended: bool) -> str:
    """What the module holds: `as trained`, or the average of a callback of Lightning's.

    Args:
        callbacks: the trainer's.
        ended: after the training; before that, while it is validated.
    """
    for callback in callbacks:
        moving = is_a(callback, "WeightAveraging") and callback._average_model is not None
        stochastic = is_a(callback, "StochasticWeightAveraging") and callback._initialized and ended
        if moving or stochastic:
            return f"average of {type(callback).__name__}"
    return "as trained"


def is_sharded_otherwise(strategy: Any) -> bool:
    """FSDP's first version, or DeepSpeed's third stage: the weights are in pieces we cannot put together."""
    stage_3 = is_a(strategy, "DeepSpeedStrategy") and getattr(strategy, "zero_stage_3", False)
    return is_a(strategy, "FSDPStrategy") or stage_3
