"""The execution of a run, from its folder's configuration to its checkpoints."""
