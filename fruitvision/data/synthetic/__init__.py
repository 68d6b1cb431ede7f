"""Drawn fruit, for a first try and for the tests."""
