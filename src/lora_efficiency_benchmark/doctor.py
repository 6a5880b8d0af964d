"""What this machine can run, and what is wrong with it (row 4)."""

from __future__ import annotations

import sys
from typing import Any

from .measure.environment import describe_device, package_versions
from .model_cache import check_default_model


def examine() -> dict[str, Any]:
    """``{"python", "packages", "devices", "default_model", "problems"}``.

    A problem is ``{"what", "mend"}``: one line, and the command that mends it.
    """
    packages, model = package_versions(), check_default_model()
    problems = [
        {"what": f"{name} is not installed", "mend": "make setup"}
        for name, version in packages.items()
        if version == "not installed"
    ]
    if not model["ok"]:
        state = "is damaged" if model["sha256"] else "is not in the cache"
        problems.append({"what": f"the default model {state}", "mend": "lora-bench doctor --fix"})
    devices = []
    if packages["torch"] != "not installed":
        devices.append(describe_device())
    return {
        "python": sys.version.split()[0],
        "packages": packages,
        "devices": devices,
        "default_model": model,
        "problems": problems,
    }
