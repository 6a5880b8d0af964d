"""A Hub that nobody can reach: one quick question, then the cache alone, and a clear line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from lora_efficiency_benchmark.dataset import load_corpus
from lora_efficiency_benchmark.errors import DataError, ModelError
from lora_efficiency_benchmark.models import hub
from lora_efficiency_benchmark.models.structure import build_structure


class Session:
    """Stands in for the Hub library's HTTP client."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.asked: list[tuple[str, float]] = []
        self._answer = answer

    def head(self, url: str, timeout: float) -> Any:
        self.asked.append((url, timeout))
        return self._answer()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], Any]], Session]]:
    """Online as far as settings go; the answer is the test's."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.is_unreachable.cache_clear()

    def use(answer: Callable[[], Any]) -> Session:
        made = Session(answer)
        monkeypatch.setattr(huggingface_hub, "get_session", lambda: made)
        return made

    yield use
    hub.is_unreachable.cache_clear()


def nobody() -> Any:
    raise ConnectionError("Name or service not known")


def test_nobody_answers_so_the_cache_is_used_and_the_line_says_why(
    session: Callable[[Callable[[], Any]], Session],
) -> None:
    made = session(nobody)
    with pytest.raises(ModelError) as caught:
        build_structure("nobody/no-such-model-at-all")
    message = str(caught.value)
    assert "the Hub does not answer" in message
    assert "check the name, the network and your access" in message
    assert "\n" not in message
    assert constants.HF_HUB_OFFLINE, "no request of this process waits again"
    assert len(made.asked) == 2
    assert sum(seconds for _, seconds in made.asked) < 10


def test_a_data_set_waits_no_longer_than_a_model(
    session: Callable[[Callable[[], Any]], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    made = session(nobody)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(DataError) as caught:
        load_corpus("nobody/no-such-data-set-at-all")
    message = str(caught.value)
    assert "the Hub does not answer, and its cache does not hold the data set" in message
    assert "\n" not in message
    assert constants.HF_HUB_OFFLINE
    assert datasets.config.HF_HUB_OFFLINE, "it read the setting when it was imported"
    assert len(made.asked) == 2


@pytest.mark.parametrize("status", [200, 503])
def test_any_answer_leaves_the_librarys_own_patience(
    session: Callable[[Callable[[], Any]], Session], status: int
) -> None:
    made = session(lambda: status)
    hub.prepare_hub()
    hub.prepare_hub()
    assert not constants.HF_HUB_OFFLINE
    assert len(made.asked) == 1, "asked once a process"


def test_offline_by_setting_asks_nobody(
    session: Callable[[Callable[[], Any]], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = session(nobody)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.prepare_hub()
    assert made.asked == []
