"""Export to a browser.

The price of a call over spot, volatility and time to maturity is learnt from prices and their gradients, and goes into
one small file with delta, gamma and all other Greeks. A web page draws them as somebody moves the sliders: no server
computes, and no autograd is needed. The picture shows what the file says, beside the exact Greeks.
"""

import shutil
from pathlib import Path

import lightning
import numpy as np
import onnxruntime
import torch
from matplotlib.figure import Figure

import sobolev
from sobolev.optimizers import SelfScaledBFGS

domain = {"spot": (50, 150), "volatility": (0.15, 0.4), "maturity": (0.5, 2)}
call = "sobolev.functions.options.call"
data = sobolev.FunctionData(
    call, domain, samples=2000, sampling="sobol", batch_size=2000, output_names=["price"], derivative_order=1
)
torch.manual_seed(0)
model = sobolev.Regressor(sobolev.MLP(3, hidden=(32, 32), activation="tanh"), optimizer=SelfScaledBFGS)
quiet = {
    "max_epochs": 40,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
lightning.Trainer(**quiet, precision="64-true").fit(model, data)

names = {"y": "price", "dprice/dspot": "delta", "d2price/dspot2": "gamma"}
file = sobolev.export(model, "option.onnx", "hessian", inputs=domain, names=names)
print(file)
shutil.copy(Path(__file__).with_suffix(".html"), "browser.html")  # beside option.onnx; python -m http.server shows it

spot = np.linspace(50, 150, 101, dtype=np.float32)[:, None]
columns = {"spot": spot, "volatility": np.full_like(spot, 0.2), "maturity": np.full_like(spot, 1.0)}
greeks = ["price", "delta", "gamma"]
found = onnxruntime.InferenceSession("option.onnx").run(greeks, columns)
x = torch.from_numpy(np.concatenate(list(columns.values()), 1)).double()
value, slope, curvature = sobolev.Function(call, tuple(domain)).hessian(x)
exact = [value[:, 0], slope[:, 0, 0], curvature[:, 0, 0, 0]]
figure = Figure(figsize=(9, 3), layout="constrained")
for axes, name, ours, theirs in zip(figure.subplots(1, 3), greeks, found, exact, strict=True):
    axes.plot(spot, theirs, linewidth=4, color="#F2BC57", label="exact")
    axes.plot(spot, ours, color="#0072B2", label="the file, in onnxruntime")
    axes.set(title=name, xlabel="spot")
    print(f"{name} is off by {np.abs(ours[:, 0] - theirs.numpy()).max() / np.abs(theirs.numpy()).max():.1e} at most")
figure.axes[0].legend(frameon=False)
figure.savefig("browser.png")
