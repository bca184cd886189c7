"""An interatomic potential and its forces.

Three atoms attract and repel each other (Morse). The network learns energies; forces are minus its gradient, right for
any positions because the network sees distances only.
"""

import torch
from matplotlib.figure import Figure
from torch import nn

import sobolev
from sobolev.optimizers import SelfScaledBFGS


def distances(x):
    """(batch, 9) to the three distances, (batch, 3)."""
    atoms = x.reshape(-1, 3, 3)
    return torch.stack([(atoms[:, i] - atoms[:, j]).norm(dim=-1) for i, j in ((0, 1), (0, 2), (1, 2))], 1)


def energy(x):
    """Of Morse's potential: depth 1, at a distance of 1."""
    return (1 - (-2 * (distances(x) - 1)).exp()).square().sum(1, keepdim=True)


class Potential(nn.Module):
    """An energy for positions, (batch, 9) to (batch, 1)."""

    def __init__(self):
        super().__init__()
        self.network = sobolev.MLP(3, hidden=(24, 24), activation="tanh")

    def forward(self, x):
        return self.network((distances(x) - 1.1) / 0.2)  # of order one


torch.manual_seed(0)
corners = torch.tensor([[0.0, 0, 0], [1.1, 0, 0], [0.5, 0.95, 0]]).reshape(1, 9).double()
positions = corners + 0.12 * torch.randn(2000, 9).double()
labels = energy(positions)
model = Potential().double()
optimizer = SelfScaledBFGS(model.parameters())  # forces need digits of the energies that Adam does not reach


def loss():
    """Of the energies alone, with its gradient."""
    optimizer.zero_grad()
    off = nn.functional.mse_loss(model(positions[:1500]), labels[:1500])
    off.backward()
    return off


for _ in range(200):
    optimizer.step(loss)
unseen = positions[1500:]
with torch.no_grad():
    forces = -sobolev.jacobian(model, unseen)[1][:, 0]
    exact = -sobolev.jacobian(energy, unseen)[1][:, 0]
print(f"forces are off by {float((forces - exact).norm() / exact.norm()):.1e} of their size")
print(f"their sum over the atoms is {float(forces.reshape(-1, 3, 3).sum(1).abs().max()):.0e}: nothing moves by itself")
print("audit:", sobolev.audit(model, unseen).trustworthy)
figure = Figure(figsize=(4.6, 4.2), layout="constrained")
axes = figure.subplots()
axes.plot(exact.flatten(), exact.flatten(), color="#F2BC57", linewidth=4)
axes.plot(exact.flatten(), forces.flatten(), ".", color="#0072B2", markersize=3)
axes.set(xlabel="exact force", ylabel="minus the network's gradient")
figure.savefig("forces.png")
