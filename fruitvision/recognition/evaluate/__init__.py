"""Evaluation on labelled folders, and analysis of the errors."""
