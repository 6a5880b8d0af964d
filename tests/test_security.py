"""What a stranger may hand us: code, pickles, paths, markup, formulas, escapes, YAML bombs.

docs/security.md lists the same points. Hostile import folders are in tests/test_importing.py,
hostile names in the HTML page in tests/test_report.py.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

import test_importing
from factories import fail, make_config, make_records
from lora_efficiency_benchmark import cli
from lora_efficiency_benchmark.analysis import analyze
from lora_efficiency_benchmark.config.adapters import parse_adapter
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig, load_config
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.config.methods import load_peft_config
from lora_efficiency_benchmark.config.yaml_io import load_yaml_file
from lora_efficiency_benchmark.dataset import paragraphs
from lora_efficiency_benchmark.dataset.corpora import load_corpus
from lora_efficiency_benchmark.errors import ConfigError, DataError, ModelError, StoreError
from lora_efficiency_benchmark.plain_text import spreadsheet_text
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import CellRecord, LoRAEfficiencyResult
from lora_efficiency_benchmark.records.store import Store

EVIL = "=H('x')<script>alert(1)</script>\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\r\nnext|`$"
HARMFUL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys, and what turns the reading direction; the line feed is not among them."""


def run_cli(
    patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, in this process."""
    patch.setattr(sys, "argv", ["lora-bench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


# ---- code that comes with a model ---------------------------------------------------------------


def test_a_models_own_code_is_off_unless_asked() -> None:
    assert LoRABenchmarkConfig(learning_rate=1e-4).trust_remote_code is False
    assert not any(cell.trust_remote_code for cell in expand(make_config()))
    for name in ("count", "estimate"):
        command = cli.typer.main.get_command(cli.app).commands[name]  # type: ignore[attr-defined]
        option = next(p for p in command.params if p.name == "trust_remote_code")
        assert option.default is False


@pytest.mark.parametrize("name", ["trust_remote_code", "allow_pickle"])
def test_a_report_says_that_code_was_trusted(name: str) -> None:
    claims = load_claims("paper-r5")
    plain = analyze(make_records(), claims)
    assert name not in plain.settings
    trusting = analyze(make_records(make_config(**{name: True})), claims)
    assert trusting.settings[name] is True
    assert trusting.to_dict()["settings"][name] is True


def test_trusting_is_another_cell() -> None:
    """A result that needed trust is never taken for one that did not."""
    plain, trusting, pickled = (
        {cell.id for cell in expand(make_config(**fields))}
        for fields in ({}, {"trust_remote_code": True}, {"allow_pickle": True})
    )
    assert not plain & trusting
    assert not plain & pickled


@pytest.fixture
def own_code(tiny_model_dir: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model folder whose configuration brings Python code, and what that code would leave."""
    folder, marker = Path(shutil.copytree(tiny_model_dir, tmp_path / "model")), tmp_path / "ran"
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings |= {
        "model_type": "of-our-own",
        "auto_map": {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"},
    }
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    code = f"open({str(marker)!r}, 'w').close()\nfrom transformers import LlamaConfig as MyConfig\n"
    (folder / "mine.py").write_text(code, encoding="utf-8")
    return folder, marker


def test_a_models_own_code_does_not_run(own_code: tuple[Path, Path]) -> None:
    from lora_efficiency_benchmark.models.loading import load_base_model
    from lora_efficiency_benchmark.models.structure import build_structure

    folder, marker = own_code
    for load in (build_structure, load_base_model):
        with pytest.raises(ModelError) as error:
            load(str(folder))
        assert "\n" not in str(error.value)
    assert not marker.exists()


# ---- pickles ------------------------------------------------------------------------------------


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_the_bomb_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.fixture
def pickled(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """The tiny model with its weights in pytorch_model.bin alone."""
    import torch
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_pickled_weights_are_refused_with_the_reason(pickled: Path) -> None:
    from lora_efficiency_benchmark.models.loading import load_base_model
    from lora_efficiency_benchmark.preflight import preflight

    config = make_config(model_name=str(pickled))
    for load in (lambda: load_base_model(str(pickled)), lambda: preflight(config)):
        with pytest.raises(ModelError) as error:
            load()
        for words in ("pytorch_model.bin is a pickle", "run code", "allow_pickle: true", "convert"):
            assert words in str(error.value)


def test_pickled_weights_are_read_where_allowed(pickled: Path, tiny_model_dir: Path) -> None:
    import torch

    from lora_efficiency_benchmark.models.loading import load_base_model

    model, _ = load_base_model(str(pickled), allow_pickle=True)
    same, _ = load_base_model(str(tiny_model_dir))
    for one, other in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_pickle_that_holds_more_than_weights_does_not_run(
    pickled: Path, tmp_path: Path, allowed: bool
) -> None:
    import torch

    from lora_efficiency_benchmark.models.loading import load_base_model

    marker = tmp_path / "ran"
    for content in (lambda f: torch.save({"w": Bomb(marker)}, f), lambda f: f.write(b"garbage")):
        with (pickled / "pytorch_model.bin").open("wb") as file:
            content(file)
        with pytest.raises(ModelError) as error:
            load_base_model(str(pickled), allow_pickle=allowed)
        assert "\n" not in str(error.value)
    assert not marker.exists()


def test_an_adapters_pickle_is_never_opened(tmp_path: Path) -> None:
    """Neither as a method nor on import: counts come from safetensors heads and JSON."""
    folder, marker = tmp_path / "runs/lora", tmp_path / "ran"
    test_importing.lora_run(folder, {0: 3.0, 20: 2.0})
    (folder / "adapter_model.safetensors").unlink()
    for name in ("adapter_model.bin", "training_args.bin", "optimizer.pt", "pytorch_model.bin"):
        (folder / name).write_bytes(pickle.dumps(Bomb(marker)))
    assert load_peft_config(folder)["peft_type"] == "LORA"
    found = test_importing.analysis_of(tmp_path / "runs", tmp_path / "out")
    assert not marker.exists()
    parameters = test_importing.claim_of(found, "parameter-reduction")
    assert parameters["verification"] == "NOT_MEASURED"


# ---- paths --------------------------------------------------------------------------------------

PATHS = ("../../x", "/etc/passwd", "a/b", "..", "C:\\x", "con", "a\0b", "x" * 500, "～/あ", "-rf")


@pytest.mark.parametrize("name", PATHS)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    """An id is a file name of letters, digits and hyphens, whatever model and data are called."""
    cells = expand(make_config())
    cells = [dataclasses.replace(cell, model_name=name, dataset=name) for cell in cells]
    adapter = parse_adapter({"r": 4, "target_modules": [re.sub(r"[\0]", "", name)]})
    cells += [dataclasses.replace(cell, adapter=adapter) for cell in cells if cell.adapter]
    for cell in cells:
        assert re.fullmatch(r"[a-z]+-[a-z0-9-]*-n\d+-s\d+-[0-9a-f]{10}", cell.id)


def test_a_record_is_written_nowhere_else(tmp_path: Path) -> None:
    record = make_records()[0]
    record.cell = dataclasses.replace(record.cell, kind="../../outside")
    with pytest.raises(StoreError, match="is no name for a record"):
        Store(tmp_path / "run").write_record(record)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"cell\.kind is"):
        Cell.from_dict(record.cell.to_dict())


def test_tables_are_read_by_name_and_a_readme_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A README.md beside parquet files may name addresses; the datasets library would go there."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def load_dataset(name: str, **options: Any) -> list[dict[str, str]]:
        asked.append((name, options))
        return [{"text": "一つの文章です。"}]

    fake = types.SimpleNamespace(load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    for name in ("train-0.parquet", "test-0.parquet", "validation/0.parquet"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    elsewhere = "data_files: https://example.org/x.parquet"
    readme = f"---\nconfigs:\n- config_name: default\n  {elsewhere}\n---\n"
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    assert len(load_corpus(str(tmp_path))) == 1
    train = str(tmp_path.resolve() / "data/train-0.parquet")
    assert asked == [("parquet", {"split": "train", "data_files": [train]})]


# ---- what people and programs read --------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of records in which every free text is hostile."""
    config = make_config(lora_configurations=[{"r": 4, "target_modules": ["q_proj", "v_proj"]}])

    def change(record: CellRecord) -> CellRecord:
        record.cell = dataclasses.replace(record.cell, model_name=EVIL, dataset=EVIL, samples=())
        device = {"type": EVIL, "name": EVIL, "total_memory_bytes": 1}
        record.environment |= {"cpu_model": EVIL, "platform": EVIL, "device": device, EVIL: EVIL}
        record.environment["packages"] = {EVIL: EVIL, "torch": EVIL}
        record.model = {"display_name": EVIL}
        record.started_at = EVIL
        if record.cell.kind in ("base", "train"):
            record.samples = [{"prompt": EVIL, "text": EVIL}]
        return fail(record, EVIL, EVIL) if record.cell.reading == "as-practised" else record

    store = Store(tmp_path_factory.mktemp("hostile"))
    store.create()
    for record in make_records(config, change=change):
        store.write_record(record)
    return store.path


COMMANDS = [
    ("analyze",), ("analyze", "--json"), ("recommend",), ("recommend", "--json"),
    ("report", "--format", "md"), ("report", "--format", "csv"), ("report", "--format", "latex"),
    ("report", "--format", "card"),
]  # fmt: skip


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_that_is_printed_can_be_obeyed(
    hostile: Path,
    command: tuple[str, ...],
    language: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, *options = command
    code, out, err = run_cli(monkeypatch, capsys, name, hostile, *options, "--lang", language)
    assert (code, err) == (0, ""), err
    assert len(out) > 100
    shown = out.replace("\r\n", "\n") if "csv" in command else out
    assert not HARMFUL.search(shown)
    if "md" in command:
        assert "<script" not in out
    if "--json" in command:
        assert "alert(1)" in json.dumps(json.loads(out)), "the text itself is not lost"


def test_comparing_hostile_folders(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_cli(monkeypatch, capsys, "compare", hostile, hostile, "--lang", "en")
    assert (code, err) == (0, "")
    assert not HARMFUL.search(out)


def test_json_says_the_same_with_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lora_efficiency_benchmark.cli.output import print_json

    values = {"値": EVIL, "half": "\ud800", "tag": "\U000e0041", "ja": "あ～　ー"}
    print_json(values)
    out = capsys.readouterr().out
    assert not HARMFUL.search(out)
    assert json.loads(out) == values
    assert "あ～　ー" in out, "what is harmless stays readable"


def test_errors_are_one_harmless_line() -> None:
    error = ConfigError(f"a {EVIL}\nb")
    assert not HARMFUL.search(str(error))
    assert "\n" not in str(error)
    assert len(str(ConfigError("x" * 10**6))) <= 2000


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x"]
)
def test_a_spreadsheet_runs_nothing(text: str, tmp_path: Path) -> None:
    adapter = {"r": 8, "alpha": 16, "target_modules": ["q_proj"]}
    values = (text, "lora", 10, adapter, 1, 2, -3.5, 4.0, 5.0, 6.0, 7.0, 8.0, text)
    path = Store(tmp_path).write_results([LoRAEfficiencyResult(*values, precision=text)])
    (row,) = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""))
    for column in ("model_name", "measurement_timestamp", "precision"):
        assert row[column] == f"'{text.strip()}" == spreadsheet_text(text)
    assert row["parameter_reduction_ratio"] == "-3.5", "a number of our own stays one"
    assert json.loads(row["lora_config"]) == adapter


def test_plain_names_stay_as_they_are() -> None:
    for name in ("org/model", "モデル", "smollm2-135m", "a=b", ""):
        assert spreadsheet_text(name) == name


# ---- YAML and files without end -----------------------------------------------------------------


def test_a_yaml_bomb_is_refused_at_once(tmp_path: Path) -> None:
    """Twelve lines that stand for a thousand billion texts."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    began = time.process_time()
    with pytest.raises(ConfigError, match="aliases unfolded"):
        load_yaml_file(path)
    assert time.process_time() - began < 20


def test_a_value_in_a_message_is_short_whatever_it_holds() -> None:
    """A list that shares its parts, as an alias makes one, is not unfolded for a message."""
    shared: Any = ["x"] * 10
    for _ in range(30):
        shared = [shared] * 10
    long = "x" * 10**6 + "\n"
    for values in ({"dataset_sizes": shared}, {"samples": shared}, {"model_name": long}):
        with pytest.raises(ConfigError) as error:
            load_config(values)
        assert len(str(error.value)) < 400


def test_many_keys_take_no_square_of_time(tmp_path: Path) -> None:
    path = tmp_path / "wide.yaml"
    path.write_text("".join(f"k{n}: 1\n" for n in range(20_000)), encoding="utf-8")
    assert len(load_yaml_file(path)) == 20_000


def test_a_compressed_text_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr(paragraphs, "MAX_TEXT_BYTES", 100_000)
    path = tmp_path / "bomb.txt.gz"
    path.write_bytes(gzip.compress(b"a" * 1_000_000))
    with pytest.raises(DataError, match="of text; split it"):
        load_corpus(str(path))


@pytest.mark.parametrize("line", ["[" * 100_000, '{"text": ' + "9" * 5000 + "}", "{"])
def test_a_json_line_without_end(tmp_path: Path, line: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=r"data\.jsonl:1: not valid JSON") as error:
        load_corpus(str(path))
    assert len(str(error.value)) < 400


# ---- the network --------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every way out is closed, and notes that it was tried."""
    tried: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        tried.append(str(arguments[1:]))
        raise AssertionError(f"the network was asked for: {arguments[1:]}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    return tried


def test_the_guard_works(no_network: list[str]) -> None:
    with pytest.raises(AssertionError):
        socket.create_connection(("192.0.2.1", 9))
    assert no_network


def test_reading_and_judging_ask_nobody(
    no_network: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = test_importing.trainer_folder(tmp_path / "runs")
    out = tmp_path / "out"
    for arguments in (
        ("import", source, out), ("analyze", out), ("analyze", out, "--json"), ("recommend", out),
        ("report", out, "--format", "md"), ("compare", out, out), ("models",), ("presets",),
    ):  # fmt: skip
        code, _, err = run_cli(monkeypatch, capsys, *arguments)
        assert code == 0, err
    assert no_network == []


GUARDED = """
import socket, sys
def refuse(*a, **k):
    raise SystemExit(f"the network was asked for: {a[1:]}")
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
for name in ("getaddrinfo", "create_connection", "gethostbyname"):
    setattr(socket, name, refuse)
sys.argv = ["lora-bench", *sys.argv[1:]]
from lora_efficiency_benchmark.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("count", "llama-2-7b"),
        ("estimate", "llama-2-7b", "lora:r=8,targets=q_proj+v_proj", "--seq-len", "64"),
        ("plan", "--preset", "quick", "--set", "model_name={model}"),
        ("run", "--preset", "quick", "--set", "model_name={model}", "--set", "dataset_sizes=[20]",
         "--set", "evaluation_size=4", "--set", "training_steps=1", "--set", "max_length=32",
         "--set", "estimate_scale=false", "--set", "probes=false", "--set", "samples=[]"),
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_sizes_plans_and_runs_ask_nobody(
    arguments: tuple[str, ...], tiny_model_dir: Path, tmp_path: Path
) -> None:
    """With the Hub's own offline switch off: nothing but the guard would stop a request.

    The worker of ``run`` is another process; there the offline switch is not needed either, as the
    model is a folder and the data are generated.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_HUB_OFFLINE")}
    filled = [a.replace("{model}", str(tiny_model_dir)) for a in arguments]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, *filled],
        capture_output=True, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "network" not in done.stderr


@pytest.mark.parametrize(
    "argument",
    ["push_to_hub", "hub_token", "hub_model_id", "report_to", "run_name", "trackio_space_id"],
)
def test_a_configuration_cannot_send_results_to_a_service(argument: str) -> None:
    with pytest.raises(ConfigError, match=f"trainer_args.{argument}: would send") as caught:
        make_config(trainer_args={argument: "hf_SECRET"})
    assert "SECRET" not in str(caught.value)
