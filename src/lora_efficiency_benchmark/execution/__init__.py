"""Each cell alone in its own process (row 4).

    worker      the child: imports torch once, then forks for every cell (CPU) or runs one (GPU)
    launcher    the parent: starts workers, passes events on, turns a dead child into a record

They speak one JSON object a line. The parent never imports torch, and what libraries print goes to
the log, not into the conversation.
"""
