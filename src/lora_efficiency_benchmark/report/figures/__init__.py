"""Figures as declarative Vega-Lite specifications, rendered to SVG (row 6).

Every builder returns a plain dictionary, or None where there is nothing to draw. Names of arms
reach a specification only as data values, never as an expression or a field name. The page makes
the same specifications live; what is drawn here is what a reader without scripts sees.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass

from ...analysis.values import Analysis
from .. import formats
from ..texts import Wording, wording
from .across import across_spec
from .curves import curves_spec
from .estimates import estimator_spec, scale_spec
from .memory import memory_spec
from .quality import quality_spec
from .rates import rates_spec
from .sizes import several_sizes, sizes_spec
from .style import CONFIG, FILTERS, Spec
from .time import time_spec

_OF_TWO_MODELS = ("quality", "memory", "time")
"""Figures that show the other model's arm beside ratios to the run's own."""
Builder = Callable[[Analysis, Wording], Spec | None]


@dataclass(frozen=True)
class Figure:
    """One figure: a specification, or the reason why there is none."""

    name: str  # file name without ending
    title: str
    caption: str
    spec: Spec | None

    def whole(self) -> Spec:
        """The specification with fonts and colours. Only for figures that have one."""
        return {**(self.spec or {}), "config": CONFIG}

    def to_svg(self) -> str:
        """SVG text with real text in it. Only for figures that have a specification."""
        return _render(json.dumps(self.whole()))


@functools.lru_cache(maxsize=128)
def _render(spec: str) -> str:
    """SVG of a specification; the page and the figure files ask for the same ones."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec))


def build_figures(analysis: Analysis, language: str) -> list[Figure]:
    """All figures in reading order; one without data has no specification and says why."""
    say = wording(language)
    return [_figure(name, build, analysis, say) for name, build in _builders(analysis).items()]


def render_figures(analysis: Analysis, language: str) -> dict[str, str]:
    """File name (``quality.svg``) -> SVG text, for the figures that have data."""
    figures = build_figures(analysis, language)
    return {f"{figure.name}.svg": figure.to_svg() for figure in figures if figure.spec}


def _builders(analysis: Analysis) -> dict[str, Builder]:
    """The four that every run should have, and those that this run has data for."""
    builders: dict[str, Builder] = {
        "quality": quality_spec,
        "memory": memory_spec,
        "curves": curves_spec,
        "time": time_spec,
    }
    if analysis.learning_rates:
        builders["rates"] = rates_spec
    if several_sizes(analysis):
        builders["sizes"] = sizes_spec
    if analysis.across is not None:
        builders["across"] = across_spec
    if analysis.estimator is not None and analysis.estimator.cells:
        builders["estimator"] = estimator_spec
    if any(claim.mean is not None for claim in analysis.estimated_claims):
        builders["scale"] = scale_spec
    return builders


def _figure(name: str, build: Builder, analysis: Analysis, say: Wording) -> Figure:
    spec = build(analysis, say)
    caption = say(f"figure.{name}.caption" if spec else f"missing.{name}")
    if spec and analysis.across is not None and name in _OF_TWO_MODELS:
        names = {"model": analysis.across.model, "base": analysis.across.base_model}
        more = formats.clean(say("across.caption", **names))
        caption += more if say.language == "ja" else f" {more}"
    whole = {**spec, "params": FILTERS} if spec else None
    return Figure(name, say(f"figure.{name}"), caption, whole)
