"""Matrices that depend smoothly on points, for the rules of linear algebra."""

import torch

X = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
X3 = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FIXED = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
SIGNS = torch.tensor([1.0, -2, 3], dtype=torch.float64)


def matrix(x):
    """(rows, n) -> (rows, n, n), well conditioned."""
    one = torch.eye(x.shape[1], dtype=x.dtype)
    return one * 3 + x.unsqueeze(1) * x.sin().unsqueeze(2) / 2 + torch.diag_embed(x.cos())


def positive(x):
    """(rows, n) -> (rows, n, n), symmetric and positive definite."""
    a = matrix(x)
    return a @ a.mT


def oblong(x):
    """(rows, 3) -> (rows, 4, 3), of full rank."""
    return FIXED + torch.stack([x, x.sin(), x.exp(), x**2], 1) / 2


def symmetric(x):
    """(rows, 3) -> (rows, 3, 3), positive definite, with distinct eigenvalues."""
    a = oblong(x)
    return a.mT @ a


def deficient(x):
    """(rows, 3) -> (rows, 4, 3), of rank 2."""
    return oblong(x)[:, :, :2] @ oblong(x.cos())[:, :2]
