"""Optimizer state of libraries that need a GPU to run: sizes only (row 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

_SMALL = 4096  # elements; smaller tensors keep fp32 state
_BLOCK = 256  # elements that share one scale


class BlockwiseAdam8bit(torch.optim.Optimizer):
    """Adam with two states of one byte an element and an fp32 scale a block of 256.

    Layout of bitsandbytes' 8-bit blockwise optimizers (Dettmers et al. 2022, "8-bit Optimizers via
    Block-wise Quantization"). ``paged`` state lives in unified memory, outside PyTorch's allocator,
    and is not counted.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, paged: bool = False, **_: Any
    ) -> None:
        super().__init__(params, {"lr": lr})
        self._paged = paged
        self._maps: list[torch.Tensor] = []

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make the state of every parameter that has a gradient."""
        if not self._maps:
            self._maps = [torch.empty(256), torch.empty(256)]  # the two quantisation maps
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter not in self.state:
                    self.state[parameter] = self._state_of(parameter)

    def _state_of(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        count = parameter.numel()
        if count < _SMALL:
            return {name: torch.empty(count) for name in ("state1", "state2")}
        state = {name: torch.empty(-(-count // _BLOCK)) for name in ("absmax1", "absmax2")}
        if not self._paged:
            state |= {name: torch.empty(count, dtype=torch.uint8) for name in ("state1", "state2")}
        return state
