"""Conversions, one each."""

from __future__ import annotations

import math

import pytest

from lora_efficiency_benchmark import units


def test_binary_units() -> None:
    assert units.to_mib(3 * 1024 * 1024) == 3.0
    assert units.to_gib(units.GIB) == 1.0
    assert units.to_minutes(90) == 1.5


def test_bits_per_byte() -> None:
    """One nat-free check: a model that gives every byte probability 1/256 needs 8 bits a byte."""
    assert units.bits_per_byte(10 * math.log(256), 10) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24GiB", 24 * 1024**3), ("24 gib", 24 * 1024**3), ("1.5MiB", 1572864), (".5KiB", 512),
        ("80GB", 80 * 10**9), ("80G", 80 * 10**9), ("1TiB", 1024**4), ("2TB", 2 * 10**12),
        ("512", 512), (" 512B ", 512),
    ],
)  # fmt: skip
def test_parse_bytes(text: str, expected: int) -> None:
    assert units.parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "GiB", "24XB", "-1GiB", "1e9", "nan", "inf", "24 GiB x", "1,5GiB"]
)
def test_parse_bytes_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="not a size such as 24GiB"):
        units.parse_bytes(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (-3, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (75, "1:15"), (4000, "1:06:40")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text
