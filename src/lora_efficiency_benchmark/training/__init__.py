"""One training run and what is asked of the trained model (row 4). Knows no files and no claims.

trainer     one run on ``transformers.Trainer``, steps timed
collate     batches, padded to the longest text and no further
ranks       the processes that train one cell together: which, how many, values of all
evaluation  held-out loss of every document
probes      forgetting: loss on everyday texts
samples     fixed prompts, continued greedily
"""
