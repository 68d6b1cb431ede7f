"""How many pictures a run learns from, from the sizes of its dataset's splits alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fruitvision.data.read.dataset import TEST_FRACTION

if TYPE_CHECKING:
    from fruitvision.training.config import TrainConfig


@dataclass(frozen=True)
class PictureCounts:
    """How many pictures a run learns from, is validated on after each epoch, and is tested on in the end."""

    train: int
    validation: int
    test: int

    @classmethod
    def of(cls, splits: Mapping[str, int], config: TrainConfig) -> PictureCounts:
        """Of a folder with so many pictures in its splits "train", "val" and "test", as a run divides them.

        A folder that has neither of the last two keeps a part for testing, see :func:`fruitvision.data.read.dataset.assemble`;
        the rest follows :func:`fruitvision.runs.prepare.data.train_and_validation`.
        """
        train, validation, test = (splits.get(name, 0) for name in ("train", "val", "test"))
        if not validation and not test:
            test = round(train * TEST_FRACTION)
            train -= test
        if not validation and config.val_fraction > 0:
            validation = round(train * config.val_fraction)
            train -= validation
        elif not validation:
            validation = test
        return cls(min(train, config.max_train_images or train), validation, test)
