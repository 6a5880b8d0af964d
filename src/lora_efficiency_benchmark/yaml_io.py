"""Reading YAML safely (row 1): plain data only, one-line errors, presets by name.

PyYAML follows YAML 1.1, where ``2e-3`` is a text and a key that is given twice silently replaces
the first. Here it is a number, as in YAML 1.2, and an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError

_PRESETS = Path(__file__).parent / "presets"
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    """Plain data; exponents without a point are numbers; a key may occur once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, key in enumerate(keys):
            if key in keys[:number] and key != "<<":
                mark = node.value[number][0].start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", mark
                )
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that the loader above would read as numbers."""


for _reader in (_Loader, _Dumper):
    _reader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def parse_yaml(text: str) -> Any:
    """Plain data from YAML text. Raises ``yaml.YAMLError`` or ValueError."""
    return yaml.load(text, Loader=_Loader)


def load_yaml_file(path: Path) -> Any:
    """Parse a YAML file with the safe loader (no Python objects).

    Raises ConfigError with file, line and what to do.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        problem = str(getattr(error, "problem", None) or "not valid YAML").replace("\n", " ")
        raise ConfigError(f"{path}:{line} is not plain YAML: {problem}") from None
    except (ValueError, RecursionError) as error:  # such as the date 2026-13-45
        raise ConfigError(f"{path}: is not plain YAML: {error}") from None


def dump_yaml(data: Any) -> str:
    """Plain YAML text, keys in the order given, Japanese as it is."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


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
