"""What a predicted training step is made of, checked once. Pure: no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..config.checks import PRECISIONS
from ..errors import ConfigError

OPTIMIZERS = (
    "adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd",
)  # fmt: skip
_CHOICES = {
    "precision": PRECISIONS,
    "optimizer": OPTIMIZERS,
    "attention": ("sdpa", "eager", "flash"),
    "adapter_dtype": ("auto", "float32", "bfloat16"),
    "quantization": ("none", "nf4", "int8"),
    "loop": ("trainer", "plain"),
    "device": ("cuda", "cpu"),
}
_MOST = 2**20  # texts, tokens or passes: more is a slip of the pen


@dataclass(frozen=True)
class EstimateOptions:
    """The settings of the training step; the defaults are those of ``run``."""

    batch_size: int = 4  # texts per forward pass
    seq_len: int = 512  # tokens of the longest text in the batch
    precision: str = "amp-bf16"
    optimizer: str = "adamw_torch"
    gradient_checkpointing: bool = False
    attention: str = "sdpa"
    padded: bool = True  # texts of different lengths in the batch, so there is a mask
    adapter_dtype: str = "auto"  # auto: as PEFT does, fp32 on a half-precision base
    quantization: str = "none"  # of the frozen base
    accumulation: int = 1  # forward passes per optimizer step
    max_grad_norm: float = 1.0  # 0: no clipping
    loop: str = "trainer"  # trainer: the engine of ``run``; plain: a hand-written loop
    device: str = "cuda"  # whose kernels and allocator
    arch: str | None = None  # such as sm89 or gfx942; decides the size of library workspaces
    workspace_bytes: int | None = None  # of each matrix library handle; None: its default

    def __post_init__(self) -> None:
        """Check every field. Raises ConfigError."""
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: must be one of "
                    f"{', '.join(allowed)}",
                    f"--{name.replace('_', '-')} {getattr(self, name)}: {', '.join(allowed)} "
                    "のいずれかを指定してください",
                )
        for name, least in (("batch_size", 1), ("seq_len", 2), ("accumulation", 1)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= _MOST:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {value}: must be a whole number from {least} "
                    f"to {_MOST:,}",
                    f"--{name.replace('_', '-')} {value}: {least}以上{_MOST:,}以下の整数を"
                    "指定してください",
                )
        if not 0 <= self.max_grad_norm < math.inf:
            raise ConfigError(
                f"--max-grad-norm {self.max_grad_norm}: must be a number of at least 0 (0: none)",
                f"--max-grad-norm {self.max_grad_norm}: 0以上の数を指定してください (0: なし)",
            )
        if self.device == "cpu" and self.quantization != "none":
            raise ConfigError(
                "--quantization: 4- and 8-bit kernels are predicted for CUDA only",
                "--quantization: 4ビットと8ビットのカーネルは CUDA でだけ予測できます",
            )

    @property
    def has_mask(self) -> bool:
        """A batch of one text needs no padding."""
        return self.padded and self.batch_size > 1

    def at(self, batch_size: int, seq_len: int) -> EstimateOptions:
        """The same step on another batch."""
        return replace(self, batch_size=batch_size, seq_len=seq_len)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
