"""What the numbers depend on: hardware, drivers, versions, threads, load, source state."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ALLOCATOR_VARIABLES = (
    "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "THP_MEM_ALLOC_ENABLE",
)  # fmt: skip
"""Settings of the C library's and torch's CPU allocators that change how long a step takes."""

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors")


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that decide a result, without importing them."""
    versions = {}
    for name in ("lora-efficiency-benchmark", *PACKAGES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def usable_cores() -> int:
    """Cores this process may run on (affinity, not the machine's total).

    Over all its threads: OMP_PROC_BIND ties each one to a core of its own, the calling one too.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = os.sched_getaffinity(0)
    for thread in _threads():
        try:
            cores |= os.sched_getaffinity(thread)
        except OSError:  # it has ended
            pass
    return len(cores)


def _threads() -> list[int]:
    """Ids of this process's threads (Linux), else none."""
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return []


def cpu_model() -> str:
    """Processor name as the system reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def git_state() -> dict[str, Any] | None:
    """``{"commit", "dirty"}`` of the source tree, or None outside a checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None

    def ask(*command: str) -> str:
        git = ["git", "-C", str(root), *command]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def describe_device() -> dict[str, Any]:
    """The device the cells use, through torch's accelerator interface (CUDA and ROCm alike)."""
    import torch

    accelerator = torch.accelerator.current_accelerator() if accelerator_in_use() else None
    if accelerator is None:
        return {"type": "cpu", "name": cpu_model(), "total_memory_bytes": host_memory_bytes()}
    total: int | None = None
    name = accelerator.type
    if accelerator.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        name, total = properties.name, properties.total_memory
    return {
        "type": accelerator.type,
        "name": name,
        "total_memory_bytes": total,
        "count": torch.accelerator.device_count(),
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
    }


def accelerator_in_use() -> bool:
    """True where training runs on an accelerator that the Trainer uses by itself."""
    import torch

    if os.environ.get("LORA_BENCH_DEVICE", "").lower() == "cpu":
        return False
    return torch.cuda.is_available()


def host_memory_bytes() -> int | None:
    """Memory of the host."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def available_memory_bytes() -> int | None:
    """Memory that a process on the host can have now, its container's limit included."""
    import psutil

    known = [psutil.virtual_memory().available, *map(_cgroup_bytes, _CGROUP_LIMITS)]
    return min((value for value in known if value), default=None)


def _cgroup_bytes(path: Path) -> int | None:
    """The limit of this process's container; None where there is none."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None


def describe_environment(bf16_matmul: str) -> dict[str, Any]:
    """The record's ``environment`` block."""
    import torch

    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": package_versions(),
        "device": describe_device(),
        "cpu_model": cpu_model(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "bf16_matmul": bf16_matmul,
        "allocator": {n: os.environ[n] for n in ALLOCATOR_VARIABLES if n in os.environ},
        "git": git_state(),
    }
