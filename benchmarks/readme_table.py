"""The README's table of a run, from its records: claims by configurations, with intervals.

    python benchmarks/readme_table.py RESULTS_FOLDER [ja|en]

The verdict of every configuration stands in its cell; the last column is the specification's rule,
the mean over configurations. ``tests/test_readme.py`` holds the README to this output.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lora_efficiency_benchmark.analysis.values import ConfigurationVerdict
from lora_efficiency_benchmark.folder import analyze_folder
from lora_efficiency_benchmark.report.formats import claimed_value, metric_value
from lora_efficiency_benchmark.report.texts import Wording, wording

_HEAD = {
    "en": ("claim", "claimed", "mean rule"),
    "ja": ("主張", "主張値", "平均による判定"),
}
_WORDS = {
    "en": {"VERIFIED": "yes", "PARTIAL": "partly", "FAILED": "no", "UNDECIDED": "open",
           "NOT_MEASURED": "not measured"},
    "ja": {"VERIFIED": "支持", "PARTIAL": "一部支持", "FAILED": "不支持", "UNDECIDED": "保留",
           "NOT_MEASURED": "未測定"},
}  # fmt: skip


def table(folder: Path, language: str) -> str:
    """A Markdown table with one row a measured claim."""
    analysis, say = analyze_folder(folder), wording(language)
    names = [arm.label for arm in analysis.arms if arm.adapter is not None]
    first, claimed, last = _HEAD[language]
    rows = [[first, claimed, *names, last], ["---"] * (len(names) + 3)]
    for claim in analysis.claims:
        found = {entry.configuration: entry for entry in claim.per_configuration}
        cells = [_cell(claim.metric, found.get(name), say, language) for name in names]
        stated = claimed_value(claim.metric, claim.claimed, say)
        rows.append([claim.text[language], stated, *cells, claim.verification])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(metric: str, found: ConfigurationVerdict | None, say: Wording, language: str) -> str:
    """Value, interval where there is one, and verdict."""
    if found is None or found.value is None:
        return _WORDS[language]["NOT_MEASURED"]
    text = metric_value(metric, found.value, say)
    if found.ci95 is not None:
        low, high = (metric_value(metric, end, say) for end in found.ci95)
        text += f" [{low}, {high}]"
    return f"{text} {_WORDS[language][found.verification]}"


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    print(table(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else "en"))
