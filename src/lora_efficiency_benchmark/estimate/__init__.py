"""Memory a training step would take on a GPU, estimated without one."""
