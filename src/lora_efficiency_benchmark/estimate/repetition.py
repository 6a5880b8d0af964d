"""May a few decoder layers stand for all? Asked of the parameters themselves (row 4).

Layers are grouped by the period in which their kinds repeat (sliding and full attention, say). The
groups between the first and the last must hold equal parameters, adapter included, and a model of
five groups must look like the whole one, layer for layer and outside the layers. Whatever an
adapter does to single layers, or a model to its widths, shows here, and then all layers are traced.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import UserError
from ..models.structure import structure_of
from .layers import TRACED

Signature = tuple[tuple[str, tuple[int, ...], bool], ...]  # name, shape, trained or not


@dataclass(frozen=True)
class Repetition:
    """A shorter model that stands for a deep one."""

    config: Any  # of the shorter model
    period: int  # layers a group
    groups: int  # in the deep model


def find_repetition(
    whole: Any, config: Any, adapt: Callable[[Any], Any], trust_remote_code: bool = False
) -> Repetition | None:
    """How ``whole``, adapted and on the meta device, can be shortened; None where it cannot.

    ``config`` is its configuration, ``adapt`` what was done to it.
    """
    layers = decoder_layers(whole)
    depth = len(layers)
    period = _period(config, depth)
    if depth <= TRACED * period or depth % period:
        return None
    groups = _groups(layers, period)
    middle = groups[1]
    if any(group != middle for group in groups[1:-1]):
        return None
    shorter = _shortened(config, TRACED * period)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says of the shorter model is compared below
            few = adapt(structure_of(shorter, trust_remote_code))
    except UserError:  # an adapter that names layers which the shorter model lacks
        return None
    stands = _groups(decoder_layers(few), period) == [groups[0], *[middle] * 3, groups[-1]]
    if stands and _outside(whole) == _outside(few):
        return Repetition(shorter, period, depth // period)
    return None


def decoder_layers(model: Any) -> list[Any]:
    """The repeated layers, in order; empty where there is no such list."""
    count = getattr(model.config, "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return list(module)
    return []


def _period(config: Any, depth: int) -> int:
    """After how many layers the kinds of layer repeat: 1 for most, 2 for Gemma 2, 6 for Gemma 3.

    Every list of the configuration with one entry a layer tells kinds of layer apart.
    """
    lists = [v for v in vars(config).values() if isinstance(v, list) and len(v) == depth]
    kinds = list(zip(*lists, strict=True))
    if not kinds:
        return 1
    return next(
        period
        for period in range(1, depth + 1)
        if all(kinds[i] == kinds[i % period] for i in range(depth))
    )


def _shortened(config: Any, layers: int) -> Any:
    """The configuration with fewer layers; lists with one entry a layer are cut."""
    shorter = copy.deepcopy(config)
    depth = shorter.num_hidden_layers
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == depth:
            setattr(shorter, name, value[:layers])
    shorter.num_hidden_layers = layers
    return shorter


def _groups(layers: list[Any], period: int) -> list[list[Signature]]:
    each = [_signature(layer.named_parameters()) for layer in layers]
    return [each[start : start + period] for start in range(0, len(each), period)]


def _outside(model: Any) -> Signature:
    """What belongs to no decoder layer."""
    inside = {id(p) for layer in decoder_layers(model) for p in layer.parameters()}
    return _signature((n, p) for n, p in model.named_parameters() if id(p) not in inside)


def _signature(named: Any) -> Signature:
    return tuple((name, tuple(p.shape), p.requires_grad) for name, p in named)
