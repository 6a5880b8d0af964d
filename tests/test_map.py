"""The map: a reduced step gives the bytes of the whole one; page and table say the same."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lora_efficiency_benchmark.cli import app
from lora_efficiency_benchmark.cli import map as cli_map
from lora_efficiency_benchmark.config.gpus import Gpu
from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.errors import ConfigError, LoraBenchError, ModelError
from lora_efficiency_benchmark.estimate.map import flow
from lora_efficiency_benchmark.estimate.map.flow import longest_length, map_model
from lora_efficiency_benchmark.estimate.map.grid import COLUMNS, grid, rows
from lora_efficiency_benchmark.estimate.map.pieces import STEP, pieces, rank_groups
from lora_efficiency_benchmark.estimate.map.reduction import Domain, reduce_recording
from lora_efficiency_benchmark.estimate.map.values import (
    CLOSE,
    EXCEEDS,
    FITS,
    ModelMap,
    Request,
    Setting,
    method_label,
    workspace_bytes,
)
from lora_efficiency_benchmark.estimate.options import EstimateOptions
from lora_efficiency_benchmark.estimate.predict import CONTEXT_BYTES, Predictor
from lora_efficiency_benchmark.estimate.recording import EXPONENTS, Recording
from lora_efficiency_benchmark.estimate.stream import STEP_END, Stream
from lora_efficiency_benchmark.language import Statement
from lora_efficiency_benchmark.measure.allocations import CATEGORIES
from lora_efficiency_benchmark.units import GIB
from map_cases import FIRST, LOGITS, RANKS, TOKEN, WEIGHTS, made_map

LORA = "lora:r=4,targets=q_proj+v_proj"


# ---- reduction, on steps made at random ---------------------------------------------------------


def random_recording(seed: int) -> Recording:
    """Blocks of nine sizes that come and go in random order, a step's end among the events."""
    draw = np.random.default_rng(seed)
    coefficients = np.zeros((9, len(EXPONENTS)))
    for row in coefficients:
        row[draw.integers(0, 5)] = draw.integers(1, 4000)
    events: list[tuple[int, int]] = []
    alive: list[int] = []
    for block in range(400):
        events.append((block, 1))
        alive.append(block)
        while len(alive) > 3 and draw.random() < 0.5:
            events.append((alive.pop(draw.integers(0, len(alive))), -1))
    events.insert(200, (STEP_END, 0))
    blocks, signs = np.array(events).T
    kind = draw.integers(0, 9, 400)
    structure = Stream(
        blocks, signs, draw.integers(0, 4, len(events)), np.full(len(events), -1),
        np.ones(400, dtype=np.int64), draw.integers(0, len(CATEGORIES), 400),
    )  # fmt: skip
    return Recording(structure, coefficients, kind)


@pytest.mark.parametrize("seed", range(5))
def test_a_reduced_step_peaks_where_the_whole_one_does(seed: int) -> None:
    recording = random_recording(seed)
    domain = Domain((1, 12), (128, 1024), 128, (1, 4, 16))
    reduced = reduce_recording(recording, domain)
    assert reduced.shortfall == 0
    assert len(reduced.counts) < 60
    predictor = object.__new__(Predictor)
    predictor.options = EstimateOptions()
    for point in product((1, 2, 5, 7, 12), (128, 384, 1024), (1, 4, 16)):
        whole = predictor.peak_of(recording.at(*point))
        extra = sum(predictor.workspaces())
        assert reduced.peaks([point])[0] == whole.allocated_bytes - extra
        parts = reduced.breakdown(point)
        assert sum(parts.values()) == whole.allocated_bytes - extra
        parts["temporaries"] += extra
        assert parts == whole.breakdown


def test_a_moment_that_was_missed_is_reported() -> None:
    """The domain of choosing is one point; elsewhere another moment is higher."""
    recording = random_recording(0)
    domain = Domain((1, 64), (128, 8192), 128, (1, 256))
    narrow = reduce_recording(recording, Domain((1, 1), (128, 128), 128, (1,)))
    points = domain.lattice()
    wide = reduce_recording(recording, domain)
    assert (wide.peaks(points) >= narrow.peaks(points)).all()
    assert (wide.peaks(points) > narrow.peaks(points)).any()


# ---- how far a recording reaches ----------------------------------------------------------------


