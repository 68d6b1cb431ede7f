"""Pictures: finding, checking and decoding them, and loading them in batches."""
