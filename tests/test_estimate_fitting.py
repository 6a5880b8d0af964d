"""The largest that fits: it does, the next does not, and ``estimate`` says the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.estimate import fitting
from lora_efficiency_benchmark.estimate.fitting import Largest, largest_that_fits, needed_bytes
from lora_efficiency_benchmark.estimate.options import EstimateOptions
from lora_efficiency_benchmark.estimate.predict import Predictor
from lora_efficiency_benchmark.units import GIB, MIB

LORA = "lora:r={rank},targets=q_proj+v_proj"
WINDOW, POSITIONS = 800, 1500  # half of any length is below the window


@pytest.fixture(scope="module")
def sliding_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Gemma 2, whose attention slides in every other layer."""
    from transformers import Gemma2Config

    config: Any = Gemma2Config(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        max_position_embeddings=POSITIONS, sliding_window=WINDOW,
    )  # fmt: skip
    config.architectures = ["Gemma2ForCausalLM"]
    folder = tmp_path_factory.mktemp("gemma2")
    config.save_pretrained(folder)
    return str(folder)


def needs(model: str, batch_size: int, seq_len: int, rank: int, **options: Any) -> int:
    """Bytes by an estimate of its own, which shares nothing with the search."""
    settings = EstimateOptions(batch_size=batch_size, seq_len=seq_len, **options)
    method = parse_method(LORA.format(rank=rank))
    return needed_bytes(Predictor(model, method, settings).estimate())


# ---- the search by itself, on steps whose memory is a formula -----------------------------------


class Formula:
    """Stands for a ``Predictor``: a step needs a MiB a token, its recording says ``off`` more."""

    def __init__(self, asked: tuple[int, int], off: int = 0) -> None:
        self.options = EstimateOptions(batch_size=asked[0], seq_len=asked[1])
        self.method = parse_method("full")
        self.config = SimpleNamespace(max_position_embeddings=POSITIONS)
        self.rank, self.off = 1, off
        self.traced: list[tuple[int, int]] = []

    def window(self) -> int:
        return WINDOW

    def shorter_length(self, length: int) -> int | None:
        return length // 2 if length >= 32 else None

    def stream(self, batch: int, length: int, rank: int) -> tuple[int, int]:
        self.traced.append((batch, length))
        return batch, length

    def recording(self, length: int, batches: Any = (3, 5, 4), ranks: Any = (8, 12, 20)) -> Any:
        def at(batch: int, seq_len: int, rank: int) -> tuple[int, int, int]:
            assert (batch > 1) == (batches[0] > 1)
            assert (seq_len >= WINDOW) == (length >= WINDOW), "the other side of the window"
            return batch, seq_len, self.off

        def allocated_peaks(points: Any) -> list[int]:
            return [batch * length * MIB for batch, length, _ in points]

        return SimpleNamespace(at=at, allocated_peaks=allocated_peaks)

    def reserved_range(self, stream: tuple[int, ...], shorter: Any) -> list[int]:
        batch, length, *off = stream
        return [0, batch * length * MIB + GIB + sum(off)]


def limit_of(tokens: int) -> int:
    return tokens * MIB + GIB + fitting.CONTEXT_BYTES


@pytest.mark.parametrize("off", [0, 3 * GIB, -3 * GIB])
def test_traces_have_the_last_word_over_a_recording(off: int) -> None:
    """A recording that is wrong moves the start, not the answer."""
    formula = Formula((4, 500), off=off)
    found = largest_that_fits(formula, limit_of(4002))  # type: ignore[arg-type]
    assert found == {"batch_size": 8, "seq_len": 1000, "rank": None}
    if not off:  # each value and the next; of half the length, only what came before one that fits
        assert len(set(formula.traced)) == 2 + 3 + 2, formula.traced