@pytest.mark.parametrize("window", [None, 100, 300, 1000, 1024, 5000])
@pytest.mark.parametrize("max_batch", [1, 6])
def test_every_point_belongs_to_one_piece(window: int | None, max_batch: int) -> None:
    groups = [((4, 8), (8, 12, 20)), ((32,), (32, 32, 32))]
    cut = pieces(max_batch, 2048, window, groups)
    for point in product(range(1, max_batch + 1), range(STEP, 2049, STEP), (4, 8, 32)):
        (piece,) = [p for p in cut if point in p.domain]
        assert (piece.batches == (1, 1, 1)) == (point[0] == 1)
        if window is not None:
            assert (piece.seq_len >= window) == (point[1] >= window)


def test_ranks_are_apart_where_an_8_bit_optimizer_treats_tensors_apart() -> None:
    ranks = (1, 4, 8, 16, 32, 256)
    assert rank_groups("adamw_torch", {576, 192}, ranks) == [(ranks, (8, 12, 20))]
    assert rank_groups("adamw_torch", set(), (1,)) == [((1,), (1, 1, 1))]
    found = rank_groups("adamw_8bit", {576, 192}, ranks)
    assert [group for group, _ in found] == [(1,), (4,), (8, 16), (32, 256)]
    (_, few), (_, many) = rank_groups("adamw_8bit", {32, 64}, (4, 128))
    assert few == (8, 16, 32), "blocks of 256 elements come out whole at multiples of 8"
    assert all(rank % 8 == 0 and rank >= 128 for rank in many)
    for group, recorded in found:
        for unit in (576, 192):
            assert len({rank * unit < 4096 for rank in (*group, *recorded)}) == 1


# ---- a real model -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tiny_model_dir: Path) -> ModelMap:
    request = Request(
        model=str(tiny_model_dir), methods=(parse_method("full"), parse_method(LORA)),
        precisions=("bf16",), optimizers=("adamw_torch",), checkpointing=(False,), ranks=(4, 8),
        max_batch=6, max_length=longest_length(str(tiny_model_dir), False, 8192),
    )  # fmt: skip
    return map_model(request)


@pytest.mark.parametrize("method", [0, 1])
@pytest.mark.parametrize("point", [(1, 256, 8), (5, 128, 4)])
def test_the_map_says_what_an_exact_trace_says(
    tiny: ModelMap, method: int, point: tuple[int, int, int]
) -> None:
    setting = tiny.request.settings()[0]
    entry = tiny.entries[method, setting]
    asked = tiny.request.methods[method]
    where = point if method else (*point[:2], 1)
    predictor = Predictor(tiny.request.model, asked, tiny.request.options(setting))
    exact = predictor.peak_of(predictor.stream(*where))
    found = int(entry.peaks([where])[0]) + workspace_bytes(None)
    assert found == exact.allocated_bytes
    parts = entry.breakdown(where)
    parts["temporaries"] += workspace_bytes(None)
    assert parts == exact.breakdown


def test_errors_and_parameters_of_the_map(tiny: ModelMap) -> None:
    assert tiny.largest_error() == (0.0, 2)
    assert tiny.request.max_length == 256
    setting = tiny.request.settings()[0]
    for method in (0, 1):
        predictor = Predictor(
            tiny.request.model, tiny.request.methods[method], tiny.request.options(setting)
        )
        assert tiny.trainable_at(method, 4) == predictor.counts.trainable


