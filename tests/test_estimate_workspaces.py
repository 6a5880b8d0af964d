"""What matrix libraries keep, by device and by setting."""

from __future__ import annotations

import pytest

from lora_efficiency_benchmark.estimate.workspaces import (
    configured_workspace_bytes,
    default_workspace_bytes,
)
from lora_efficiency_benchmark.units import MIB


@pytest.mark.parametrize(
    ("arch", "nbytes"),
    [
        (None, 8_519_680), ("sm80", 8_519_680), ("sm89", 8_519_680),
        ("sm90", 32 * MIB), ("sm90a", 32 * MIB), ("sm100", 32 * MIB), ("sm120", 32 * MIB),
        ("gfx90a", 32 * MIB), ("gfx1100", 32 * MIB), ("gfx942", 128 * MIB), ("gfx950", 128 * MIB),
    ],
)  # fmt: skip
def test_defaults_by_device(arch: str | None, nbytes: int) -> None:
    assert default_workspace_bytes(arch) == nbytes


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        (":4096:8", 32 * MIB), (":4096:2:16:8", 8 * MIB + 128 * 1024), (":16:8", 128 * 1024),
        (None, None), ("", None), ("nonsense", None),
    ],
)  # fmt: skip
def test_the_setting_of_the_environment(text: str | None, nbytes: int | None) -> None:
    assert configured_workspace_bytes(text) == nbytes
