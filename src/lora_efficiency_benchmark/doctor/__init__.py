"""What this machine can run, and what is wrong with it (row 4): facts gathered, then judged.

Works where packages are missing or broken, torch included: that is when a doctor is asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import first_line
from ..measure.environment import (
    available_memory_bytes,
    describe_device,
    package_versions,
    usable_cores,
)
from ..models.cache import cache_root, check_default_model
from .checks import findings
from .facts import NOT_INSTALLED, Graphics, Machine, Place, Torch

_DISTRIBUTION = "lora-efficiency-benchmark"
_PCI = Path("/sys/bus/pci/devices")
_NVIDIA_VENDOR, _AMD_VENDOR = "0x10de", "0x1002"
_DISPLAY_CLASS = "0x03"  # PCI class of display controllers, 3D controllers among them
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_AMD_DRIVER = Path("/dev/kfd")
_HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def examine(
    output: Path | None = None, language: str = "en", japanese: bool | None = None
) -> dict[str, Any]:
    """``{"python", "packages", "devices", "default_model", "problems", "notes"}``.

    Problems hinder a run, notes do not; both are ``{"what", "why", "mend", "hinders"}`` in the
    reader's language. ``output`` is where a run would write (default: here); ``japanese``: whether
    figures can be drawn with Japanese letters, where the caller knows.
    """
    machine = gather(output or Path(), japanese)
    found = [finding.to_dict(language) for finding in findings(machine)]
    able = not machine.torch.problem and machine.packages["torch"] != NOT_INSTALLED
    return {
        "python": sys.version.split()[0],
        "packages": dict(machine.packages),
        "devices": [describe_device()] if able else [],
        "default_model": dict(machine.model),
        "problems": [finding for finding in found if finding["hinders"]],
        "notes": [finding for finding in found if not finding["hinders"]],
    }


def gather(output: Path, japanese: bool | None = None) -> Machine:
    """The facts about this machine, for a run that writes to ``output``."""
    wanted = _supported_versions()
    packages = {**package_versions(), **{name: _version(name) for name in wanted}}
    return Machine(
        python=(sys.version_info[0], sys.version_info[1]),
        packages=packages,
        unsupported={n: wanted[n] for n in wanted if not _within(packages[n], wanted[n])},
        torch=_torch(packages["torch"]),
        graphics=_graphics(),
        model=check_default_model(),
        cache=_place(cache_root()),
        output=_place(output),
        temporary=_place(Path(tempfile.gettempdir())),
        available_bytes=available_memory_bytes() if find_spec("psutil") else None,
        cores=usable_cores(),
        bitsandbytes=find_spec("bitsandbytes") is not None,
        japanese=japanese,
        environment=dict(os.environ),
    )


def _supported_versions() -> dict[str, str]:
    """Package -> supported versions, from this package's own metadata; none where it has none."""
    try:
        from packaging.requirements import Requirement

        texts = metadata.requires(_DISTRIBUTION) or []
    except (ImportError, metadata.PackageNotFoundError):
        return {}
    needed = [Requirement(text) for text in texts]
    return {r.name: str(r.specifier) for r in needed if r.marker is None or r.marker.evaluate()}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


def _within(version: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidVersion:  # not installed, or a version nobody can compare
        return False


def _torch(version: str) -> Torch:
    if version == NOT_INSTALLED:
        return Torch()
    try:
        import torch

        usable = torch.cuda.is_available()
    except Exception as error:  # a broken installation can raise anything while it loads
        return Torch(problem=first_line(error)[:160])
    built = torch.version
    return Torch(built.cuda, built.hip, usable, torch.get_num_threads())


def _graphics() -> Graphics:
    vendors = {_read(path / "vendor") for path in _displays()}
    nvidia = _NVIDIA_VENDOR in vendors or _NVIDIA_DRIVER.exists()
    return Graphics(
        nvidia=nvidia,
        nvidia_driver=_nvidia_driver() if nvidia else None,
        amd=_AMD_VENDOR in vendors or _AMD_DRIVER.exists(),
        amd_driver=_AMD_DRIVER.exists(),
        amd_allowed=os.access(_AMD_DRIVER, os.R_OK | os.W_OK),
        hidden=_hidden(),
    )


def _displays() -> list[Path]:
    devices = list(_PCI.iterdir()) if _PCI.is_dir() else []
    return [path for path in devices if _read(path / "class").startswith(_DISPLAY_CLASS)]


def _nvidia_driver() -> str | None:
    """Version of the loaded driver, as ``nvidia-smi`` tells it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines and lines[0][0].isdigit() else None


def _hidden() -> str:
    """The variable that hides every device, as ``NAME=value``; empty where none does."""
    if os.environ.get("LORA_BENCH_DEVICE", "").lower() == "cpu":
        return f"LORA_BENCH_DEVICE={os.environ['LORA_BENCH_DEVICE']}"
    hiding = (n for n in _HIDING if os.environ.get(n, "0").strip() in ("", "-1"))
    return next((f"{name}={os.environ[name]}" for name in hiding), "")


def _place(path: Path) -> Place:
    """Free space where a folder is, or would be made."""
    path = path.expanduser().absolute()
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    try:
        free: int | None = shutil.disk_usage(there).free
    except OSError:
        free = None
    return Place(str(path), free, there.is_dir() and os.access(there, os.W_OK | os.X_OK))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
