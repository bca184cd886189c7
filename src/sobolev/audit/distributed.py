"""Models in pieces, one on each process (FSDP2, tensor parallelism): whole for a while, and run without the others."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from sobolev.audit.modules import weights_of


def is_in_pieces(tensor: Tensor) -> bool:
    """Whether this process holds only a part of it (DTensor)."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """A tensor's own numbers, of all processes, all of which must ask for them; a tensor in one piece is as it is."""
    return tensor.detach().full_tensor() if is_in_pieces(tensor) else tensor.detach()  # pyright: ignore[reportAttributeAccessIssue]


def without_distributed(hooks: dict[int, Any]) -> dict[int, Any]:
    """Hooks but those of torch.distributed, which gather the weights and put the results together."""
    return type(hooks)({key: hook for key, hook in hooks.items() if not _home(hook).startswith("torch.distributed")})


def calculates_in_pieces(modules: Iterable[nn.Module]) -> bool:
    """Whether even the forward runs on pieces (tensor parallelism); FSDP2 keeps them in pieces between two layers."""
    modules = list(modules)
    homes = [_home(hook) for m in modules for hook in (*m._forward_pre_hooks.values(), *m._forward_hooks.values())]
    kept_only = any(home.startswith("torch.distributed.fsdp") for home in homes)
    if any(home.startswith("torch.distributed.tensor") for home in homes) or not kept_only:
        return any(is_in_pieces(p) for m in modules for p in weights_of(m))
    return False


def _home(hook: Any) -> str:
    """Where a hook was written."""
    owner = getattr(hook, "__self__", None)
    return getattr(hook, "__module__", None) or type(owner).__module__
