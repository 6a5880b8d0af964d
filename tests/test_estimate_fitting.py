"""The largest that fits: it does, the next does not, and ``estimate`` says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark.estimate.fitting import largest_that_fits, needed_bytes
from lora_efficiency_benchmark.estimate.options import EstimateOptions
from lora_efficiency_benchmark.estimate.predict import Predictor
from lora_efficiency_benchmark.methods import parse_method
from lora_efficiency_benchmark.units import MIB

LORA = "lora:r={rank},targets=q_proj+v_proj"


def needs(model: str, batch_size: int, seq_len: int, rank: int, **options: Any) -> int:
    """Bytes by an estimate of its own, which shares nothing with the search."""
    settings = EstimateOptions(batch_size=batch_size, seq_len=seq_len, **options)
    method = parse_method(LORA.format(rank=rank))
    return needed_bytes(Predictor(model, method, settings).estimate())


@pytest.mark.parametrize(
    ("batch", "options"),
    [
        (4, {}),
        pytest.param(1, {"loop": "plain"}, marks=pytest.mark.slow),
    ],
)
def test_the_value_fits_and_the_next_does_not(
    tiny_model_dir: Path, batch: int, options: dict[str, Any]
) -> None:
    model, length, rank = str(tiny_model_dir), 100, 4
    limit = needs(model, batch, 150, 12, **options)
    settings = EstimateOptions(batch_size=batch, seq_len=length, **options)
    found = largest_that_fits(
        Predictor(model, parse_method(LORA.format(rank=rank)), settings), limit
    )
    assert found is not None
    most, longest, highest = found["batch_size"], found["seq_len"], found["rank"]
    assert most is not None
    assert longest is not None
    assert highest is not None
    assert most >= batch
    assert longest >= 150
    for at, after in [
        ((most, length, rank), (most + 1, length, rank)),
        ((batch, longest, rank), (batch, longest + 1, rank) if longest < 256 else None),
        ((batch, length, highest), (batch, length, highest + 1) if highest < 32 else None),
    ]:
        assert needs(model, *at, **options) <= limit
        assert after is None or needs(model, *after, **options) > limit


def test_nothing_fits_or_no_rank_to_vary(tiny_model_dir: Path) -> None:
    options = EstimateOptions(batch_size=2, seq_len=64)
    full = Predictor(str(tiny_model_dir), parse_method("full"), options)
    assert largest_that_fits(full, 100 * MIB) is None
    found = largest_that_fits(full, 1024 * MIB)
    assert found is not None
    assert found["rank"] is None
    assert found["seq_len"] == 256, "the model knows no more positions"
