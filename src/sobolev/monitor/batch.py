"""Batches of any form: tensors, and tuples, lists, dicts, dataclasses, objects of them, nested as one likes.

An entry has a path: `x`, `0`, `inputs.x`, `1.mask`; the path of a batch that is a tensor is empty. The samples of a
batch are the rows of those tensors that have one for each sample; of a batch of graphs (torch_geometric) its graphs.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from sobolev.autodiff.tensor_classes import changed, ordinary

_OPAQUE = (str, bytes, int, float, complex, bool, type(None), type, nn.Module)

Key = str | int
"""A path; a single position may be a number."""


def children(value: Any) -> dict[str, Any]:
    """The entries directly inside a container; of a namedtuple by name, of an object that holds tensors by attribute.

    Nothing else has any.
    """
    if isinstance(value, Tensor):
        return {}
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, list | tuple):
        return {str(position): part for position, part in enumerate(value)}
    if isinstance(value, Distribution):
        return {name: getattr(value, name) for name in (*value.arg_constraints, "mean", "stddev")}
    return _attributes(value)


def _attributes(value: Any) -> dict[str, Any]:
    """The public attributes of an object of somebody's own, if any is a tensor or holds one."""
    if isinstance(value, _OPAQUE) or hasattr(type(value), "__torch_function__"):  # jets are no containers either
        return {}
    keys: Any = getattr(value, "keys", None)
    if callable(keys):  # those of torch_geometric keep them elsewhere
        found: Any = keys()
        names = [name for name in found if isinstance(name, str)]
    else:
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        names = [*getattr(value, "__dict__", {}), *slots]
    inside = {name: getattr(value, name, None) for name in names if not name.startswith("_")}
    return inside if any(map(_holds_tensors, inside.values())) else {}


def _holds_tensors(value: Any) -> bool:
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, Tensor) or any(isinstance(part, Tensor) for part in inside)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of everything that is not itself a container."""
    inside = children(value)
    if not inside:
        yield path, value
    for name, part in inside.items():
        yield from leaves(part, f"{path}.{name}" if path else name)


def entry(value: Any, path: Key) -> Any:
    """What lies at a path.

    Raises:
        LookupError: nothing does.
    """
    for name in _steps(path):
        inside = children(value)
        if name not in inside and name.lstrip("-").isdigit() and isinstance(value, Sequence):
            value = value[int(name)]
        else:
            value = inside[name]
    return value


def by_sample(batch: Any, path: Key) -> Any:
    """What lies at a path, with the samples first: the nodes of graphs that are all of one size, (graphs, nodes, ...).

    Raises:
        LookupError: nothing does.
    """
    value, owner = entry(batch, path), entry(batch, ".".join(_steps(path)[:-1]))
    if is_of_graphs(owner) and isinstance(value, Tensor) and _are_nodes(owner, value):
        return value.unflatten(0, (owner.num_graphs, -1))
    return value


def _are_nodes(graphs: Any, value: Tensor) -> bool:
    """Of graphs with the same number of nodes, more than one."""
    sizes = graphs.ptr.diff()
    return value.dim() > 0 and 1 < int(sizes[0]) == len(value) / len(sizes) and bool((sizes == sizes[0]).all())


def replaced(value: Any, path: Key, new: Any) -> Any:
    """A copy, of the same type, with something else at a path; what is not on the path is shared."""
    steps = _steps(path)
    if not steps:
        return new
    name, rest = steps[0], ".".join(steps[1:])
    if name not in children(value):  # a position
        name = list(children(value))[int(name)]
    return _rebuilt(value, {name: replaced(children(value)[name], rest, new)})


def mapped(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A copy, of the same type, with every tensor changed."""
    if isinstance(value, Tensor):
        return changed(change, value)
    inside = children(value)
    return _rebuilt(value, {name: mapped(change, part) for name, part in inside.items()}) if inside else value


def length(batch: Any) -> int:
    """The number of samples: rows of the first tensor that has any axis."""
    return next(_lengths(batch), 1)


def _lengths(value: Any) -> Iterator[int]:
    if is_of_graphs(value):
        yield value.num_graphs
    elif isinstance(value, Tensor):
        if value.dim():
            yield len(value)
    else:
        for part in children(value).values():
            yield from _lengths(part)


