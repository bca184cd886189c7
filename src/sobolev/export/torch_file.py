"""Files of torch.export, and the same compiled ahead of time by AOTInductor."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor
from torch.export import ExportedProgram

METADATA = "sobolev.json"
"""The metadata's name among the extra files."""


def write(program: ExportedProgram, path: Path, compiled: bool) -> None:
    """A .pt2 file for `torch.export.load`; compiled, for `torch._inductor.aoti_load_package`, in C++ without Python."""
    if compiled:
        from torch._inductor import aoti_compile_and_package

        aoti_compile_and_package(program, package_path=str(path))
    else:
        torch.export.save(program, path)


def describe(path: Path, metadata: dict[str, str]) -> None:
    """Add the metadata to the archive that such a file is."""
    with ZipFile(path, "a") as archive:
        folder = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{folder}/extra/{METADATA}", json.dumps(metadata))


def runner(path: Path, compiled: bool) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """What runs the file, on the CPU."""
    if compiled:
        from torch._inductor import aoti_load_package

        module: Any = aoti_load_package(str(path))
    else:
        module = torch.export.load(path).module()

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return list(module(*(x.contiguous() for x in inputs)))

    return run
