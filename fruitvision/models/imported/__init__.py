"""Importing weights that were trained elsewhere: read safely, and mapped exactly or rejected with a reason."""
