"""Optimizer state of libraries that need a GPU to run: sizes only (row 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

SMALL_BELOW = 4096  # elements; smaller tensors keep fp32 state
BLOCK = 256  # elements that share one scale
PAGED_FROM = 100_000  # elements; smaller tensors are not paged


class BlockwiseAdam8bit(torch.optim.Optimizer):
    """Adam with two states of one byte an element and an fp32 scale a block of 256.

    Layout of bitsandbytes' 8-bit blockwise optimizers (Dettmers et al. 2022, "8-bit Optimizers via
    Block-wise Quantization"); a step needs no temporaries. ``paged`` state of large tensors lives
    in unified memory, outside PyTorch's allocator, and is not counted; its scales are. Parameters
    in ``fp32_state`` keep their state in fp32, as the Trainer asks for embeddings.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        paged: bool = False,
        fp32_state: Iterable[torch.Tensor] = (),
        **_: Any,
    ) -> None:
        super().__init__(params, {"lr": lr})
        self._paged = paged
        self._fp32_state = {id(parameter) for parameter in fp32_state}
        self._maps: dict[str, torch.Tensor] = {}  # of all tensors with 8-bit state

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make the state of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter not in self.state:
                    self.state[parameter] = self._state_of(parameter)

    def _state_of(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        """State made from the parameter, so that it counts as its layer's."""
        count = parameter.numel()
        states, scales = ("state1", "state2"), ("absmax1", "absmax2")
        outside = self._paged and count >= PAGED_FROM
        if count < SMALL_BELOW or id(parameter) in self._fp32_state:
            kept = () if outside else states
            return {name: torch.zeros_like(parameter, dtype=torch.float32) for name in kept}
        if not self._maps:
            self._maps = {name: torch.empty(256) for name in ("qmap1", "qmap2")}
        state = dict(self._maps)
        if not outside:
            state |= {name: torch.zeros_like(parameter, dtype=torch.uint8) for name in states}
        blocks = -(-count // BLOCK)
        return state | {name: parameter.new_zeros(blocks, dtype=torch.float32) for name in scales}
