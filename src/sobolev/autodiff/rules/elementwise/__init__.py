"""Functions of each element: arithmetic, powers, activations, what chooses between two."""
