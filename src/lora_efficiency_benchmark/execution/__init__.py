"""Each cell alone in its own process (row 4).

    worker      the child: imports torch once, then forks for every cell (CPU) or runs one (GPU)
    launcher    the parent: starts workers, passes events on, turns a dead child into a record

They speak one JSON object a line. The parent never imports torch, and what libraries print goes to
the log, not into the conversation.

    executors     what both launchers offer to ``benchmark.py``
    ray_launcher  the same cells on the nodes of a Ray cluster
    nodes         what nodes offer and cells reserve; of which nodes records are judged together
    node_check    which nodes can run the cells
    on_node       what runs on a node: a launcher there, for one cell
    ray_engine    the calls to Ray
"""
