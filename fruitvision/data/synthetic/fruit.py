"""The fourteen kinds of fruit that can be drawn: fruit types of Fruits-360.

Each comes in several colors, shapes and poses, so that color alone does not tell an apple from a tomato. Everything lies
within about 1 of the middle, up is -y, and every choice comes from ``scene.rng``.
"""

from __future__ import annotations

from collections.abc import Callable

from fruitvision.data.synthetic import other_fruit, tree_fruit
from fruitvision.data.synthetic.painting import Scene

PAINTERS: dict[str, Callable[[Scene], None]] = {
    "Apple": tree_fruit.apple,
    "Banana": other_fruit.banana,
    "Cherry": tree_fruit.cherry,
    "Grape": other_fruit.grape,
    "Kiwi": other_fruit.kiwi,
    "Lemon": tree_fruit.lemon,
    "Lime": tree_fruit.lime,
    "Orange": tree_fruit.orange,
    "Pear": tree_fruit.pear,
    "Pineapple": other_fruit.pineapple,
    "Plum": tree_fruit.plum,
    "Strawberry": other_fruit.strawberry,
    "Tomato": other_fruit.tomato,
    "Watermelon": other_fruit.watermelon,
}
KINDS: tuple[str, ...] = tuple(PAINTERS)
