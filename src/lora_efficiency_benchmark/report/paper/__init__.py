"""What papers, tables for machines and model cards share (row 6): conditions and claim rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...analysis.values import Analysis, ClaimVerdict, ConfigurationVerdict
from ...config.claims import NOISY_METRICS
from .. import formats
from ..tables import per_process
from ..tables.claims import found_value
from ..texts import Wording

PACKAGES = ("lora-efficiency-benchmark", "torch", "transformers", "peft")
HASH_DIGITS = 12


@dataclass(frozen=True)
class ClaimRow:
    """One claim on one configuration, in words."""

    configuration: str
    texts: str  # training texts; empty where the metric does not depend on them
    value: str
    interval: str
    seeds: str
    verdict: str


def claim_rows(claim: ClaimVerdict, say: Wording) -> list[ClaimRow]:
    """A row a configuration and data size, in the order of the analysis."""
    return [_row(claim, found, say) for found in claim.per_configuration]


def mean_row(claim: ClaimVerdict, say: Wording) -> ClaimRow:
    """The specification's mean over the configurations, and the verdict on it."""
    value = formats.metric_value(claim.metric, claim.mean, say)
    verdict = say(f"verdict.{claim.verification}")
    return ClaimRow(say("paper.mean"), "", value, "", "", verdict)


def configuration_hash(analysis: Analysis) -> str:
    """Twelve hexadecimal digits over the names of all records of the arms.

    The name of a record ends with a hash of the cell's settings, so two runs share this hash where
    the same cells were asked for, on any machine: SHA-256 of the sorted names, one a line.
    """
    arms = (*analysis.arms, *analysis.reference_arms)
    names = sorted({cell for arm in arms for cell in arm.cells})
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:HASH_DIGITS]


def conditions(analysis: Analysis, say: Wording) -> list[tuple[str, str]]:
    """Name and value of what every figure depends on; what no record says is called not stated."""
    unknown = say("paper.not_stated")
    across = analysis.across
    ranks = per_process(analysis, say)
    other = [("other_model", published(analysis.settings.get("base_model")))] if across else []
    found = [
        ("model", published(analysis.settings.get("model"))),
        *other,
        ("device", _device(analysis.environment, say)),
        ("data", _data(analysis, say)),
        ("training", _training(analysis.settings, say)),
        *([("memory", ranks)] if ranks else []),
        ("precision", _precision(analysis.settings, say)),
        ("seeds", ", ".join(str(seed) for seed in analysis.settings.get("seeds") or ())),
        ("versions", _versions(analysis.environment)),
        ("hash", configuration_hash(analysis) if analysis.arms else ""),
        ("date", _dates(analysis)),
    ]
    imported = analysis.environment.get("imported")
    if imported:
        found.append(("origin", say("paper.origin.imported", format=formats.clean(imported))))
    return [(say(f"paper.{name}"), formats.clean(value) or unknown) for name, value in found]


def published(name: object) -> str:
    """A name that may be printed: of a path on somebody's machine, its last part only."""
    text = formats.clean(name or "")
    if re.match(r"[/~.]|\\\\|[A-Za-z]:[/\\]", text):
        return re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return text


def conditions_line(analysis: Analysis, say: Wording) -> str:
    """The same in one line."""
    return "; ".join(f"{name} {value}" for name, value in conditions(analysis, say))


def thresholds(claim: ClaimVerdict, say: Wording) -> str:
    """The claimed value, and from where on it counts as met."""
    parts = [say("paper.claimed", value=formats.claimed_value(claim.metric, claim.claimed, say))]
    if claim.verified_at is not None and claim.partial_at is not None:
        bars = {
            "verified": formats.claimed_value(claim.metric, claim.verified_at, say),
            "partial": formats.claimed_value(claim.metric, claim.partial_at, say),
        }
        parts.append(say("thresholds", **bars))
    return ("、" if say.language == "ja" else "; ").join(parts)


def joint_rows(analysis: Analysis, say: Wording) -> Iterator[ClaimRow]:
    """One row a configuration: whether it meets all claims at once."""
    for entry in analysis.joint.configurations:
        size = entry.get("dataset_size")
        yield ClaimRow(
            formats.clean(entry.get("configuration", "")),
            "" if size is None else f"{size:,}",
            "",
            "",
            "",
            say(f"verdict.{entry['verification']}"),
        )


def _row(claim: ClaimVerdict, found: ConfigurationVerdict, say: Wording) -> ClaimRow:
    return ClaimRow(
        configuration=formats.clean(found.configuration),
        texts="" if found.dataset_size is None else f"{found.dataset_size:,}",
        value=found_value(claim, found, say),
        interval=_interval(claim, found, say),
        seeds=str(found.num_seeds) if claim.metric in NOISY_METRICS and found.num_seeds else "",
        verdict=say(f"verdict.{found.verification}"),
    )


def _interval(claim: ClaimVerdict, found: ConfigurationVerdict, say: Wording) -> str:
    if found.value is None:
        return ""
    if found.ci95 is None:
        return say("paper.no_interval" if claim.metric in NOISY_METRICS else "paper.exact")
    low, high = (formats.metric_value(claim.metric, end, say) for end in found.ci95)
    return f"[{low}, {high}]"


def _device(environment: Mapping[str, Any], say: Wording) -> str:
    device = environment.get("device") or {}
    if not device.get("name"):
        return ""
    unknown = say("paper.not_stated")
    kind, threads = device.get("type") or unknown, environment.get("threads") or unknown
    return say("paper.device.value", name=device["name"], type=kind, threads=threads)


def _data(analysis: Analysis, say: Wording) -> str:
    name = (analysis.data or {}).get("name") or analysis.settings.get("dataset")
    if isinstance(name, Mapping):
        name = name.get("path")
    unknown = say("paper.not_stated")
    sizes = [size for size in analysis.settings.get("dataset_sizes") or () if size]
    held_out = (analysis.data or {}).get("evaluation_documents")
    held_out = held_out or analysis.settings.get("evaluation_size")
    return say(
        "paper.data.value",
        name=published(name) or unknown,
        train=" / ".join(f"{size:,}" for size in sizes) or unknown,
        held_out=f"{held_out:,}" if held_out else unknown,
    )


def _training(settings: Mapping[str, Any], say: Wording) -> str:
    if not settings:
        return ""
    names = {"steps": "training_steps", "batch": "batch_size", "length": "max_length"}
    unknown = say("paper.not_stated")
    return say("paper.training.value", **{k: settings.get(v) or unknown for k, v in names.items()})


def _precision(settings: Mapping[str, Any], say: Wording) -> str:
    found = settings.get("precision") or {}
    unknown = say("paper.not_stated")
    values = {name: found.get(name) or unknown for name in ("full", "lora")}
    return say("paper.precision.value", **values) if found else ""


def _versions(environment: Mapping[str, Any]) -> str:
    packages = environment.get("packages") or {}
    return ", ".join(f"{name} {packages[name]}" for name in PACKAGES if name in packages)


def _dates(analysis: Analysis) -> str:
    """The first and the last day of measuring, of the training runs."""
    days = sorted({row.measurement_timestamp[:10] for row in analysis.rows} - {""})
    return " / ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
