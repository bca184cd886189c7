"""The machine in words: what a reader must know to judge a figure, and nothing that names a path."""

import datetime
import os
import platform
from pathlib import Path

import torch


def describe() -> dict[str, str | int]:
    """Processor, cores, system, versions, day."""
    words = {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }
    if torch.cuda.is_available():
        words["gpu"] = torch.cuda.get_device_name()
    return words


def sentence(words: dict[str, str | int]) -> str:
    """The same in one line."""
    gpu = f", {words['gpu']}" if "gpu" in words else ""
    return (
        f"{words['processor']}, {words['cores']} cores{gpu}, {words['system']}, "
        f"Python {words['python']}, torch {words['torch']}, {words['date']}"
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
