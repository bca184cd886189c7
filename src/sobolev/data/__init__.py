"""Data modules: points of a function, rows of a table, and the loader both use."""

from sobolev.data.function_data import FunctionData
from sobolev.data.loader import BatchLoader
from sobolev.data.module import TensorDataModule

__all__ = ["BatchLoader", "FunctionData", "TensorDataModule"]
