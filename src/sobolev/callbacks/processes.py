"""What all processes of a training tell each other."""

from typing import Any

from torch import distributed as dist


def gathered(value: Any) -> list[Any]:
    """What every process has to say, by rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
