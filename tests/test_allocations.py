"""From hand-made event streams to the peak: every byte counted once, in the right category."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from lora_efficiency_benchmark.measure.allocations import (
    BACKWARD,
    BETWEEN,
    CATEGORIES,
    EXCHANGE,
    FORWARD,
    OPTIMIZER,
    Event,
    Mark,
    Peak,
    find_peak,
)

BATCH, ACTIVATION, SCRATCH, LOGITS, GRADIENT, MOMENT = 0x10, 0x20, 0x30, 0x40, 0x50, 0x60


def stream(*items: tuple[int, int] | tuple[str, dict[int, str]] | str) -> tuple[list, list]:
    """``(address, bytes)`` allocates or releases; a phase name, alone or with tags, is a mark."""
    events: list[Event] = []
    marks: list[Mark] = []
    for time, item in enumerate(items):
        if isinstance(item, str):
            marks.append(Mark(time, item))
        elif isinstance(item[0], str):
            marks.append(Mark(time, item[0], item[1], step_end=item[0] == BETWEEN))  # type: ignore[arg-type]
        else:
            events.append(Event(time, *item))  # type: ignore[arg-type]
    return events, marks


def peak_of(items: Sequence, weights: int = 1000, adapter: int = 0, logits: Sequence = ()) -> Peak:
    events, marks = stream(*items)
    found = find_peak(events, marks, weights, adapter, logits)
    assert tuple(found.breakdown) == CATEGORIES
    assert sum(found.breakdown.values()) == found.allocated_bytes, "the parts are the whole"
    return found


STEP = [
    BETWEEN,
    (BATCH, 8),
    FORWARD,
    (ACTIVATION, 100), (SCRATCH, 30), (SCRATCH, -30), (LOGITS, 64),
    BACKWARD,
    (GRADIENT, 200), (SCRATCH, 16), (LOGITS, -64), (SCRATCH, -16), (ACTIVATION, -100),
    (OPTIMIZER, {GRADIENT: "gradients"}),
    (MOMENT, 400),
    (BETWEEN, {GRADIENT: "gradients", MOMENT: "optimizer"}),
]  # fmt: skip


def test_the_first_peak_of_a_step_lies_in_the_optimizer() -> None:
    peak = peak_of(STEP, weights=1000, adapter=50)
    assert peak.allocated_bytes == 1000 + 50 + 8 + 200 + 400
    assert peak.phase == OPTIMIZER
    assert peak.breakdown == {
        "weights": 1000, "adapter": 50, "gradients": 200, "optimizer": 400,
        "activations": 8, "logits_and_loss": 0, "temporaries": 0,
    }  # fmt: skip
    assert peak.end_of_step_bytes == 1000 + 50 + 8 + 200 + 400


def test_a_later_peak_lies_in_backward() -> None:
    """Second step: the moments stay, so activations, logits and gradients meet them."""
    second = [
        FORWARD, (ACTIVATION, 300), (LOGITS, 64),
        BACKWARD, (SCRATCH, 16), (SCRATCH, -16), (LOGITS, -64), (ACTIVATION, -300),
    ]  # fmt: skip
    peak = peak_of([*STEP, *second], logits=[64])
    assert peak.phase == BACKWARD
    assert peak.breakdown["activations"] == 8 + 300
    assert peak.breakdown["logits_and_loss"] == 64
    assert peak.breakdown["temporaries"] == 16
    assert peak.breakdown["gradients"] == 200
    assert peak.breakdown["optimizer"] == 400


def test_what_dies_inside_forward_is_temporary() -> None:
    peak = peak_of([FORWARD, (ACTIVATION, 10), (SCRATCH, 90), (SCRATCH, -90), BACKWARD])
    assert peak.phase == FORWARD
    assert (peak.breakdown["activations"], peak.breakdown["temporaries"]) == (10, 90)


def test_an_address_used_again_is_another_block() -> None:
    peak = peak_of(
        [FORWARD, (ACTIVATION, 10), BACKWARD, (ACTIVATION, -10), (ACTIVATION, 70), (OPTIMIZER, {})]
    )
    assert peak.allocated_bytes == 1070
    assert peak.breakdown["temporaries"] == 70
    assert peak.breakdown["activations"] == 0


def test_a_tag_belongs_to_the_block_that_lives_when_it_is_set() -> None:
    peak = peak_of(
        [BACKWARD, (GRADIENT, 5), (GRADIENT, -5), (GRADIENT, 7),
         (OPTIMIZER, {GRADIENT: "gradients"}), (BETWEEN, {}), (GRADIENT, -7), (GRADIENT, 6)]
    )  # fmt: skip
    assert peak.breakdown["gradients"] == 7


def test_releases_of_what_came_before_are_left_out() -> None:
    """A block from before the tracked phase is part of neither side."""
    peak = peak_of([(0x99, -500), FORWARD, (ACTIVATION, 10)])
    assert peak.allocated_bytes == 1010


def test_copies_that_pass_between_processes_are_left_out() -> None:
    """Another thread frees them: counted, they would live for ever."""
    exchange = [BETWEEN, EXCHANGE, (0x70, 5000), BETWEEN]
    assert peak_of([*exchange, *STEP]) == peak_of(STEP)
    assert peak_of([*exchange, (0x70, 7), (0x70, -7), *STEP]) == peak_of(STEP)


def test_the_first_of_equal_peaks_counts() -> None:
    peak = peak_of([FORWARD, (SCRATCH, 10), (SCRATCH, -10), BACKWARD, (SCRATCH, 10)])
    assert peak.phase == FORWARD


def test_a_mark_comes_before_an_event_of_the_same_moment() -> None:
    peak = find_peak([Event(5, 1, 10)], [Mark(5, BACKWARD)], 0, 0)
    assert peak.phase == BACKWARD


def test_events_in_any_order() -> None:
    events, marks = stream(*STEP)
    shuffled = events[:]
    random.Random(1).shuffle(shuffled)
    assert find_peak(shuffled, marks, 1, 2) == find_peak(events, marks, 1, 2)


def test_nothing_happened() -> None:
    peak = peak_of([], weights=10, adapter=5)
    assert (peak.allocated_bytes, peak.phase, peak.end_of_step_bytes) == (15, BETWEEN, None)


@pytest.mark.parametrize("seed", range(5))
def test_any_stream_adds_up(seed: int) -> None:
    """Against a plain replay: the peak is the largest running sum, the parts are the whole."""
    rng = random.Random(seed)
    alive: dict[int, int] = {}
    items: list = []
    running = largest = 0
    for address in range(400):
        kind = rng.random()
        if kind < 0.1:
            phase = rng.choice([FORWARD, BACKWARD, OPTIMIZER, BETWEEN])
            tagged = rng.sample(sorted(alive), min(2, len(alive)))
            items.append((phase, dict.fromkeys(tagged, rng.choice(["gradients", "optimizer"]))))
        elif kind < 0.5 and alive:
            gone = rng.choice(sorted(alive))
            running -= alive.pop(gone)
            items.append((gone, -1))
        else:
            alive[address] = rng.randint(1, 100)
            running += alive[address]
            items.append((address, alive[address]))
        largest = max(largest, running)
    assert peak_of(items, weights=7, adapter=3, logits=[50, 60]).allocated_bytes == largest + 10
