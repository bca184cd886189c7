"""Certificates checked by somebody else: mpmath's intervals, and no line of what made them.

The network is read from the certificate as the list of its operations; Taylor coefficients are computed with intervals
of many digits at the centre of a cell and over the cell. Cells in which that is not enough are halved.
"""

from sobolev.certify.check.certificate import check
from sobolev.certify.check.cover import covers

__all__ = ["check", "covers"]
