"""The model and the random numbers stay as they were."""

import pytest
import torch
from torch import nn

from sobolev.callbacks.undisturbed import undisturbed


class Restless(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(2))
        self.register_buffer("none", None)
        self.drop = nn.Dropout()
        self.drop.eval()

    def forward(self, x):
        self.count[0] += 1
        self.count = self.count + torch.rand(())
        return x * torch.rand(())


@pytest.mark.parametrize("inference", [True, False])
def test_the_model_is_left_as_it_was(inference):
    model, state = Restless(), torch.get_rng_state()
    buffer = model.count
    with torch.inference_mode(inference), undisturbed(model, torch.device("cpu")):
        assert not model.training
        model(torch.rand(3, 1))
    assert model.count is buffer and (buffer == 0).all()
    assert model.training and not model.drop.training
    assert torch.equal(torch.get_rng_state(), state)


def test_the_model_is_left_as_it_was_after_an_error():
    model = Restless()
    with pytest.raises(RuntimeError), undisturbed(model, torch.device("cpu")):
        model(torch.rand(3, 1))
        raise RuntimeError
    assert (model.count == 0).all() and model.training
