"""Foreign results become records (row 4 by place, but without torch): ``import_results``.

    files.py, fields.py  reading what a stranger wrote: bounded, checked, no links, no pickle
    peft_config.py       a PEFT configuration as one of our LoRA configurations, or why it is none
    weights.py           parameters counted from the heads of safetensors files
    peft_results.py      result files of PEFT's method_comparison
    trainer_runs.py      folders of transformers.Trainer with a trainer_state.json
    runs.py              one foreign run -> our cells and records
    importer.py          the whole flow

A figure keeps the meaning it has in its source. What the source does not give stays out of the
record, and the claim that needs it is NOT_MEASURED.
"""

from .importer import ImportedRun, Summary, import_results
from .refusal import NotImportable

__all__ = ["ImportedRun", "NotImportable", "Summary", "import_results"]
