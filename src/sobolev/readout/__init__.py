"""The last linear layer of a network, solved for by least squares, without Lightning."""

from sobolev.readout.result import Readout
from sobolev.readout.solve import solve_readout

__all__ = ["Readout", "solve_readout"]