def is_of_graphs(value: Any) -> bool:
    """Whether it is a batch of torch_geometric, whose tensors have a row for each node or edge of its graphs."""
    return all(hasattr(value, name) for name in ("num_graphs", "index_select", "from_data_list"))


def some_rows(batch: Any, rows: slice, count: int) -> Any:
    """Some of the `count` samples; what has no row for each sample stays."""
    return _chosen(batch, count, lambda t: t[rows], lambda graphs: graphs.index_select(rows))


def repeated(batch: Any, times: int, count: int) -> Any:
    """The first of the `count` samples, so many times."""
    return _chosen(
        batch,
        count,
        lambda t: t[:1].expand(times, *t.shape[1:]),
        lambda graphs: graphs.index_select(slice(1)) * times,
    )


def _chosen(value: Any, count: int, rows: Callable[[Tensor], Tensor], graphs: Callable[[Any], list[Any]]) -> Any:
    """A copy with other samples in place of the `count` there are."""
    if isinstance(value, Tensor):
        return changed(rows, value) if value.dim() and len(value) == count else value
    if is_of_graphs(value):
        return type(value).from_data_list(graphs(value))
    inside = children(value)
    return _rebuilt(value, {k: _chosen(v, count, rows, graphs) for k, v in inside.items()}) if inside else value


def copied(batch: Any) -> Any:
    """A copy on the CPU, without a graph."""
    with torch.inference_mode(False):
        return mapped(lambda tensor: tensor.detach().to("cpu", copy=True), batch)


def numbers(value: Any) -> int:
    """How many numbers all tensors in a value hold."""
    return sum(leaf.numel() for _, leaf in leaves(value) if isinstance(leaf, Tensor))


def joined_batches(batches: list[Any], counts: list[int]) -> Any:
    """Batches of one form as one; what has no row for each sample is taken from the first.

    Args:
        batches: at least one.
        counts: how many samples each has.
    """
    first, total = batches[0], batches[0]
    if len(batches) == 1:
        return first
    columns = zip(*([leaf for _, leaf in leaves(batch)] for batch in batches), strict=True)
    for (path, leaf), column in zip(leaves(first), columns, strict=True):
        if isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == counts[0]:
            total = replaced(total, path, changed(lambda _, c=column: torch.cat([ordinary(t) for t in c]), leaf))
    return total


def alike(one: Any, other: Any) -> bool:
    """Whether two batches can be joined: the same entries, whose samples have the same shape, but no graphs."""
    pairs = zip(leaves(one), leaves(other), strict=False)
    return (
        not _has_graphs(one)
        and len(list(leaves(one))) == len(list(leaves(other)))
        and all(a == b and getattr(v, "shape", ())[1:] == getattr(w, "shape", ())[1:] for (a, v), (b, w) in pairs)
    )


def _has_graphs(value: Any) -> bool:
    return is_of_graphs(value) or any(map(_has_graphs, children(value).values()))


def described(batch: Any) -> str:
    """`a dict with x: float32 (16, 1), y: float32 (16, 1)`."""
    if isinstance(batch, Tensor):
        return f"a tensor, {_tensor(batch)}"
    parts = [
        f"{path}: {_tensor(leaf) if isinstance(leaf, Tensor) else type(leaf).__name__}" for path, leaf in leaves(batch)
    ]
    inside = f" with {', '.join(parts[:8])}{', ...' if len(parts) > 8 else ''}" if children(batch) else ""
    return f"a {type(batch).__name__}{inside}"


def _tensor(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _steps(path: Key) -> list[str]:
    return [step for step in str(path).split(".") if step]


def _rebuilt(value: Any, changes: dict[str, Any]) -> Any:
    if isinstance(value, Mapping):
        new = copy.copy(value) if isinstance(value, MutableMapping) else dict(value)
        new.update({key: changes[str(key)] for key in value if str(key) in changes})
        return new
    if is_dataclass(value):
        new = copy.copy(value)
        for name, part in changes.items():
            object.__setattr__(new, name, part)  # of frozen ones as well
        return new
    if hasattr(value, "_fields"):
        return value._replace(**changes)
    if not isinstance(value, list | tuple):
        new = copy.copy(value)
        for name, part in changes.items():
            setattr(new, name, part)
        return new
    return type(value)(changes.get(str(position), part) for position, part in enumerate(value))
