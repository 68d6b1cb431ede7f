"""Scores on labelled folders, and what they were wrong about."""
