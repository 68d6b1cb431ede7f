"""Importing a network that was trained elsewhere as a checkpoint, and checking it on pictures of every class."""
