"""Kinds that a person taught: kept as pictures, recognized by their features."""
