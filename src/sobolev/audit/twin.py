"""The modules behind a callable, in float64 for the duration of a context; afterwards nothing has changed.

A deep copy would miss what closures hold, run a compiled module's original weights, and fail for some models.
So the tensors in the modules' dictionaries are exchanged for float64 copies and put back: the user's own
tensors are never written to, and whatever the forward stores on a module is gone with the copies.
"""

import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from operator import is_
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from sobolev.audit.distributed import is_in_pieces, whole, without_distributed
from sobolev.audit.modules import is_users_object

_WIDER = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float8_e4m3fn: torch.float64,
    torch.float8_e5m2: torch.float64,
    torch.complex64: torch.complex128,
}
_CASTS = {
    torch.Tensor.float: torch.Tensor.double,
    torch.Tensor.half: torch.Tensor.double,
    torch.Tensor.bfloat16: torch.Tensor.double,
}
_SINGLE = {Tensor, nn.Parameter, int, float, bool, str, type(None), torch.dtype}
_TENSORS = {Tensor, nn.Parameter}
_NEITHER = _SINGLE - _TENSORS - {torch.dtype} | {torch.Size}
"""Nothing in these is narrow."""
_UNCHANGEABLE = {bool, int, float, str, type(None)}
_HOOKS, _FORWARD_HOOKS = "_hooks", {"_forward_pre_hooks", "_forward_hooks"}
_PRECISION = "_dtype"
"""Where Lightning's modules remember their precision, `self.dtype`."""
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Double(TorchFunctionMode):
    """Computes in float64 what the code asks for in less: tensors in closures, `.float()`, new constants.

    Attributes:
        needed: whether there was any such thing so far.
    """

    needed = False

    def __torch_function__(self, func: Callable, types: Iterable, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Widen the arguments, call, widen the results."""
        if func in _CASTS:
            func, self.needed = _CASTS[func], True
        args = self._widened(args) if _may_be_narrow(*args) else args
        result = func(*args, **self._widened(kwargs)) if kwargs else func(*args)
        return self._widened(result) if _may_be_narrow(result) else result

    def _widened(self, value: Any) -> Any:
        wide = _all_widened(value)
        self.needed = self.needed or wide is not value
        return wide


class Widening:
    """`Double` around whatever runs code of the user's; may be entered again inside.

    Looking at every operation takes a third of the time of a small network: it ends when `relax` is called and
    nothing had to be widened so far.
    """

    def __init__(self) -> None:
        self._double, self._inside, self._off = Double(), 0, False

    def __enter__(self) -> None:
        self._inside += 1
        if self._inside == 1 and not self._off:
            self._double.__enter__()

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        if self._inside == 0 and not self._off:
            self._double.__exit__(None, None, None)

    def relax(self) -> None:
        """Now that the user's code has been seen at work, leave it alone where that can be."""
        self._off = not self._double.needed


def plainly(compute: Callable[_P, _R]) -> Callable[_P, _R]:
    """Arithmetic of ours, on what is in float64 already: `Double` need not look at every operation of it."""

    @wraps(compute)
    def computed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with DisableTorchFunction():
            return compute(*args, **kwargs)

    return computed


def _may_be_narrow(*values: Any) -> bool:
    for value in values:
        kind = type(value)
        if value.dtype in _WIDER if kind in _TENSORS else kind not in _NEITHER:
            return True
    return False


def widened(value: Any) -> Any:
    """A narrow floating-point tensor or dtype in double precision; anything else as it is."""
    kind = type(value)
    if kind is Tensor or kind is nn.Parameter:
        wider = _WIDER.get(value.dtype)
        return value if wider is None or value.is_sparse or _is_released(value) else value.to(wider)
    return _WIDER.get(value, value) if kind is torch.dtype else value


def _is_released(tensor: Tensor) -> bool:
    """Whether its memory was given back, as FSDP2 does with weights between two layers; to read it would crash."""
    return tensor.layout is torch.strided and tensor.untyped_storage().size() < tensor.element_size() <= tensor.nbytes


def _all_widened(value: Any) -> Any:
    """`widened`, within containers too; those without anything narrow in them come back as they are."""
    kind = type(value)
    if kind in _SINGLE:  # nearly all of the many there are
        return widened(value)
    if kind is tuple or kind is list:
        parts = [_all_widened(part) for part in value]
        return value if all(map(is_, parts, value)) else kind(parts)
    if kind is dict:
        parts = {key: _all_widened(part) for key, part in value.items()}
        return value if all(map(is_, parts.values(), value.values())) else parts
    if not isinstance(value, tuple | list | dict) or kind is torch.Size:  # a plain tuple behind tree_map
        return widened(value)
    return tree_map(widened, value) if value else value


@contextmanager
def isolated(modules: Iterable[nn.Module], *, double: bool) -> Iterator[None]:
    """Lend the modules copies of all they hold, in float64 on request; give the originals back on exit.

    Parameters, buffers, plain attributes, caches, `.grad`, `requires_grad`, train and eval flags and the
    random generators (Python's, numpy's, torch's on CPU and CUDA) are afterwards what they were.
    """
    copies = _Copies(double)
    with ExitStack() as stack:
        stack.callback(_restore_random_states, _random_states())
        for owner in _owners(modules):
            if isinstance(owner, torch.jit.ScriptModule):
                _lend_script(owner, stack, double)
            else:
                saved = dict(vars(owner))
                stack.callback(_give_back, owner, saved)
                held = {k: v for k, v in saved.items() if type(v) not in _UNCHANGEABLE and not k.endswith(_HOOKS)}
                vars(owner).update({k: copies(v) for k, v in held.items()})
                vars(owner).update({k: without_distributed(saved[k]) for k in _FORWARD_HOOKS & saved.keys()})
                if double and saved.get(_PRECISION) in _WIDER:
                    vars(owner)[_PRECISION] = _WIDER[saved[_PRECISION]]
        yield


class _Copies:
    """Copies of tensors and containers; a tensor that is shared stays shared."""

    def __init__(self, double: bool) -> None:
        self._double = double
        self._known: dict[int, tuple[Tensor, Tensor]] = {}  # with the original, so that no other takes its id

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) not in self._known:
                self._known[id(value)] = value, _copy_of(value, self._double)
            return self._known[id(value)][1]
        if type(value) in (list, tuple, set):
            return type(value)(self(part) for part in value)
        if type(value) is deque:
            return deque(map(self, value), value.maxlen)
        if isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
            copy = value.copy()
            if value:
                copy.update({key: self(part) for key, part in value.items()})
            return copy
        return value


