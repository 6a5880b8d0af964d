"""The error tree is what the module says it is."""

from __future__ import annotations

import re

from lora_efficiency_benchmark import errors


def tree(kind: type, depth: int = 0) -> list[tuple[int, str]]:
    """The classes of the module; a package may refine one for its own use (``importing``)."""
    order = list(vars(errors))
    below = [c for c in kind.__subclasses__() if c.__module__ == errors.__name__]
    below.sort(key=lambda c: order.index(c.__name__))
    return [(depth, kind.__name__), *(line for c in below for line in tree(c, depth + 1))]


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^([│├└─ ]*)(\w+)  ", errors.__doc__, flags=re.MULTILINE)
    assert [(len(lead) // 4, name) for lead, name in drawn] == tree(errors.LoraBenchError)


def test_every_way_for_a_cell_to_end_has_its_own_word() -> None:
    kinds = [errors.CellError, *errors.CellError.__subclasses__()]
    assert sorted(k.kind for k in kinds) == [
        "diverged", "error", "out_of_memory", "time_limit", "worker_died",
    ]  # fmt: skip
