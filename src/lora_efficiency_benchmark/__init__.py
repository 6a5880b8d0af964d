"""Is LoRA really that much cheaper than full fine-tuning, and as good? Measured and judged.

    from lora_efficiency_benchmark import LoRABenchmarkConfig, LoRAEfficiencyBenchmark

    analysis = LoRAEfficiencyBenchmark("quick").run()
    print(analysis.joint.sentence["en"])

Importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config.benchmark_config import LoRABenchmarkConfig
from .records.results import LoRAEfficiencyResult

if TYPE_CHECKING:
    from .benchmark import LoRAEfficiencyBenchmark
    from .dataset import JapaneseDatasetGenerator

__all__ = [
    "JapaneseDatasetGenerator",
    "LoRABenchmarkConfig",
    "LoRAEfficiencyBenchmark",
    "LoRAEfficiencyResult",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the two larger classes when they are asked for."""
    if name == "LoRAEfficiencyBenchmark":
        from .benchmark import LoRAEfficiencyBenchmark

        return LoRAEfficiencyBenchmark
    if name == "JapaneseDatasetGenerator":
        from .dataset import JapaneseDatasetGenerator

        return JapaneseDatasetGenerator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
