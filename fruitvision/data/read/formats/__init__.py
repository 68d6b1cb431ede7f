"""Parsers of picture files, which check and rewrite a file before it is decoded; one module per format."""
