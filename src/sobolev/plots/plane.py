"""Painting values on scattered points or a grid of two inputs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.tri import Triangulation

from sobolev.plots.samples import Array

MOST_POINTS, MOST_LINES = 2500, 80


class Plane:
    """Points to paint on: a grid, a triangulation, or single points; many are thinned out.

    Attributes:
        rows: which of the points are painted.
        points: those, (n, 2).
    """

    def __init__(self, points: Array) -> None:
        self.rows = _spread(len(points))
        self._grid = _grid(points)
        if self._grid is not None:
            self._grid = self._grid[np.ix_(*(_spread(n, MOST_LINES) for n in self._grid.shape))]
            self.rows, self._grid = self._grid.ravel(), np.arange(self._grid.size).reshape(self._grid.shape)
        self.points = points[self.rows]
        self._triangles = _triangles(self.points) if self._grid is None else None

    def dot(self, axes: Axes, values: Array, norm: Normalize, cmap: str) -> ScalarMappable:
        """A dot for each point, in place of what lies between them."""
        x, y = self.points.T
        return axes.scatter(x, y, c=values[self.rows], norm=norm, cmap=cmap, s=12, linewidths=0)

    def paint(
        self, axes: Axes, values: Array, norm: Normalize, cmap: str, alpha: float | None = None
    ) -> ScalarMappable:
        """Paint a value per point, (all points,); where it is not finite, nothing is painted."""
        values = values[self.rows]
        x, y = self.points.T
        if (at := self._grid) is not None:
            masked = np.ma.masked_invalid(values[at])
            return axes.pcolormesh(
                x[at], y[at], masked, norm=norm, cmap=cmap, shading="gouraud", rasterized=True, alpha=alpha
            )
        if self._triangles is None:
            return axes.scatter(x, y, c=values, norm=norm, cmap=cmap, s=16, linewidths=0)
        finite = np.isfinite(values)
        mesh = Triangulation(x, y, self._triangles, mask=~finite[self._triangles].all(axis=1))
        filled = np.where(finite, values, values[finite].min(initial=0.0))
        return axes.tripcolor(mesh, filled, norm=norm, cmap=cmap, shading="gouraud", rasterized=True)


def _spread(count: int, most: int = MOST_POINTS) -> np.ndarray:
    """At most so many rows, evenly spaced."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.intp)


def _grid(points: Array) -> np.ndarray | None:
    """Row numbers arranged as the grid that the points form, (rows, columns), if they form one."""
    x, y = (np.unique(column) for column in points.T)
    if x.size < 2 or y.size < 2 or x.size * y.size != len(points) or not np.isfinite(points).all():
        return None
    rows = np.lexsort((points[:, 0], points[:, 1])).reshape(y.size, x.size)
    whole = (points[rows, 0] == x).all() and (points[rows, 1] == y[:, None]).all()
    return rows if whole else None


def _triangles(points: Array) -> np.ndarray | None:
    """Delaunay triangles of the points scaled to a square, or None where there are none."""
    size = np.ptp(points, axis=0)
    if len(points) < 4 or not (np.isfinite(size) & (size > 0)).all():
        return None
    try:
        return Triangulation(*((points - points.min(axis=0)) / size).T).triangles
    except (RuntimeError, ValueError):  # all points on one line
        return None
