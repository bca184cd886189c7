"""Rules take their arguments by name; the list of what has no rule, in docs/rules.md, is the truth."""

import inspect
import re
import warnings
from pathlib import Path
from types import BuiltinFunctionType

import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional
from torch.overrides import get_overridable_functions

from sobolev.autodiff.taylor.registry import _OPERANDS, RULES

HOMES = {
    "torch": torch,
    "torch.nn.functional": functional,
    "torch.linalg": torch.linalg,
    "torch.special": torch.special,
    "torch.fft": torch.fft,
}
PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
LISTED = {home: re.findall(r"`(\w+)`", row) for home, row in re.findall(r"^\| `(torch[\w.]*)` \| (.*) \|$", PAGE, re.M)}


def missing(home):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        overridable = {function for functions in get_overridable_functions().values() for function in functions}
    names = [name for name in dir(HOMES[home]) if not name.startswith("_") and not name.endswith("_")]
    functions = {name: getattr(HOMES[home], name) for name in names}
    return {n for n, f in functions.items() if callable(f) and f in overridable and f not in RULES}


@pytest.mark.parametrize("home", HOMES)
def test_what_is_listed_has_no_rule(home):
    assert not [name for name in LISTED.get(home, []) if getattr(HOMES[home], name) in RULES]


@pytest.mark.parametrize("home", [home for home in HOMES if home != "torch"])
def test_what_has_no_rule_is_listed(home):
    """In `torch` itself most of it is internal: quantised, sparse, copies of views."""
    assert missing(home) <= set(LISTED.get(home, []))


X = torch.linspace(0.3, 1.7, 12, dtype=torch.float64).reshape(4, 3)
V, M = torch.linspace(0.2, 0.9, 3, dtype=torch.float64), torch.linspace(-1, 2, 9, dtype=torch.float64).reshape(3, 3)
SYSTEM = M + 3 * torch.eye(3, dtype=torch.float64)
BY_NAME = {
    "add": lambda x: torch.add(x, other=x**2) + torch.add(input=V, other=x, alpha=2) + x.sub(other=1.0),
    "mul": lambda x: torch.mul(input=V, other=x) + x.div(other=V) + torch.maximum(x, other=V) + x.fmod(other=0.3),
    "pow": lambda x: torch.pow(self=2.0, exponent=x) + torch.pow(input=x, exponent=3) + torch.atan2(x, other=V),
    "where": lambda x: torch.where(condition=x > 1, input=x, other=x**2) + x.where(condition=x > 1, other=V),
    "products": lambda x: torch.mm(input=x, mat2=M) + torch.matmul(x, other=M) + torch.addmm(V, mat1=x, mat2=M),
    "batched": lambda x: torch.baddbmm(V, batch1=x[:, None], batch2=torch.bmm(x[:, :, None], mat2=x[:, None])),
    "vectors": lambda x: torch.mv(x, vec=V) + functional.cosine_similarity(x1=x, x2=V),
    "distances": lambda x: functional.pairwise_distance(x1=x, x2=V),
    "outer": lambda x: torch.stack([torch.outer(row, vec2=row) * torch.dot(row, tensor=row) for row in x]),
    "addcmul": lambda x: torch.addcmul(x, tensor1=x, tensor2=V) + torch.addcdiv(x, tensor1=x, tensor2=V, value=2),
    "bilinear": lambda x: functional.bilinear(input1=x, input2=x, weight=M.expand(2, 3, 3)),
    "systems": lambda x: torch.linalg.solve(A=SYSTEM, B=x[:, :, None]) + torch.linalg.inv(A=torch.diag_embed(x)),
    "triangles": lambda x: torch.linalg.solve_triangular(SYSTEM.triu(), B=x[:, :, None], upper=True),
    "special": lambda x: torch.polygamma(n=1, input=x) + torch.special.zeta(2.0, other=x) + torch.xlogy(x, other=x),
    "complex": lambda x: torch.complex(real=x, imag=x**2).abs() + torch.polar(abs=x, angle=x).real,
    "axes": lambda x: torch.flip(x, dims=(1,)) * torch.tile(x, dims=(1, 1)) + x.permute(dims=(0, 1)) ** 2,
    "sizes": lambda x: x.view(size=(-1, 3)) * x.repeat(repeats=(1, 1)) + x.sum_to_size(size=(4, 1)) ** 2,
    "pieces": lambda x: torch.split(tensor=x, split_size_or_sections=3, dim=1)[0] * torch.hstack(tensors=(x,)),
    "scatters": lambda x: x.select_scatter(src=x[:, 0].exp(), dim=1, index=2).slice_scatter(src=x[:, :1], dim=1, end=1),
    "dtypes": lambda x: x.cumsum(1, dtype=torch.float64) ** 2 * torch.nansum(x, 1, True, dtype=torch.float64),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_NAME)
def test_operands_by_their_names(name):
    assert_rule(BY_NAME[name], X, orders=(3,))


def test_every_operand_is_known_by_its_name():
    """What PyTorch calls tensors and numbers, the rule calls the same, or it is one of the names of operands."""
    unknown = {}
    for function in (getattr(torch, name) for name in dir(torch)):
        if isinstance(function, BuiltinFunctionType) and function in RULES:
            ours = inspect.signature(RULES[function]).parameters
            if not any(p.kind is p.VAR_KEYWORD for p in ours.values()):
                known = {*ours, *_OPERANDS, "data", "batch_sizes"}  # those two of packed sequences
                if names := {name for name in named_operands(function.__name__) if name not in known}:
                    unknown[function.__name__] = names
    assert not unknown


def named_operands(name):
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):
        if "Dimname" not in str(schema):
            yield from (item.name for item in schema.arguments if str(item.type) == "Tensor" and not item.is_out)
