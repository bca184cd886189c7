"""The type checker of the tests: shapes alone, since refusals of other wrong arguments are tested themselves."""

from collections.abc import Callable
from inspect import isclass
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, with those of its annotations enforced at run time that name a shape."""
    shapes = {name: hint for name, hint in function.__annotations__.items() if _names_a_shape(hint)}
    if not shapes:
        return function
    function.__annotations__ = shapes
    return beartype(function)


def _names_a_shape(hint: Any) -> bool:
    return (isclass(hint) and issubclass(hint, AbstractArray)) or any(map(_names_a_shape, get_args(hint)))
