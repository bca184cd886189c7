"""Checkpoints as files: read without running code in them, whatever version of sobolev wrote them."""

from importlib import import_module
from io import BytesIO
from os import PathLike, fspath
from pickle import UnpicklingError
from typing import Any, Self

import torch
from lightning.pytorch import LightningModule
from typing_extensions import override

from sobolev.data.description import KEY, description_in
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


class CheckpointedModule(LightningModule):
    """A module that is loaded with what its checkpoint says of the data, whichever of our modules the checkpoint holds.

    Attributes:
        trained_on: of a network from a checkpoint: name, unit and range of its `inputs` and `outputs`, and how the data
            were made; None elsewhere.
    """

    trained_on: dict[str, Any] | None = None

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.trained_on = description_in(checkpoint) or self.trained_on

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A network that was loaded keeps the description of its data."""
        if self.trained_on is not None and description_in(checkpoint) is None:
            checkpoint[type(self).__name__] = {KEY: self.trained_on}

    @classmethod
    @override
    def load_from_checkpoint(cls, checkpoint_path: str | PathLike[str], **kwargs: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The module with the weights of a checkpoint, in eval mode, of whichever of our classes the checkpoint holds.

        Args:
            checkpoint_path: a checkpoint that training wrote.
            **kwargs: those of Lightning's `load_from_checkpoint`; arguments of the constructor among them.

        Raises:
            ValueError: the file holds more than plain types and tensors, which could run code when it is loaded.
        """
        contents = read_checkpoint(checkpoint_path)
        stored = _stored_class(contents)
        if stored is not None and not issubclass(stored, cls):
            return stored.load_from_checkpoint(checkpoint_path, **kwargs)  # pyright: ignore[reportReturnType]
        file = BytesIO()
        torch.save(contents, file)
        file.seek(0)
        module = super().load_from_checkpoint(file, **{"weights_only": True, **kwargs})  # pyright: ignore[reportArgumentType]
        return module.eval()


def _stored_class(contents: dict[str, Any]) -> type[CheckpointedModule] | None:
    """The class that a checkpoint names, if it is one of sobolev's."""
    package, _, name = str(contents.get("hyper_parameters", {}).get("_class_path", "")).rpartition(".")
    found = getattr(import_module("sobolev"), name, None) if package == "sobolev" else None
    return found if isinstance(found, type) and issubclass(found, CheckpointedModule) else None


def _with_paths_of_today(value: Any) -> Any:
    if isinstance(value, dict):
        return type(value)({key: _with_paths_of_today(item) for key, item in value.items()})
    if isinstance(value, str):
        for old, new in _MOVED.items():
            if value.startswith(old):
                return new + value.removeprefix(old)
    return value
