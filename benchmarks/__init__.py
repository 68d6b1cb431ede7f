"""What FruitVision reaches, measured: ``python -m benchmarks``."""

from fruitvision.__main__ import spin_shortly

spin_shortly()  # before torch is imported, as the app and its runs have it
