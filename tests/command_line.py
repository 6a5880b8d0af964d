"""``lora-bench`` called in the test's own process, which saves its start."""

from __future__ import annotations

import sys

import pytest

from lora_efficiency_benchmark import cli


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of ``lora-bench`` with these arguments; what it prints is for ``capsys``."""
    monkeypatch.setattr(sys, "argv", ["lora-bench", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(str(stop.code))
    return 0
