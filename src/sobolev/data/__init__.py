"""Data modules: points of a function, rows of a table, and the loader both use."""

from sobolev.data.function_data import FunctionData
from sobolev.data.loader import BatchLoader
from sobolev.data.module import TensorDataModule
from sobolev.data.paths_data import PathsData
from sobolev.data.residual_data import ResidualData
from sobolev.data.table_data import TableData

__all__ = ["BatchLoader", "FunctionData", "PathsData", "ResidualData", "TableData", "TensorDataModule"]
