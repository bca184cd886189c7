"""Targets with exact derivatives of every order."""

from sobolev.functions.function import Function

__all__ = ["Function"]
