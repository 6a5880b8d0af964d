"""Numbers and reasons of a recommendation in words, English and Japanese (row 5)."""

from __future__ import annotations

from ...language import Statement
from ...units import GIB, to_gib, to_mib, to_minutes
from ..wording import NOTHING, listing, quantity, seed_count
from .values import FULL_NAME


def named(name: str) -> Statement:
    """A configuration in a sentence."""
    if name == FULL_NAME:
        return Statement("full fine-tuning", "フルファインチューニング")
    return Statement.unchanged(name)


def names(labels: list[str]) -> Statement:
    """Configurations in a sentence; more than four are counted."""
    return Statement(
        listing([named(label).en for label in labels]).en,
        listing([named(label).ja for label in labels]).ja,
    )


def share(value: float) -> str:
    """A retention, such as ``98.8%``."""
    return quantity(value, "gain_retention").en


def confidence(level: float) -> str:
    """``0.99 -> "99%"``."""
    return f"{100 * level:.3g}%"


def size(nbytes: float) -> str:
    """Bytes in GiB or MiB."""
    return f"{to_gib(nbytes):.2f} GiB" if nbytes >= GIB else f"{to_mib(nbytes):,.1f} MiB"


def duration(seconds: float) -> Statement:
    """Seconds below two minutes, else minutes; three digits."""
    short = seconds < 120
    value = seconds if short else to_minutes(seconds)
    number = f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"
    return Statement(f"{number} {'s' if short else 'min'}", f"{number}{'秒' if short else '分'}")


def texts_at(data_size: int | None) -> Statement:
    """``at 2,000 texts``; nothing where only one size was run."""
    if data_size is None:
        return NOTHING
    return Statement(f" at {data_size:,} texts", f"(学習テキスト{data_size:,}件)")


def seeds_would_decide(seeds: int | None) -> Statement:
    """How many seeds would decide, for the end of a reason."""
    if seeds is None:
        return Statement("more than 100 seeds would be needed", "100シードを超えても足りません")
    known = seed_count(seeds)
    return Statement(f"about {known.en} would decide", f"判定には約{known.ja}必要です")


def below(value: float, interval: tuple[float, float] | None, limit: float) -> Statement:
    """Why a retention rules a configuration out."""
    shown, high = _apart(value, limit), _apart(interval[1], limit) if interval else None
    bound = Statement(f" (upper bound {high})", f"(信頼上限{high})") if high else NOTHING
    return Statement(
        f"keeps {shown}{bound.en}, below {share(limit)}",
        f"維持率{shown}{bound.ja}で{share(limit)}に未達",
    )


def _apart(value: float, limit: float) -> str:
    """A retention below the limit, with as many digits as show that it is."""
    shown = share(value)
    if shown != share(limit):
        return shown
    longer = (f"{100 * value:.{digits}f}%" for digits in range(1, 7))
    return next((text for text in longer if float(text[:-1]) < 100 * limit), shown)


def over_memory(needed: float, limit: float, otherwise: float | None) -> Statement:
    """Why its memory rules a configuration out; ``otherwise`` is a reading that would fit."""
    but = NOTHING
    if otherwise is not None:
        but = Statement(
            f"; as practised it needs {size(otherwise)}, but its quality was not measured that way",
            f"。慣用の設定なら{size(otherwise)}ですが、その条件での品質は未測定です",
        )
    used, most = size(needed), size(limit)
    if used == most:  # rounding hides by how much
        used, most = f"{needed:,.0f} bytes", f"{limit:,.0f} bytes"
    return Statement(
        f"needs {used}, over the limit of {most}{but.en}", f"{used}必要(上限{most}){but.ja}"
    )


def ran_out(at_least: float | None, limit: float | None) -> Statement:
    """What running out of memory says: it needs more than that."""
    if at_least is None:
        return Statement("ran out of memory on this machine", "このマシンではメモリ不足")
    cap = NOTHING
    if limit is not None:
        cap = Statement(f", limit {size(limit)}", f"、上限{size(limit)}")
    return Statement(
        f"ran out of memory (needs more than {size(at_least)}{cap.en})",
        f"メモリ不足({size(at_least)}を超えて必要{cap.ja})",
    )


def over_time(seconds: float, limit: float) -> Statement:
    """Why training time rules a configuration out."""
    used, most = duration(seconds), duration(limit)
    return Statement(
        f"takes {used.en}, over the limit of {most.en}", f"{used.ja}必要(上限{most.ja})"
    )
