"""A call's price with delta and gamma.

The network sees prices alone. Delta and gamma are its first and second derivative, compared with the formula's.
"""

import lightning

import sobolev
from sobolev.plots import save

data = sobolev.FunctionData(
    "sobolev.functions.options.call",
    domain={"spot": (50, 150)},
    samples=2000,
    output_names=["price"],
    derivative_names={"dprice/dspot": "delta", "d2price/dspot2": "gamma"},
)
monitor = sobolev.DerivativeMonitor(order=2)
readout = sobolev.LeastSquaresReadout(precision="float64")
quiet = {
    "max_epochs": 20,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
trainer = lightning.Trainer(**quiet, callbacks=[monitor, readout])
trainer.fit(sobolev.Regressor(sobolev.MLP(activation="silu")), data)
save(monitor.figure(trainer), "greeks.png")
for entry in monitor.named_errors:
    print(f"{entry['name']} is off by {entry['relative_l2']:.1e} of its size")
