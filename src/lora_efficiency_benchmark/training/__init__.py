"""One training run, and what is asked of the trained model (row 4).

    trainer     one run on ``transformers.Trainer``, steps timed
    collate     batches, padded to the longest text and no further
    evaluation  held-out loss of every document
    probes      forgetting: loss on everyday texts
    samples     fixed prompts, continued greedily

Nothing here knows files of an output folder, or claims.
"""
