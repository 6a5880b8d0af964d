"""Reading YAML safely (row 1): plain data only, one-line errors, presets by name.

PyYAML follows YAML 1.1, where ``2e-3`` is a text and a key that is given twice silently replaces
the first. Here it is a number, as in YAML 1.2, and an error. A file may come from a stranger: its
size is bounded, and so is what its aliases unfold to (a kilobyte can stand for billions of texts).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError
from .plain_text import one_line, shown
from .units import MIB

MAX_BYTES = MIB
MAX_NODES = 100_000  # with every alias unfolded
MAX_DEPTH = 50
MAX_DIGITS = 400  # of a number
_PRESETS = Path(__file__).parent / "presets"
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    """Plain data; exponents without a point are numbers; a key may occur once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {shown(key.value)} is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that the loader above would read as numbers."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> Any:
    """Rare line breaks as escapes: PyYAML writes them bare and reads them back as spaces."""
    style = '"' if _BREAKS & set(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_BREAKS = frozenset("\x85\u2028\u2029")
_Dumper.add_representer(str, _quoted)
for _reader in (_Loader, _Dumper):
    _reader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def parse_yaml(text: str) -> Any:
    """Plain data from YAML text. Raises ``yaml.YAMLError`` or ValueError."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES // MIB} MiB")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {}, 0)
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (AttributeError, IndexError, KeyError, TypeError, OverflowError):
        # what PyYAML lets out where a tag and its text do not fit, such as !!bool maybe
        raise ValueError("a value does not fit its tag") from None
    finally:
        loader.dispose()


def _unfolded(node: Any, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """``(nodes, levels)`` of what a node stands for, every alias counted as what it names.

    Raises ValueError where they are too many, nested too deeply, or contain themselves.
    """
    if depth > MAX_DEPTH:  # an alias inside of what it names ends here too
        raise ValueError("nested too deeply")
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > MAX_DIGITS and node.tag.rpartition(":")[2] in ("int", "float"):
            raise ValueError(f"a number of {len(node.value):,} digits")
        return 1, 0
    if id(node) not in known:
        pairs = isinstance(node, yaml.MappingNode)
        below = [part for pair in node.value for part in pair] if pairs else node.value
        sizes = [_unfolded(part, known, depth + 1) for part in below]
        nodes = 1 + sum(count for count, _ in sizes)
        levels = 1 + max((height for _, height in sizes), default=0)
        if nodes > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES:,} values, aliases unfolded")
        if levels > MAX_DEPTH:
            raise ValueError("nested too deeply")
        known[id(node)] = nodes, levels
    return known[id(node)]


def load_yaml_file(path: Path) -> Any:
    """Parse a YAML file with the safe loader (no Python objects).

    Raises ConfigError with file, line and what to do.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES // MIB} MiB")
        return parse_yaml(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or getattr(error, "reason", None)
        problem = one_line(said or "not valid YAML", 200)
        raise ConfigError(f"{path}:{line} is not plain YAML: {problem}") from None
    except ValueError as error:  # such as the date 2026-13-45
        raise ConfigError(f"{path}: is not plain YAML: {one_line(error, 200)}") from None


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
