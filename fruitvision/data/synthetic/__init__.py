"""Synthetic pictures of fruit, for a first try and for the tests."""
