"""Functions that move, pick, join and split elements, and what a jet answers about its shape."""
