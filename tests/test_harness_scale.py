"""The program's own cost for a large matrix, on a small one; the large one is the benchmark's."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_scheduling_does_not_grow_with_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import harness_scale

    found = harness_scale.measure(300, documents=20)
    assert 200 <= found["cells"] <= 400
    assert found["cell_seconds"] < harness_scale.CELL_SECONDS
    assert found["last_seconds"] < 5 * found["first_seconds"] + 0.005
