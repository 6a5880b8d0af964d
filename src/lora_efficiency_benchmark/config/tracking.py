"""Services that follow a training while it runs, such as TensorBoard (row 1). Pure: no torch.

The Trainer tells them its losses after each step, outside of what is timed. They change no result,
so they are no part of a cell's settings or of its id.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ConfigError

NONE, TENSORBOARD = "none", "tensorboard"
# Name in transformers.TrainingArguments.report_to -> (modules, one of which it needs; package)
SERVICES: dict[str, tuple[tuple[str, ...], str]] = {
    TENSORBOARD: (("tensorboard", "tensorboardX"), "tensorboard"),
    "wandb": (("wandb",), "wandb"),
    "mlflow": (("mlflow",), "mlflow"),
    "trackio": (("trackio",), "trackio"),
    "comet_ml": (("comet_ml",), "comet_ml"),
    "clearml": (("clearml",), "clearml"),
    "codecarbon": (("codecarbon",), "codecarbon"),
    "dvclive": (("dvclive",), "dvclive"),
    "swanlab": (("swanlab",), "swanlab"),
}


@dataclass(frozen=True)
class Tracking:
    """Who is told, and where the output folder of the run is."""

    service: str  # a key of SERVICES
    folder: str  # absolute path

    def folder_of(self, cell_id: str) -> str:
        """Where the events of one cell go, for services that write files."""
        return str(Path(self.folder) / self.service / cell_id)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``Tracking(**values)``."""
        return asdict(self)


def parse_tracking(name: str | None, folder: str | Path) -> Tracking | None:
    """The service of that name; None for ``"none"`` and None.

    Raises ConfigError where it is unknown, or its package is not installed.
    """
    if name in (None, NONE):
        return None
    if name not in SERVICES:
        known = ", ".join((NONE, *SERVICES))
        raise ConfigError(
            f"--report-to {name}: must be one of {known}",
            f"--report-to {name}: {known} のいずれかを指定してください",
        )
    modules, package = SERVICES[name]
    if not any(find_spec(module) for module in modules):
        raise ConfigError(
            f"--report-to {name}: {package} is not installed; python -m pip install {package}",
            f"--report-to {name}: {package} が入っていません。"
            f"python -m pip install {package} で入れてください",
        )
    return Tracking(name, str(Path(folder).resolve()))
