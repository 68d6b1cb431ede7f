"""Whatever lies in a folder is a data set that can be learned from, or one sentence that says why not."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fruitvision.data.read.layouts.names import normalized_name
from fruitvision.data.read.picture import load_pixels
from fruitvision.data.read.store import open_dataset
from fruitvision.errors import DataError
from tests.sentences import is_worded


def drawn(red: int, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), (red, 90, 30)).save(stream, kind)
    return stream.getvalue()


PICTURES = [drawn(red, kind) for red in (10, 200) for kind in ("PNG", "JPEG", "GIF")]
contents = st.one_of(st.sampled_from(PICTURES), st.binary(max_size=20), st.sampled_from([p[:40] for p in PICTURES]))
# No name of a file holds these; the rest, line ends, right-to-left marks and bytes that are no text included, may come.
letters = st.characters(exclude_characters="/\0", exclude_categories=("Cs",))
raw = st.binary(min_size=1, max_size=6).map(lambda b: b.replace(b"/", b"x").replace(b"\0", b"y").decode("utf-8", "surrogateescape"))
telling = st.sampled_from(
    [
        "Training",
        "Test",
        "train",
        "VAL",
        "Apple",
        "apple",
        "Pear 梨",
        ".hidden",
        "__MACOSX",
        "a.jpg",
        "b.png",
        "not-fruit",
        "synthetic.json",
    ]
)
names = st.one_of(telling, st.text(letters, min_size=1, max_size=8), raw).filter(lambda name: name not in (".", ".."))
wild = st.dictionaries(st.lists(names, min_size=1, max_size=4).map("/".join), contents, max_size=9)
# Class folders as they should be, under names as they may be.
sound = st.dictionaries(
    st.builds("{}/{}/{}".format, st.sampled_from(["Training", "Training", "Test", "val"]), names, names),
    st.sampled_from(PICTURES),
    max_size=9,
)
trees = st.one_of(wild, sound, st.builds(dict.__or__, sound, wild))


def laid_out(top: Path, tree: dict[str, bytes]) -> None:
    """Write what the file system lets lie there together."""
    for name, content in tree.items():
        try:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(content)
        except (OSError, ValueError):
            continue


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(trees)
@example({"Training/Apple/a": PICTURES[0], "Training/Pear/b": PICTURES[1], "Test/Apple/c": PICTURES[0]})
@example({"A\n/a": PICTURES[0], "B\r/b": PICTURES[1], "\x1b[31m/c": PICTURES[2]})
@example({"Training/A/a": PICTURES[0], "train/B/b": PICTURES[1], "Training/B/b": PICTURES[1]})
@example({"A\udcff/a": PICTURES[0], "B/\udcfe": PICTURES[1], "C/c": PICTURES[2], "D/d": PICTURES[3]})
@example({"\udc80/Training/Training": b""})
@example({"\udc80/Training/A/a": PICTURES[0], "\udc80/Training/B/b": PICTURES[1]})
def test_any_folder_is_a_data_set_or_an_error(tree):
    top = Path(tempfile.mkdtemp())
    try:
        laid_out(top / "set", tree)
        try:
            dataset, store = open_dataset(top / "set", cache=top / "cache")
        except DataError as error:
            assert is_worded(error)
            str(error).encode("utf-8")
            return
        dataset.name.encode("utf-8")
        assert len(dataset.classes) >= 2 and list(dataset.classes) == sorted(set(dataset.classes))
        assert len(dataset.splits["train"]) >= 1
        seen = [path for split in dataset.splits.values() for path in split.paths]
        assert len(seen) == len(set(seen))
        for split in dataset.splits.values():
            for path, label, row in zip(split.paths, split.labels, split.rows, strict=True):
                assert normalized_name(dataset.classes[label]).split(" (")[0].endswith(tuple(map(normalized_name, path.split("/")[:-1])))
                assert store.paths[row] == path
                assert np.array_equal(store[row], load_pixels(dataset.root / path))
        for problem in dataset.problems:
            (problem.path + problem.detail).encode("utf-8")
    finally:
        shutil.rmtree(top)
