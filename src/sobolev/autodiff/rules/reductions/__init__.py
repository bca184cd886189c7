"""Functions of many elements: sums, norms, orders, statistics."""
