"""How long a prediction takes: one 7B configuration, its recording, ten thousand points.

python benchmarks/estimator_speed.py            # after imports
time lora-bench estimate llama-2-7b METHOD      # cold, from the shell
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import peft
import transformers.trainer

from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.estimate.options import EstimateOptions
from lora_efficiency_benchmark.estimate.predict import Predictor

LIBRARIES = (peft.__version__, transformers.__version__)  # loaded before the clock starts
MODEL = "llama-2-7b"
METHODS = ("full", "lora:r=32,targets=q_proj+k_proj+v_proj+o_proj")
POINTS = 10_000


def main() -> None:
    """Print seconds for every part."""
    # The first trace of a process also loads the model's class and PyTorch's shape rules.
    _, first = _timed(lambda: Predictor(MODEL, parse_method("full"), EstimateOptions()).estimate())
    print(f"first estimate of the process: {first:.2f} s")
    for text in METHODS:
        predictor, built = _timed(partial(Predictor, MODEL, parse_method(text), EstimateOptions()))
        _, estimated = _timed(predictor.estimate)
        recording, recorded = _timed(predictor.recording)
        draw = random.Random(0)
        points = [
            (draw.randint(2, 64), draw.randint(16, 4096), draw.randint(1, 256))
            for _ in range(POINTS)
        ]
        _, replayed = _timed(partial(recording.allocated_peaks, points))
        print(
            f"{MODEL} {predictor.method.label}: estimate {built + estimated:.2f} s, "
            f"recording {recorded:.2f} s, {POINTS:,} points of allocated peak {replayed:.2f} s"
        )


def _timed(action: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return action(), time.perf_counter() - start


if __name__ == "__main__":
    main()
