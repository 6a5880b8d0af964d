"""What the doctor finds, each on a machine that has it, and what is only a note."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark import doctor
from lora_efficiency_benchmark.doctor.checks import QUICK_BYTES, findings
from lora_efficiency_benchmark.doctor.facts import (
    NOT_INSTALLED,
    Finding,
    Graphics,
    Machine,
    Place,
    Torch,
)
from lora_efficiency_benchmark.units import GIB

JAPANESE = re.compile(r"[ぁ-んァ-ン一-龥]")
ROOMY = Place("/some/folder", 100 * GIB, True)
FULL = Place("/full/folder", 1000, True)
HEALTHY = Machine(
    python=(3, 12),
    packages={"torch": "2.13.0", "peft": "0.21.2"},
    unsupported={},
    torch=Torch(threads=8),
    graphics=Graphics(),
    model={"path": "/cache/model", "sha256": "ab", "ok": True},
    cache=ROOMY,
    output=ROOMY,
    temporary=ROOMY,
    available_bytes=16 * GIB,
    cores=8,
    bitsandbytes=False,
    japanese=True,
)
CUDA, ROCM = Torch(cuda="13.0", threads=8), Torch(hip="7.1", threads=8)
WORKING = Torch(cuda="13.0", usable=True, threads=8)
CARD = Graphics(nvidia=True, nvidia_driver="580.65.06")
MISSING = {"path": "/cache/model", "sha256": None, "ok": False}
CASES: list[tuple[dict[str, Any], str, str, bool]] = [
    ({"python": (3, 10)}, "Python 3.10 is too old", "make setup", True),
    ({"packages": {"torch": "2.13.0", "peft": NOT_INSTALLED}}, "peft is not", "pip install", True),
    (
        {"unsupported": {"peft": ">=0.22"}}, "peft 0.21.2 is not a supported",
        "pip install 'peft>=0.22'", False,
    ),
    ({"torch": Torch(problem="libcuda.so: no")}, "torch cannot be imported", "--force", True),
    ({"graphics": CARD}, "a build for CPUs", "pip install", False),
    ({"graphics": Graphics(amd=True, amd_driver=True)}, "not its ROCm build", "ROCm", False),
    ({"torch": CUDA, "graphics": Graphics(nvidia=True)}, "driver is not loaded", "drivers", False),
    (
        {"torch": CUDA, "graphics": Graphics(nvidia=True, nvidia_driver="550.54.14")},
        "550.54.14 is too old for CUDA 13.0, which needs 580", "drivers", False,
    ),
    ({"torch": CUDA, "graphics": CARD}, "does not reach it", "nvidia-smi", False),
    ({"torch": ROCM, "graphics": Graphics(amd=True)}, "driver is not loaded", "modprobe", False),
    (
        {"torch": ROCM, "graphics": Graphics(amd=True, amd_driver=True, amd_allowed=False)},
        "may not open /dev/kfd", "usermod", False,
    ),
    (
        {"torch": ROCM, "graphics": Graphics(amd=True, amd_driver=True)},
        "reaches no device", "rocminfo", False,
    ),
    (
        {"torch": CUDA, "graphics": dataclasses.replace(CARD, hidden="CUDA_VISIBLE_DEVICES=")},
        "CUDA_VISIBLE_DEVICES= hides it", "unset CUDA_VISIBLE_DEVICES", False,
    ),
    ({"model": MISSING}, "default model is not in the cache", "doctor --fix", True),
    ({"model": {**MISSING, "sha256": "cd"}}, "cache is damaged", "doctor --fix", True),
    ({"output": FULL}, "/full/folder has 0.00 GiB free", "--output-dir", True),
    ({"output": dataclasses.replace(ROOMY, writable=False)}, "be written", "--output-dir", True),
    ({"model": MISSING, "cache": FULL}, "/full/folder has", "or: export LORA_BENCH_CACHE=/", True),
    (
        {"model": MISSING, "cache": dataclasses.replace(ROOMY, writable=False)},
        "be written", "export LORA_BENCH_CACHE=/", True,
    ),
    ({"temporary": FULL}, "/full/folder has", "export TMPDIR=/", False),
    ({"available_bytes": 2 * GIB}, "2.0 GiB of memory are free", "batch_size=1", False),
    ({"available_bytes": GIB // 2}, "0.5 GiB of memory are free", "batch_size=1", True),
    (
        {"torch": Torch(threads=1), "environment": {"OMP_NUM_THREADS": "1"}},
        "uses 1 of 8 cores", "unset OMP_NUM_THREADS", False,
    ),
    ({"torch": Torch(threads=32)}, "32 threads on 8", "export OMP_NUM_THREADS=8", False),
    ({"torch": WORKING, "graphics": CARD}, "bitsandbytes is not", "install bitsandbytes", False),
    ({"japanese": False}, "no Japanese font", "fonts-noto-cjk", False),
]  # fmt: skip


def found_on(**facts: Any) -> list[Finding]:
    return findings(dataclasses.replace(HEALTHY, **facts))


def test_a_healthy_machine_has_nothing() -> None:
    assert findings(HEALTHY) == []
    whole = {"torch": WORKING, "graphics": CARD, "bitsandbytes": True}
    assert found_on(**whole, available_bytes=GIB) == [], "a device has its own memory"
    assert found_on(available_bytes=QUICK_BYTES) == []
    assert found_on(available_bytes=None, japanese=None) == [], "what is unknown is no problem"


@pytest.mark.parametrize(("facts", "words", "mend", "hinders"), CASES)
def test_each_problem_says_what_why_and_what_mends_it(
    facts: dict[str, Any], words: str, mend: str, hinders: bool
) -> None:
    found = [f for f in found_on(**facts) if words in f.what.en and mend in f.mend.en]
    assert len(found) == 1, [f.what.en for f in found_on(**facts)]
    assert found[0].hinders is hinders
    english, japanese = found[0].to_dict("en"), found[0].to_dict("ja")
    assert set(english) == {"what", "why", "mend", "hinders"}
    for key in ("what", "why"):
        assert JAPANESE.search(japanese[key]), japanese[key]
        assert not JAPANESE.search(english[key])
        assert "\n" not in english[key] + japanese[key]


@pytest.mark.parametrize("facts", [case[0] for case in CASES])
def test_a_variable_to_set_is_said_as_the_line_to_type(facts: dict[str, Any]) -> None:
    for finding in found_on(**facts):
        for mend in (finding.mend.en, finding.mend.ja):
            before = re.findall(r"(\S+) [A-Z_]+=\S", mend)
            assert len(before) == len(re.findall(r"\b[A-Z_]+=\S", mend))
            assert set(before) <= {"export", "setup"}, "make setup PYTHON=... is no variable"


def test_what_hinders_comes_first() -> None:
    found = found_on(japanese=False, model=MISSING)
    assert [finding.hinders for finding in found] == [True, False]


def test_the_facts_of_this_machine(tmp_path: Path) -> None:
    found = doctor.examine(tmp_path / "not" / "there" / "yet")
    assert set(found) == {"python", "packages", "devices", "default_model", "problems", "notes"}
    assert found["packages"]["transformers"].startswith("5.")
    assert found["devices"][0]["type"] in ("cpu", "cuda")
    assert not [p for p in found["problems"] if "default model" not in p["what"]]
    assert not (tmp_path / "not").exists(), "looking writes nothing"


def test_versions_are_held_against_the_packages_own_metadata(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = doctor._version
    replaced: Callable[[str], str] = lambda name: "0.1" if name == "peft" else real(name)  # noqa: E731
    monkeypatch.setattr(doctor, "_version", replaced)
    unsupported = doctor.gather(tmp_path).unsupported
    assert set(unsupported) == {"peft"}
    assert "0.21" in unsupported["peft"]


def test_variables_that_hide_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*doctor._HIDING, "LORA_BENCH_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    assert doctor._hidden() == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert doctor._hidden() == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert doctor._hidden() == "CUDA_VISIBLE_DEVICES="
    monkeypatch.setenv("LORA_BENCH_DEVICE", "CPU")
    assert doctor._hidden() == "LORA_BENCH_DEVICE=CPU"


def test_a_torch_that_cannot_be_imported_is_reported_not_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import builtins

    real = builtins.__import__

    def broken(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "torch":
            raise OSError("libtorch_cpu.so: cannot open shared object file")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", broken)
    assert "libtorch_cpu.so" in doctor._torch("2.13.0").problem
    assert doctor._torch(NOT_INSTALLED) == Torch()


def test_cards_as_the_system_sees_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (vendor, kind) in enumerate([("0x10de", "0x030200"), ("0x8086", "0x020000")]):
        device = tmp_path / f"0000:0{number}:00.0"
        device.mkdir()
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(doctor, "_PCI", tmp_path)
    monkeypatch.setattr(doctor, "_NVIDIA_DRIVER", tmp_path / "none")
    monkeypatch.setattr(doctor, "_AMD_DRIVER", tmp_path / "none")
    monkeypatch.setattr(doctor, "_nvidia_driver", lambda: None)
    found = doctor._graphics()
    assert (found.nvidia, found.amd, found.amd_driver) == (True, False, False)
    (tmp_path / "0000:00:00.0" / "class").write_text("0x040300\n")  # its sound device
    assert not doctor._graphics().nvidia
