"""Labels: a class, or a fruit type, whose probability is the sum over its varieties.

Lab frames are labelled with a variety ("Apple Braeburn"), photos mostly with a type ("Apple"). Both train one head:
a label is a set of the network's classes, and its likelihood is the sum over the set.
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
        classes: the network's, C of them: the dataset's in their order, then types that only photos have, sorted, then
            ``NOT_FRUIT`` where pictures without fruit are given.
        fruit_types: of each class.
        names: of the T labels: the classes, then every type that is not itself one class alone.
        membership: (T, C) bool, which classes a label may mean. The first C rows are the identity.
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
        """Of the T labels, the longest side of such a fruit in centimetres."""
        return [span(name) for name in self.names]

    def type_of(self, label: int) -> str:
        """The fruit type of a label."""
        return fruit_type(self.names[label])

    def label(self, name: str) -> int:
        """The label of a class, or else of the fruit type that a folder's name stands for.

        Raises KeyError where it is neither.
        """
        for wanted in (name, fruit_type(name)):
            if wanted in self.names:
                return self.names.index(wanted)
        raise KeyError(name)
