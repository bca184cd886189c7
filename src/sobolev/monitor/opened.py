"""A module as derivatives need it: whole weights, eval mode, no inference mode, and no trace of it afterwards."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from sobolev.callbacks.undisturbed import undisturbed
from sobolev.monitor.weights import lent_weights


@contextmanager
def opened(model: Any, *, others: bool = True) -> Iterator[None]:
    """Inside, a LightningModule can be differentiated. All processes enter together where the weights are in pieces.

    Args:
        model: the module.
        others: whether code of somebody else's may run besides the model's.
    """
    with ExitStack() as stack:
        stack.enter_context(lent_weights(model))
        stack.enter_context(undisturbed(model, model.device, others=others))
        stack.enter_context(torch.inference_mode(False))
        yield
