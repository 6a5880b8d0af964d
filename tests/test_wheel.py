"""What a person gets who installs the wheel: every file, and commands that work elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built here; skipped where its build backend cannot be had."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "-q",
        "-w",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "hatchling" in done.stderr and "No matching" in done.stderr:
        pytest.skip("the build backend is not installed and cannot be fetched")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a command of a fresh environment that has the wheel, and sees the dependencies here.

    The folder of the dependencies comes by PYTHONPATH, where ``.pth`` files, and so an editable
    install of this checkout, count for nothing; the wheel comes before it.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    made = folder / "environment"
    venv.create(made, with_pip=False)
    site = sysconfig.get_path("purelib", vars={"base": str(made), "platbase": str(made)})
    install = ["install", "--no-deps", "--no-index", "-q", "--prefix", str(made), str(wheel)]
    python = str(made / "bin" / "python")
    command = [sys.executable, "-m", "pip", "--python", python, *install]
    subprocess.run(command, check=True)
    here = sysconfig.get_path("purelib")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([site, here])}

    def run(name: str, *arguments: str) -> str:
        command = [str(made / "bin" / name), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=folder, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    expected = {name.removeprefix("src/") for name in tracked}
    assert len(expected) > 200
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert expected <= held, sorted(expected - held)
    for kind in (".yaml", ".j2", ".js", ".css", ".txt", "py.typed"):
        assert any(name.endswith(kind) for name in held), kind


def test_commands_work_elsewhere(installed: Callable[..., str], tmp_path: Path) -> None:
    code = "import lora_efficiency_benchmark as b; print(b.__file__)"
    where = Path(installed("python", "-c", code).strip())
    assert not where.is_relative_to(ROOT)
    assert "environment" in where.parts
    assert "run" in installed("lora-bench", "--help")
    assert "full" in installed("lora-bench", "plan", "--preset", "quick")
    assert "llama-2-7b" in installed("lora-bench", "map", "--help")
    (stored,) = (ROOT / "benchmarks" / "results").glob("quick-2*")
    copy = shutil.copytree(stored, tmp_path / "stored")
    page = copy / "report.html"
    page.unlink(missing_ok=True)
    installed("lora-bench", "report", str(copy), "-o", str(page))
    assert page.stat().st_size > 100_000
