"""A pendulum from its equation.

No data: the network learns a'' = -sin(a) from the equation and the start alone, from an angle so large that the small
angles' cosine is far off.
"""

import lightning
import torch

import sobolev
from sobolev.optimizers import SelfScaledBFGS
from sobolev.plots import save

data = sobolev.ResidualData(
    "d2a_dt2 = -sin(a)",
    ["a(0) = 2.5", "da_dt(0) = 0"],
    {"t": (0, 8)},
    unknowns="a",
    samples=300,
    validation_samples=200,
)
torch.manual_seed(0)
monitor = sobolev.DerivativeMonitor()
quiet = {
    "max_epochs": 80,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
trainer = lightning.Trainer(**quiet, precision="64-true", check_val_every_n_epoch=80, callbacks=[monitor])
model = sobolev.ResidualRegressor(sobolev.MLP(hidden=(20, 20), activation="tanh"), optimizer=SelfScaledBFGS)
trainer.fit(model, data)
save(monitor.figure(trainer), "pendulum.png")

t = torch.linspace(0, 8, 100).double()[:, None]
with torch.no_grad():
    angle, velocity, _ = sobolev.derivatives(model, t, order=2)
energy = velocity**2 / 2 - angle.cos()
print(f"energy is kept to {float((energy - energy[0]).abs().max()):.1e}")
