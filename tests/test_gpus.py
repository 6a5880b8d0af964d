"""GPUs by name or size."""

from __future__ import annotations

import re

import pytest

from lora_efficiency_benchmark.config.gpus import load_gpus, parse_gpu
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.units import GIB


@pytest.mark.parametrize("text", ["RTX-4090", "rtx 4090", "NVIDIA GeForce RTX 4090", "rtx_4090"])
def test_a_name_in_any_spelling(text: str) -> None:
    gpu = parse_gpu(text)
    assert (gpu.name, gpu.total_bytes, gpu.arch) == ("RTX-4090", 25_393_692_672, "sm89")
    assert gpu.memory == "reported"


def test_a_size() -> None:
    gpu = parse_gpu("24GiB")
    assert gpu.to_dict() == {
        "name": "24GiB", "total_bytes": 24 * GIB, "arch": None, "memory": "given", "source": "",
    }  # fmt: skip
    assert parse_gpu("24GB").total_bytes == 24 * 10**9


def test_an_alias() -> None:
    assert parse_gpu("h100") is parse_gpu("H100-80GB")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("A100", "A100-40GB or A100-80GB"),
        ("RTX-4091", "did you mean .*RTX-4090"),
        ("MI300", "did you mean MI300X"),
        ("quantum", "known: RTX-3060"),
        ("24", "with its unit"),
        ("0GiB", "more than no memory"),
        ("", "known"),
    ],
)
def test_what_is_not_known_is_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_gpu(text)
    assert "\n" not in str(caught.value)


def test_every_entry_is_plausible() -> None:
    for name, gpu in load_gpus().items():
        assert re.fullmatch(r"sm\d{2,3}|gfx[0-9a-f]{3,4}", str(gpu.arch)), name
        assert 8 * GIB < gpu.total_bytes < 300 * GIB, name
        assert gpu.source, name
        size = re.search(r"-(\d+)GB$", name)
        if size:  # what is reported lies a little below the name's size, never above it
            assert 0.9 < gpu.total_bytes / GIB / int(size[1]) <= 1, name
