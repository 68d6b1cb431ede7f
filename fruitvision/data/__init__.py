"""Pictures in: finding them, checking them, decoding them once, and turning them into batches."""
