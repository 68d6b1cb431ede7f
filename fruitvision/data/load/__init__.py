"""Data loading: seeded batches, sharded by rank, made on the CPU or the GPU."""
