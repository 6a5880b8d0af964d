"""Which nodes of a cluster can run the cells (row 4), from what each answered. Pure: no Ray.

Every node makes the check that a run on one machine makes: it reads the model's configuration and
the data, and says which device and packages it has. What one node lacks costs that node; what all
of them refuse is the user's to mend.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..config.benchmark_config import DEFAULT_MODEL, GENERATED, LoRABenchmarkConfig, dataset_name
from ..errors import ConfigError, UserError
from ..language import Statement
from ..records.results import EnvironmentKey
from .nodes import Node, NodeKind, choose_kind, kinds_of
from .on_node import REFUSED, Lost, Outcome, refusal_of

_logger = logging.getLogger("LoRA_Benchmark")


class Problem(NamedTuple):
    """Why a node is left out."""

    node: str
    reason: Statement
    refused: bool = False  # the check itself said so, and would on any machine

    def note(self) -> Statement:
        """A line for the head of the run."""
        return Statement(
            f"node {self.node} is left out: {self.reason.en}",
            f"ノード {self.node} を除きました: {self.reason.ja}",
        )

    def error(self) -> UserError:
        """The same for a person, where no node is left."""
        if self.refused:
            return UserError(*self.reason)
        return ConfigError(
            f"--executor ray: node {self.node}: {self.reason.en}",
            f"--executor ray: ノード {self.node}: {self.reason.ja}",
        )


def choose_nodes(
    nodes: Mapping[str, Node], found: Mapping[str, Outcome], before: EnvironmentKey | None
) -> tuple[NodeKind, dict[str, Any]]:
    """The nodes that all cells run on, and the facts for the head of the run.

    ``nodes`` and ``found`` are by node id, ``before`` is the environment that the folder's
    records come from; facts are those of ``preflight``, with ``at_once``
    (cells timed side by side), ``notes`` (a Statement for what is left out) and the nodes' names
    in the environment. Raises UserError where no node can run the cells.
    """
    problems = [p for id_, outcome in found.items() if (p := _problem_of(nodes[id_], outcome))]
    facts_of = {
        id_: outcome["facts"]
        for id_, outcome in found.items()
        if isinstance(outcome, dict) and _problem_of(nodes[id_], outcome) is None
    }
    if not facts_of:
        raise problems[0].error()
    checked = [
        (_as_used(nodes[id_], facts), facts["environment"]) for id_, facts in facts_of.items()
    ]
    kinds = kinds_of(checked)
    chosen = choose_kind(kinds, before)
    notes = [problem.note() for problem in problems]
    notes += [_other_kind(kind) for kind in kinds if kind is not chosen]
    if before is not None and before != chosen.key:
        note = Statement(
            f"the records in the folder come from {before[0]} with {before[2]} threads, and no "
            "node has the same device, packages, cores and allocator settings; they are not judged "
            "together with new ones",
            f"フォルダーの記録は {before[0]} ({before[2]} スレッド) のもので、デバイス・"
            "パッケージ・コア数・アロケーターの設定が同じノードはありません。"
            "新しい記録とは合わせて判定しません",
        )
        notes.append(note)
    names = sorted(node.name for node in chosen.nodes)
    _logger.info(
        "Ray: %d nodes of %s, %d timed cells at once, %d cores each: %s",
        len(names), chosen.device, chosen.slots, chosen.cores, ", ".join(names),
    )  # fmt: skip
    facts = facts_of[chosen.nodes[0].id]
    environment = {**facts["environment"], "threads": chosen.cores, "nodes": names}
    return chosen, {**facts, "environment": environment, "at_once": chosen.slots, "notes": notes}


def local_paths(config: LoRABenchmarkConfig) -> list[str]:
    """Files and folders on this machine that the cells will read, as the configuration has them."""
    data = str(dataset_name(config.dataset))
    named = dict.fromkeys((config.model_name, config.base_model_name, data))
    return [n for n in named if n not in (DEFAULT_MODEL, GENERATED) and Path(n).exists()]


def _problem_of(node: Node, outcome: Outcome) -> Problem | None:
    if isinstance(outcome, Lost):
        return Problem(node.name, outcome.reason)
    if "missing" in outcome:
        missing = outcome["missing"]
        reason = Statement(
            f"{missing} is not there; every node must see it under the same path, so put it on a "
            "shared folder",
            f"{missing} がありません。どのノードからも同じパスで見えるよう、"
            "共有フォルダーに置いてください",
        )
        return Problem(node.name, reason)
    refusal = refusal_of(outcome)
    if refusal is not None:
        return Problem(node.name, refusal, refused=REFUSED in outcome)
    device = outcome["facts"]["environment"]["device"]
    if device["type"] != "cpu" and node.gpus < 1:
        reason = Statement(
            f"it has a {device['name']} that Ray does not count; start its Ray with --num-gpus, or "
            "set LORA_BENCH_DEVICE=cpu",
            f"{device['name']} がありますが、Ray が数えていません。"
            "Ray を --num-gpus 付きで始めるか、LORA_BENCH_DEVICE=cpu を設定してください",
        )
        return Problem(node.name, reason)
    return None


def _as_used(node: Node, facts: Mapping[str, Any]) -> Node:
    """The node without its GPUs, where the cells will not use them."""
    on_cpu = facts["environment"]["device"]["type"] == "cpu"
    return replace(node, gpus=0) if on_cpu else node


def _other_kind(kind: NodeKind) -> Statement:
    names = ", ".join(sorted(node.name for node in kind.nodes))
    return Statement(
        f"left out, because all cells run on nodes of one kind: {names} ({kind.device})",
        "すべてのセルを同じ種類のノードで実行するため、次のノードを除きました: "
        f"{names} ({kind.device})",
    )
