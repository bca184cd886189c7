"""A robot arm: the Jacobian of the hand's place by the joints' angles.

Where the determinant of the Jacobian is 0, the arm is stretched or folded and cannot move in one direction. The network
has seen places only.
"""

import lightning
import torch
from matplotlib.figure import Figure

import sobolev

data = sobolev.FunctionData(
    "cos(a) + 0.7*cos(a + b), sin(a) + 0.7*sin(a + b)", domain={"a": (-1, 1), "b": (-2, 2)}, samples=400
)
model = sobolev.EvidenceRegressor()
quiet = {
    "max_epochs": 60,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
lightning.Trainer(**quiet).fit(model, data)

a, b = torch.meshgrid(torch.linspace(-1, 1, 60), torch.linspace(-2, 2, 60), indexing="ij")
joints = torch.stack([a.flatten(), b.flatten()], 1).double()
with torch.no_grad():
    _, J = sobolev.jacobian(model, joints)
determinant = torch.linalg.det(J).reshape(a.shape)
exact = 0.7 * b.sin()
print(f"determinant off by {float((determinant - exact).abs().max()):.1e} at most")
figure = Figure(figsize=(6, 3.6), layout="constrained")
axes = figure.subplots()
shown = axes.pcolormesh(b, a, determinant, cmap="RdBu", vmin=-0.7, vmax=0.7, shading="gouraud")
axes.contour(b, a, determinant, levels=[0], colors="black")
axes.set(xlabel="elbow", ylabel="shoulder", title="determinant of the Jacobian; black: it cannot move sideways")
figure.colorbar(shown)
figure.savefig("arm.png")
