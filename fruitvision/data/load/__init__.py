"""Batches: seeded, sharded by rank, from the processor or from the graphics card."""
