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

from ..errors import ConfigError
from ..plain_text import one_line, shown
from ..units import MIB

MAX_BYTES = MIB
MAX_NODES = 100_000  # with every alias unfolded
MAX_DEPTH = 50
MAX_DIGITS = 400  # of a number
_PRESETS = Path(__file__).parents[1] / "presets"
_KINDS = {"benchmarks": "ベンチマーク", "claims": "主張", "architectures": "モデル"}
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")


class _NotPlain(ValueError):
    """What a file may not hold, in both languages."""

    def __init__(self, en: str, ja: str) -> None:
        super().__init__(en)
        self.ja = ja


class _KeyTwice(yaml.constructor.ConstructorError):
    """A key of a mapping that is given twice, in both languages."""

    def __init__(self, key: str, mark: Any) -> None:
        super().__init__(None, None, f"the key {shown(key)} is given twice", mark)
        self.ja = f"キー {shown(key)} が2回あります"


class _Loader(yaml.SafeLoader):
    """Plain data; exponents without a point are numbers; a key may occur once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise _KeyTwice(key.value, key.start_mark)
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
        raise _too_large()
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {}, 0)
        return loader.construct_document(node)
    except RecursionError:
        raise _too_deep() from None
    except (AttributeError, IndexError, KeyError, TypeError, OverflowError):
        # what PyYAML lets out where a tag and its text do not fit, such as !!bool maybe
        raise _NotPlain("a value does not fit its tag", "値がタグと合いません") from None
    finally:
        loader.dispose()


def _unfolded(node: Any, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """``(nodes, levels)`` of what a node stands for, every alias counted as what it names.

    Raises ValueError where they are too many, nested too deeply, or contain themselves.
    """
    if depth > MAX_DEPTH:  # an alias inside of what it names ends here too
        raise _too_deep()
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > MAX_DIGITS and node.tag.rpartition(":")[2] in ("int", "float"):
            size = f"{len(node.value):,}"
            raise _NotPlain(f"a number of {size} digits", f"{size}桁の数があります")
        return 1, 0
    if id(node) not in known:
        pairs = isinstance(node, yaml.MappingNode)
        below = [part for pair in node.value for part in pair] if pairs else node.value
        sizes = [_unfolded(part, known, depth + 1) for part in below]
        nodes = 1 + sum(count for count, _ in sizes)
        levels = 1 + max((height for _, height in sizes), default=0)
        if nodes > MAX_NODES:
            raise _NotPlain(
                f"more than {MAX_NODES:,} values, aliases unfolded",
                f"エイリアスを展開すると値が{MAX_NODES:,}個を超えます",
            )
        if levels > MAX_DEPTH:
            raise _too_deep()
        known[id(node)] = nodes, levels
    return known[id(node)]


def _too_large() -> _NotPlain:
    limit = MAX_BYTES // MIB
    return _NotPlain(f"more than {limit} MiB", f"{limit} MiB を超えています")


def _too_deep() -> _NotPlain:
    return _NotPlain("nested too deeply", "入れ子が深すぎます")


def load_yaml_file(path: Path) -> Any:
    """Parse a YAML file with the safe loader (no Python objects).

    Raises ConfigError with file, line and what to do.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _too_large()
        return parse_yaml(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror or error})",
            f"{path}: 読めません ({error.strerror or error})",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path}: is not UTF-8 text; save it as UTF-8",
            f"{path}: UTF-8 のテキストではありません。UTF-8 で保存してください",
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        line_ja = f"{mark.line + 1}行目が" if mark is not None else ""
        said = getattr(error, "problem", None) or getattr(error, "reason", None)
        problem = one_line(said or "not valid YAML", 200)
        raise ConfigError(
            f"{path}:{line} is not plain YAML: {problem}",
            f"{path}: {line_ja}通常の YAML ではありません: {getattr(error, 'ja', problem)}",
        ) from None
    except ValueError as error:  # such as the date 2026-13-45
        problem = one_line(error, 200)
        raise ConfigError(
            f"{path}: is not plain YAML: {problem}",
            f"{path}: 通常の YAML ではありません: {getattr(error, 'ja', problem)}",
        ) from None


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
        raise ConfigError(
            f"{source!r} is neither a file nor a {kind} preset (presets: {known})",
            f"{source!r} という{_KINDS[kind]}プリセットもファイルもありません (プリセット: "
            f"{known})",
        )
    return path
