"""A class that is named in place of another starts from its own defaults, not from those of the other."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from jsonargparse import _typehints as jsonargparse_typehints

_MERGE = "discard_init_args_on_class_path_change"
"""What jsonargparse calls before it lays one class with its arguments over another."""


@contextmanager
def own_defaults() -> Iterator[None]:
    """While arguments are parsed.

    jsonargparse hands all arguments on that both classes have, also those that nobody gave: 10,000 points of the
    default job to a differential equation, Adam's weight decay to AdamW. Here arguments that are as the first class has
    them by itself stay with it; what somebody chose goes on.
    """
    before = getattr(jsonargparse_typehints, _MERGE)

    def discard(parser: Any, former: Any, named: Any) -> None:
        before(parser, former, named)
        if former and "init_args" in former and former["class_path"] != named["class_path"]:
            _discard_defaults(former, named)

    setattr(jsonargparse_typehints, _MERGE, discard)
    try:
        yield
    finally:
        setattr(jsonargparse_typehints, _MERGE, before)


def _discard_defaults(former: Any, named: Any) -> None:
    """Leave out the arguments that are the former class's own defaults; changed in place."""
    one, other = (_parameters(spec["class_path"]) for spec in (former, named))
    given: Any = former["init_args"]
    if one is other:
        return
    for name, parameter in one.items():
        if name in given and name in other and given[name] == parameter.default != other[name].default:
            del given[name]


def _parameters(path: str) -> dict[str, inspect.Parameter]:
    module, _, name = path.rpartition(".")
    return dict(inspect.signature(getattr(import_module(module), name)).parameters)
