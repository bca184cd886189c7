"""Whether the code runs on numbers, or is being compiled or transformed."""

import torch


def traced() -> bool:
    """Whether the code is compiled or transformed by torch.func.

    Plain operations serve better there, and numbers cannot be looked at.
    """
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
