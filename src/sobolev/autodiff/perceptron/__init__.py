"""The short ways of plain chains of layers: bare tensors instead of a jet for each operation."""
