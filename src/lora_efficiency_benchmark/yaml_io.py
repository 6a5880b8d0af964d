"""Reading YAML safely (row 0): plain data only, one-line errors, presets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import ConfigError

_PRESETS = Path(__file__).parent / "presets"


def load_yaml_file(path: Path) -> Any:
    """Parse a YAML file with the safe loader (no Python objects).

    Raises ConfigError with file, line and what to do.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        problem = str(getattr(error, "problem", None) or "not valid YAML").replace("\n", " ")
        raise ConfigError(f"{path}:{line} is not plain YAML: {problem}") from None


def dump_yaml(data: Any) -> str:
    """Plain YAML text, keys in the order given, Japanese as it is."""
    import yaml

    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def preset_names(kind: str) -> list[str]:
    """Names of the presets of one kind: ``benchmarks`` or ``claims``."""
    return sorted(path.stem for path in (_PRESETS / kind).glob("*.yaml"))


def preset_path(kind: str, source: str) -> Path:
    """Path of a preset by name, or of a file. Raises ConfigError listing the presets."""
    if source in preset_names(kind):
        return _PRESETS / kind / f"{source}.yaml"
    path = Path(source)
    if not path.is_file():
        known = ", ".join(preset_names(kind))
        raise ConfigError(f"{source!r} is neither a file nor a {kind} preset (presets: {known})")
    return path