@pytest.mark.parametrize("asked", [(4, 500), (4, 1000), (4, 1400), (1, 500), (1, 1400)])
@pytest.mark.parametrize("tokens", [250, 700, 2000, 3999, 5000])
def test_every_limit_from_every_start(asked: tuple[int, int], tokens: int) -> None:
    """Halves of lengths are replayed on their own side of the window: ``recording`` checks it."""
    batch, length = asked
    found = largest_that_fits(Formula(asked), limit_of(tokens))  # type: ignore[arg-type]
    most, longest = tokens // length or None, min(tokens // batch, POSITIONS)
    assert found == {"batch_size": most, "seq_len": longest, "rank": None}


def test_what_is_far_too_large_needs_few_traces() -> None:
    formula = Formula((4, 500))
    assert largest_that_fits(formula, GIB) is None  # type: ignore[arg-type]
    assert len(set(formula.traced)) <= 7


# ---- tiny models --------------------------------------------------------------------------------


def found_in(model: str, at: tuple[int, int, int], limit: int, **options: Any) -> Largest:
    """The answer, after checking that each value fits by ``estimate`` and the next does not."""
    batch, length, rank = at
    settings = EstimateOptions(batch_size=batch, seq_len=length, **options)
    predictor = Predictor(model, parse_method(LORA.format(rank=rank)), settings)
    found = largest_that_fits(predictor, limit)
    assert found is not None
    positions = predictor.config.max_position_embeddings
    for name, highest in (
        ("batch_size", None), ("seq_len", positions), ("rank", predictor.config.hidden_size),
    ):  # fmt: skip
        asked = {"batch_size": batch, "seq_len": length, "rank": rank}
        value = found[name]  # type: ignore[literal-required]
        if value is not None:
            assert needs(model, **{**asked, name: value}, **options) <= limit
        above = {"batch_size": 1, "seq_len": 16, "rank": 1}[name] if value is None else value + 1
        if highest is None or above <= highest:
            assert needs(model, **{**asked, name: above}, **options) > limit
    return found


@pytest.mark.parametrize(
    ("batch", "options"),
    [
        (4, {"padded": False}),
        pytest.param(4, {}, marks=pytest.mark.slow),
        pytest.param(1, {"loop": "plain"}, marks=pytest.mark.slow),
    ],
)
def test_the_value_fits_and_the_next_does_not(
    tiny_model_dir: Path, batch: int, options: dict[str, Any]
) -> None:
    limit = needs(str(tiny_model_dir), batch, 150, 12, **options)
    found = found_in(str(tiny_model_dir), (batch, 100, 4), limit, **options)
    assert None not in found.values()
    assert found["batch_size"] >= batch  # type: ignore[operator]
    assert found["seq_len"] >= 150  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "length"),
    [
        ((4, 600, 4), 1000),  # asked below the window, found above it
        ((4, 1000, 4), 600),
        ((1, 1000, 4), 1200),
    ],
)
def test_on_both_sides_of_a_sliding_window(
    sliding_dir: str, at: tuple[int, int, int], length: int
) -> None:
    found = found_in(sliding_dir, at, needs(sliding_dir, at[0], length, at[2]))
    assert found["seq_len"] is not None
    assert found["seq_len"] >= length


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "at", "gib", "options"),
    [
        ("llama-2-7b", (4, 512, 8), 24, {"precision": "bf16"}),
        ("llama-2-7b", (4, 512, 8), 80, {}),
        ("gemma-2-2b", (4, 512, 8), 24, {}),
        ("gemma-2-2b", (1, 4200, 8), 80, {}),
    ],
)
def test_of_real_models_on_real_devices(
    model: str, at: tuple[int, int, int], gib: int, options: dict[str, Any]
) -> None:
    found_in(model, at, gib * GIB, **options)


def test_nothing_fits_or_no_rank_to_vary(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EstimateOptions(batch_size=2, seq_len=64, padded=False)
    full = Predictor(str(tiny_model_dir), parse_method("full"), options)
    assert largest_that_fits(full, 100 * MIB) is None
    monkeypatch.setattr(fitting, "MOST_TEXTS", 2)
    found = largest_that_fits(full, 1024 * MIB)
    assert found is not None
    assert found["rank"] is None
    assert found["seq_len"] == 256, "the model knows no more positions"