def _copy_of(tensor: Tensor, double: bool) -> Tensor:
    if not is_in_pieces(tensor) and (type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or tensor.is_quantized):
        return tensor
    copy = whole(tensor).clone()
    if double and copy.dtype in _WIDER:
        copy = copy.to(_WIDER[copy.dtype])
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(copy, requires_grad=tensor.requires_grad)
    return copy.requires_grad_(tensor.requires_grad)


def _owners(modules: Iterable[nn.Module]) -> list[Any]:
    """The modules, and the user's own objects on them that may hold tensors."""
    owners: dict[int, Any] = {id(module): module for module in modules}
    for module in list(owners.values()):
        for value in vars(module).values():
            if is_users_object(value) and not isinstance(value, nn.Module | type) and not callable(value):
                owners[id(value)] = value
    return list(owners.values())


def _give_back(owner: Any, saved: dict[str, Any]) -> None:
    vars(owner).clear()
    vars(owner).update(saved)


def _lend_script(module: torch.jit.ScriptModule, stack: ExitStack, double: bool) -> None:
    """TorchScript keeps its tensors out of Python's reach: exchange their data."""
    if hasattr(module, "training"):  # a frozen script has no modes
        stack.callback(module.train, module.training)
    for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
        stack.callback(_set_data, tensor, tensor.data)
        tensor.data = _copy_of(tensor.data, double)


def _set_data(tensor: Tensor, data: Tensor) -> None:
    tensor.data = data


def _random_states() -> tuple:
    numpy = sys.modules.get("numpy")
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    return random.getstate(), torch.get_rng_state(), cuda, numpy.random.get_state() if numpy else None


def _restore_random_states(states: tuple) -> None:
    python, cpu, cuda, numpy = states
    random.setstate(python)
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
    if numpy is not None:
        sys.modules["numpy"].random.set_state(numpy)
