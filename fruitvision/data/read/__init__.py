"""Finding, checking and decoding picture files, and the store of decoded pictures."""
