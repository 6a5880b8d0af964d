"""A recommendation for a terminal (row 6): the answer first, then why, the front and the pivot."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...analysis.recommend import ORDERS, RECOMMENDED, RULED_OUT, Judged, Recommendation
from ...analysis.recommend.pivot import NOT_RUN, PivotEntry
from ...analysis.recommend.values import TIME
from ...analysis.values import NOT_MEASURED
from ...plan import AS_PRACTISED, CONTROLLED
from .. import formats
from ..texts import Wording, wording
from ..texts.recommendation import ENGLISH, JAPANESE
from . import wrap

_UNKNOWN = (None, "", "not stated")  # the last one is what imports write


class _Text:
    """Words of one language, beside those of the other reports."""

    def __init__(self, language: str) -> None:
        self.say: Wording = wording(language)
        self._own = JAPANESE if language == "ja" else ENGLISH

    def __call__(self, key: str, **values: object) -> str:
        return self._own[key].format(**values)

    def either(self, text: tuple[str, str]) -> str:
        """English or Japanese of a text in both."""
        return formats.clean(self.say.either(*text))

    def named(self, name: str) -> str:
        """``full`` in the reader's language, or the adapter's label."""
        return self.say("full") if name == "full" else formats.clean(name)

    def join(self, parts: Sequence[str]) -> str:
        """A list inside a sentence."""
        return self("join").join(parts)


def render_recommendation(found: Recommendation, language: str, width: int = 100) -> str:
    """The answer as one whole line, then blocks of lines no wider than ``width``.

    Tables keep their columns: long labels may make them wider.
    """
    say = _Text(language)
    blocks = [
        [*wrap(_conditions(found, say), width), *wrap(_other_model(found, say), width)],
        _candidates(found, say, width),
        _front(found, say, width),
        _pivot(found, say, width),
        _warnings(found, say, width),
        _sizes(found, say, width),
    ]
    lines = [say.either(found.sentence)]
    for block in blocks:
        lines += ["", *block] if block else []
    return "\n".join(lines)


def _conditions(found: Recommendation, say: _Text) -> str:
    known = found.conditions
    parts = [say.say("texts", n=f"{found.data_size:,}")] if found.data_size else []
    if known.get("training_steps") and known.get("batch_size"):
        parts.append(say("steps", steps=known["training_steps"], batch=known["batch_size"]))
    parts += [str(known[k]) for k in ("precision", "device") if known.get(k) not in _UNKNOWN]
    seeds = len(known.get("seeds") or ())
    parts.append(say("seeds.1") if seeds == 1 else say("seeds.n", n=seeds))
    model = str(known.get("model") or "-")
    return formats.clean(say("measured", model=model, parts=say.join(parts)))


def _other_model(found: Recommendation, say: _Text) -> str:
    """The smaller model of a run across models; empty where there was one model."""
    name = found.conditions.get("base_model")
    return formats.clean(say("other_model", model=name)) if name else ""


# ---- every candidate -----------------------------------------------------------------------------


def _candidates(found: Recommendation, say: _Text, width: int) -> list[str]:
    decision = found.decision
    if not decision.judged:
        return []
    with_loss = all(j.retention.value is None for j in decision.judged)
    other = _other_reading(found)
    keys = ["setting", "loss" if with_loss else "retention", "memory"]
    keys += [*(["other"] if other else []), "time", "parameters", "verdict"]
    rows = [[*map(say, keys)]]
    rows += [_row(found, judged, with_loss, say) for judged in decision.judged]
    notes = say("then").join(_notes(found, say))
    lines = [*_columns(rows, right=range(2, len(keys) - 1)), *wrap(notes, width)]
    chosen = decision.chosen
    if chosen is not None and chosen.deciding is not None:
        name, reason = say.named(chosen.candidate.name), say.either(chosen.deciding.reason)
        lines += wrap(say("why", name=name, reason=reason), width)
    for line in _ties(found, say):
        lines += wrap(line, width)
    return lines


def _ties(found: Recommendation, say: _Text) -> list[str]:
    """What cannot be told apart from the recommended setting."""
    chosen = found.decision.chosen
    if found.decision.verification != RECOMMENDED or chosen is None:
        return []
    ties = {"ties": [tie.candidate.name for tie in found.ties]}
    if found.limits.cheapest == TIME:
        close = [other for other in found.beside if not other.time.shown]
        ties["ties.time"] = [other.candidate.name for other in close]
    own = say.named(chosen.candidate.name)
    return [
        say(key, name=own, names=say("then").join(map(say.named, names)))
        for key, names in ties.items()
        if names
    ]


def _row(found: Recommendation, judged: Judged, with_loss: bool, say: _Text) -> list[str]:
    c = judged.candidate
    quality = formats.decimals(c.mean_loss, 3, say.say) if with_loss else _kept(judged, say)
    return [
        say.named(c.name), quality, _memory(judged, say), *_beside(found, judged, say),
        formats.duration(c.mean_seconds, say.say), formats.count(c.parameters, say.say),
        _verdict(found, judged, say),
    ]  # fmt: skip


def _kept(judged: Judged, say: _Text) -> str:
    """A retention with its bounds."""
    check = judged.retention
    shown = formats.percent(check.value, say.say)
    if check.interval is None:
        return shown
    low, high = (formats.percent(end, say.say) for end in check.interval)
    return f"{shown} [{low}, {high}]"


def _memory(judged: Judged, say: _Text) -> str:
    """In the reading that goes with the quality."""
    c = judged.candidate
    shown = formats.size(c.memory_bytes, say.say)
    if c.out_of_memory and c.memory_bytes is not None:
        return formats.bounded(shown, "lower", say.say)
    return shown


def _beside(found: Recommendation, judged: Judged, say: _Text) -> list[str]:
    """The other reading, where any candidate has one; full fine-tuning has one for both."""
    if not _other_reading(found):
        return []
    c = judged.candidate
    if c.is_full:
        return [_memory(judged, say)]
    return [formats.size(c.memory_by_reading.get(AS_PRACTISED), say.say)]


def _other_reading(found: Recommendation) -> bool:
    """True where LoRA has a reading as practised beside the one that leads."""
    lora = [j.candidate for j in found.decision.judged if not j.candidate.is_full]
    return any(c.memory_reading == CONTROLLED and AS_PRACTISED in c.memory_by_reading for c in lora)


def _verdict(found: Recommendation, judged: Judged, say: _Text) -> str:
    decision = found.decision
    shown, check = say(judged.status), judged.deciding
    if check is not None and judged.status == RULED_OUT:
        why = say.join(list(map(say, judged.missed)))
        shown = say("misses", verdict=shown, why=why)
    elif check is not None:
        missing = check.verification == NOT_MEASURED
        why = say("missing" if missing else "not_seeds")
        if judged.seeds_needed is not None:
            why = say("seeds", n=judged.seeds_needed)
        shown = say("because", verdict=shown, why=why)
    if judged is not decision.chosen:
        return shown
    role = {RECOMMENDED: "recommended", "UNDECIDED": "guess"}.get(decision.verification)
    if role is None or (role == "guess" and not judged.met_by_value):
        role = "closest"
    return say("role", verdict=shown, role=say(role))


def _notes(found: Recommendation, say: _Text) -> list[str]:
    decision = found.decision
    order = say("order.then").join(say(f"order.{by}") for by in ORDERS[found.limits.cheapest])
    notes = [say("by", order=order)]
    if any(j.retention.interval for j in decision.judged):
        within, outside = (f"{100 * level:.3g}%" for level in decision.levels)
        key = "bounds" if decision.tries > 1 else "bounds.1"
        notes.append(say(key, within=within, outside=outside, tries=decision.tries))
    lora = [j.candidate for j in decision.judged if not j.candidate.is_full]
    leading = {c.memory_reading for c in lora if c.memory_bytes is not None}
    if leading:
        notes.append(say("controlled" if leading == {CONTROLLED} else "practised"))
    if _other_reading(found):
        notes.append(say("as-practised"))
    if any(j.candidate.memory_kind == "reserved" for j in decision.judged):
        whole = any(j.candidate.whole_process for j in decision.judged)
        notes.append(say("reserved.whole" if whole else "reserved"))
    return notes


# ---- front and pivot -----------------------------------------------------------------------------


def _front(found: Recommendation, say: _Text, width: int) -> list[str]:
    front = found.front
    if not front.points:
        return []
    objectives = say.join([say(o) for o in front.objectives])
    names = " · ".join(say.named(p.candidate.name) for p in front.points)
    lines = wrap(say("front", objectives=objectives, names=names), width)
    off = [
        say("dominated", name=say.named(o.candidate.name), by=say.named(o.dominated_by))
        if o.dominated_by
        else say(
            "unplaced",
            name=say.named(o.candidate.name),
            objectives=say.join([say(m) for m in o.missing]),
        )
        for o in front.off
    ]
    if off:
        lines += wrap(say("off", names=say.join(off)), width)
    return lines + (wrap(_apart(found, say), width) if len(front.points) > 1 else [])


def _apart(found: Recommendation, say: _Text) -> str:
    """Which points of the front differ in quality for certain."""
    points = found.front.points
    pairs = []
    for i, point in enumerate(points):
        for other in points[i + 1 :]:
            if other.candidate.name in point.indistinguishable_from:
                a, b = (say.named(p.candidate.name) for p in (point, other))
                pairs.append(say("pair", a=a, b=b))
    if not pairs:
        return say("apart.all")
    if max(len(p.candidate.losses) for p in points) == 1:
        return say("apart.none")
    return say("apart.some", pairs=say("then").join(pairs))


def _pivot(found: Recommendation, say: _Text, width: int) -> list[str]:
    pivot = found.pivot
    lines = wrap(say.either(found.best_sentence), width)
    if pivot.rows:
        runs = [entry.judged for entry in pivot.entries if entry.judged]
        with_loss = all(judged.retention.value is None for judged in runs)
        rows = [[say("rank"), *map(formats.clean, pivot.columns)]]
        for row in pivot.rows:
            cells = [_entry(pivot.at(row, column), with_loss, say) for column in pivot.columns]
            rows.append([formats.clean(row), *cells])
        title = say("pivot.loss" if with_loss else "pivot")
        lines = [title, *_columns(rows), *lines]
    if pivot.not_compared:
        what = say("then").join(say.either(text) for text in pivot.not_compared)
        lines += wrap(say("open", what=what), width)
    return lines


def _entry(entry: PivotEntry, with_loss: bool, say: _Text) -> str:
    judged = entry.judged
    if judged is None:
        return say(NOT_RUN)
    c = judged.candidate
    if c.diverged:
        return say.say("kind.diverged")
    if c.out_of_memory:
        return say.say("kind.out_of_memory")
    if with_loss and c.losses:
        return formats.decimals(c.mean_loss, 3, say.say)
    if judged.retention.value is not None:
        return _kept(judged, say)
    return say("no_result")


# ---- what else to know ---------------------------------------------------------------------------


def _warnings(found: Recommendation, say: _Text, width: int) -> list[str]:
    if not found.warnings:
        return []
    lines = [say("before")]
    for warning in found.warnings:
        cause = formats.clean(say.say.either(warning.cause, warning.cause_ja))
        first, *rest = wrap(cause, width - 2)
        lines += [f"- {first}", *(f"  {line}" for line in rest)]
    return lines


def _sizes(found: Recommendation, say: _Text, width: int) -> list[str]:
    others = [a for a in found.by_size if a.data_size != found.data_size]
    if not others:
        return []
    lines = [say("sizes")]
    for other in others:
        for sentence in (other.sentence, other.best_sentence):
            lines += wrap(say.either(sentence), width)
    chosen = {
        a.decision.chosen.candidate.name
        for a in found.by_size
        if a.decision.verification == RECOMMENDED and a.decision.chosen
    }
    recommended = sum(a.decision.verification == RECOMMENDED for a in found.by_size)
    if recommended:
        same = len(chosen) == 1 and recommended == len(found.by_size)
        lines += wrap(say("sizes.same" if same else "sizes.differ"), width)
    return lines


def _columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Columns as wide as their widest cell; those in ``right`` (from 0) flush right."""
    widths = [max(map(formats.text_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for i, (cell, wide) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (wide - formats.text_width(cell))
            cells.append(blank + cell if i in right else cell + blank)
        lines.append("  ".join(cells).rstrip())
    return lines
