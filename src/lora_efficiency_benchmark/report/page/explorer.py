"""The explorer: a model's map as one page with sliders that works offline (row 6).

What was recorded goes into the page as JSON; ``explorer_*.js`` compute every figure from it. The
page may load nothing: its own content security policy forbids it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from .. import formats
from ..texts.explorer import EXPLORER_TEXTS
from .environment import template_environment

_SCRIPTS = ("explorer_model.js", "explorer_plane.js", "explorer_page.js")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_START_BATCH, _START_LENGTH, _START_RANK = 4, 512, 16


def render_explorer(
    model_map: Mapping[str, Any],
    language: str,
    claimed: Mapping[str, float],
    gpu: str | None = None,
    rank: int | None = None,
) -> str:
    """The page of ``ModelMap.to_dict``; ``claimed`` holds the ratios ``parameters`` and ``memory``.

    ``gpu`` is the name of the one that is chosen at first, ``rank`` where its slider starts.
    """
    from markupsafe import Markup

    data = _cleaned(model_map)
    data |= {"claimed": dict(claimed), "start": _start(data, language, gpu, rank)}
    return (
        template_environment()
        .get_template("explorer.html.j2")
        .render(
            language=language,
            model=data["model"],
            policy=_POLICY,
            say=lambda key: EXPLORER_TEXTS[key][language],
            style=Markup(_template("explorer.css")),
            script=Markup("\n".join(map(_template, _SCRIPTS))),
            data=data,
            texts=EXPLORER_TEXTS,
        )
    )


def _start(
    data: Mapping[str, Any], language: str, gpu: str | None, rank: int | None
) -> dict[str, Any]:
    """What the page shows before anybody moves anything."""
    wanted = _START_RANK if rank is None else rank
    precision = data["precisions"][0]
    trainable = [name for name in data["precisions"] if name not in data["quantized"]]
    return {
        "batch": min(_START_BATCH, data["max_batch"]),
        "length": min(_START_LENGTH, data["max_length"]),
        "rank": min(data["ranks"], key=lambda value: abs(value - wanted)),
        "method": 1,
        "precision_full": trainable[0] if trainable else precision,
        "precision_lora": precision,
        "optimizer": data["optimizers"][0],
        "checkpointing": data["checkpointing"][0],
        "gpu": gpu or "",
        "language": language,
    }


def _cleaned(model_map: Mapping[str, Any]) -> dict[str, Any]:
    """The map with names and reasons on one line, without control characters."""
    return {
        **model_map,
        "model": formats.shorten(model_map["model"], 200),
        "methods": [
            {**method, "label": formats.shorten(method["label"], 200)}
            for method in model_map["methods"]
        ],
        "gpus": [{**gpu, "name": formats.shorten(gpu["name"], 60)} for gpu in model_map["gpus"]],
        "left_out": [
            {**entry, **{key: formats.shorten(entry[key], 300) for key in ("reason", "reason_ja")}}
            for entry in model_map["left_out"]
        ],
    }


def _template(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")
