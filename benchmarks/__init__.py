"""What FruitVision reaches, measured: ``python -m benchmarks``."""

import os

from fruitvision.__main__ import SPIN

# As the app and its runs have it, before torch is imported: two engines in one process hinder each other otherwise.
for _name, _value in SPIN.items():
    os.environ.setdefault(_name, _value)
