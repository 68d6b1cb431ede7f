"""Classify, "Teach it": kinds that a person adds by a few pictures."""
