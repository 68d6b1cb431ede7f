"""Training: the configuration, the loop, and everything that an exact resume needs."""

DEFAULT_PRESET = "fast"
"""The preset that commands and the page use by default."""
