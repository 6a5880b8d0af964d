"""Claims are data: the preset says what the specification says, a bad file says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark.config.claims import Claim, load_claims
from lora_efficiency_benchmark.config.yaml_io import dump_yaml
from lora_efficiency_benchmark.errors import ConfigError

GOOD: dict[str, Any] = {
    "id": "a",
    "metric": "parameter_reduction_ratio",
    "claimed": 200.0,
    "verified_at": 150.0,
    "partial_at": 50.0,
    "text": {"ja": "減る", "en": "fewer"},
    "source": "a paper",
}


def load(tmp_path: Path, *entries: Any) -> list[Claim]:
    path = tmp_path / "claims.yaml"
    path.write_text(dump_yaml({"claims": list(entries)}), encoding="utf-8")
    return load_claims(str(path))


def test_the_preset_of_the_paper() -> None:
    claims = {claim.id: claim for claim in load_claims("paper-r5")}
    parameters = claims["parameter-reduction"]
    assert (parameters.claimed, parameters.verified_at, parameters.partial_at) == (200, 150, 50)
    for name in ("memory-controlled", "memory-as-practised"):
        memory = claims[name]
        assert (memory.claimed, memory.verified_at, memory.partial_at) == (2, 1.75, 1.25)
    quality = claims["gain-retention"]
    assert (quality.verified_at, quality.partial_at) == (0.95, 0.80)
    assert quality.noisy
    assert not any(claims[name].noisy for name in ("parameter-reduction", "memory-controlled"))
    joint = {claim.id for claim in claims.values() if claim.joint}
    assert joint == {"parameter-reduction", "memory-controlled", "gain-retention"}


def test_a_file_is_read(tmp_path: Path) -> None:
    (claim,) = load(tmp_path, GOOD)
    assert claim == Claim(**GOOD)
    assert (claim.comparison, claim.precision, claim.joint) == ("same-model", "controlled", True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"metric": "speed"}, "unknown metric 'speed'"),
        ({"claimed": "200"}, "must be numbers"),
        ({"claimed": True}, "must be numbers"),
        ({"claimed": float("nan")}, "must be finite"),
        ({"verified_at": float("inf")}, "must be finite"),
        ({"verified_at": 40.0}, "verified_at must be at least partial_at"),
        ({"comparison": "none"}, "comparison must be"),
        ({"precision": "bf16"}, "precision must be"),
        ({"text": {"en": "x"}}, "exactly 'ja' and 'en'"),
        ({"joint": "no"}, "joint must be true or false"),
        ({"id": 5}, "id and source must be texts"),
        ({"threshold": 3}, "unknown key 'threshold'"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD, {**GOOD, "id": "b", **change})
    assert "claims[1]" in str(caught.value)
    assert expected in str(caught.value)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"claims\[0\]: source is missing"):
        load(tmp_path, {key: value for key, value in GOOD.items() if key != "source"})


def test_two_claims_with_one_id(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="share an id"):
        load(tmp_path, GOOD, GOOD)


@pytest.mark.parametrize("entries", [[], ["text"]])
def test_no_claims(tmp_path: Path, entries: list[Any]) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, *entries)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="paper-r5"):
        load_claims("no-such-claims")
