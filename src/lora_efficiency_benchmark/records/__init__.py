"""What was measured, as files (row 3): the contract between measuring and judging.

    results          CellRecord (stored) and LoRAEfficiencyResult (the public row)
    shape            types of what a record holds: an edited file is refused by name and field
    estimates_shape  the same of estimates.json
    store            the output folder: atomic writes, resuming, moving aside

Nothing here imports torch.
"""
