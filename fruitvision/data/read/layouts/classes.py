"""The class folders in nested folders of pictures, and the names of the classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from fruitvision.data.read.layouts.names import normalized_name
from fruitvision.files import nfc

Place = tuple[str, ...]
"""The path of a folder below its split, as folder names."""
MAX_DEPTH = 8
"""Deeper folders belong to the one at this depth."""


@dataclass
class _Folder:
    direct: int = 0
    inside: dict[str, _Folder] = field(default_factory=dict)

    @property
    def below(self) -> int:
        return sum(one.direct + one.below for one in self.inside.values())


def find_classes(counts: Mapping[Place, int], depth: int | None = None) -> set[Place]:
    """The folders that are classes; everything in and below such a folder belongs to it.

    By default the deepest ones: each folder with more pictures in it than below it. A folder with a single such folder in it is
    itself the class if it lies beside classes (``Apple/*.jpg``, ``Pear/session 1/*.jpg``).

    Args:
        counts: the number of files directly in each folder, by normalized folder names; all splits together.
        depth: the level of the classes instead, from 1.
    """
    if depth:
        return {place[:depth] for place, count in counts.items() if count and len(place) >= depth}
    top = _Folder()
    for place, count in counts.items():
        folder = top
        for name in place[:MAX_DEPTH]:
            folder = folder.inside.setdefault(name, _Folder())
        folder.direct += count
    return set(_deepest(top, ()))


def _deepest(folder: _Folder, place: Place) -> list[Place]:
    found: list[Place] = []
    deeper: dict[Place, list[Place]] = {}
    for name, one in folder.inside.items():
        here = (*place, name)
        if one.direct and one.direct >= one.below:
            found.append(here)
        elif one.below:
            deeper[here] = _deepest(one, here)
    beside = bool(found)
    for here, inside in deeper.items():
        found += [here] if beside and len(inside) == 1 else inside
    return found


def class_names(spellings: Mapping[tuple[str, Place], int]) -> tuple[dict[Place, str], tuple[str, ...]]:
    """The name of each class folder, and the folders of one split that became one class although they are spelt differently.

    A class has the name of its folder in NFC. If several folders have the same name, those of their parents are prepended ("Apple
    Golden", "Pear Golden"). Of several spellings the one with the most pictures is used, a training folder's first.

    Args:
        spellings: the number of files in each (split, class folder as spelt on disk).
    """
    spellings_of: dict[Place, Counter[tuple[bool, Place]]] = defaultdict(Counter)
    several: dict[tuple[str, Place], set[Place]] = defaultdict(set)
    for (split, place), count in spellings.items():
        key, shown = tuple(map(normalized_name, place)), tuple(map(nfc, place))
        spellings_of[key][split == "train", shown] += count
        several[split, key].add(shown)
    chosen = {key: max(found.items(), key=lambda one: (one[0][0], one[1], one[0][1]))[0][1] for key, found in spellings_of.items()}
    merged = sorted({", ".join(sorted("/".join(place) for place in places)) for places in several.values() if len(places) > 1})
    return _unique(chosen), tuple(merged)


def _unique(chosen: Mapping[Place, Place]) -> dict[Place, str]:
    length = dict.fromkeys(chosen, 1)
    while True:
        names = {key: " ".join(place[-length[key] :]) for key, place in chosen.items()}
        alike: dict[str, list[Place]] = defaultdict(list)
        for key, name in names.items():
            alike[normalized_name(name)].append(key)
        short = [key for keys in alike.values() if len(keys) > 1 for key in keys if length[key] < len(key)]
        if not short:
            break
        for key in short:
            length[key] += 1
    taken, last = set[str](), Counter[str]()
    for key in sorted(names):  # "A B/C" and "A/B C"
        name, same = names[key], normalized_name(names[key])
        while normalized_name(names[key]) in taken:
            last[same] = max(last[same], 1) + 1  # goes on behind the number of the last one with this name
            names[key] = f"{name} ({last[same]})"
        taken.add(normalized_name(names[key]))
    return names
