"""What a doctor looks at and what it says (row 4). Values only; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NOT_INSTALLED = "not installed"


class Said(NamedTuple):
    """The same statement for English and for Japanese readers."""

    en: str
    ja: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    what: Said
    why: Said
    mend: Said  # a command where there is one
    hinders: bool = False

    def to_dict(self, language: str) -> dict[str, Any]:
        """``{"what", "why", "mend", "hinders"}`` in one language."""
        at = 1 if language == "ja" else 0
        texts = {"what": self.what[at], "why": self.why[at], "mend": self.mend[at]}
        return {**texts, "hinders": self.hinders}


@dataclass(frozen=True)
class Torch:
    """What the installed PyTorch is built for, and whether it reaches a device."""

    cuda: str | None = None  # CUDA version it was built for
    hip: str | None = None  # ROCm version it was built for
    usable: bool = False  # it reaches an accelerator
    threads: int = 1
    problem: str = ""  # why it cannot be imported; "" where it can


@dataclass(frozen=True)
class Graphics:
    """GPUs as the operating system sees them, whatever PyTorch sees."""

    nvidia: bool = False
    nvidia_driver: str | None = None  # its version, such as 580.65.06
    amd: bool = False
    amd_driver: bool = False  # the compute driver is loaded
    amd_allowed: bool = True  # this user may open it
    hidden: str = ""  # an environment variable that hides devices, as NAME=value


@dataclass(frozen=True)
class Place:
    """A folder that is written to."""

    path: str
    free_bytes: int | None
    writable: bool


@dataclass(frozen=True)
class Machine:
    """Everything the checks look at."""

    python: tuple[int, int]
    packages: Mapping[str, str]  # name -> version, or NOT_INSTALLED
    unsupported: Mapping[str, str]  # name -> supported versions, where the installed one is none
    torch: Torch
    graphics: Graphics
    model: Mapping[str, Any]  # ``models.cache.check_default_model``
    cache: Place
    output: Place
    temporary: Place
    available_bytes: int | None  # memory that a process can have now
    cores: int
    bitsandbytes: bool
    japanese: bool | None = None  # figures can be drawn with Japanese letters; None: not looked at
    environment: Mapping[str, str] = field(default_factory=dict)
