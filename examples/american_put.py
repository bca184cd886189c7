"""An American put and the kink of its delta.

The holder exercises below a boundary: there the price is strike minus spot, delta is -1, and gamma jumps to 0. Prices
come from a binomial tree. A smooth network rounds the jump off: the picture shows over which width, and the errors of
gamma say where it must not be used.
"""

import lightning
import numpy as np
import torch
from matplotlib.figure import Figure

import sobolev


def price(spot, strike=100.0, rate=0.05, volatility=0.2, years=1.0, steps=1000):
    """By the tree of Cox, Ross and Rubinstein, for an array of spots."""
    dt = years / steps
    up = np.exp(volatility * np.sqrt(dt))
    chance = (np.exp(rate * dt) - 1 / up) / (up - 1 / up)
    powers = up ** np.arange(-steps, steps + 1, 2.0)
    value = np.maximum(strike - spot[:, None] * powers, 0)
    for step in range(steps - 1, -1, -1):
        value = np.exp(-rate * dt) * (chance * value[:, 1:] + (1 - chance) * value[:, :-1])
        value = np.maximum(value, strike - spot[:, None] * up ** np.arange(-step, step + 1, 2.0))
    return value[:, 0]


spot = np.linspace(70, 140, 400)
np.savetxt("put.csv", np.stack([spot, price(spot)], 1), delimiter=",", header="spot,price", comments="")
data = sobolev.TableData("put.csv", inputs=["spot"], outputs=["price"], batch_size=50)
quiet = {
    "max_epochs": 100,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
model = sobolev.Regressor(sobolev.MLP(activation="silu"))
lightning.Trainer(**quiet, callbacks=[sobolev.LeastSquaresReadout(precision="float64")]).fit(model, data)

with torch.no_grad():
    found = [d[:, 0].numpy() for d in sobolev.derivatives(model, torch.from_numpy(spot)[:, None], order=2)]
h = 1.0
tree = [price(spot + shift) for shift in (-h, 0.0, h)]
wanted = [tree[1], (tree[2] - tree[0]) / (2 * h), (tree[2] - 2 * tree[1] + tree[0]) / h**2]
figure = Figure(figsize=(11, 3.4), layout="constrained")
for axes, name, theirs, ours in zip(figure.subplots(1, 3), ("price", "delta", "gamma"), wanted, found, strict=True):
    axes.plot(spot, theirs, linewidth=4, color="#F2BC57", label="tree, differences over 1")
    axes.plot(spot, ours, color="#0072B2", label="network")
    axes.set_title(name)
    axes.set_xlabel("spot")
axes.legend(frameon=False)
figure.savefig("put.png")
inside = (spot > 90) & (spot < 130)
print(f"gamma, away from the boundary: off by {np.abs(found[2] - wanted[2])[inside].max():.1e}")
print(f"gamma, at the boundary: off by {np.abs(found[2] - wanted[2])[~inside].max():.1e}")
