"""The claims and the arms as LaTeX tables (row 6): booktabs, conditions in the caption.

Everything that comes from outside (names of models, labels, reasons) goes through ``escape``, which
leaves no character that TeX takes for a command, and no line break that would end a comment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ...analysis.values import AcrossModels, Analysis, ArmSummary, ClaimVerdict
from ...plan import AS_PRACTISED, CONTROLLED, FULL
from ...units import to_gib
from .. import formats
from ..tables import arm_name, is_reference, memory_block, memory_times, shown_arms, unique_arms
from ..tables.claims import condition
from ..texts import Wording, wording
from . import ClaimRow, claim_rows, conditions_line, joint_rows, mean_row, thresholds

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "#": r"\#", "$": r"\$", "%": r"\%",
    "&": r"\&", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}", "'": "{'}", "-": "{-}", "[": "{[}", "]": "{]}",
    "±": r"$\pm$", "÷": r"$\div$", "×": r"$\times$", "·": r"$\cdot$", "…": r"\dots{}",
}  # fmt: skip
_LATIN = 0x17F  # the last code point that pdflatex has in its usual fonts
_PACKAGES = r"\usepackage{booktabs} \usepackage[T1]{fontenc} \usepackage{textcomp}"
_WIDE_PACKAGES = r"\usepackage{booktabs} \usepackage{luatexja}"
_SMALL = r"\footnotesize\setlength{\tabcolsep}{3pt}"
_LONG_PACKAGE = r" \usepackage{longtable}"
_PAGE_LINES = 32  # of a table; with its caption more do not fit on a page of `article`


def escape(text: object) -> str:
    """One line of plain text for TeX; brackets and hyphens are only themselves."""
    return "".join(_SPECIAL.get(character, character) for character in formats.clean(text))


def render_latex(analysis: Analysis, language: str) -> str:
    """Tables of the claims, of quality and of cost per arm; a fourth where two models met."""
    say = wording(language)
    tables = [_claims(analysis, say)]
    if analysis.arms:
        tables += [_quality(analysis, say), _cost(analysis, say)]
    if analysis.across is not None:
        tables.append(_across(analysis, analysis.across, say))
    body = "\n\n".join(tables)
    wide = any(ord(character) > _LATIN for character in body)
    packages = _WIDE_PACKAGES if wide else _PACKAGES
    packages += _LONG_PACKAGE if r"\begin{longtable}" in body else ""
    head = [say("paper.latex.head", packages=packages)]
    head += [say("paper.latex.japanese")] if wide else []
    return "\n".join(f"% {line}" for line in head) + f"\n{body}\n"


def _claims(analysis: Analysis, say: Wording) -> str:
    keys = ("configuration", "texts", "value", "interval", "seeds", "verdict")
    groups = [_claim_group(analysis, claim, say) for claim in analysis.claims]
    joint = [_line(row) for row in joint_rows(analysis, say)]
    if joint:
        groups.append([_heading(f"\\textbf{{{escape(say('paper.joint'))}}}"), *joint])
    lines = "\n\\midrule\n".join("\n".join(group) for group in groups)
    sentence = analysis.joint.sentence[say.language].rstrip(".。")
    line = conditions_line(analysis, say)
    caption = say("paper.claims.caption", sentence=sentence, conditions=line)
    joined = caption + ("" if say.language == "ja" else " ") + say("paper.claims.rules")
    columns = [say(f"paper.column.{key}") for key in keys]
    return _table(joined, "lora-claims", "llrlrl", columns, lines or _empty(say))


def _claim_group(analysis: Analysis, claim: ClaimVerdict, say: Wording) -> list[str]:
    name = f"\\textbf{{{escape(claim.text[say.language])}}} ({escape(thresholds(claim, say))})"
    where = f"{say(f'metric.{claim.metric}')} · {condition(analysis, claim, say)}"
    head = [_heading(name), _heading(escape(where))]
    rows = [*claim_rows(claim, say), mean_row(claim, say)]
    return head + [_line(row) for row in rows]


def _line(row: ClaimRow) -> str:
    cells = (row.configuration, row.texts, row.value, row.interval, row.seeds, row.verdict)
    return _row(cells)


def _heading(latex: str) -> str:
    """A line over all columns; ``latex`` is escaped already."""
    return rf"\multicolumn{{6}}{{@{{}}p{{0.95\linewidth}}@{{}}}}{{\raggedright {latex}}} \\"


def _quality(analysis: Analysis, say: Wording) -> str:
    keys = ("configuration", "texts", "seeds", "loss", "bits", "gain", "rate")
    rows = [_quality_row(analysis, arm, say) for arm in shown_arms(analysis)]
    caption = say("paper.quality.caption", conditions=conditions_line(analysis, say))
    if analysis.across is not None:
        caption += ("" if say.language == "ja" else " ") + say("paper.losses")
    columns = [say(f"paper.column.{key}") for key in keys]
    return _table(caption, "lora-quality", "lrrrrrr", columns, "\n".join(rows))


def _quality_row(analysis: Analysis, arm: ArmSummary, say: Wording) -> str:
    basis = say("across.reference" if is_reference(arm, analysis) else "reference")
    return _row(
        (
            arm_name(arm, say),
            formats.count(arm.dataset_size or None, say),
            str(len(arm.eval_losses)),
            spread(arm.eval_losses, 3, say),
            formats.decimals(arm.bits_per_byte, 3, say),
            basis if arm.training_method == FULL else formats.percent(arm.gain_retention, say),
            formats.rate(arm.learning_rate, say),
        )
    )


def _cost(analysis: Analysis, say: Wording) -> str:
    keys = ("configuration", "trainable", "reduction", "controlled", "as-practised", "time")
    rows = [_cost_row(analysis, arm, say) for arm in unique_arms(analysis)]
    caption = say("paper.cost.caption", conditions=conditions_line(analysis, say))
    columns = [say(f"paper.column.{key}") for key in keys]
    return _table(caption, "lora-cost", "lrrrrr", columns, "\n".join(rows))


def _cost_row(analysis: Analysis, arm: ArmSummary, say: Wording) -> str:
    metric = "parameter_reduction_ratio"
    basis = say("across.reference" if is_reference(arm, analysis) else "reference")
    return _row(
        (
            arm_name(arm, say),
            formats.count(arm.trainable_parameters or None, say),
            basis
            if arm.training_method == FULL
            else formats.metric_value(metric, arm.parameter_reduction_ratio, say),
            _gib(arm, CONTROLLED, say),
            _gib(arm, AS_PRACTISED, say),
            _seconds(analysis, arm, say),
        )
    )


def _across(analysis: Analysis, across: AcrossModels, say: Wording) -> str:
    """Full fine-tuning of the other model, and the LoRA arms with their ratios to it."""
    keys = ("configuration", "texts", "reduction", "memory_ratio", "time_ratio", "bits", "gain")
    rows = [_across_row(arm, say) for arm in across.arms]
    caption = say(
        "paper.across.caption",
        sentence=across.sentence[say.language].rstrip(".。"),
        base=across.base_model,
        conditions=conditions_line(analysis, say),
    )
    columns = [say(f"paper.column.{key}") for key in keys]
    return _table(caption, "lora-across", "lrrrrrr", columns, "\n".join(rows))


def _across_row(arm: ArmSummary, say: Wording) -> str:
    reduction = formats.metric_value(
        "parameter_reduction_ratio", arm.parameter_reduction_ratio, say
    )
    memory = memory_times(arm, CONTROLLED, say) or say("not_measured")
    time, gain = formats.ratio(arm.time_ratio, say), formats.percent(arm.gain_retention, say)
    if arm.training_method == FULL:
        reduction = memory = time = gain = say("reference")
    size = formats.count(arm.dataset_size or None, say)
    bits = formats.decimals(arm.bits_per_byte, 3, say)
    return _row((arm_name(arm, say), size, reduction, memory, time, bits, gain))


def _seconds(analysis: Analysis, arm: ArmSummary, say: Wording) -> str:
    """Of every data size of this arm, as time follows from steps and texts."""
    arms = shown_arms(analysis)
    same = [other for other in arms if (other.model, other.label) == (arm.model, arm.label)]
    return " / ".join(spread(other.train_seconds, 1, say) for other in same)


def _gib(arm: ArmSummary, reading: str, say: Wording) -> str:
    peak = (memory_block(arm, reading) or {}).get("peak_allocated_bytes")
    return formats.decimals(None if peak is None else to_gib(peak), 2, say)


def spread(values: Sequence[float], places: int, say: Wording) -> str:
    """``1.970``, or ``1.970 ± 0.004`` (standard deviation, n - 1) where there are several."""
    if not values:
        return say("not_measured")
    mean = math.fsum(values) / len(values)
    shown = formats.decimals(mean, places, say)
    if len(values) < 2 or not math.isfinite(mean):
        return shown
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return f"{shown} ± {math.sqrt(variance):.{places}f}"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(escape(cell) for cell in cells) + r" \\"


def _empty(say: Wording) -> str:
    return _heading(escape(say("paper.none")))


def _table(caption: str, label: str, shape: str, columns: Sequence[str], lines: str) -> str:
    """A float, or where that is longer than a page a ``longtable``, which breaks."""
    named = rf"\caption{{{escape(caption)}}}", rf"\label{{tab:{label}}}"
    head = r"\toprule", _row(columns), r"\midrule"
    shape = f"{{@{{}}{shape}@{{}}}}"  # no space outside the rules
    if lines.count("\n") < _PAGE_LINES:
        begin = r"\begin{table}[t]", rf"\centering{_SMALL}", *named, r"\begin{tabular}" + shape
        end = r"\bottomrule", r"\end{tabular}", r"\end{table}"
        return "\n".join((*begin, *head, lines, *end))
    begin = (
        rf"\begingroup{_SMALL}\LTcapwidth=\linewidth",
        r"\begin{longtable}" + shape,
        *named,
        r"\\",
    )
    heads = *head, r"\endfirsthead", *head, r"\endhead", r"\bottomrule", r"\endfoot"
    return "\n".join((*begin, *heads, lines, r"\end{longtable}", r"\endgroup"))
