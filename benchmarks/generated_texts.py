"""Facts about the generated texts: how many are unique, and what the two sides share.

.venv/bin/python benchmarks/generated_texts.py [--train 10000] [--evaluation 200]
"""

from __future__ import annotations

import argparse
import json

from lora_efficiency_benchmark.dataset import JapaneseDatasetGenerator, audit_overlap


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=10_000)
    parser.add_argument("--evaluation", type=int, default=200)
    options = parser.parse_args()
    generator = JapaneseDatasetGenerator()
    train = generator.training_documents(options.train)
    evaluation = generator.evaluation_documents(options.evaluation)
    unique = len({document.text for document in train})
    overlap = audit_overlap(train, evaluation).to_dict()
    print(json.dumps({"texts": len(train), "unique": unique, **overlap}, indent=1))


if __name__ == "__main__":
    main()
