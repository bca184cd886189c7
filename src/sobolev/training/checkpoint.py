"""Checkpoints as files: read without running code in them, whatever version of sobolev wrote them."""

from os import PathLike, fspath
from pickle import UnpicklingError
from typing import Any

import torch

from sobolev.errors import refused_file

_MOVED = {"sobolev.schedules.": "sobolev.training.schedules.", "sobolev.differential_pca.": "sobolev.networks."}
"""Class paths as version 0.1 wrote them."""


def read_checkpoint(path: str | PathLike[str]) -> dict[str, Any]:
    """All that a checkpoint holds, on the CPU, its class paths as they are today.

    Raises:
        ValueError: the file holds more than plain types and tensors, which could run code when it is loaded.
        OSError: there is no such file.
    """
    try:
        contents = torch.load(fspath(path), map_location="cpu", weights_only=True)
    except (UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(refused_file(path)) from error
    if "hyper_parameters" in contents:
        contents["hyper_parameters"] = _with_paths_of_today(contents["hyper_parameters"])
    return contents


def of_another_network(error: BaseException) -> str | None:
    """The sentence for what torch raises where a checkpoint's weights do not fit the network; None for other errors."""
    if isinstance(error, RuntimeError) and "loading state_dict" in str(error):
        return f"the checkpoint is of another network. {error}"
    return None


def _with_paths_of_today(value: Any) -> Any:
    if isinstance(value, dict):
        return type(value)({key: _with_paths_of_today(item) for key, item in value.items()})
    if isinstance(value, str):
        for old, new in _MOVED.items():
            if value.startswith(old):
                return new + value.removeprefix(old)
    return value
