"""Architecture presets (row 1): the configuration of public models, without weights or network.

A preset holds what decides a structure, and how the specification's LoRA targets are called there.
Needs no torch; ``models.structure.build_structure`` makes the model.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..language import Statement
from .yaml_io import load_yaml_file, preset_names, preset_path

TARGET_KEYS = ("q,v", "q,k,v,o")  # the specification's choices of target modules, in short
_CLOSE = 0.75  # share of equal letters from which a name is suggested


@dataclass(frozen=True)
class Architecture:
    """One public model, as its configuration describes it."""

    name: str  # what a user types
    hub_id: str  # where the weights live
    source: str  # where the values come from
    model_type: str  # as transformers calls it
    parameters: int  # elements of the base model, tied weights once
    config: dict[str, Any] = field(hash=False)  # for AutoConfig.for_model(model_type, **config)
    # TARGET_KEYS -> module names here; a key is missing where the layers cannot express it
    targets: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    inexpressible: dict[str, Statement] = field(default_factory=dict, hash=False)  # key -> why
    own_targets: tuple[str, ...] = ()  # what to adapt instead
    note: str = ""  # what could not be confirmed

    def to_dict(self) -> dict[str, Any]:
        """Plain data, in the order of the fields; reasons in English."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["inexpressible"] = {key: why.en for key, why in self.inexpressible.items()}
        plain["targets"] = {key: list(names) for key, names in self.targets.items()}
        plain["own_targets"] = list(self.own_targets)
        return plain


@functools.cache
def load_architectures() -> dict[str, Architecture]:
    """All presets by name, sorted. Raises ConfigError when a file is wrong."""
    paths = [preset_path("architectures", name) for name in preset_names("architectures")]
    return {path.stem: parse_architecture(load_yaml_file(path), path) for path in paths}


def find_architecture(name: str) -> Architecture | None:
    """The preset of that name (any case), or None."""
    return load_architectures().get(name.lower())


def architecture_of(name: str) -> Architecture | None:
    """The preset of that name or of that Hub id, or None."""
    by_hub_id = {a.hub_id.lower(): a for a in load_architectures().values()}
    return find_architecture(name) or by_hub_id.get(name.lower())


def close_names(name: str) -> list[str]:
    """Presets that a mistyped name, or a Hub id much like theirs, may mean; the closest first."""
    known = {a.hub_id.lower(): a.name for a in load_architectures().values()}
    known |= {own: own for own in load_architectures()}
    near = difflib.get_close_matches(name.lower(), known, cutoff=_CLOSE)
    return list(dict.fromkeys(known[key] for key in near))


def parse_architecture(raw: object, path: Path) -> Architecture:
    """Check the content of one preset file. Raises ConfigError naming file, field and rule."""
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f"{path}: must be a mapping of fields", f"{path}: 項目のマッピングではありません"
        )
    known = {
        f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(Architecture)
    }
    for key in raw:
        _require(key in known, path, str(key), f"one of {', '.join(known)}")
    for key, needed in known.items():
        _require(key in raw or not needed, path, key, "given")
    values = dict(raw)
    values["targets"] = {k: tuple(v) for k, v in dict(raw.get("targets", {})).items()}
    values["inexpressible"] = {
        key: _reason(path, key, why) for key, why in dict(raw.get("inexpressible", {})).items()
    }
    values["own_targets"] = tuple(raw.get("own_targets", ()))
    architecture = Architecture(**values)
    _check(architecture, path)
    return architecture


def _reason(path: Path, key: str, why: object) -> Statement:
    said = why if isinstance(why, Mapping) and set(why) == {"ja", "en"} else {}
    known = bool(said) and all(isinstance(text, str) and text for text in said.values())
    _require(known, path, f"inexpressible.{key}", "the reason as ja and en")
    return Statement(said["en"], said["ja"])


def _check(a: Architecture, path: Path) -> None:
    for key in ("name", "hub_id", "source", "model_type"):
        value = getattr(a, key)
        _require(isinstance(value, str) and bool(value), path, key, "text")
    _require(a.name == path.stem == a.name.lower(), path, "name", "the file's name, lower case")
    _require(type(a.parameters) is int and a.parameters > 0, path, "parameters", "a count above 0")
    _require(isinstance(a.config, dict) and bool(a.config), path, "config", "a mapping")
    for key in TARGET_KEYS:
        stated = (key in a.targets) != (key in a.inexpressible)
        _require(stated, path, key, "either under targets or under inexpressible")
    _require(not a.inexpressible or bool(a.own_targets), path, "own_targets", "given as well")
    names = [*a.own_targets, *(name for group in a.targets.values() for name in group)]
    _require(all(isinstance(n, str) and n for n in names), path, "targets", "module names")


def _require(ok: bool, path: Path, key: str, rule: str) -> None:
    if not ok:
        raise ConfigError(
            f"{path}: {key}: must be {rule}", f"{path}: {key}: 正しくありません (must be {rule})"
        )
