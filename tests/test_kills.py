"""Runs that are really killed, at any moment and in any part; then the same command again."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

import whole_runs
from factories import tiny_run
from lora_efficiency_benchmark.records.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
KILLS = 20

config = partial(tiny_run, probes=False, samples=[])


@pytest.fixture(scope="module")
def undisturbed(
    tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, float], float]:
    """Losses of a run that nobody disturbs, and its seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    file = whole_runs.write_config(config(tiny_model_dir, folder / "run"), folder / "config.yaml")
    began = time.monotonic()
    whole_runs.finish(whole_runs.start(file, folder / "begun"))
    seconds = time.monotonic() - began
    losses = whole_runs.losses(folder / "run")
    assert len(losses) == 3  # base, full, LoRA
    return losses, seconds


def test_killed_at_random_moments_nothing_measured_is_lost(
    tiny_model_dir: Path, tmp_path: Path, undisturbed: tuple[dict[str, float], float]
) -> None:
    expected, seconds = undisturbed
    draw = random.Random(6)
    kills = rounds = begun = repeated = in_a_cell = 0
    while kills < KILLS:
        rounds += 1
        folder, notes = tmp_path / f"run-{rounds}", tmp_path / f"begun-{rounds}"
        file = whole_runs.write_config(config(tiny_model_dir, folder), tmp_path / "config.yaml")
        kills_here, kept = 0, {}
        while True:
            process = whole_runs.start(file, notes)
            try:
                said, _ = process.communicate(
                    timeout=draw.uniform(0.0, seconds) if kills < KILLS else 240
                )
                assert process.returncode == 0, said
                break
            except subprocess.TimeoutExpired:
                whole_runs.kill_all(process)
            kills += 1
            kills_here += 1
            now = whole_runs.stored(folder)
            assert kept.items() <= now.items(), "a finished record has changed"
            kept = now
            cells = notes.read_text().split() if notes.exists() else []
            in_a_cell += bool(cells) and f"{cells[-1]}.json" not in now
            if folder.is_dir():  # and nobody holds it
                with Store(folder).lock():
                    pass
        assert kept.items() <= whole_runs.stored(folder).items()
        assert whole_runs.losses(folder) == expected  # bit by bit
        cells = notes.read_text().split()
        again = len(cells) - len(set(cells))
        assert again <= kills_here
        assert not list(folder.rglob(".*.tmp"))
        begun, repeated = begun + len(cells), repeated + again
    print(
        f"\nfaults tried {kills}, survived {kills}; {rounds} complete runs, {begun} cells begun, "
        f"{in_a_cell} kills inside a cell, {repeated} cells lost and repeated, 0 finished ones"
    )


def test_without_its_parent_a_child_ends_and_the_next_run_is_alone(
    tiny_model_dir: Path, tmp_path: Path, undisturbed: tuple[dict[str, float], float]
) -> None:
    """Killed twice: once in the first cell, once after a record exists."""
    folder, notes = tmp_path / "run", tmp_path / "begun"
    file = whole_runs.write_config(config(tiny_model_dir, folder), tmp_path / "config.yaml")
    for cells_before in (1, 2):
        process = whole_runs.start(file, notes)
        whole_runs.wait_for(
            lambda n=cells_before: notes.exists() and len(notes.read_text().split()) >= n
        )
        children = whole_runs.family(process.pid)[1:]
        assert children
        process.kill()
        process.communicate()
        kept = whole_runs.stored(folder)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
        assert whole_runs.stored(folder) == kept
    whole_runs.finish(whole_runs.start(file, notes))
    assert whole_runs.losses(folder) == undisturbed[0]


def test_a_killed_child_is_named_and_the_run_goes_on(
    tiny_model_dir: Path, tmp_path: Path, undisturbed: tuple[dict[str, float], float]
) -> None:
    folder, notes = tmp_path / "run", tmp_path / "begun"
    # long enough to be met inside the cell
    slow = config(tiny_model_dir, folder, training_steps=400, eval_steps=200)
    file = whole_runs.write_config(slow, tmp_path / "config.yaml")
    process = whole_runs.start(file, notes)

    def training_child() -> psutil.Process | None:
        begun = notes.read_text().split() if notes.exists() else []
        found = whole_runs.family(process.pid)
        in_training = bool(begun) and begun[-1].startswith("train")
        return found[-1] if in_training and len(found) > 2 else None

    victim = whole_runs.wait_for(training_child)
    victim.send_signal(signal.SIGTERM)
    said = whole_runs.finish(process)
    statuses = {key: r.status for key, r in whole_runs.records(folder).items()}
    (failed,) = [r for r in whole_runs.records(folder).values() if r.status == "failed"]
    assert failed.error is not None
    assert failed.error["kind"] == "worker_died"
    assert "SIGTERM" in failed.error["message"]
    assert list(statuses.values()).count("ok") == len(statuses) - 1, said
    assert failed.cell_id in notes.read_text()
    assert "SIGTERM" in (folder / "report.md").read_text(encoding="utf-8")
    kept = whole_runs.stored(folder)
    del kept[f"{failed.cell_id}.json"]
    whole_runs.finish(whole_runs.start(file, notes))
    assert kept.items() <= whole_runs.stored(folder).items()
    assert all(r.status == "ok" for r in whole_runs.records(folder).values())
