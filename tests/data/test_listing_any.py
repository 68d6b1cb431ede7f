"""Folders that nobody would make: each is a dataset whose parts fit together, or a sentence."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from fruitvision.data.store import open_dataset
from fruitvision.errors import DataError


def _picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


CONTENT = some.sampled_from([b"", b"text", _picture("red"), _picture("green"), _picture("blue"), _picture("red")[:40]])
FOLDER = some.sampled_from(
    ["Training", "Test", "train", "val", "Apple", "Apple 1", "Bäume", "苹果", ".hidden", "a b", "Apple Red 1", "-x", "0"]
)
NAME = some.sampled_from(["a.png", "b.jpg", "A.PNG", ".c.png", "d.txt", "e", "Thumbs.db", "ü.png", "图.jpg", "f.png.png"])
PLACE = some.tuples(some.lists(FOLDER, max_size=3), NAME).map(lambda parts: "/".join([*parts[0], parts[1]]))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(some.dictionaries(PLACE, CONTENT, max_size=8))
def test_any_folder_is_a_sound_dataset_or_a_sentence(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder, "data"), Path(folder, "cache")
        root.mkdir()
        for place, content in files.items():
            path = root / place
            if not path.exists() and not any(parent.is_file() for parent in path.parents):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        try:
            dataset, store = open_dataset(root, cache=cache)
        except DataError as error:
            assert error.code and error.message and error.next_step
            return
        for split in dataset.splits.values():
            assert len(split.labels) == len(split.rows) == len(split.paths)
            assert all(0 <= label < len(dataset.classes) for label in split.labels)
            for row, path in zip(split.rows, split.paths, strict=True):
                with Image.open(root / path) as image:
                    assert (store[row][0, 0] == image.convert("RGB").getpixel((0, 0))).all()
