"""An inverse problem: how well does a rod conduct heat?

Eighty noisy measurements of the temperature tell the unknown coefficient k of du/dt = k d²u/dx² along with the
solution. They were made with k = 0.1; the first guess is 1.
"""

import lightning
import numpy as np
import torch

import sobolev
from sobolev.optimizers import SelfScaledBFGS
from sobolev.plots import save

rng = np.random.default_rng(0)
x, t = rng.uniform(0, 1, (2, 80))
u = np.sin(np.pi * x) * np.exp(-0.1 * np.pi**2 * t) + 0.01 * rng.normal(size=80)
np.savetxt("rod.csv", np.stack([x, t, u], 1), delimiter=",", header="x,t,u", comments="")

data = sobolev.ResidualData(
    "du_dt = k*laplacian(u)",
    ["u(x, 0) = sin(pi*x)", "u(0, t) = 0", "u(1, t) = 0"],
    {"x": (0, 1), "t": (0, 1)},
    coefficients={"k": 1.0},
    measurements="rod.csv",
    samples=300,
)
torch.manual_seed(0)
model = sobolev.ResidualRegressor(sobolev.MLP(2, hidden=(16, 16), activation="tanh"), optimizer=SelfScaledBFGS)
monitor = sobolev.DerivativeMonitor()
quiet = {
    "max_epochs": 60,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
trainer = lightning.Trainer(**quiet, precision="64-true", check_val_every_n_epoch=60, callbacks=[monitor])
trainer.fit(model, data)
save(monitor.figure(trainer), "rod.png")
print(f"k = {model.coefficients['k'].detach().item():.4f}")
