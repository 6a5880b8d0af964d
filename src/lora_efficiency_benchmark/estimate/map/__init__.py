"""Where in batch, length and rank a claim about memory holds (row 4): start reading at ``flow``."""
