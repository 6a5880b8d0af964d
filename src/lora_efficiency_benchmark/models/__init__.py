"""Base models, adapters in them, and their exact sizes (row 4).

    loading          a model with its weights, an adapter in it, parameters counted
    structure        the same without weights: every layer on the meta device
    counting         exact sizes under several methods
    adapter_modules  which modules of a model an adapter means; tied embeddings
    cache            conversions made once: the default model, ``.gguf`` files
    hub              whether the model Hub answers, asked before anything waits for it
    precision        what weights are stored in and passes compute in
    bf16_matmul      bfloat16 products on CPUs without the instructions

``cache`` and ``hub`` are asked by parts that load no torch, so this door stays empty.
"""
