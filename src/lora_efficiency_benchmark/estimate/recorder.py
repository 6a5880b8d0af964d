"""Follow every storage of a training step that computes nothing (row 4).

``Recorder`` is a dispatch mode: it sees each operator below autograd, under autocast's casts, in
the forward pass, in checkpoint recomputation, in backward and in the optimizer. A storage is an
allocation when an operator first returns it and a release when its last owner lets go of it, which
is exactly when PyTorch's allocators see it.

Each event also notes the decoder layer it belongs to, so that a few layers can stand for many:
inside a layer's forward the layer itself; in backward the layer whose forward made the autograd
node (by sequence number); elsewhere (optimizer, clipping) the layer of the tensor worked on.
"""

from __future__ import annotations

import bisect
import weakref
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from ..measure.allocations import (
    BACKWARD,
    BETWEEN,
    CATEGORIES,
    FORWARD,
    OPTIMIZER,
    category_of,
    logits_sizes,
)
from ..models.loading import is_adapter
from .stream import OUTSIDE, PHASES, STEP_END, Stream

_INDEX = {name: i for i, name in enumerate(CATEGORIES)}
_PHASE = {name: i for i, name in enumerate(PHASES)}
# Here a tensor made from nothing belongs to what came before it: the random state that a
# checkpointed layer keeps, the state of a parameter.
_STICKY = (_PHASE[FORWARD], _PHASE[OPTIMIZER])
_WEIGHTS, _ADAPTER = _INDEX["weights"], _INDEX["adapter"]
_UNKNOWN = -1


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """``with Recorder(model, layers) as recorder: train(...)``, then ``recorder.stream()``.

    ``layers`` maps each decoder layer module to its number.
    """

    def __init__(self, model: Any, layers: dict[Any, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._model, self._layer_of = model, layers
        self._blocks: list[int] = []
        self._signs: list[int] = []
        self._phases: list[int] = []
        self._layers: list[int] = []
        self._sizes: list[int] = []
        self._made_in: list[int] = []  # phase of each block's allocation
        self._home: list[int] = []  # layer of each block
        self._categories: list[int] = []
        self._kept: list[bool] = []  # alive at the end of the forward pass that made it
        self._alive: dict[int, tuple[int, Any]] = {}  # id of the storage -> block, weak reference
        self._phase = _PHASE[BETWEEN]
        self._inside: list[int] = []  # decoder layers being computed, innermost last
        self._spans: list[tuple[int, int]] = []  # (first autograd sequence number, layer)
        self._layer, self._by_home = OUTSIDE, True
        self._logits: set[int] = set()
        self._hooks: list[Any] = []

    # ---- what is followed -----------------------------------------------------------------------

    def __enter__(self) -> Recorder:
        self._note_weights()
        model = self._model
        self._hooks = [
            model.register_forward_pre_hook(lambda *_: self._enter(FORWARD)),
            model.register_forward_hook(self._after_forward),
            register_optimizer_step_pre_hook(lambda *_: self._before_optimizer()),
            register_optimizer_step_post_hook(self._after_optimizer),
        ]
        for layer in self._layer_of:
            self._hooks.append(layer.register_forward_pre_hook(self._enter_layer))
            self._hooks.append(layer.register_forward_hook(self._leave_layer, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._alive.clear()  # what dies from here on is not part of the run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _ITEM:
            return _answer(args[0])
        out = func(*args, **(kwargs or {}))
        if func is _GREATER and out.numel() == 1:
            out.passes_draw = True
        self._find_layer(args)
        if isinstance(out, torch.Tensor):
            self._see(out)
        elif isinstance(out, tuple | list):
            self._see_all(out, args)
        return out

    def _see_all(self, outputs: Any, args: Any) -> None:
        """Several results; those of a list operator belong to the layers of its inputs."""
        inputs = args[0] if args and isinstance(args[0], tuple | list) else ()
        paired = self._by_home and len(inputs) == len(outputs)
        for i, output in enumerate(outputs):
            if isinstance(output, torch.Tensor):
                if paired:
                    self._layer = self._home_of(inputs[i])
                self._see(output)

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._alive:
            return
        nbytes = storage.nbytes()
        block = self._allocate(nbytes) if nbytes else -1

        def gone(_: Any, key: int = key, block: int = block) -> None:
            held = self._alive.get(key)
            if held is not None and held[0] == block:
                del self._alive[key]
                if block >= 0:
                    self._event(block, -1, self._home[block] if self._by_home else self._layer)

        self._alive[key] = (block, weakref.ref(storage, gone))

    def _allocate(self, nbytes: int, category: int = _UNKNOWN, layer: int | None = None) -> int:
        block = len(self._sizes)
        layer = self._layer if layer is None else layer
        self._sizes.append(nbytes)
        self._made_in.append(self._phase)
        self._home.append(layer)
        self._categories.append(category)
        self._kept.append(False)
        self._event(block, 1, layer)
        return block

    def _event(self, block: int, sign: int, layer: int) -> None:
        self._blocks.append(block)
        self._signs.append(sign)
        self._phases.append(self._phase)
        self._layers.append(layer)

    # ---- where it belongs -----------------------------------------------------------------------

    def _find_layer(self, args: Any) -> None:
        if self._inside:
            self._layer, self._by_home = self._inside[-1], False
            return
        node = torch._C._current_autograd_node()
        if node is None:
            first = args[0] if args else None
            if isinstance(first, torch.Tensor) and id(first.untyped_storage()) in self._alive:
                self._layer = self._home_of(first)
            elif not isinstance(first, tuple | list) and self._phase not in _STICKY:
                self._layer = OUTSIDE
            self._by_home = True
            return
        self._by_home = False
        variable = getattr(node, "variable", None)
        if variable is not None:
            self._layer = self._home_of(variable)
            return
        at = bisect.bisect_right(self._spans, (node._sequence_nr(), 1 << 30)) - 1
        self._layer = self._spans[at][1] if at >= 0 else OUTSIDE

    def _home_of(self, tensor: Any) -> int:
        if not isinstance(tensor, torch.Tensor):
            return OUTSIDE
        block = self._alive.get(id(tensor.untyped_storage()), (-1, None))[0]
        return self._home[block] if block >= 0 else OUTSIDE

    def _enter_layer(self, module: Any, *_: Any) -> None:
        self._inside.append(self._layer_of[module])
        self._layer, self._by_home = self._inside[-1], False
        self._span(self._inside[-1])

    def _leave_layer(self, *_: Any) -> None:
        self._inside.pop()
        self._span(self._inside[-1] if self._inside else OUTSIDE)

    def _span(self, layer: int) -> None:
        span = (torch._C._autograd._get_sequence_nr(), layer)
        while self._spans and self._spans[-1][0] >= span[0]:
            self._spans.pop()
        self._spans.append(span)

    # ---- phases and categories ------------------------------------------------------------------

    def _note_weights(self) -> None:
        """The initial blocks: every parameter and buffer once, in the model's order."""
        numbers = {}
        for name, module in self._model.named_modules():
            if module in self._layer_of:
                numbers[name + "."] = self._layer_of[module]
        for name, tensor in [*self._model.named_parameters(), *self._model.named_buffers()]:
            storage = tensor.untyped_storage()
            if id(storage) in self._alive or not storage.nbytes():
                continue
            layer = next((n for prefix, n in numbers.items() if name.startswith(prefix)), OUTSIDE)
            category = _ADAPTER if is_adapter(name) else _WEIGHTS
            block = self._allocate(storage.nbytes(), category, layer)
            self._alive[id(storage)] = (block, storage)

    def _enter(self, phase: str) -> None:
        self._phase = _PHASE[phase]
        self._layer = OUTSIDE

    def _after_forward(self, _module: Any, _inputs: Any, outputs: Any) -> None:
        logits = getattr(outputs, "logits", None)
        if logits is not None:
            self._logits |= logits_sizes(logits.shape)
        for block, _ in self._alive.values():
            if block >= 0 and self._made_in[block] == _PHASE[FORWARD]:
                self._kept[block] = True
        self._enter(BACKWARD)

    def _before_optimizer(self) -> None:
        self._tag_gradients()
        self._enter(OPTIMIZER)

    def _after_optimizer(self, optimizer: Any, *_: Any) -> None:
        self._tag_gradients()
        for state in optimizer.state.values():
            for value in state.values() if isinstance(state, dict) else ():
                if isinstance(value, torch.Tensor):
                    self._tag(value, "optimizer")
        self._enter(BETWEEN)
        self._event(STEP_END, 0, OUTSIDE)

    def _tag_gradients(self) -> None:
        for parameter in self._model.parameters():
            if parameter.grad is not None:
                self._tag(parameter.grad, "gradients")

    def _tag(self, tensor: torch.Tensor, category: str) -> None:
        block = self._alive.get(id(tensor.untyped_storage()), (-1, None))[0]
        if block >= 0:
            self._categories[block] = _INDEX[category]

    def stream(self) -> Stream:
        """Everything seen so far."""
        return Stream(
            blocks=np.array(self._blocks, dtype=np.int64),
            signs=np.array(self._signs, dtype=np.int64),
            phases=np.array(self._phases, dtype=np.int64),
            layers=np.array(self._layers, dtype=np.int64),
            sizes=np.array(self._sizes, dtype=np.int64),
            categories=np.array([self._category(b) for b in range(len(self._sizes))]),
        )

    def _category(self, block: int) -> int:
        if self._categories[block] != _UNKNOWN:
            return self._categories[block]
        phase = PHASES[self._made_in[block]]
        return _INDEX[category_of(self._sizes[block], phase, self._kept[block], self._logits)]


_ITEM = torch.ops.aten._local_scalar_dense.default
_GREATER = torch.ops.aten.gt.Scalar  # ``torch.rand(1) > dropout``: the draw keeps the layer


def _answer(tensor: Any) -> Any:
    """What ``tensor.item()`` says where there are no values: nothing is wrong, and one of it."""
    if tensor.dtype == torch.bool:
        return getattr(tensor, "passes_draw", False)
    return 1.0 if tensor.dtype.is_floating_point else 1
