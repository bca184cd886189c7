"""A fluid's density and its compressibility.

Density is measured over pressure at several temperatures; what is wanted is the compressibility, (dρ/dp)/ρ, a
derivative. Here the fluid follows van der Waals' equation, so that it can be compared.
"""

import lightning
import numpy as np
import torch
from matplotlib.figure import Figure

import sobolev

rng = np.random.default_rng(1)
density, temperature = rng.uniform(0.1, 0.9, 400), rng.uniform(1.2, 2.0, 400)  # in units of the critical point
pressure = 8 * temperature * density / (3 - density) - 3 * density**2
noisy = density * (1 + 0.001 * rng.normal(size=400))
columns = np.stack([pressure, temperature, noisy], 1)
np.savetxt("fluid.csv", columns, delimiter=",", header="p,T,rho", comments="")

data = sobolev.TableData("fluid.csv", inputs=["p", "T"], outputs=["rho"])
model = sobolev.EvidenceRegressor()
quiet = {
    "max_epochs": 50,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
lightning.Trainer(**quiet).fit(model, data)

figure = Figure(figsize=(6, 4), layout="constrained")
axes = figure.subplots()
for t in (1.3, 1.6, 1.9):
    rho = np.linspace(0.15, 0.85, 60)
    p = 8 * t * rho / (3 - rho) - 3 * rho**2
    x = torch.from_numpy(np.stack([p, np.full_like(p, t)], 1))
    with torch.no_grad():
        value, gradient = sobolev.jacobian(model, x)
    kappa = (gradient[:, 0, 0] / value[:, 0]).numpy()
    exact = 1 / (rho * (24 * t / (3 - rho) ** 2 - 6 * rho))
    axes.plot(p, exact, linewidth=4, color="#F2BC57")
    axes.plot(p, kappa, label=f"T = {t}")
    print(f"T = {t}: compressibility off by {100 * np.abs(kappa / exact - 1).max():.1f} % at most")
axes.set(xlabel="pressure", ylabel="compressibility", yscale="log")
axes.legend(frameon=False)
figure.savefig("compressibility.png")
