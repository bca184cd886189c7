"""A pendulum and a shock from their equations.

No data: a network learns a'' = -sin(a) from the equation and the start alone, from an angle so large that the small
angles' cosine is far off. Another learns Burgers' equation with a viscosity of 0.01/π, where a sine steepens to a
shock: every fifth epoch its points are drawn anew, more of them where the residual is large.
"""

import lightning
import torch

import sobolev
from sobolev.optimizers import SelfScaledBFGS
from sobolev.plots import save


def trained(data, network, epochs):
    """The model and a figure of it, after so many epochs."""
    monitor = sobolev.DerivativeMonitor()
    quiet = {
        "max_epochs": epochs,
        "check_val_every_n_epoch": epochs,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(**quiet, precision="64-true", callbacks=[monitor])
    model = sobolev.ResidualRegressor(network, optimizer=SelfScaledBFGS)
    trainer.fit(model, data)
    return model, monitor.figure(trainer)


torch.manual_seed(0)
start = ["a(0) = 2.5", "da_dt(0) = 0"]
swing = sobolev.ResidualData("d2a_dt2 = -sin(a)", start, {"t": (0, 8)}, unknowns="a", samples=300)
pendulum, figure = trained(swing, sobolev.MLP(hidden=(20, 20), activation="tanh"), epochs=80)
save(figure, "pendulum.png")
t = torch.linspace(0, 8, 100).double()[:, None]
with torch.no_grad():
    angle, velocity, _ = sobolev.derivatives(pendulum, t, order=2)
energy = velocity**2 / 2 - angle.cos()
print(f"the pendulum's energy is kept to {float((energy - energy[0]).abs().max()):.1e}")

torch.manual_seed(0)
shock = sobolev.ResidualData(
    "du_dt + u*du_dx = 0.01/pi*d2u_dx2",
    ["u(x, 0) = -sin(pi*x)", "u(-1, t) = 0", "u(1, t) = 0"],
    {"x": (-1, 1), "t": (0, 1)},
    samples=1000,
    adapt_every_n_epochs=5,
)
burgers, figure = trained(shock, sobolev.MLP(2, hidden=(20, 20, 20), activation="tanh"), epochs=60)
save(figure, "burgers.png")
with torch.no_grad():
    _, slope = sobolev.jacobian(burgers, torch.tensor([[0.0, 0.5]]).double())
print(f"the shock's slope at t = 0.5 is {float(slope[0, 0, 0]):.2f}, and -151.83 by the integral of Cole and Hopf")
