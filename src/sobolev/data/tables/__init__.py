"""One reader of tables for all who read any: training, prediction, the points of the monitor and of the audit."""

from sobolev.data.tables.table import Table, is_table

__all__ = ["Table", "is_table"]
