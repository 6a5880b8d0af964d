"""Which quantities of two runs may be compared (row 5). One table, read by everything else.

``no``      what differs changes the quantity itself: a larger batch needs more memory
``stated``  the difference may come from what is named, and is only given with it: another GPU, or
            something that no record states
``yes``     nothing that matters differs, as far as the records say
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .facts import (
    Side,
    differing_facts,
    not_stated,
    one_sided,
    other_tokens,
    same_data,
    same_texts,
    same_weights,
)
from .values import NO, STATED, YES, Permission

PARAMETERS, MEMORY, TIME = "parameters", "memory", "time"
QUALITY, BITS = "quality", "bits_per_byte"
QUANTITIES = (PARAMETERS, MEMORY, QUALITY, BITS, TIME)

_MODEL = ("model", "weights", "model_parameters")
_RUN = ("batch_size", "max_length", "trainer_args")
_LAUNCH = ("processes", "accelerate")  # change time and memory; the loss by rounding and dropout
_MACHINE = ("device", "packages", "threads", "cores", "cpu_model", "bf16_matmul", "git.commit",
            "python", "platform", "imported")  # fmt: skip
_BLOCKS = {
    PARAMETERS: _MODEL,
    MEMORY: (*_MODEL, *_RUN, *_LAUNCH, "precision", "allocator", "device.type"),
    QUALITY: (*_MODEL, *_RUN, "dataset", "training_texts", "training_steps", "tokenizer",
              "held_out_texts", "evaluation_size"),
    BITS: (*_RUN, "dataset", "training_texts", "training_steps", "held_out_texts",
           "evaluation_size"),
    TIME: (*_MODEL, *_RUN, *_LAUNCH, "dataset", "training_texts", "training_steps"),
}  # fmt: skip
_NOTES = {
    PARAMETERS: (),
    MEMORY: (*_MACHINE, "dataset", "training_texts"),
    QUALITY: (*_MACHINE, *_LAUNCH, "precision"),
    BITS: (*_MACHINE, *_MODEL, *_LAUNCH, "precision", "tokenizer"),
    TIME: (*_MACHINE, "precision", "allocator"),
}


def permissions(sides: Sequence[Side]) -> tuple[Permission, ...]:
    """For every run but the first, every quantity."""
    return tuple(
        _permit(quantity, place, *_names(sides[0], side), one_sided(sides[0], side))
        for place, side in enumerate(sides[1:], 1)
        for quantity in QUANTITIES
    )


def permit(
    found: Iterable[Permission], quantity: str, run: int, also: Sequence[str] = ()
) -> Permission:
    """The permission of one quantity and run; ``also`` names what forbids it for one arm."""
    known = next(p for p in found if (p.quantity, p.run) == (quantity, run))
    if not also or known.comparable == NO:
        return known
    return Permission(quantity, run, NO, tuple(also))


def _names(a: Side, b: Side) -> tuple[list[str], tuple[str, ...]]:
    """What differs between two runs, and what neither states."""
    found = [fact.name for fact in differing_facts([a, b]) if fact.kind != "claims"]
    if other_tokens(a, b):
        found.append("tokenizer")
    if same_texts(a, b) is False and "held_out_texts" not in found:
        found.append("held_out_texts")
    if same_data(a, b):
        found = [name for name in found if name != "dataset"]  # one file under two names
    if same_weights(a, b):
        found = [name for name in found if name != "model"]  # one model under two names
    return found, not_stated([a, b])


def _permit(
    quantity: str, run: int, names: list[str], unknown: tuple[str, ...], half: tuple[str, ...]
) -> Permission:
    """``unknown`` is what neither run states, ``half`` what one of them does not."""
    blocks = [name for name in names if _matches(name, _BLOCKS[quantity])]
    if blocks:
        return _permission(quantity, run, NO, blocks, half)
    both = (*_BLOCKS[quantity], *_NOTES[quantity])
    notes = [name for name in names if _matches(name, _NOTES[quantity])]
    notes += [name for name in unknown if _matches(name, both) and name not in notes]
    return _permission(quantity, run, STATED if notes else YES, notes, (*unknown, *half))


def _permission(
    quantity: str, run: int, comparable: str, names: Sequence[str], unknown: Sequence[str]
) -> Permission:
    open_ = tuple(name for name in names if name in unknown)
    return Permission(quantity, run, comparable, tuple(names), open_)


def _matches(name: str, table: Iterable[str]) -> bool:
    """``packages.torch`` is in a table that lists ``packages``."""
    return any(name == entry or name.startswith(f"{entry}.") for entry in table)
