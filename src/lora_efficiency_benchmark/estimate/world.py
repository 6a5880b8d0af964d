"""A world in which tensors have shapes and no values (row 4).

PyTorch's FakeTensorMode runs the real Python code of transformers, peft, Trainer and the optimizer,
with real autograd and real autocast, on tensors that claim to live on a CPU and hold nothing. Here
are the few places where that code asks for something that does not exist without values, and the
switches that make it take the path of the target device (``cuda.py``).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from .cuda import cuda_rules
from .options import EstimateOptions
from .patching import replace_parameters, replaced

_RNG_STATE_BYTES = len(torch.get_rng_state())


@contextmanager
def fake_world(options: EstimateOptions) -> Iterator[None]:
    """Inside, every new tensor is fake, and code takes the path it would take on the target."""
    import transformers.masking_utils
    import transformers.utils.import_utils

    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle would release at random
    try:
        with ExitStack() as stack:
            # Transformers takes other paths when it sees fake tensors; we want the ordinary ones.
            masks, imports = transformers.masking_utils, transformers.utils.import_utils
            stack.enter_context(replaced(imports, "is_fake_tensor", lambda _: False))
            stack.enter_context(replaced(masks, "fast_all", lambda _: not options.has_mask))
            stack.enter_context(replaced(torch.nn.Module, "_apply", _apply))
            stack.enter_context(replaced(gc, "collect", lambda *_: 0))  # accelerate asks for it
            if options.device == "cpu":  # elsewhere the random state is not on the device
                for owner in (torch, torch.random):
                    stack.enter_context(replaced(owner, "get_rng_state", _rng_state))
                    stack.enter_context(replaced(owner, "set_rng_state", lambda _: None))
            if options.device == "cuda":
                stack.enter_context(cuda_rules(options))
            stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
            yield
    finally:
        if collecting:
            gc.enable()


def _rng_state() -> torch.Tensor:
    """The state of the CPU generator, which each checkpointed layer keeps for its second pass."""
    return torch.empty(_RNG_STATE_BYTES, dtype=torch.uint8)


def to_fake(model: Any, dtype: torch.dtype) -> Any:
    """Replace the meta tensors of ``model`` by fake CPU ones, tied tensors once, in place.

    Parameters get ``dtype`` unless the model keeps them in fp32; buffers keep theirs.
    """
    keep = set(getattr(model, "_keep_in_fp32_modules_strict", None) or ())

    def empty(module_name: str, _: Any, parameter: Any) -> Any:
        wanted = torch.float32 if keep & set(module_name.split(".")) else dtype
        return torch.nn.Parameter(torch.empty(parameter.shape, dtype=wanted))

    replace_parameters(model, empty)
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor) and value.device.type == "meta":
                setattr(module, name, torch.empty(value.shape, dtype=value.dtype))
    return model


_real_apply = torch.nn.Module._apply


def _apply(self: Any, fn: Callable[[Any], Any], recurse: bool = True) -> Any:
    """``Module.to`` and its kin for fake tensors, whose storages PyTorch cannot swap in place."""
    if not any(isinstance(p, FakeTensor) for p in self.parameters()):
        return _real_apply(self, fn, recurse)  # type: ignore[no-untyped-call]
    replace_parameters(self, lambda _, __, parameter: _converted(parameter, fn))
    for module in self.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = fn(buffer)
    return self


def _converted(parameter: Any, fn: Callable[[Any], Any]) -> Any:
    with torch.no_grad():
        value = fn(parameter)
    if value.dtype == parameter.dtype and value.device == parameter.device:
        return parameter
    return torch.nn.Parameter(value.detach(), requires_grad=parameter.requires_grad)
