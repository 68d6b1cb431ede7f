"""What FruitVision reaches, measured: ``python -m benchmarks``."""

from fruitvision.__main__ import limit_spinning

limit_spinning()  # before torch is imported, as the app and its runs have it
