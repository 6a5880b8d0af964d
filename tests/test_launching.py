"""``launcher:`` of a configuration: what may be asked, what a cell is then, how it is started."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark.analysis import analyze
from lora_efficiency_benchmark.cli import plan as cli_plan
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig, load_config
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.config.launching import (
    DDP,
    DEEPSPEED,
    FSDP2,
    accelerate_settings,
    check_launcher,
    strategy_of,
)
from lora_efficiency_benchmark.config.yaml_io import dump_yaml, load_yaml_file
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.execution import group
from lora_efficiency_benchmark.execution.group import (
    RankGroup,
    launch_command,
    launch_environment,
)
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.plan import Cell, expand

EXAMPLES = Path(__file__).parents[1] / "examples" / "accelerate"
ADAPTER = {"r": 8, "target_modules": ["q_proj", "v_proj"]}


def fsdp(**fields: Any) -> dict[str, Any]:
    """A file that divides a model among two processes; ``fields`` replace its keys."""
    block = {"fsdp_version": 2, "fsdp_cpu_ram_efficient_loading": False}
    return {
        "distributed_type": "FSDP",
        "num_processes": 2,
        "fsdp_config": block,
        **fields,
    }


def launched(**launcher: Any) -> LoRABenchmarkConfig:
    return make_config(lora_configurations=[ADAPTER], launcher=launcher)


def refusal(launcher: Any, **fields: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make_config(launcher=launcher, **fields)
    assert "\n" not in str(caught.value), "an error is one line"
    return str(caught.value)


# ---- what may be asked ----------------------------------------------------------------------


@pytest.mark.parametrize("launcher", [{}, {"isolation": "spawn"}, {"processes": 1}])
def test_one_process_is_what_it_always_was(launcher: dict[str, Any]) -> None:
    config = launched(**launcher)
    assert config.launcher == launcher
    assert config.processes == 1
    before = [cell.id for cell in expand(make_config(lora_configurations=[ADAPTER]))]
    assert [cell.id for cell in expand(config)] == before
    assert all("processes" not in cell.to_dict() for cell in expand(config))


def test_the_number_of_processes_is_part_of_what_trains() -> None:
    one, two, four = (
        {(c.kind, c.label, c.reading): c for c in expand(launched(processes=n))} for n in (1, 2, 4)
    )
    for key, cell in two.items():
        if cell.kind == "base":
            assert cell.id == one[key].id == four[key].id, "nothing is trained there"
            continue
        assert len({cell.id, one[key].id, four[key].id}) == 3
        assert cell.to_dict()["processes"] == 2
        assert (cell.strategy, cell.sharded) == (DDP, False)
        assert Cell.from_dict(json.loads(json.dumps(cell.to_dict()))) == cell


@pytest.mark.parametrize("processes", [0, -1, 65, True, 2.0, "2", [2]])
def test_processes_are_a_whole_number(processes: Any) -> None:
    assert "launcher.processes: must be a whole number from 1 to 64" in refusal(
        {"processes": processes}
    )


@pytest.mark.parametrize(("batch", "processes", "fits"), [(4, 3, 3), (6, 4, 4), (2, 4, 4)])
def test_a_batch_is_shared_evenly(batch: int, processes: int, fits: int) -> None:
    message = refusal({"processes": processes}, batch_size=batch)
    assert f"batch_size: {batch} texts a step cannot be shared evenly" in message
    assert f"such as {fits}" in message
    make_config(launcher={"processes": processes}, batch_size=fits)


@pytest.mark.parametrize(
    "arguments",
    [
        {"fsdp": "full_shard"},
        {"deepspeed": "zero.json"},
        {"accelerator_config": {"split_batches": True}},
        {"average_tokens_across_devices": False},
    ],
)
def test_what_would_change_the_step_of_several_processes(arguments: dict[str, Any]) -> None:
    name = next(iter(arguments))
    assert f"trainer_args.{name}: with several" in refusal({"processes": 2}, trainer_args=arguments)
    make_config(trainer_args=arguments)  # one process hands them to the Trainer, as ever


@pytest.mark.parametrize(("language", "words"), [("en", "2 processes"), ("ja", "2 プロセス")])
def test_the_plan_says_how_many(language: str, words: str) -> None:
    for cell in expand(launched(processes=2)):
        line = cli_plan._text(cli_plan._Line(cell, 1, 60.0, None), False, language)
        assert line.endswith(words) == (cell.kind != "base")


# ---- the accelerate file --------------------------------------------------------------------


def test_the_file_becomes_part_of_the_configuration(tmp_path: Path) -> None:
    """A folder of results must explain itself when the file is gone."""
    path = tmp_path / "fsdp2.yaml"
    path.write_text(dump_yaml(fsdp()), encoding="utf-8")
    config = launched(accelerate_config=str(path))
    path.unlink()
    assert config.processes == 2
    assert config.accelerate == fsdp()
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    again = load_config(tmp_path / "config.yaml")
    assert again == config
    assert [c.id for c in expand(again)] == [c.id for c in expand(config)]
    trained = next(cell for cell in expand(again) if cell.kind == "train")
    assert (trained.strategy, trained.sharded) == (FSDP2, True)
    plain = next(cell for cell in expand(launched(processes=2)) if cell.kind == "train")
    assert trained.id != plain.id


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"distributed_type": "MULTI_CPU"}, "distributed_type must be one of MULTI_GPU, FSDP"),
        ({"distributed_type": None}, "distributed_type must be one of"),
        ({"num_processes": "2"}, "num_processes must be a whole number"),
        ({"num_processes": 4}, "is 2, and accelerate_config says num_processes 4"),
        ({"num_machines": 2}, "num_machines 2 is not supported here"),
        ({"mixed_precision": "bf16"}, "mixed_precision 'bf16' would override the field precision"),
        ({"gpu_ids": "0,1"}, "is chosen by CUDA_VISIBLE_DEVICES"),
        ({"main_process_ip": "10.0.0.1"}, "main_process_ip '10.0.0.1' is not supported"),
        ({"use_cpu": True}, "use_cpu True is not supported"),
        ({"colour": "red"}, "'colour' is not used here"),
        ({"fsdp_config": ["x"]}, "fsdp_config must be a mapping"),
        ({"fsdp_config": {"fsdp_version": 1}}, "fsdp_version must be 2"),
        ({"fsdp_config": {"fsdp_version": 2}}, "efficient_loading must be false"),
        ({"fsdp_config": {"fsdp_versoin": 2}}, "fsdp_config.fsdp_versoin is not used here; known"),
        ({"fsdp_config": {"fsdp_version": [2]}}, "fsdp_config.fsdp_version must be a plain value"),
        ({"deepspeed_config": {"zero_stage": 3}}, "deepspeed_config does not go with"),
    ],
)
def test_what_an_accelerate_file_may_not_say(fields: dict[str, Any], words: str) -> None:
    assert words in refusal({"processes": 2, "accelerate_config": fsdp(**fields)})


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"zero3_init_flag": True}, "zero3_init_flag must be false"),
        ({"offload_param_device": "nvme"}, "offload_param_device must be none or cpu"),
        ({"deepspeed_config_file": "zero.json"}, "deepspeed_config_file is not used here"),
    ],
)
def test_what_of_deepspeed_is_not_supported(block: dict[str, Any], words: str) -> None:
    given = {"distributed_type": "DEEPSPEED", "num_processes": 2, "deepspeed_config": block}
    assert words in refusal({"accelerate_config": given})


def test_what_accelerate_writes_by_itself_is_taken() -> None:
    """Keys that 'accelerate config' adds to every file, with what they say when left alone."""
    usual = {
        "compute_environment": "LOCAL_MACHINE", "debug": False, "downcast_bf16": "no",
        "enable_cpu_affinity": False, "gpu_ids": "all", "machine_rank": 0,
        "main_training_function": "main", "mixed_precision": "no", "num_machines": 1,
        "rdzv_backend": "static", "same_network": True, "tpu_env": [], "tpu_use_cluster": False,
        "tpu_use_sudo": False, "use_cpu": False,
    }  # fmt: skip
    given = {**usual, "distributed_type": "MULTI_GPU", "num_processes": 2}
    assert launched(accelerate_config=given).processes == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "must be the path of a YAML file"),
        ("", "must be the path of a YAML file"),
        ("absent.yaml", "no such file absent.yaml"),
        ("a\x1b[H", "must be the path of a YAML file"),
    ],
)
def test_a_path_that_leads_nowhere(given: Any, words: str) -> None:
    assert words in refusal({"processes": 2, "accelerate_config": given})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "must be a mapping, as 'accelerate config' writes it"),
        ("distributed_type: [FSDP", "is not plain YAML"),
        ("distributed_type: !!python/name:os.system x", "is not plain YAML"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    message = refusal({"processes": 2, "accelerate_config": str(path)})
    assert words in message
    assert "bad.yaml" in message


def test_an_accelerate_file_is_for_several_processes() -> None:
    given = {"distributed_type": "MULTI_GPU", "num_processes": 1}
    assert "is for 2 processes or more" in refusal({"accelerate_config": given})


@pytest.mark.parametrize(("name", "strategy"), [("fsdp2", FSDP2), ("deepspeed-zero3", DEEPSPEED)])
def test_the_examples_are_taken(name: str, strategy: str) -> None:
    launcher = check_launcher({"accelerate_config": str(EXAMPLES / f"{name}.yaml")})
    assert launcher["processes"] == 2
    assert strategy_of(2, launcher["accelerate_config"]) == strategy
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    assert "untested" in text, "until benchmarks/results holds one"


def test_every_example_is_named_in_a_test() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {"fsdp2", "deepspeed-zero3"}


# ---- records that are read ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [{"processes": 0}, {"processes": 65}, {"processes": "2"}, {"processes": True},
     {"accelerate": fsdp()}, {"processes": 2, "accelerate": {"distributed_type": "TPU"}},
     {"processes": 2, "accelerate": ["FSDP"]}],
)  # fmt: skip
def test_a_cell_that_no_configuration_makes_is_refused(changed: dict[str, Any]) -> None:
    cell = next(c for c in expand(make_config()) if c.kind == "train")
    with pytest.raises(ValueError, match=r"cell\.processes is"):
        Cell.from_dict({**cell.to_dict(), **changed})


def test_one_process_and_two_are_never_judged_together() -> None:
    records = make_records(make_config())
    two = make_records(make_config(launcher={"processes": 2}))
    alone = analyze(records, load_claims("paper-r5"))
    mixed = analyze([*records, *[r for r in two if r.cell.adapter]], load_claims("paper-r5"))
    assert [r.cell_id for r in mixed.rows] == [r.cell_id for r in alone.rows]
    assert "processes" not in alone.settings
    together = analyze(two, load_claims("paper-r5"))
    assert together.settings["processes"] == 2
    assert {r.cell_id for r in together.rows}.isdisjoint(r.cell_id for r in alone.rows)


# ---- how it is started ----------------------------------------------------------------------


def test_the_command_line(tmp_path: Path) -> None:
    words = launch_command(tmp_path, processes=2, threads=5)
    assert words[:4] == [sys.executable, "-P", "-m", "accelerate.commands.launch"]
    options = dict(zip(words[4:-3:2], words[5:-3:2], strict=True))
    assert options == {
        "--config_file": str(tmp_path / "accelerate.yaml"),
        "--num_processes": "2",
        "--num_machines": "1",
        "--main_process_port": "0",
        "--num_cpu_threads_per_process": "2",
    }
    assert words[-3:] == [
        "--module",
        "lora_efficiency_benchmark.execution.rank",
        str(tmp_path),
    ]
    assert launch_command(tmp_path, processes=4, threads=2)[-4] == "1", "never none"


def test_the_settings_that_accelerate_reads_are_whole() -> None:
    """What is missing would be filled from the user's own default file."""
    plain = accelerate_settings(2, None)
    assert plain["distributed_type"] == "MULTI_GPU"
    given = accelerate_settings(2, fsdp(mixed_precision=False))
    assert given["fsdp_config"] == fsdp()["fsdp_config"]
    for settings in (plain, given):
        assert settings["num_processes"] == 2
        assert settings["mixed_precision"] == "no"
        assert settings["compute_environment"] == "LOCAL_MACHINE"


