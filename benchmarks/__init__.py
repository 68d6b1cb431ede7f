"""Benchmarks of speed and accuracy: ``python -m benchmarks``."""

from fruitvision.__main__ import limit_spinning

limit_spinning()  # before torch is imported, as in the app and its runs
