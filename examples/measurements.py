"""A table of measurements: three inputs, noise, no truth.

Nobody knows the exact derivatives here. The picture shows value and derivatives along each input through the middle of
the data, with bands that hold the truth in nine of ten cases; the table says which derivative can be used.
"""

import lightning
import numpy as np

import sobolev
from sobolev.plots import save

rng = np.random.default_rng(0)
temperature, pressure, speed = rng.uniform(280, 360, 300), rng.uniform(1, 5, 300), rng.uniform(0, 10, 300)
load = 340 * pressure / temperature + 0.02 * speed**2 + 0.3 * np.sin(temperature / 15) + rng.normal(0, 0.02, 300)
columns = np.stack([temperature, pressure, speed, load], 1)
np.savetxt("rig.csv", columns, delimiter=",", header="temperature,pressure,speed,load", comments="")

data = sobolev.TableData("rig.csv", inputs=["temperature", "pressure", "speed"], outputs=["load"])
monitor = sobolev.DerivativeMonitor()
quiet = {
    "max_epochs": 50,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
trainer = lightning.Trainer(**quiet, callbacks=[monitor])
trainer.fit(sobolev.EvidenceRegressor(), data)
save(monitor.figure(trainer), "curves.png")
for entry in monitor.named_errors:
    share = 100 * entry["estimated_relative_l2"]
    print(f"{entry['name']:28} {entry['rms']:.2g}, estimated to be wrong by {share:.1f} %")
