"""Replace an attribute for the length of a block, or the parameters of a model (row 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name`` is ``value`` inside the block."""
    original = vars(owner).get(name, _ABSENT)  # as it stands there: a staticmethod stays one
    setattr(owner, name, value)
    try:
        yield
    finally:
        if original is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


def replace_parameters(model: Any, made_of: Callable[[str, Any, Any], Any]) -> None:
    """Put ``made_of(module name, module, parameter)`` in each one's place, tied ones once."""
    made: dict[int, Any] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:
                made[id(parameter)] = made_of(module_name, module, parameter)
            module._parameters[name] = made[id(parameter)]
