import lightning
import torch
from torch import nn

import sobolev


class Scaled(lightning.LightningModule):
    def __init__(self, scale):
        super().__init__()
        self.net, self.scale = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), scale

    def forward(self, x):
        return self.net(x)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        x, y = batch
        return x / self.scale, y


def test_a_hook_that_scales_the_inputs_is_named_with_its_factor():
    x = torch.linspace(-1, 1, 20)[:, None]
    (finding,) = sobolev.audit(Scaled(50), x).findings
    assert (finding.kind, finding.severity, finding.where) == (
        "input-transform",
        "warning",
        "on_after_batch_transfer",
    )
    assert "0.02" in finding.message


def test_a_hook_that_leaves_them_alone_is_not():
    assert sobolev.audit(Scaled(1), torch.linspace(-1, 1, 20)[:, None]).findings == ()
