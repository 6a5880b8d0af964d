"""Claims as data (row 1): what a paper says, by which metric, and where the thresholds lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..plain_text import is_plain, shown
from .yaml_io import load_yaml_file, preset_path

METRICS = ("parameter_reduction_ratio", "memory_reduction_ratio", "gain_retention", "time_ratio")
MAX_VALUE = 1e300
NOISY_METRICS = ("gain_retention", "time_ratio")


@dataclass(frozen=True)
class Claim:
    """One claim, as read from a claims file."""

    id: str  # stable name, e.g. "memory-controlled"
    metric: str  # one of METRICS
    claimed: float  # the value the source states, in the metric's unit (a ratio)
    verified_at: float  # VERIFIED at or above
    partial_at: float  # PARTIAL at or above, FAILED below
    text: dict[str, str]  # {"ja": ..., "en": ...}
    source: str  # where the claim or its thresholds come from
    comparison: str = "same-model"  # or "cross-model"
    precision: str = "controlled"  # or "as-practised"
    joint: bool = True  # counts towards the joint verdict

    @property
    def noisy(self) -> bool:
        """True where one run cannot decide (quality, time)."""
        return self.metric in NOISY_METRICS


def load_claims(source: str) -> list[Claim]:
    """Claims from a preset name or a YAML file. Raises ConfigError."""
    path = preset_path("claims", source)
    raw = load_yaml_file(path)
    entries = raw.get("claims") if isinstance(raw, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise ConfigError(
            f"{path}: needs a list under 'claims'", f"{path}: 'claims' の下にリストが必要です"
        )
    claims = [_parse(entry, path, i) for i, entry in enumerate(entries)]
    if len({claim.id for claim in claims}) != len(claims):
        raise ConfigError(
            f"{path}: two claims share an id",
            f"{path}: 同じ id の主張が2つあります。id を分けてください",
        )
    return claims


def _parse(entry: Any, path: Path, index: int) -> Claim:
    where = f"{path}: claims[{index}]"
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f"{where}: must be a mapping, got {shown(entry)}",
            f"{where}: マッピングを指定してください (現在の値: {shown(entry)})",
        )
    known = {f.name: f.default is MISSING for f in fields(Claim)}
    unknown = [str(key) for key in entry if key not in known]
    if unknown:
        key, names = shown(unknown[0]), ", ".join(known)
        raise ConfigError(
            f"{where}: unknown key {key}; known keys: {names}",
            f"{where}: 不明なキー {key} があります。使えるキー: {names}",
        )
    missing = [key for key, needed in known.items() if needed and key not in entry]
    if missing:
        raise ConfigError(
            f"{where}: {missing[0]} is missing", f"{where}: {missing[0]} がありません"
        )
    claim = Claim(**entry)
    if not all(isinstance(t, str) and t and is_plain(t) for t in (claim.id, claim.source)):
        raise ConfigError(
            f"{where}: id and source must be texts without control characters",
            f"{where}: id と source には制御文字を含まない文字列を指定してください",
        )
    numbers = (claim.claimed, claim.verified_at, claim.partial_at)
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise ConfigError(
            f"{where}: claimed, verified_at and partial_at must be numbers",
            f"{where}: claimed、verified_at、partial_at には数を指定してください",
        )
    if not all(abs(n) <= MAX_VALUE for n in numbers):  # NaN is not
        raise ConfigError(
            f"{where}: claimed, verified_at and partial_at must be finite",
            f"{where}: claimed、verified_at、partial_at には有限の数を指定してください",
        )
    if not isinstance(claim.joint, bool):
        raise ConfigError(
            f"{where}: joint must be true or false",
            f"{where}: joint には true か false を指定してください",
        )
    if not claim.verified_at >= claim.partial_at:
        raise ConfigError(
            f"{where}: verified_at must be at least partial_at",
            f"{where}: verified_at は partial_at 以上にしてください",
        )
    if claim.metric not in METRICS:
        raise ConfigError(
            f"{where}: unknown metric {shown(claim.metric)}; known: {METRICS}",
            f"{where}: 不明な指標 {shown(claim.metric)} です。使える指標: {METRICS}",
        )
    if claim.comparison not in ("same-model", "cross-model"):
        raise ConfigError(
            f"{where}: comparison must be same-model or cross-model",
            f"{where}: comparison には same-model か cross-model を指定してください",
        )
    if claim.precision not in ("controlled", "as-practised"):
        raise ConfigError(
            f"{where}: precision must be controlled or as-practised",
            f"{where}: precision には controlled か as-practised を指定してください",
        )
    if not isinstance(claim.text, Mapping) or set(claim.text) != {"ja", "en"}:
        raise ConfigError(
            f"{where}: text needs exactly 'ja' and 'en'",
            f"{where}: text には 'ja' と 'en' の2つだけを書いてください",
        )
    if not all(isinstance(text, str) and text for text in claim.text.values()):
        raise ConfigError(
            f"{where}: text: 'ja' and 'en' must be texts",
            f"{where}: text: 'ja' と 'en' には文字列を指定してください",
        )
    return claim
