"""The files of a dataset of class folders, each with its split and class."""

from __future__ import annotations

import os
import re
from collections import Counter
from operator import itemgetter
from pathlib import Path, PurePosixPath

from fruitvision.data.read.layouts.classes import Place, class_names, find_classes
from fruitvision.data.read.layouts.found import LeftOutFile, Listing, Note, PictureEntry
from fruitvision.data.read.layouts.names import (
    LABEL_FOLDERS,
    MASK_FOLDERS,
    PICTURE_FOLDERS,
    describes,
    looks_like_picture,
    normalized_name,
    split_of,
)
from fruitvision.data.read.layouts.scan import files, folders, is_text, walk
from fruitvision.errors import DataError, Fault, printable

_SIZE_SUFFIX = re.compile(r"[ _-]*(\d+x\d+|original[ _-]?size)$", re.IGNORECASE)


class ClassFolders:
    """The contents of a folder of class folders, or of splits with class folders."""

    def __init__(self, root: Path, splits: dict[str, str]) -> None:
        """``splits``: the folder of each split; empty if the class folders are in ``root`` itself."""
        self.root, self.splits = root, splits
        self.found: list[tuple[str, str, Place, os.stat_result]] = []
        """(path, split, the folders between the split's and the file, stat)"""
        self.loose: list[str] = []
        """Pictures outside class folders."""
        self.empty: list[tuple[str, str]] = []
        self.left_out: list[LeftOutFile] = []
        for split, name in (splits or {"train": ""}).items():
            self._read(split, name)
        self._pass_over_labels()
        if all(_says_nothing(place) for _, _, place, _ in self.found):  # images/*.jpg
            self.loose += [path for path, *_ in self.found if looks_like_picture(path)]
            self.found = []
        self._pass_over_descriptions()

    def _read(self, split: str, name: str) -> None:
        top, prefix = (self.root / name, f"{name}/") if name else (self.root, "")
        self.loose += [prefix + entry.name for entry in files(top) if looks_like_picture(entry.name)]
        above = frozenset({os.path.realpath(self.root), os.path.realpath(top)})
        for entry in folders(top):
            if not is_text(entry.name):
                self.left_out.append((printable(prefix + entry.name), "bad-name", Fault("folder-not-unicode").as_dict()))
                continue
            empty = True
            for path, info in walk(top / entry.name, f"{prefix}{entry.name}/", above):
                if fault := name_fault(path, info):
                    self.left_out.append(fault)
                elif info is not None:
                    empty = False
                    own, place = _place(path[len(prefix) :].split("/")[:-1])
                    if place:
                        self.found.append((path, split if name else own or split, place, info))
                    elif looks_like_picture(path):
                        self.loose.append(path)
            if empty:
                self.empty.append((split, entry.name))

    def _pass_over_labels(self) -> None:
        """Leave out folders that are named as those of label files and hold no pictures, and folders of masks."""
        self.found = [one for one in self.found if one[2][-1].lower() not in MASK_FOLDERS]
        holding = {(split, place[0]) for path, split, place, _ in self.found if looks_like_picture(path)}
        self.found = [one for one in self.found if one[2][0].lower() not in LABEL_FOLDERS or (one[1], one[2][0]) in holding]

    def _pass_over_descriptions(self) -> None:
        """Leave out files that describe a picture in the same folder: ``a.xml`` beside ``a.jpg``."""
        beside: dict[str, set[str]] = {}
        for path, *_ in self.found:
            folder, _, name = path.lower().rpartition("/")
            if looks_like_picture(name):
                beside.setdefault(folder, set()).update((name, name.rpartition(".")[0]))
        apart = [path.lower().rpartition("/") for path, *_ in self.found]
        self.found = [
            one for one, (folder, _, name) in zip(self.found, apart, strict=True) if not describes(name, beside.get(folder, set()))
        ]

    def listing(self, depth: int | None = None) -> Listing:
        """The files with their classes; none if no picture is in a class folder.

        Args:
            depth: the level of the class folders below their split, from 1; by default the deepest folders.

        Raises:
            DataError "splits-without-classes": some splits have class folders and others do not.
        """
        counts: Counter[Place] = Counter()
        spellings: Counter[tuple[str, Place]] = Counter()
        for _, split, place, _ in self.found:
            spellings[split, place] += 1
        keys = {place: tuple(map(normalized_name, place)) for _, place in spellings}
        for (_, place), count in spellings.items():
            counts[keys[place]] += count
        chosen = find_classes(counts, depth)
        level = {place: next((n for n in range(1, len(place) + 1) if keys[place][:n] in chosen), 0) for place in keys}
        shown: Counter[tuple[str, Place]] = Counter()
        for (split, place), count in spellings.items():
            if level[place]:
                shown[split, place[: level[place]]] += count
        names, merged = class_names(shown)
        found, loose = [], list(self.loose)
        for path, split, place, info in self.found:
            if level[place]:
                found.append(PictureEntry(path, split, names[keys[place][: level[place]]], info.st_size, info.st_mtime_ns))
            elif looks_like_picture(path):
                loose.append(path)
        if found and not self.splits and (flat := split_names(loose)):
            raise DataError("splits-without-classes", folder=str(self.root), splits=flat, pictures=len(loose))
        found.sort(key=lambda file: file.path)
        fault = Fault("outside-class").as_dict()
        left_out = [*self.left_out, *((printable(path), "outside-class", fault) for path in loose)]
        notes = [Note("names-merged", {"names": "; ".join(merged)})] if merged else []
        deepest = max(shown, key=lambda one: (len(one[1]), one), default=("", ()))[1]
        if not depth and len(deepest) > 1:
            facts = {"classes": len(names), "example": printable("/".join(deepest)), "depth": len(deepest)}
            notes.append(Note("deepest-folders", facts))
        top = self.splits or {"train": "", **{file.split: "" for file in found}}
        return Listing(
            self.root,
            self._layout(found),
            top,
            tuple(found),
            tuple(self.empty),
            tuple(sorted(left_out, key=itemgetter(0, 1))),
            tuple(notes),
        )

    def _layout(self, found: list[PictureEntry]) -> str:
        if all(file.split == "train" for file in found):
            return "class-folders"
        names = {split: _SIZE_SUFFIX.sub("", name) for split, name in self.splits.items()}
        if names.get("train") == "Training" and names.get("test") == "Test":
            return "fruits-360-original-size" if "val" in names else "fruits-360"
        return "split-folders"


