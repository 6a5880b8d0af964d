"""``python -m lora_efficiency_benchmark.cli`` is ``lora-bench``."""

from . import main

main()
