"""Files that come in pieces: resumed, bounded, named safely, and a folder only once all are there."""

from __future__ import annotations

import bz2
import io
import os
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from fruitvision.data.fetch import uploads
from fruitvision.data.fetch.uploads import KEPT_SECONDS, Uploads
from fruitvision.errors import DataError, DownloadError


def picture(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, picture())
    return buffer.getvalue()


def sent(to: Uploads, name: str, files: dict[str, bytes], piece: int = 50) -> Path:
    """The folder that comes of sending all files in small pieces."""
    key, came = to.announce(name, [(path, len(content)) for path, content in files.items()])
    for number, content in enumerate(files.values()):
        for at in range(came[number], len(content), piece):
            to.add(key, [(number, at, content[at : at + piece])])
    return to.finish(key)


def inside(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_folders_arrives_as_it_was_and_what_is_no_picture_is_not_asked_for(tmp_path):
    to = Uploads(tmp_path / "data")
    files = {
        "Fruit/Apple/1.png": picture(),
        "Fruit/Apple/.DS_Store": b"x" * 90,
        "Fruit/Pear/ü 2.png": picture("green"),
        "Fruit/film.mov": b"m" * 70,
    }
    _, came = to.announce("Fruit", [(path, len(content)) for path, content in files.items()])
    assert came == [0, 90, 0, 70], "the sidecar and the film need not be sent"
    folder = sent(to, "Fruit", files)
    assert folder == tmp_path / "data" / "Fruit" and inside(folder) == ["Apple/1.png", "Pear/ü 2.png"]
    assert (folder / "Apple" / "1.png").read_bytes() == files["Fruit/Apple/1.png"]
    assert sent(to, "Fruit", files).name == "Fruit 2", "what is there is not overwritten"
    assert not list(to.root.glob(".incoming-*"))


def test_what_was_sent_is_not_sent_again_after_the_app_was_restarted(tmp_path):
    content = picture() * 3
    announced = [("a/1.png", len(content)), ("b/1.png", len(content))]
    key, _ = Uploads(tmp_path).announce("both", announced)
    Uploads(tmp_path).add(key, [(0, 0, content), (1, 0, content[:20])])
    other = Uploads(tmp_path)
    assert other.announce("both", announced) == (key, [len(content), 20])
    other.add(key, [(1, 10, content[10:])])  # a piece of which the answer was lost comes again
    assert (other.finish(key) / "b" / "1.png").read_bytes() == content


def test_nothing_is_made_of_what_has_not_come_whole(tmp_path):
    to = Uploads(tmp_path)
    key, _ = to.announce("half", [("a/1.png", 100)])
    to.add(key, [(0, 0, b"x" * 99)])
    with pytest.raises(DataError) as caught:
        to.finish(key)
    assert caught.value.code == "upload-mismatch" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("piece", [(0, 50, b"x"), (0, -1, b"x"), (0, 0, b"x" * 101), (1, 0, b"x"), (-1, 0, b"x")])
def test_what_was_not_announced_is_not_written(tmp_path, piece):
    to = Uploads(tmp_path)
    key, _ = to.announce("x", [("a/1.png", 100)])
    with pytest.raises(DataError, match="does not match the files"):
        to.add(key, [piece])


@pytest.mark.parametrize("key", ["", "0" * 32, "../" + "a" * 29, "é" * 32])
def test_an_unknown_upload_is_gone(tmp_path, key):
    for call in (lambda to: to.add(key, []), lambda to: to.finish(key)):
        with pytest.raises(DataError) as caught:
            call(Uploads(tmp_path))
        assert caught.value.code == "upload-gone"


@pytest.mark.parametrize(
    ("code", "files", "limit"),
    [
        ("upload-empty", [("a/notes.txt", 10), ("a/empty.png", 0)], 100),
        ("upload-too-large", [("a/1.png", 60), ("b/1.png", 60)], 100),
        ("upload-too-large", [("a/1.png", 60), ("b/1.png", -60)], 100),
        ("disk-full", [("a/1.png", 2**60)], 2**61),
    ],
)
def test_what_cannot_be_taken_is_refused_before_anything_comes(tmp_path, code, files, limit):
    with pytest.raises(DataError) as caught:
        Uploads(tmp_path, limit).announce("x", files)
    assert caught.value.code == code and not list(tmp_path.glob(".incoming-*/*"))


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_FILES", 2)
    with pytest.raises(DataError, match="zip"):
        Uploads(tmp_path).announce("x", [(f"a/{n}.png", 1) for n in range(3)])


def test_names_stay_in_the_folder_and_fit_every_file_system(tmp_path):
    names = [
        "../../evil.png",
        "/etc/1.png",
        "C:\\a\\1.png",
        "a/CON/1.png",
        "a/x?.png",
        "a/x*.png",
        "a/X_.PNG",
        "a/" + "n" * 300 + ".png",
        "b/./1.png",
    ]
    folder = sent(Uploads(tmp_path / "data"), "../up", {name: picture() for name in names})
    assert folder.parent == tmp_path / "data" and [path.name for path in tmp_path.iterdir()] == ["data"]
    found = inside(folder)
    assert len(found) == len(names) - 1, "what lies above is not wanted at all"
    assert all(path.lower().endswith(".png") for path in found)
    assert len({path.casefold() for path in found}) == len(found) and not any(set(path) & set("?*:\\") for path in found)


def test_one_archive_is_the_dataset_and_several_are_its_kinds(tmp_path):
    to = Uploads(tmp_path)
    one = sent(to, "fruit.zip", {"fruit.zip": zipped("fruit/Apple/1.png", "fruit/Pear/1.png")})
    assert one.name == "fruit" and inside(one) == ["Apple/1.png", "Pear/1.png"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for kind in ("Apple", "Pear"):
            entry = tarfile.TarInfo(f"{kind}/1.png")
            entry.size = len(picture())
            archive.addfile(entry, io.BytesIO(picture()))
    assert inside(sent(to, "more.tar.gz", {"more.tar.gz": buffer.getvalue()})) == ["Apple/1.png", "Pear/1.png"]
    both = sent(to, "My pictures", {"Apple.zip": zipped("1.png", "2.png"), "Pear.zip": zipped("1.png")})
    assert inside(both) == ["Apple/1.png", "Apple/2.png", "Pear/1.png"]


def test_an_archive_that_is_none_or_unsafe_leaves_nothing(tmp_path):
    for content, code in ((b"PK" + b"no zip" * 9, "upload"), (zipped("../out.png"), "archive-unsafe")):
        try:
            folder = sent(Uploads(tmp_path), "x.zip", {"x.zip": content})
            assert code == "upload" and inside(folder) == ["x.zip"], "the scan says that it holds no pictures"
        except DownloadError as error:
            assert error.code == code
        assert not (tmp_path.parent / "out.png").exists() and not list(tmp_path.glob(".incoming-*"))


def test_an_upload_whose_first_header_is_a_bomb_is_refused_before_it_is_read(tmp_path):
    bomb = tarfile.TarInfo("header")
    bomb.type, bomb.size = tarfile.XHDTYPE, 40 * 2**20
    packed = bz2.compress(bomb.tobuf() + b"a" * bomb.size)
    tracemalloc.start()
    try:
        with pytest.raises(DownloadError) as caught:
            sent(Uploads(tmp_path), "x.tar.bz2", {"x.tar.bz2": packed})
        assert caught.value.code == "archive-damaged" and tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert not list(tmp_path.iterdir())


def test_what_was_left_for_a_day_is_deleted_when_something_else_comes(tmp_path):
    to = Uploads(tmp_path)
    old, _ = to.announce("old", [("a/1.png", 10)])
    new, _ = to.announce("new", [("a/2.png", 10)])
    past = time.time() - KEPT_SECONDS - 60
    os.utime(tmp_path / f".incoming-{old}", (past, past))
    to.announce("another", [("a/3.png", 10)])
    assert not (tmp_path / f".incoming-{old}").exists() and (tmp_path / f".incoming-{new}").exists()


def test_many_files_are_named_in_time_that_grows_with_their_number(tmp_path):
    began = time.monotonic()
    paths = uploads._safe_paths(["a/same.png"] * 20_000 + [f"a/{n}.png" for n in range(20_000)])
    assert len(set(paths)) == 40_000 and time.monotonic() - began < 10


def test_long_names_that_begin_alike_stay_apart():
    names = [f"a/{'苹' * 60}{n}.png" for n in range(300)]
    paths = uploads._safe_paths(names)
    assert len(set(paths)) == 300 and all(path.suffix == ".png" and len(path.name.encode()) <= 120 for path in paths)


def test_a_name_that_is_no_unicode_is_taken(tmp_path):
    assert inside(sent(Uploads(tmp_path), "x", {"x/a/\ud83d.png": picture(), "x/b/1.png": picture()})) == ["a/_.png", "b/1.png"]


def test_what_is_being_unpacked_is_not_disturbed_by_the_same_upload_of_another_page(tmp_path):
    to, content, seen = Uploads(tmp_path), zipped("a/1.png", "b/1.png"), []
    key, _ = to.announce("x.zip", [("x.zip", len(content))])
    to.add(key, [(0, 0, content)])

    def meanwhile(done: int, total: int) -> None:
        seen.append(to.announce("x.zip", [("x.zip", len(content))]))
        to.add(key, [(0, 0, content)])
        with pytest.raises(DataError, match="again"):
            to.finish(key)

    folder = to.finish(key, meanwhile)
    assert seen[0] == (key, [len(content)]), "nothing has to be sent again"
    assert inside(folder) == ["a/1.png", "b/1.png"] and sorted(path.name for path in tmp_path.iterdir()) == [".brought", "x"]