def name_fault(path: str, info: os.stat_result | None) -> LeftOutFile | None:
    """Why a file cannot be used whatever its content: (path, kind, fault); None if it can."""
    if info is None:
        return printable(path), "unreadable", Fault("link-broken").as_dict()
    if not is_text(path):
        return printable(path), "bad-name", Fault("file-not-unicode").as_dict()
    return None


def split_names(paths: list[str]) -> str:
    """The folders named like splits that contain any of these files, for a message."""
    return ", ".join(sorted({part for path in paths for part in PurePosixPath(path).parts[:-1] if split_of(part)}))


def path_split(path: str) -> str | None:
    """The split that is named by a folder of the path; the innermost one if there are several."""
    return _place(path.split("/")[:-1])[0]


def _place(parts: list[str]) -> tuple[str | None, Place]:
    """The split named by the folders of a path, and the remaining folders, which may be a class."""
    split, kept = None, []
    for part in parts:
        if own := split_of(part):
            split = own
        else:
            kept.append(part)
    while len(kept) > 1 and kept[-1].lower() in PICTURE_FOLDERS:  # Apple/images/*.jpg
        kept.pop()
    return split, tuple(kept)


def _says_nothing(place: Place) -> bool:
    return all(part.lower() in PICTURE_FOLDERS for part in place)
