"""Memory a training step would take on a device, estimated without one (row 4).

    options, predict        what is asked; Predictor and Estimate: start reading here
    world, cuda, attention  tensors without values that take the path of the target device
    step, batches           the real step, run there on batches of shapes
    recorder, stream        every allocation it made, in order
    quantized, optimizers   sizes of libraries that need a GPU to run
    repetition, layers      whether five layers stand for all, and their events repeated
    recording               sizes as polynomials in batch, length, rank
    history, allocator      many steps through a model of the caching allocator
    workspaces              what matrix libraries keep for themselves
    patching                an attribute replaced for the length of a block
    real_step               the same step with values, to compare with
    fitting                 the largest batch, length and rank that fit
    map                     every setting recorded, reduced to what can be the peak
    foresight               what the cells of a run will need, from their data and device
    claim_scale             the claim at its own scale, kept in the user's cache

Only the last two know cells and files.
"""
