"""Labels: a class, or a fruit type, whose probability is the sum over its varieties.

Pictures of Fruits-360 are labelled with a variety ("Apple Braeburn"), photos mostly with a type ("Apple"). Both train one head: a
label is a set of the network's classes, and its likelihood is the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from fruitvision.data.fruits import NOT_FRUIT, fruit_type, span


@dataclass(frozen=True, eq=False)
class Targets:
    """The labels of a training run.

    Attributes:
        classes: the C classes of the network: those of the dataset in order, then types that only photos have, sorted, then
        ``NOT_FRUIT`` if there are pictures without fruit.
        fruit_types: the fruit type of each class.
        names: the names of the T labels: the classes, then every type that is not the name of a class.
        membership: (T, C) bool, the set of classes of each label. The first C rows are the identity.
    """

    classes: tuple[str, ...]
    fruit_types: tuple[str, ...]
    names: tuple[str, ...]
    membership: Tensor

    @classmethod
    def of(cls, classes: Iterable[str], photo_names: Iterable[str] = (), *, not_fruit: bool = False) -> Targets:
        """The labels of a dataset's classes and of photo folders' names."""
        classes = list(classes)
        known = set(classes) | {fruit_type(name) for name in classes}
        classes += sorted({fruit_type(name) for name in photo_names} - known - {NOT_FRUIT})
        if not_fruit and NOT_FRUIT not in classes:
            classes.append(NOT_FRUIT)
        types = tuple(fruit_type(name) for name in classes)
        groups = [name for name in dict.fromkeys(types) if name not in classes]
        membership = torch.zeros(len(classes) + len(groups), len(classes), dtype=torch.bool)
        membership[: len(classes)].fill_diagonal_(True)
        for row, name in enumerate(groups, len(classes)):
            membership[row] = torch.tensor([own == name for own in types])
        return cls(tuple(classes), types, tuple(classes) + tuple(groups), membership)

    @property
    def spans(self) -> list[float]:
        """The typical longest side of the fruit of each of the T labels, in centimetres."""
        return [span(name) for name in self.names]

    def type_of(self, label: int) -> str:
        """The fruit type of a label."""
        return fruit_type(self.names[label])

    def label(self, name: str) -> int:
        """The label of a class, or else of the fruit type of a folder's name. Raises KeyError if it is neither."""
        for wanted in (name, fruit_type(name)):
            if wanted in self.names:
                return self.names.index(wanted)
        raise KeyError(name)
