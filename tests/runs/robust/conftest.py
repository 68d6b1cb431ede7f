"""A small world: fruits on white, photographs of types, pictures without fruit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.augment.backgrounds import generated_background
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.runs.config import RunConfig
from fruitvision.training.config import TrainConfig

TINY = {
    "start": "scratch",
    "width": 8,
    "image_size": 32,
    "first_image_size": 0,
    "eval_resize": 40,
    "eval_size": 40,
    "batch_size": 8,
    "epochs": 2,
}
#: A network as wide as ImageNet's costs a second for every few steps: two of them, and nothing after.
LARGE = {"photos": False, "nothing": False, "width": 64, "epochs": 1, "max_train_images": 16, "refit": 0}


def draw_into(folder: Path, kind: str, count: int, ground: str, size=48) -> None:
    folder.mkdir(parents=True)
    for n in range(count):
        rng = np.random.default_rng([len(folder.name), n])
        draw_fruit(kind, rng, size, background=ground).save(folder / f"{folder.name} {n}.jpg", quality=92)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """lab/ on white with two varieties of Apple, photos/ of types (one of them new), nothing/ without fruit."""
    root = tmp_path_factory.mktemp("world")
    for split, count in (("Training", 10), ("Test", 4)):
        for name, kind in (("Apple Red 1", "Apple"), ("Apple Red 2", "Apple"), ("Banana", "Banana")):
            draw_into(root / "lab" / split / name, kind, count, "white")
    for name, kind in (("Apple", "Apple"), ("Banana", "Banana"), ("Kiwi", "Kiwi")):
        draw_into(root / "photos" / name, kind, 20, "wood", (64, 48))
    (root / "nothing").mkdir()
    for n in range(30):
        Image.fromarray(generated_background(np.random.default_rng(n), 48)).save(root / "nothing" / f"{n}.jpg")
    return root


def config(world: Path, *, photos=True, nothing=True, **settings) -> RunConfig:
    return RunConfig(
        name="robust",
        data=str(world / "lab"),
        photos=(str(world / "photos"),) if photos else (),
        not_fruit=(str(world / "nothing"),) if nothing else (),
        training=TrainConfig.from_preset("robust", **{**TINY, **settings}),
    )
