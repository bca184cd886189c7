"""Certified bounds: wrong by at most so much, anywhere.

Samples say how wrong a network is where one has looked. A certificate holds for every point of the domain: value,
slope and curvature of the network below are proved to be this close to those of sin(x).
"""

import lightning
import torch

import sobolev

data = sobolev.FunctionData("sin(x)", domain=(-3, 3), samples=2000)
model = sobolev.Regressor(sobolev.MLP(hidden=(24, 24), activation="tanh"))
quiet = {
    "max_epochs": 20,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
torch.manual_seed(0)
lightning.Trainer(**quiet, callbacks=[sobolev.LeastSquaresReadout(precision="float64")]).fit(model, data)
certificate = sobolev.certify(model, "sin(x)", {"x": (-3, 3)}, order=2)
print(certificate)
certificate.picture("bounds.png")