def test_the_environment_is_the_callers_but_for_other_launches() -> None:
    pinned = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}  # all ranks to the same cores
    given = {"HOME": "/home/x", "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1", **pinned}
    found = launch_environment(given)
    assert found["HOME"] == "/home/x"
    assert found["PYTHONSAFEPATH"] == "1"
    assert found["GLOO_SOCKET_IFNAME"].startswith("lo"), "nothing leaves the machine"
    assert not {"ACCELERATE_USE_FSDP", "FSDP_VERSION", *pinned} & set(found)
    assert launch_environment({"GLOO_SOCKET_IFNAME": "eth9"})["GLOO_SOCKET_IFNAME"] == "eth9"


# ---- what comes back: a stand-in for accelerate, without torch ------------------------------

RANKS = """
import json, os, subprocess, sys, time
folder = sys.argv[1]
print("a library says hello", '{"event": "record"}')
def send(rank, **event):
    with open(f"{folder}/rank-{rank}.jsonl", "ab", buffering=0) as file:
        file.write(json.dumps({**event, "at": time.time()}).encode() + b"\\n")
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """``stand_in(code)``: a group whose launcher is a small program."""

    def make(code: str, processes: int = 2) -> RankGroup:
        script = tmp_path / "ranks.py"
        script.write_text(RANKS + code, encoding="utf-8")

        def command(folder: Path, *_: Any) -> list[str]:
            return [sys.executable, str(script), str(folder)]

        monkeypatch.setattr(group, "launch_command", command)
        return RankGroup({"cell": {}, "threads": 2}, processes, None, dict(os.environ))

    return make


def test_a_launcher_that_does_not_start_is_a_failed_record_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(group, "launch_command", lambda *_: [str(tmp_path / "no-such-program")])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    launch = LocalLauncher("spawn", processes=2)
    launch._threads = 2
    cell = next(c for c in expand(make_config(launcher={"processes": 2})) if c.kind == "train")
    before = psutil.Process().num_fds()
    record = launch.run(cell)
    assert (record.cell_id, record.status) == (cell.id, "failed")
    assert record.error is not None
    assert record.error["kind"] == "worker_died"
    assert "its processes did not start" in record.error["message"]
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().num_fds() == before


def answer_of(made: RankGroup, seen: list[dict[str, Any]], limit: float = 60) -> dict[str, Any]:
    folder = made._folder
    assert folder.stat().st_mode & 0o077 == 0, "nobody else may read or answer"
    try:
        return made.ask(seen.append, limit)
    finally:
        made.close()
        assert not folder.exists()
        assert made._launcher.poll() is not None


def comes_true(asked: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not asked() and time.monotonic() < end:
        time.sleep(0.05)
    return asked()


def first_phase(made: RankGroup) -> str:
    """Name of the first phase that the ranks tell."""
    seen: list[dict[str, Any]] = []

    def told() -> bool:
        made._read(seen.append)
        return bool(seen)

    assert comes_true(told)
    return str(seen[0]["name"])


def test_the_record_and_the_steps_come_from_files(stand_in: Any) -> None:
    seen: list[dict[str, Any]] = []
    found = answer_of(
        stand_in(
            "send(0, event='step', step=1)\n"
            "send(1, event='done')\n"
            "send(0, event='record', record={'status': 'ok'})\n"
        ),
        seen,
    )
    assert found["record"] == {"status": "ok"}
    assert [event["step"] for event in seen] == [1], "what is printed is no event"


def test_the_request_and_the_settings_wait_in_the_folder(stand_in: Any) -> None:
    code = (
        "request = json.load(open(f'{folder}/request.json'))\n"
        "text = open(f'{folder}/accelerate.yaml').read()\n"
        "send(0, event='record', record={'status': 'ok', 'request': request, 'text': text})\n"
    )
    record = answer_of(stand_in(code), [])["record"]
    assert record["request"] == {"cell": {}, "threads": 2}
    assert "distributed_type: MULTI_GPU" in record["text"]
    assert "mixed_precision: 'no'" in record["text"], "a bare no would be read as false"


def test_the_first_failure_of_any_rank_is_the_answer(stand_in: Any) -> None:
    code = (
        "error = {'kind': 'out_of_memory', 'message': 'rank 1: no room'}\n"
        "send(1, event='record', record={'status': 'failed', 'error': error})\n"
        "late = {'kind': 'error', 'message': 'connection closed'}\n"
        "send(0, event='record', record={'status': 'failed', 'error': late})\n"
        "time.sleep(60)\n"
    )
    found = answer_of(stand_in(code), [])
    assert found["record"]["error"]["message"] == "rank 1: no room"


def test_a_rank_that_is_killed_is_the_cause_of_its_neighbours_failure(stand_in: Any) -> None:
    code = (
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "send(0, event='started', pid=os.getpid())\n"
        "send(1, event='started', pid=other.pid)\n"
        "time.sleep(0.5)\n"
        "other.kill(); other.wait()\n"
        "late = {'kind': 'error', 'message': 'connection closed'}\n"
        "send(0, event='record', record={'status': 'failed', 'error': late})\n"
        "time.sleep(0.5)\n"
        "print('exitcode : -15 (pid: 1)', 'exitcode : 1 (pid: 2)', 'exitcode : -9 (pid: 3)')\n"
        "sys.exit(1)\n"
    )
    found = answer_of(stand_in(code), [])
    assert found["event"] == "error"
    assert found["kind"] in ("worker_died", "out_of_memory")  # the kernel counts other kills too
    assert "killed" in found["message"]


def test_a_rank_that_has_ended_well_is_not_the_cause(stand_in: Any) -> None:
    code = (
        "other = subprocess.Popen([sys.executable, '-c', ''])\n"
        "send(1, event='started', pid=other.pid)\n"
        "send(1, event='done')\n"
        "other.wait()\n"
        "error = {'kind': 'error', 'message': 'its own'}\n"
        "send(0, event='record', record={'status': 'failed', 'error': error})\n"
        "time.sleep(60)\n"
    )
    assert answer_of(stand_in(code), [])["record"]["error"]["message"] == "its own"


def test_a_launcher_that_ends_without_a_word(stand_in: Any) -> None:
    code = "raise ImportError('DeepSpeed is not installed')\n"
    found = answer_of(stand_in(code), [])
    assert found["kind"] == "worker_died"
    assert "ended with code 1 (ImportError: DeepSpeed is not installed)" in found["message"]


def test_a_group_that_hangs_ends_with_everything_it_started(stand_in: Any) -> None:
    code = (
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "other = subprocess.Popen(sleep, start_new_session=True)\n"
        "send(0, event='phase', name=str(other.pid))\n"
        "time.sleep(600)\n"
    )
    made: RankGroup = stand_in(code)
    pid = Path("/proc") / first_phase(made)
    found = answer_of(made, [], limit=0.5)
    assert found["kind"] == "time_limit"
    assert comes_true(lambda: not pid.exists())


def test_the_pipe_closes_with_the_parent(stand_in: Any, tmp_path: Path) -> None:
    """Ranks wait for this: whoever is not found and killed ends by itself."""
    code = (
        "mark = os.path.join(os.path.dirname(sys.argv[0]), 'closed')\n"
        "watch = os.path.join(os.path.dirname(sys.argv[0]), 'watch.py')\n"
        "subprocess.Popen([sys.executable, watch, f'{folder}/alive', mark])\n"
        "while not os.path.exists(mark + '.open'):\n"
        "    time.sleep(0.05)\n"
        "send(0, event='phase', name=mark)\n"
        "time.sleep(600)\n"
    )
    watch = (
        "import sys\n"
        "with open(sys.argv[1], 'rb') as pipe:\n"
        "    open(sys.argv[2] + '.open', 'w').close()\n"
        "    pipe.read()\n"
        "open(sys.argv[2], 'w').close()\n"
    )
    (tmp_path / "watch.py").write_text(watch, encoding="utf-8")
    made: RankGroup = stand_in(code)
    try:
        mark = Path(first_phase(made))
        time.sleep(0.5)
        assert not mark.exists(), "open as long as the parent is there"
        os.close(made._alive)
        assert comes_true(mark.exists)
    finally:
        made._alive = os.open(os.devnull, os.O_RDONLY)
        made.close()


def test_the_configuration_of_a_run_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(launched(processes=2).to_yaml(), encoding="utf-8")
    assert load_yaml_file(path)["launcher"] == {"processes": 2}
