"""The numbers of pictures of a run, from the sizes of its dataset's splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fruitvision.data.read.dataset import TEST_FRACTION

if TYPE_CHECKING:
    from fruitvision.training.config import TrainConfig


@dataclass(frozen=True)
class PictureCounts:
    """The numbers of pictures for training, for validation after each epoch, and for the final test."""

    train: int
    validation: int
    test: int

    @classmethod
    def of(cls, splits: Mapping[str, int], config: TrainConfig) -> PictureCounts:
        """For a folder with these numbers of pictures in its splits "train", "val" and "test", as divided by a run.

        A folder with neither of the last two holds out a part for testing, see :func:`fruitvision.data.read.dataset.assemble`;
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
