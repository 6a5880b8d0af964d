"""What the page can be filtered by (row 6): rank, target modules, method and data size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...analysis.values import Analysis, ArmSummary
from ...plan import FULL
from .. import formats
from ..texts import Wording


@dataclass(frozen=True)
class FilterGroup:
    """One property of arms, with the values that occur."""

    key: str  # rank | targets | method | sizes
    title: str
    options: tuple[tuple[str, str], ...]  # value in the page's data, words


def filter_groups(analysis: Analysis, say: Wording) -> list[FilterGroup]:
    """Groups in which there is a choice; a property that all arms share is left out."""
    arms = lora_arms(analysis)
    groups = [_group(key, (arm[key] for arm in arms), say) for key in ("rank", "targets", "method")]
    sizes = sorted({arm.dataset_size for arm in analysis.arms})
    options = tuple((str(size), f"{size:,}") for size in sizes)
    groups.append(FilterGroup("sizes", say("filter.sizes"), options))
    return [group for group in groups if len(group.options) > 1]


def lora_arms(analysis: Analysis) -> list[dict[str, str]]:
    """Label and filtered properties of every configuration, once."""
    arms = {formats.clean(a.label): a for a in analysis.arms if a.training_method != FULL}
    return [{"label": label, **_properties(arm)} for label, arm in arms.items()]


def _properties(arm: ArmSummary) -> dict[str, str]:
    adapter: dict[str, Any] = arm.adapter or {}
    targets = adapter.get("target_modules") or []
    names = [targets] if isinstance(targets, str) else targets
    shown = ",".join(str(name).removesuffix("_proj") for name in names)
    kind = "DoRA" if adapter.get("use_dora") else "LoRA"
    scaled = "rs" if adapter.get("use_rslora") else ""
    return {
        "rank": str(adapter.get("r", "")),
        "targets": formats.clean(shown),
        "method": scaled + kind,
    }


def _group(key: str, values: Iterable[str], say: Wording) -> FilterGroup:
    found = sorted(set(values), key=lambda text: (len(text), text))
    return FilterGroup(key, say(f"filter.{key}"), tuple((value, value) for value in found))
