"""Losses in units that suit an optimiser, whatever units the data are in; of values, and of derivatives as well."""

from sobolev.losses.labels import check_labels
from sobolev.losses.sobolev_loss import LossParts, SobolevLoss, scaled_squared_error

__all__ = ["LossParts", "SobolevLoss", "check_labels", "scaled_squared_error"]
