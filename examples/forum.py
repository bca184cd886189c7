"""The forum's question: why is f'' zero?

A network of ReLUs fits y = x² well, and its second derivative is 0 everywhere. The audit says why. A smooth activation,
standardisation inside the network and a last layer solved by least squares bring f'' to ten digits.
"""

import lightning
import torch

import sobolev
from sobolev.plots import save

data = sobolev.FunctionData("x**2", domain=(-50, 50), samples=2000)
quiet = {
    "max_epochs": 10,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
for activation in ("relu", "silu"):
    monitor = sobolev.DerivativeMonitor(order=2)
    callbacks = [monitor] if activation == "relu" else [monitor, sobolev.LeastSquaresReadout(precision="float64")]
    model = sobolev.Regressor(sobolev.MLP(activation=activation))
    trainer = lightning.Trainer(**quiet, callbacks=callbacks)
    torch.manual_seed(0)
    trainer.fit(model, data)
    save(monitor.figure(trainer), f"{activation}.png")
    print(activation, "f'' is off by", f"{monitor.errors[2]['relative_l2']:.1e} of its size")
    print(*(f"{finding.where}: {finding.message}" for finding in monitor.findings[:1]))
