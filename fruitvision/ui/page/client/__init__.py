"""The page's own scripts, and the Python functions that they call."""
