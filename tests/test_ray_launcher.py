"""Cells on a cluster without a cluster: what they reserve, where they go, and never twice."""

from __future__ import annotations

import os
import re
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factories import environment, evaluation, make_config, make_records
from lora_efficiency_benchmark import LoRAEfficiencyBenchmark, benchmark
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.errors import ConfigError, LoraBenchError, UserError
from lora_efficiency_benchmark.execution import choice, on_node, ray_engine, ray_launcher
from lora_efficiency_benchmark.execution.node_check import choose_nodes, local_paths
from lora_efficiency_benchmark.execution.nodes import (
    Demand,
    Node,
    NodeKind,
    choose_kind,
    demand_of,
    kinds_of,
)
from lora_efficiency_benchmark.execution.on_node import Lost, Outcome, Request
from lora_efficiency_benchmark.execution.ray_engine import RayEngine
from lora_efficiency_benchmark.execution.ray_launcher import RayLauncher
from lora_efficiency_benchmark.measure.environment import ALLOCATOR_VARIABLES
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import OK, CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.search import found_rates
from lora_efficiency_benchmark.units import GIB

NOW = "2026-11-24T09:00:00+00:00"
ONE_ADAPTER = [{"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]}]
NODE = Node("a1", "alpha", cpus=8, gpus=0, memory_bytes=32 * GIB)
GPU_NODE = Node("c3", "gamma", cpus=32, gpus=4, memory_bytes=256 * GIB)
GPU = {"type": "cuda", "name": "Example GPU", "total_memory_bytes": 80 * GIB}
NEEDS = {"peak_allocated_bytes": 4 * GIB, "breakdown": {"weights": 1 * GIB}}
CPU_KIND = NodeKind("Example CPU", False, (NODE,))
GPU_KIND = NodeKind("Example GPU", True, (GPU_NODE,))
CELLS = {cell.kind: cell for cell in expand(make_config(lora_configurations=ONE_ADAPTER))}


def facts(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "parameters": 1, "environment": environment(**fields)}


class FakeCluster:
    """Stands for Ray: answers the newest request first, and keeps what it was given."""

    def __init__(
        self, nodes: Sequence[Node] = (NODE,), cell: Callable[[Cell], Outcome] | None = None
    ) -> None:
        self.alive = list(nodes)
        self.checks: dict[str, Outcome] = {node.id: {"facts": facts()} for node in nodes}
        self.cell = cell or (lambda cell: {"record": record_of(cell).to_dict()})
        self.started: list[tuple[str, Request, Demand, tuple[str, ...], int]] = []
        self.log: list[tuple[str, str]] = []
        self._waiting: list[tuple[str, Request]] = []
        self.joined = 0

    def open(self) -> None:
        self.joined += 1

    def close(self) -> None:
        self.cancel()

    def nodes(self) -> list[Node]:
        return list(self.alive)

    def cancel(self) -> None:
        self._waiting.clear()

    def start(
        self, key: str, request: Request, demand: Demand, nodes: Sequence[str], retries: int
    ) -> None:
        self.started.append((key, request, demand, tuple(nodes), retries))
        self.log.append(("start", key))
        self._waiting.append((key, request))

    def finished(self, timeout_seconds: float) -> list[tuple[str, Outcome]]:
        if not self._waiting or not self.alive:
            return []
        key, request = self._waiting.pop()
        self.log.append(("end", key))
        return [(key, self._answer(key, request))]

    def _answer(self, key: str, request: Request) -> Outcome:
        if request["do"] == "check":
            return self.checks[key]
        if request["do"] == "estimate":
            cells = [Cell.from_dict(values) for values in request["cells"]]
            return {"estimates": {cell.id: NEEDS for cell in cells if cell.kind != "base"}}
        return self.cell(Cell.from_dict(request["cell"]))

    def given(self, kind: str = "") -> list[str]:
        """Ids of the cells that were handed over."""
        return [key for key, request, *_ in self.started if request["do"] == "cell"
                and request["cell"]["kind"].startswith(kind)]  # fmt: skip


def record_of(cell: Cell) -> CellRecord:
    record = CellRecord(cell, OK, NOW, NOW, environment=environment())
    if cell.kind == "trial":
        assert cell.learning_rate is not None
        record.validation = evaluation(2.0 + abs(cell.learning_rate - 1e-3))
    return record


def prepared(cluster: FakeCluster, **fields: Any) -> RayLauncher:
    launcher = RayLauncher(engine=cluster, **fields)
    launcher.preflight(make_config())
    return launcher


def run_each(launcher: RayLauncher, cells: Sequence[Cell]) -> list[CellRecord]:
    return list(launcher.run_each(cells, lambda cell: NEEDS, lambda cell: None, lambda event: None))


# ---- what a cell reserves -----------------------------------------------------------------------


def test_a_timed_cell_has_all_cores_and_others_share_them() -> None:
    assert demand_of(CELLS["train"], NEEDS, CPU_KIND).cpus == NODE.cpus
    assert demand_of(CELLS["memory"], NEEDS, CPU_KIND).cpus == NODE.cpus // 4
    small = NodeKind("Example CPU", False, (replace(NODE, cpus=1),))
    assert {demand_of(cell, NEEDS, small).cpus for cell in CELLS.values()} == {1}


def test_on_a_gpu_every_cell_has_one_and_its_share_of_the_cores() -> None:
    for cell in CELLS.values():
        demand = demand_of(cell, NEEDS, GPU_KIND)
        assert (demand.cpus, demand.gpus) == (32 // 4, 1)
    assert demand_of(CELLS["train"], NEEDS, CPU_KIND).gpus == 0


def test_memory_comes_from_the_estimate() -> None:
    on_cpu = demand_of(CELLS["memory"], NEEDS, CPU_KIND).memory_bytes
    assert on_cpu == int(1.2 * 4 * GIB) + GIB
    on_gpu = demand_of(CELLS["memory"], NEEDS, GPU_KIND).memory_bytes
    assert on_gpu == int(1.2 * 2 * GIB) + GIB, "the host holds the weights, the GPU the peak"


def test_what_is_too_large_asks_for_a_whole_node_and_no_more() -> None:
    estimate = {"peak_allocated_bytes": 500 * GIB}
    assert demand_of(CELLS["train"], estimate, CPU_KIND).memory_bytes == NODE.memory_bytes


@pytest.mark.parametrize("estimate", [None, {"untraceable": "why"}])
@pytest.mark.parametrize("kind", [CPU_KIND, GPU_KIND], ids=lambda kind: kind.device)
def test_cells_without_an_estimate_fill_the_slots_of_a_node_side_by_side(
    estimate: dict[str, Any] | None, kind: NodeKind
) -> None:
    (node,) = kind.nodes
    for cell in CELLS.values():
        demand = demand_of(cell, estimate, kind)
        at_once = node.cpus // demand.cpus
        assert at_once == (1 if cell.kind == "train" else 4) or kind.accelerator
        assert demand.memory_bytes == node.memory_bytes // at_once
    uneven = NodeKind("Example GPU", True, (GPU_NODE, replace(GPU_NODE, memory_bytes=64 * GIB)))
    assert demand_of(CELLS["train"], estimate, uneven).memory_bytes == 16 * GIB


def test_the_smallest_node_of_a_kind_bounds_what_is_asked() -> None:
    kind = NodeKind("Example CPU", False, (NODE, replace(NODE, id="b", memory_bytes=2 * GIB)))
    assert demand_of(CELLS["train"], NEEDS, kind).memory_bytes == 2 * GIB


def test_the_untouched_model_asks_for_what_its_largest_cell_needs() -> None:
    cluster = FakeCluster()
    launcher = prepared(cluster)
    launcher.estimate(list(CELLS.values()))
    launched = launcher.run_each([CELLS["base"]], lambda cell: None, lambda cell: None, print)
    assert len(list(launched)) == 1
    _, _, demand, _, _ = cluster.started[-1]
    assert demand == demand_of(CELLS["base"], NEEDS, CPU_KIND)
    assert demand.memory_bytes < NODE.memory_bytes


# ---- nodes of one kind --------------------------------------------------------------------------


def test_nodes_are_of_one_kind_where_their_records_are_judged_together() -> None:
    others = [
        environment(device={"type": "cpu", "name": "Other CPU"}),
        environment(packages={"torch": "0.1"}),
        environment(allocator={"MALLOC_TOP_PAD_": "1"}),
    ]
    nodes = [replace(NODE, id=str(i)) for i in range(len(others) + 3)]
    nodes[1] = replace(nodes[1], cpus=4)
    found = kinds_of(list(zip(nodes, [environment()] * 3 + others, strict=True)))
    assert [len(kind.nodes) for kind in found] == [2, 1, 1, 1, 1]
    assert found[0].nodes == (nodes[0], nodes[2])


def test_the_kind_is_that_of_earlier_records_then_a_gpu_then_the_most_slots() -> None:
    many = NodeKind("Many CPU", False, (NODE, replace(NODE, id="b")))
    kinds = [CPU_KIND, many, GPU_KIND]
    (known,) = kinds_of([(NODE, environment())])
    assert choose_kind([*kinds, known], before=known.key) is known
    assert choose_kind(kinds) is GPU_KIND
    assert choose_kind([CPU_KIND, many]) is many
    assert choose_kind([many, CPU_KIND]) is many


def test_all_cells_go_to_nodes_of_the_chosen_kind() -> None:
    other = replace(NODE, id="b2", name="beta")
    cluster = FakeCluster([NODE, other, GPU_NODE])
    cluster.checks["b2"] = {"facts": facts(packages={"torch": "0.1"})}
    cluster.checks["c3"] = {"facts": facts(device=GPU)}
    launcher = RayLauncher(engine=cluster)
    told = launcher.preflight(make_config())
    assert told["environment"]["device"]["name"] == "Example GPU"
    assert told["at_once"] == 4
    assert told["environment"]["nodes"] == ["gamma"]
    assert told["environment"]["threads"] == 8
    assert len(told["notes"]) == 2
    assert any("alpha" in note.en for note in told["notes"])
    start = "すべてのセルを同じ種類のノードで実行するため、次のノードを除きました: "
    assert all(note.ja.startswith(start) for note in told["notes"])
    assert any("alpha" in note.ja for note in told["notes"])
    run_each(launcher, list(CELLS.values()))
    assert {nodes for key, _, _, nodes, _ in cluster.started if key in cluster.given()} == {("c3",)}


def test_every_cell_computes_with_as_many_threads() -> None:
    cluster = FakeCluster()
    run_each(prepared(cluster), list(CELLS.values()))
    cells = [request for _, request, *_ in cluster.started if request["do"] == "cell"]
    assert {request["threads"] for request in cells} == {NODE.cores}
    assert len(cells) == len(CELLS)


def test_a_gpu_that_the_cells_will_not_use_does_not_divide_the_cores() -> None:
    chosen, told = choose_nodes({"c3": GPU_NODE}, {"c3": {"facts": facts()}}, None)
    assert (chosen.cores, chosen.slots, chosen.accelerator) == (32, 1, False)
    assert told["environment"]["threads"] == 32


def test_copied_trials_do_not_say_where_a_folder_goes_on() -> None:
    cell = next(iter(CELLS.values()))
    trial = replace(cell, kind="trial")
    here, there = environment(), environment(threads=64)
    trials = [CellRecord(trial, OK, NOW, NOW, environment=there) for _ in range(3)]
    measured = CellRecord(replace(cell, kind="memory"), OK, NOW, NOW, environment=here)
    before = choice._most_used_environment([*trials, measured])
    assert before == measured.environment_key
    assert choice._most_used_environment(trials) == trials[0].environment_key


@pytest.mark.parametrize(
    "fields",
    [
        {"device": {"type": "cpu", "name": "Old CPU"}},
        {"packages": {"torch": "0.1"}},
        {"threads": 2},
        {"allocator": {"MALLOC_TOP_PAD_": "1"}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_folder_goes_on_on_nodes_of_its_kind_and_else_it_is_told(fields: dict[str, Any]) -> None:
    cell = next(iter(CELLS.values()))
    around = environment(**{"threads": NODE.cores, **fields})
    outline = CellRecord(cell, OK, NOW, NOW, environment=around).outline()
    before = choice._most_used_environment([outline])
    here = facts(threads=NODE.cores)
    _, told = choose_nodes({"a1": NODE}, {"a1": {"facts": here}}, before)
    (note,) = told["notes"]
    device = around["device"]["name"]
    assert note.en.startswith(f"the records in the folder come from {device} with ")
    assert "not judged together" in note.en
    assert note.ja.startswith(f"フォルダーの記録は {device} (")

    nodes = {"a1": NODE, "d4": replace(NODE, id="d4", cpus=around["threads"])}
    both: dict[str, Outcome] = {
        "a1": {"facts": here},
        "d4": {"facts": {**here, "environment": around}},
    }
    nodes["e5"] = replace(NODE, id="e5")  # more room, but of the other kind
    both["e5"] = both["a1"]
    chosen, told = choose_nodes(nodes, both, before)
    assert [node.id for node in chosen.nodes] == ["d4"]
    assert not any("records in the folder" in note.en for note in told["notes"])


# ---- the check of every node --------------------------------------------------------------------

BAD: list[tuple[Outcome, str]] = [
    ({"missing": "./corpus"}, "./corpus is not there; every node must see it"),
    ({"refused": "max_length: too long"}, "max_length: too long"),
    ({"failed": "the worker process did not start"}, "did not start"),
    (Lost("worker_died", "no answer"), "no answer"),
    ({"facts": facts(device=GPU)}, "that Ray does not count"),
]


@pytest.mark.parametrize(("outcome", "words"), BAD)
def test_a_node_that_cannot_run_the_cells_is_left_out_with_a_line(
    outcome: Outcome, words: str
) -> None:
    nodes = {"a1": NODE, "b2": replace(NODE, id="b2", name="beta")}
    chosen, told = choose_nodes(nodes, {"b2": outcome, "a1": {"facts": facts()}}, None)
    assert chosen.nodes == (NODE,)
    (note,) = told["notes"]
    assert note.en.startswith("node beta is left out: ")
    assert words in note.en
    assert note.ja.startswith("ノード beta を除きました: ")


@pytest.mark.parametrize(("outcome", "words"), BAD)
def test_where_none_is_left_the_run_ends_in_one_line(outcome: Outcome, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)) as error:
        choose_nodes({"a1": NODE}, {"a1": outcome}, None)
    assert "\n" not in str(error.value)
    assert ("alpha" in str(error.value)) == (outcome != BAD[1][0])


def test_a_node_without_cpus_is_not_asked_and_one_that_is_late_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_launcher, "_CHECK_SECONDS", 0.0)
    cluster = FakeCluster([replace(NODE, cpus=0)])
    with pytest.raises(ConfigError, match="no node of the cluster has a CPU"):
        RayLauncher(engine=cluster).preflight(make_config())
    assert cluster.started == []
    with pytest.raises(ConfigError, match="node alpha: no answer within 0 min"):
        RayLauncher(engine=FakeCluster()).preflight(make_config())


def test_the_check_of_a_late_node_does_not_go_on_beside_the_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Late(FakeCluster):
        def finished(self, timeout_seconds: float) -> list[tuple[str, Outcome]]:
            return [] if [key for key, _ in self._waiting] == ["late"] else super().finished(0.0)

    monkeypatch.setattr(ray_launcher, "_CHECK_SECONDS", 0.05)
    cluster = Late([replace(NODE, id="late"), NODE])
    launcher = prepared(cluster)
    assert cluster._waiting == []
    (record,) = run_each(launcher, [CELLS["train"]])
    assert record.status == OK


def test_a_node_that_is_lost_while_it_is_checked_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Losing(FakeCluster):
        def finished(self, timeout_seconds: float) -> list[tuple[str, Outcome]]:
            self.alive = []
            return []

    monkeypatch.setattr(ray_launcher, "_LOOK_SECONDS", 0.0)
    with pytest.raises(ConfigError, match="lost meanwhile"):
        RayLauncher(engine=Losing()).preflight(make_config())


def test_paths_of_this_machine_are_looked_for_on_the_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus.txt").write_text("x", encoding="utf-8")
    (tmp_path / "generated").mkdir()
    monkeypatch.chdir(tmp_path)
    assert local_paths(make_config()) == []
    assert local_paths(make_config(dataset="corpus.txt")) == ["corpus.txt"]
    named = {"path": "corpus.txt", "text_field": "text"}
    assert local_paths(make_config(dataset=named, model_name=str(tmp_path))) == [
        str(tmp_path), "corpus.txt",
    ]  # fmt: skip


# ---- never twice --------------------------------------------------------------------------------


def test_a_cell_is_handed_over_once() -> None:
    cluster = FakeCluster()
    launcher = prepared(cluster)
    cells = list(CELLS.values())
    began: list[str] = []

    def begin(cell: Cell) -> None:
        began.append(cell.id)

    def go(wanted: Sequence[Cell]) -> list[CellRecord]:
        return list(launcher.run_each(wanted, lambda cell: NEEDS, begin, print))

    first = go([*cells, *cells])
    assert sorted(r.cell_id for r in first) == sorted(cell.id for cell in cells)
    assert go(cells) == []
    assert cluster.given() == began == [cell.id for cell in cells]


def test_records_come_as_cells_end_and_all_are_in_flight_before() -> None:
    cluster = FakeCluster()
    cells = list(CELLS.values())
    records = run_each(prepared(cluster), cells)
    assert [r.cell_id for r in records] == [cell.id for cell in reversed(cells)]
    verbs = [verb for verb, key in cluster.log if key in cluster.given()]
    assert verbs == ["start"] * len(cells) + ["end"] * len(cells)


def test_ray_tries_again_a_bounded_number_of_times() -> None:
    cluster = FakeCluster()
    run_each(prepared(cluster), [CELLS["train"]])
    retries = {key: retries for key, _, _, _, retries in cluster.started}
    assert retries[CELLS["train"].id] == 2
    assert retries[NODE.id] == 0


@pytest.mark.parametrize(
    ("outcome", "kind", "words"),
    [
        (Lost("worker_died", "NodeDiedError: gone"), "worker_died", "try it again 2 times"),
        (Lost("out_of_memory", "memory ran out"), "out_of_memory", "memory ran out"),
        (Lost("error", "ImportError: x"), "error", "ImportError: x"),
        ({"refused": "no such file"}, "error", "no such file"),
        ({"failed": "no reason"}, "error", "no reason"),
        ({"record": record_of(CELLS["base"]).to_dict()}, "error", CELLS["base"].id),
    ],
)
def test_a_cell_without_its_record_is_a_failed_record(
    outcome: Outcome, kind: str, words: str
) -> None:
    launcher = prepared(FakeCluster(cell=lambda cell: outcome))
    (record,) = run_each(launcher, [CELLS["train"]])
    assert (record.cell_id, record.status) == (CELLS["train"].id, "failed")
    assert record.error is not None
    assert record.error["kind"] == kind
    assert words in record.error["message"]


def test_a_run_whose_nodes_are_all_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_launcher, "_LOOK_SECONDS", 0.0)
    cluster = FakeCluster()
    launcher = prepared(cluster)
    cluster.alive = []
    with pytest.raises(LoraBenchError, match="all 1 nodes of Example CPU are gone"):
        run_each(launcher, [CELLS["train"]])


def test_estimates_that_a_node_cannot_make_say_why() -> None:
    class Refusing(FakeCluster):
        def _answer(self, key: str, request: Request) -> Outcome:
            if request["do"] == "check":
                return super()._answer(key, request)
            return {"failed": "no reason"} if request["do"] == "estimate" else Lost("x", "gone")

    launcher = prepared(Refusing())
    with pytest.raises(LoraBenchError, match="no reason"):
        launcher.estimate([CELLS["train"]])
    with pytest.raises(LoraBenchError, match="gone"):
        launcher.estimate_scale(lambda event: None)


# ---- whole runs ---------------------------------------------------------------------------------


def on_cluster(
    monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster, config: Any
) -> LoRAEfficiencyBenchmark:
    monkeypatch.setattr(choice, "require_ray", lambda: None)
    monkeypatch.setattr(choice, "RayLauncher", lambda *given: RayLauncher(*given, engine=cluster))
    monkeypatch.setattr(benchmark, "write_report", lambda *_: None)
    return LoRAEfficiencyBenchmark(config)


@pytest.mark.usefixtures("close_log")
def test_a_run_on_a_cluster_leaves_one_record_a_cell_and_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = make_config(lora_configurations=ONE_ADAPTER, seeds=2, output_dir=str(tmp_path))
    made = {record.cell_id: record for record in make_records(config)}
    cluster = FakeCluster(cell=lambda cell: {"record": made[cell.id].to_dict()})
    analysis = on_cluster(monkeypatch, cluster, config).run(executor="ray")
    assert sorted(cluster.given()) == sorted(made)
    assert analysis.unfinished == 0
    records = Store(tmp_path).load_records()
    assert {r.cell_id: r.status for r in records} == dict.fromkeys(made, OK)
    trained = next(r for r in records if r.cell.kind == "train")
    assert trained.estimate == NEEDS
    gone = next(iter((tmp_path / "records").glob("train-*.json")))
    gone.unlink()
    again = FakeCluster(cell=lambda cell: {"record": made[cell.id].to_dict()})
    on_cluster(monkeypatch, again, config).run(executor="ray")
    assert again.given() == [gone.stem]


def searched_config(folder: Path) -> LoRABenchmarkConfig:
    """Two arms, three short trials each."""
    return make_config(
        lora_configurations=ONE_ADAPTER, learning_rates="search", output_dir=str(folder),
        search={"trials": 3, "steps": 2, "validation_size": 5},
    )  # fmt: skip


@pytest.mark.usefixtures("close_log")
def test_the_trials_of_a_round_run_side_by_side_and_rounds_follow_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = searched_config(tmp_path)
    cluster = FakeCluster()
    monkeypatch.setattr(LoRAEfficiencyBenchmark, "finish", lambda self, language: None)
    on_cluster(monkeypatch, cluster, config).run(executor="ray")
    trials = set(cluster.given("trial"))
    first = [cluster.log.index(("start", key)) for key in cluster.given("trial")[:2]]
    assert max(first) < min(i for i, (verb, key) in enumerate(cluster.log)
                            if verb == "end" and key in cluster.given())  # fmt: skip
    in_flight, most = 0, 0
    for verb, key in cluster.log:
        if key in trials:
            in_flight += 1 if verb == "start" else -1
            most = max(most, in_flight)
    assert most == 2, "one trial an arm at a time: the next follows from what they found"
    rates = found_rates(config, Store(tmp_path).load_records())
    assert rates is not None
    trained = [request["cell"]["learning_rate"] for _, request, *_ in cluster.started
               if request["do"] == "cell" and request["cell"]["kind"] == "train"]  # fmt: skip
    assert sorted(trained) == sorted(rates.values())
    assert len(cluster.given()) == len(set(cluster.given()))


@pytest.mark.usefixtures("close_log")
def test_no_report_is_written_while_cells_are_in_flight(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = searched_config(tmp_path)
    cluster, seen = FakeCluster(), list[int]()

    class Live:
        def __init__(self, write: Callable[[], Any]) -> None:
            pass

        def cell_ended(self, record: CellRecord) -> None:
            seen.append(len(cluster._waiting))

    monkeypatch.setattr(benchmark, "LiveReport", Live)
    monkeypatch.setattr(LoRAEfficiencyBenchmark, "finish", lambda self, language: None)
    on_cluster(monkeypatch, cluster, config).run(executor="ray")
    assert seen == [0] * len(seen)
    assert 3 < len(seen) < len(cluster.given()), "between the rounds of a search"


@pytest.mark.usefixtures("close_log")
def test_interrupted_runs_end_what_is_in_flight(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed: list[bool] = []

    class Stopping(FakeCluster):
        def finished(self, timeout_seconds: float) -> list[tuple[str, Outcome]]:
            if any(request["do"] == "cell" for _, request in self._waiting):
                raise KeyboardInterrupt
            return super().finished(timeout_seconds)

        def close(self) -> None:
            closed.append(True)

    config = make_config(lora_configurations=ONE_ADAPTER, output_dir=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        on_cluster(monkeypatch, Stopping(), config).run(executor="ray")
    assert closed == [True]
    assert Store(tmp_path).load_records() == []


@pytest.mark.usefixtures("close_log")
def test_a_cluster_is_joined_once_and_only_where_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = make_config(lora_configurations=ONE_ADAPTER, output_dir=str(tmp_path))
    made = {record.cell_id: record for record in make_records(config)}
    for joined in (1, 0):
        cluster = FakeCluster(cell=lambda cell: {"record": made[cell.id].to_dict()})
        on_cluster(monkeypatch, cluster, config).run(executor="ray")
        assert cluster.joined == joined


def test_the_claims_scale_is_estimated_without_a_check_of_the_nodes() -> None:
    class Estimating(FakeCluster):
        def _answer(self, key: str, request: Request) -> Outcome:
            assert request["do"] == "scale"
            return {"estimates": [{"model": "m"}]}

    told: list[dict[str, Any]] = []
    cluster = Estimating([replace(NODE, id="head", cpus=0), NODE])
    assert RayLauncher(engine=cluster).estimate_scale(told.append) == [{"model": "m"}]
    assert told == [{"event": "scale"}]
    assert cluster.started[0][3] == ("a1",)


# ---- what cannot be -----------------------------------------------------------------------------


def test_without_ray_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"pip install 'lora-efficiency-benchmark\[ray\]'"):
        LoRAEfficiencyBenchmark(make_config(output_dir=str(out))).run(executor="ray")
    assert not out.exists()


@pytest.mark.parametrize("executor", ["slurm", "", "Ray"])
def test_an_unknown_executor_is_refused(executor: str, tmp_path: Path) -> None:
    config = make_config(output_dir=str(tmp_path / "out"))
    with pytest.raises(ConfigError, match="must be local or ray"):
        LoRAEfficiencyBenchmark(config).run(executor=executor)


def test_addresses_of_another_protocol_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "require_ray", lambda: None)
    with pytest.raises(ConfigError, match="auto or HOST:PORT"):
        RayEngine("ray://head:10001").open()
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(ConfigError, match="http://head:8265"):
        RayEngine(None).open()


def test_a_cell_that_ran_out_of_memory_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads it in the process that hands out the tasks, when it is joined."""
    joined: list[dict[str, str]] = []
    fake = types.ModuleType("ray")
    vars(fake).update(
        init=lambda **_: joined.append(dict(os.environ)),
        remote=lambda function: function,
        exceptions=types.SimpleNamespace(RayError=RuntimeError),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr(ray_engine, "require_ray", lambda: None)
    for name in ray_engine._SETTINGS:
        monkeypatch.setenv(name, "-1")  # and is put back after the test
    RayEngine("local").open()
    assert [around["RAY_task_oom_retries"] for around in joined] == ["0"]


# ---- on a node ----------------------------------------------------------------------------------


class LauncherOnNode:
    """Stands for the launcher on a node: keeps what its child would inherit."""

    seen: dict[str, Any]

    def __init__(self, *given: Any) -> None:
        LauncherOnNode.seen = {"given": given}

    def __enter__(self) -> LauncherOnNode:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, cell: Cell) -> CellRecord:
        self.seen.update(folder=os.getcwd(), environment=dict(os.environ))
        return record_of(cell)


def test_a_child_on_a_node_inherits_what_the_caller_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(on_node, "LocalLauncher", LauncherOnNode)
    monkeypatch.setattr(on_node.platform, "node", lambda: "node-7")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    monkeypatch.setenv("OMP_PLACES", "cores")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before, folder = dict(os.environ), os.getcwd()
    request = {
        "do": "cell", "cell": CELLS["train"].to_dict(), "time_limit_seconds": 60.0,
        "tracking": None, "folder": str(tmp_path), "variables": {"LORA_BENCH_CACHE": "/c"},
        "threads": 5,
    }  # fmt: skip
    found = CellRecord.from_dict(on_node.answer(request)["record"])
    assert found.cell_id == CELLS["train"].id
    assert found.environment["node"] == "node-7"
    seen = LauncherOnNode.seen
    assert seen["given"] == ("spawn", 60.0, None)
    assert seen["folder"] == str(tmp_path.resolve())
    for name, value in {
        "OMP_NUM_THREADS": "5",
        "LORA_BENCH_CACHE": "/c",
        "CUDA_VISIBLE_DEVICES": "3",
    }.items():
        assert seen["environment"][name] == value
    assert not {"OMP_PROC_BIND", "OMP_PLACES"} & seen["environment"].keys()
    assert (dict(os.environ), os.getcwd()) == (before, folder)


def test_a_child_that_does_not_start_is_a_failed_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: LauncherOnNode, cell: Cell) -> CellRecord:
        raise LoraBenchError("the worker process did not start")

    monkeypatch.setattr(on_node, "LocalLauncher", LauncherOnNode)
    monkeypatch.setattr(LauncherOnNode, "run", run)
    request = {
        "do": "cell", "cell": CELLS["train"].to_dict(), "time_limit_seconds": None,
        "tracking": None, "folder": "/no/such/folder", "variables": {}, "threads": 1,
    }  # fmt: skip
    found = CellRecord.from_dict(on_node.answer(request)["record"])
    assert found.status == "failed"
    assert found.error is not None
    assert found.error["kind"] == "worker_died"
    assert found.environment == {}, "a failure without an environment stays one"


def test_a_node_says_which_path_it_does_not_see(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    request = {
        "do": "check", "config": {}, "paths": ["here", "absent"], "folder": str(tmp_path),
        "variables": {}, "threads": 1,
    }  # fmt: skip
    assert on_node.answer(request) == {"missing": "absent"}


def test_keys_and_tokens_do_not_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    settings = {
        "HF_HOME": "/hub",
        "TRANSFORMERS_OFFLINE": "1",
        **dict.fromkeys(ALLOCATOR_VARIABLES, "7"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    cluster = FakeCluster()
    prepared(cluster)
    (_, request, *_), *_ = cluster.started
    assert settings.items() <= request["variables"].items()
    assert "secret" not in str(request)
    for endpoint, travels in (
        ("https://hub.example", True),
        ("https://me:secret@hub.example", False),
    ):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        cluster = FakeCluster()
        prepared(cluster)
        (_, request, *_), *_ = cluster.started
        assert (request["variables"].get("HF_ENDPOINT") == endpoint) is travels
        assert "secret" not in str(request)
