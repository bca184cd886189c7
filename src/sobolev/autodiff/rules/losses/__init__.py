"""Losses that a model computes inside its forward."""
