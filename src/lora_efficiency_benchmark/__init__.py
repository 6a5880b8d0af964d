"""Is LoRA really cheaper than full fine-tuning, and as good? Measured, predicted, judged."""
