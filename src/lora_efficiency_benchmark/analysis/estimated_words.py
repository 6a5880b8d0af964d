"""How a verdict on estimates is worded (row 5): what it is about, and where arithmetic decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.claims import Claim
from ..language import Statement
from ..plan import AS_PRACTISED
from ..units import to_gib
from .claim_verdicts import misses, value_range
from .pairing import number
from .values import ConfigurationVerdict
from .wording import NOTHING, listing, quantity, stated

SAME_MODEL, CROSS_MODEL = "same-model", "cross-model"
STATES = ("weights", "gradients", "optimizer")


@dataclass(frozen=True)
class Setting:
    """What all entries of one verdict share."""

    comparison: str
    model: str
    base_model: str
    reading: str
    batch_size: int | None = None  # None where the metric does not depend on it
    seq_len: int | None = None

    @property
    def order(self) -> tuple[bool, int]:
        """Same model first, few tokens a step first."""
        return self.comparison != SAME_MODEL, (self.batch_size or 0) * (self.seq_len or 0)


def reason_text(
    claim: Claim, setting: Setting, found: Sequence[ConfigurationVerdict], arithmetic: Statement
) -> Statement:
    """One sentence: an estimate of what, what it hides, what is absent and what is arithmetic."""
    head = _head(setting)
    several = sum(v.value is not None for v in found) > 1  # of one, the verdict says it all
    missed = misses(claim, found) if several else NOTHING
    parts = [missed, value_range(claim, found), _absent(found), arithmetic]
    kept = [part for part in parts if part != NOTHING]
    return Statement(
        "; ".join([head.en, *(p.en for p in kept)]), "、".join([head.ja, *(p.ja for p in kept)])
    )


def _head(setting: Setting) -> Statement:
    """That this is an estimate, of which models, at how many tokens a step."""
    if setting.comparison == SAME_MODEL and setting.model == setting.base_model:
        models = Statement(
            f"full fine-tuning and LoRA of {setting.model}",
            f"{setting.model} のフルとLoRA",
        )
    else:
        models = Statement(
            f"full fine-tuning of {setting.base_model} against LoRA of {setting.model}",
            f"{setting.base_model} のフルと {setting.model} のLoRA",
        )
    tokens = NOTHING
    if setting.batch_size is not None and setting.seq_len is not None:
        batch, length = setting.batch_size, setting.seq_len
        shape = f"{batch} x {length} = {batch * length:,}"
        tokens = Statement(f", {shape} tokens a step", f"、1ステップ {shape}トークン")
    return Statement(
        f"ESTIMATED, not measured: {models.en}{tokens.en}",
        f"測定ではなく推定(ESTIMATED): {models.ja}{tokens.ja}",
    )


def _absent(found: Sequence[ConfigurationVerdict]) -> Statement:
    absent = [v for v in found if v.value is None]
    if not absent:
        return NOTHING
    listed = listing([f"{v.configuration} ({v.reason})" for v in absent]).en
    listed_ja = listing([f"{v.configuration}({v.reason_ja})" for v in absent]).ja
    return Statement(f"not estimated: {listed}", f"推定なし: {listed_ja}")


def arithmetic_text(
    claim: Claim, setting: Setting, full: Mapping[str, Any], lora: Mapping[str, Any]
) -> Statement:
    """Where LoRA's frozen weights alone rule the claim out, whatever the adapter."""
    frozen = number(_breakdown(lora), "weights")
    parts = [number(_breakdown(full), name) for name in STATES]
    peak = number(dict(full), "peak_allocated_bytes")
    if not frozen or not peak:
        return NOTHING
    kind = "bf16 " if setting.reading == AS_PRACTISED else ""
    alone = Statement(
        f"by arithmetic: LoRA's frozen {kind}weights of {setting.model} alone take {_gib(frozen)}",
        f"計算上、{setting.model} の凍結した{kind}重みだけで {_gib(frozen)}",
    )
    known = [part for part in parts if part is not None]
    states = math.fsum(known)
    if len(known) == len(STATES) and frozen > states:
        return Statement(
            f"{alone.en}, more than weights, gradients and optimizer states of full fine-tuning of "
            f"{setting.base_model} ({_gib(states)})",
            f"{alone.ja}あり、{setting.base_model} のフルの重み・勾配・オプティマイザ状態の合計 "
            f"{_gib(states)} を上回ります",
        )
    return _cap(claim, alone, peak, frozen)


def _cap(claim: Claim, alone: Statement, peak: float, frozen: float) -> Statement:
    """The most the ratio could be if LoRA held nothing but its frozen weights."""
    most = peak / frozen
    if most >= claim.verified_at:
        return NOTHING
    shown, bar = quantity(most, claim.metric), stated(claim.verified_at, claim.metric)
    return Statement(
        f"{alone.en} against full fine-tuning's peak of {_gib(peak)}, so no adapter could exceed "
        f"{shown.en} (threshold {bar.en})",
        f"{alone.ja}あり、フルのピークは {_gib(peak)} なので、"
        f"どのアダプターでも{shown.ja}を超えません(しきい値{bar.ja})",
    )


def _breakdown(estimate: Mapping[str, Any]) -> dict[str, Any]:
    return dict(estimate.get("breakdown") or {})


def _gib(nbytes: float) -> str:
    return f"{to_gib(nbytes):.1f} GiB"
