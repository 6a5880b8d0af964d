"""The configuration that a command is about (row 7): file, preset, ``--set``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..config.benchmark_config import LoRABenchmarkConfig

Config = Annotated[
    str | None, typer.Argument(help="YAML file ('lora-bench init' writes one); default: a preset")
]
Preset = Annotated[
    str | None, typer.Option(help="A name from 'lora-bench presets' instead of a file")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, replaces one field; may be repeated")
]


def configuration(
    config: str | None,
    preset: str | None,
    settings: list[str] | None,
    output_dir: str | None = None,
) -> LoRABenchmarkConfig:
    """The configuration as asked; ``quick`` where nothing is named.

    Raises ConfigError, which names the file, or ``--set`` where that is to blame.
    """
    from ..config.benchmark_config import load_config, parse_override
    from ..config.yaml_io import preset_path

    if config is not None and preset is not None:
        raise ConfigError(
            "give a configuration file or --preset, not both",
            "設定ファイルと --preset は、どちらか一方だけを指定してください",
        )
    source = config or preset or "quick"
    overrides: dict[str, Any] = dict(parse_override(text) for text in settings or [])
    if output_dir is not None:
        overrides["output_dir"] = output_dir
    try:
        return load_config(source, **overrides)
    except ConfigError as error:
        if not overrides:
            raise
        load_config(source)  # what is wrong with the file itself is said first
        path = preset_path("benchmarks", source)
        blamed = "--set" if settings else "--output-dir"
        texts = (text.replace(f"{path}: ", f"{blamed}: ", 1) for text in error.args)
        raise ConfigError(*texts) from None