def test_a_combination_that_cannot_be_recorded_is_left_out(
    tiny: ModelMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = list(tiny.entries.values())

    def record(request: Request, number: int, method: int, setting: object) -> object:
        if method == 2:
            raise ModelError("no polynomial")
        return entries[method]

    monkeypatch.setattr(flow, "_record", record)
    other = parse_method("lora:r=4,targets=o_proj")
    request = Request(**{**vars(tiny.request), "methods": (*tiny.request.methods, other)})
    found = map_model(request)
    assert [(entry.method, entry.reason.en) for entry in found.left_out] == [(2, "no polynomial")]
    monkeypatch.setattr(flow, "_record", lambda *_: record(request, 0, 2, None))
    with pytest.raises(ConfigError, match=r"no map of two arms can be made \(no polynomial\)"):
        map_model(request)


# ---- the table ----------------------------------------------------------------------------------


def test_the_table_holds_both_arms() -> None:
    found = made_map()
    table = list(rows(found))
    batches, lengths = grid(found.request)
    assert (batches[-1], lengths[-1]) == (32, 4096)
    assert len(table) == len(batches) * len(lengths) * len(RANKS)
    for row in table:
        assert tuple(sorted(row)) == tuple(sorted(COLUMNS))
        assert (row["basis"], row["reading"]) == ("ESTIMATED", "controlled")
        tokens = row["batch_size"] * row["seq_len"]
        assert row["tokens_per_step"] == tokens
        full = max(4 * WEIGHTS + tokens * (TOKEN + LOGITS), 5 * WEIGHTS) + workspace_bytes(None)
        assert row["full_peak_allocated_bytes"] == full
        assert row["memory_reduction_ratio"] == full / row["lora_peak_allocated_bytes"]
        assert row["parameter_reduction_ratio"] == 600 / row["rank"]
        assert row["full_fits"] is row["lora_fits"] is None


def test_what_fits_is_by_what_may_be_reserved() -> None:
    found = made_map()
    entry = found.entries[1, FIRST]
    assert entry.reserved_ratio(128) == (1.0, 1.1)
    assert entry.reserved_ratio(2048) == pytest.approx((1.01, 1.15))
    assert entry.reserved_ratio(10**6) == (1.02, 1.2)
    limit = 10 * GIB + CONTEXT_BYTES
    assert entry.fit(int(10 * GIB / 1.1), 512, limit) == FITS
    assert entry.fit(10 * GIB, 512, limit) == CLOSE
    assert entry.fit(10 * GIB + 1, 512, limit) == EXCEEDS
    table = list(rows(found, Gpu("24GiB", 24 * GIB), range(1, 33), (1024,)))
    assert {row["lora_fits"] for row in table} == {FITS, CLOSE, EXCEEDS}
    assert {row["gpu"] for row in table} == {"24GiB"}


def test_as_practised_rows_have_full_fine_tuning_in_amp() -> None:
    found = made_map()
    setting = found.request.settings()[1]
    entry = found.entries[1, FIRST]
    found.entries[1, setting] = type(entry)(**{**vars(entry), "setting": setting})
    readings = {(r["reading"], r["full_precision"], r["lora_precision"]) for r in rows(found)}
    assert readings == {
        ("controlled", "amp-bf16", "amp-bf16"),
        ("controlled", "bf16", "bf16"),
        ("as-practised", "amp-bf16", "bf16"),
    }


def test_the_csv_is_plain_and_harmless() -> None:
    text = cli_map.table_text(made_map('=cmd|" /C calc"!A1'), None)
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(table[0]) == COLUMNS
    assert table[0]["model"].startswith("'=cmd")
    assert float(table[0]["memory_reduction_ratio"]) > 1
    assert table[0]["gradient_checkpointing"] == "false"


# ---- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--precision", "fp8"), "--precision fp8"),
        (("--optimizer", "lion"), "--optimizer lion"),
        (("--checkpointing", "maybe"), "--checkpointing maybe"),
        (("--rank", "0"), "--rank 0"),
        (("--max-batch", "0"), "--max-batch 0"),
        (("--max-length", "100"), "begins at 128"),
        (("--max-length", "0"), "--max-length 0: the map begins at 128"),
        (("--jobs", "0"), "--jobs 0: must be at least 1"),
        (("--gpu", "RTX-9999"), "--gpu RTX-9999"),
        (("--claims", "no-such"), "no-such"),
        (("--lang", "fr"), "--lang fr"),
        (("full",), "name one"),
        (("lora:r=4,targets=nope",), "nope"),
        (("-o", "/no/such/folder/page.html"), "/no/such/folder/page.html"),
    ],
)
def test_what_the_user_can_fix(
    tiny_model_dir: Path, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    output = ("-o", str(tmp_path / "page.html"))
    done = CliRunner().invoke(app, ["map", str(tiny_model_dir), *output, *arguments])
    assert isinstance(done.exception, LoraBenchError), done.output
    assert complaint in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_the_command_writes_page_and_table(
    tiny: ModelMap, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Statement("x", "未")
    monkeypatch.setattr(flow, "map_model", lambda request, jobs, say: say(1, 1, step) or tiny)
    page, table = tmp_path / "page.html", tmp_path / "map.csv"
    done = CliRunner().invoke(
        app,
        ["map", str(tiny_model_dir), LORA, "-o", str(page), "--csv", str(table), "--gpu", "24GiB",
         "--lang", "en", "--precision", "bf16", "--optimizer", "adamw_torch",
         "--max-length", "200"],
    )  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    assert "1/1 x" in done.stderr
    assert "--max-length 200: lengths go in steps of 128" in done.stderr
    assert "the map ends at 128" in done.stderr
    assert "ESTIMATED" in done.stdout
    assert "24GiB" in page.read_text(encoding="utf-8")
    assert len(table.read_text(encoding="utf-8").splitlines()) == 1 + len(list(rows(tiny)))


def test_methods_of_one_label_are_one_choice(tiny_model_dir: Path) -> None:
    texts = [LORA, LORA.replace("r=4", "r=32"), LORA + ",dropout=0", "full"]
    methods, start = cli_map._methods(str(tiny_model_dir), texts, False, "en")
    assert [method_label(method) for method in methods] == [
        "full", "LoRA q_proj, v_proj", "LoRA q_proj, v_proj dropout=0",
    ]  # fmt: skip
    assert start == 4


def test_the_usual_adapters_are_the_specifications_and_all_linear(tiny_model_dir: Path) -> None:
    methods, start = cli_map._methods(str(tiny_model_dir), None, False, "en")
    assert [method_label(method) for method in methods] == [
        "full", "LoRA q_proj, v_proj", "LoRA q_proj, k_proj, v_proj, o_proj", "LoRA all-linear",
    ]  # fmt: skip
    assert start is None


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "gradient checkpointing: not in the map (no)"),
     ("ja", "勾配チェックポイント: 地図にありません (不可)")],
)  # fmt: skip
def test_what_is_left_out_is_told_in_the_language_asked(
    language: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, setting = made_map(), Setting("bf16", "adamw_torch", True)
    left = replace(found.left_out[0], setting=setting, reason=Statement("no", "不可"))
    cli_map._say_left_out(replace(found, left_out=(left,)), language)
    cli_map._progress(language, 1, 2, setting.name)
    said = capsys.readouterr().err
    assert words in said
    assert f"1/2 {setting.name.text(language)}" in said


@pytest.fixture(scope="module")
def small_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small Llama without weights."""
    from estimate_cases import small_config

    config = small_config("llama")
    config.architectures = ["LlamaForCausalLM"]
    folder = tmp_path_factory.mktemp("small")
    config.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "checkpointing", "precision"),
    [("adamw_8bit", True, "bf16"), ("adamw_8bit", False, "nf4"), ("sgd", False, "amp-bf16")],
)
def test_every_rank_against_a_trace(
    small_dir: str, optimizer: str, checkpointing: bool, precision: str
) -> None:
    """Tensors that are small at some ranks under an 8-bit optimizer, a quantised base."""
    ranks = (1, 4, 16, 64, 128)
    request = Request(
        small_dir, (parse_method("full"), parse_method("lora:r=4,targets=all-linear")),
        tuple({"bf16", precision}), (optimizer,), (checkpointing,), ranks, 1, 512,
    )  # fmt: skip
    found = map_model(request)
    assert not found.left_out
    assert found.largest_error()[0] < 1e-3
    setting = next(s for s in request.settings() if s.precision == precision)
    entry = found.entries[1, setting]
    predictor = Predictor(request.model, request.methods[1], request.options(setting))
    for rank in ranks:
        point = (1, 512, rank)
        exact = predictor.peak_of(predictor.stream(*point)).allocated_bytes
        assert entry.peaks([point])[0] + workspace_bytes(None) == pytest.approx(exact, rel=1e-3)


@pytest.mark.slow
def test_several_processes_find_the_same(small_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks travel to processes of their own and come back in order."""
    request = Request(
        small_dir, (parse_method("full"), parse_method(LORA)), ("bf16",),
        ("sgd",), (False, True), (4, 8), 1, 256,
    )  # fmt: skip
    monkeypatch.setattr(flow, "_TASKS_A_PROCESS", 1)
    alone, together = map_model(request, jobs=1), map_model(request, jobs=2)
    assert alone.to_dict([]) == together.to_dict([])
