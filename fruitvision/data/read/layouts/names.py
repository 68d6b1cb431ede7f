"""The meaning of file and folder names: a split, a class, or files to ignore."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from fruitvision.files import nfc

_SPLITS = {"train": "train", "val": "val", "dev": "val", "eval": "val", "test": "test"}
# "train", "Training_100x100", "test3", "train_zip", "val2017", "training_set", "1_train", "train (1)", "训练集". Each part is
# matched atomically, so that no name takes long.
_SPLIT = re.compile(
    r"(?:\d{1,3}[ ._-]++)?"
    r"(?:(?P<train>train(?:ing)?|训练)|(?P<val>val(?:id(?:ation)?)?|验证)|(?P<dev>dev)|(?P<eval>eval(?:uation)?)"
    r"|(?P<test>test(?:ing)?|测试))"
    r"(?:[ ._-]*+(?:\d++x\d++|\d++|\(\d++\)|集|数据|图[像片]|original[ _-]?size|zip|sets?|data(?:set)?|images?|imgs?|pictures|photos))*+",
    re.IGNORECASE,
)
PICTURE_FOLDERS = frozenset({"images", "image", "imgs", "img", "jpegimages", "jpeg", "jpg", "png", "pictures", "pics", "photos", "data"})
"""Names of folders that only mean "pictures", in lower case."""
LABEL_FOLDERS = frozenset({"labels", "label", "annotations", "annotation", "ann", "xmls", "xml", "imagesets"})
"""Names of folders that only mean "labels", in lower case."""
MASK_FOLDERS = frozenset({"segmentationclass", "segmentationobject"})
"""Folders of Pascal VOC whose pictures are masks of others, in lower case."""
_PICTURE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"} | {
    ".heic",
    ".heif",
    ".hif",
    ".avif",
    ".jxl",
}
_OTHERS = {".mov", ".mp4", ".m4v", ".3gp", ".avi", ".aae", ".xmp", ".thm", ".lrv", ".db", ".ini", ".icloud", ".lnk", ".url"}
_DESCRIBING = {".xml", ".txt", ".json", ".csv"}  # of a picture with the same name


def looks_like_picture(name: str) -> bool:
    """Whether a file name has the suffix of a picture format."""
    return PurePosixPath(name).suffix.lower() in _PICTURE_SUFFIXES


def normalized_name(name: str) -> str:
    """A name for comparison: in NFC (macOS decomposes names) and case-folded."""
    return nfc(nfc(name).casefold())


def split_of(name: str) -> str | None:
    """ "train", "val" or "test" for a folder named after a split, possibly followed by a number or a size; else None."""
    found = _SPLIT.fullmatch(name)
    return _SPLITS[str(found.lastgroup)] if found else None


def is_sidecar(name: str) -> bool:
    """Whether a file is of a kind that cameras and operating systems store beside pictures: a Live Photo's video, edits, thumbnails."""
    return PurePosixPath(name).suffix.lower() in _OTHERS or name in ("Icon\r", "Icon\uf00d")


def describes(name: str, pictures: set[str]) -> bool:
    """Whether a file describes one of the ``pictures`` in its folder (names in lower case, with and without suffix)."""
    stem, dot, suffix = name.lower().rpartition(".")
    if f".{suffix}" not in _DESCRIBING or not dot:
        return False
    return stem in pictures or stem.rpartition(".")[0] in pictures  # a.xml, a.jpg.json, a.jpg.supplemental-metadata.json
