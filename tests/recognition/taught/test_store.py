"""What was taught is kept as plain files: whatever it is called, whoever else writes, whatever was damaged."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read.dataset import held_out
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import DataError, DownloadError, PictureError
from fruitvision.recognition.taught import store as taught_store
from fruitvision.recognition.taught import transfer as taught_transfer
from fruitvision.recognition.taught.embeddings import AT_ONCE, TaughtEmbeddings, fingerprint
from fruitvision.recognition.taught.store import TaughtStore, clean_name
from fruitvision.recognition.taught.transfer import class_folders, export_taught, import_taught

NAMES = ["CON", "a/b", "../up", "C:\\x", "🍐", "奶奶的苹果", "Grandma's apple", "nul.txt", ".", "x" * 100, "<b>", "trailing."]


def picture(colour=(200, 30, 30), size=(40, 30)) -> Image.Image:
    rng = np.random.default_rng(sum(colour))
    return Image.fromarray((np.array(colour) + rng.integers(-20, 20, (size[1], size[0], 3))).clip(0, 255).astype(np.uint8))


def colours(count: int) -> list[Image.Image]:
    return [picture((n * 7 % 200 + 20, n * 13 % 200 + 20, n)) for n in range(count)]


@pytest.fixture
def store(tmp_path) -> TaughtStore:
    return TaughtStore(tmp_path / "taught")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_nothing_is_there_before_the_first_picture(store):
    assert store.index().names == {} and not store.folder.exists()


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_data_and_never_a_folder(store, name):
    (one,) = store.add(name, picture())
    assert files(store.folder) == {"taught.json", f"pictures/{one}.jpg"}
    assert TaughtStore(store.folder).index().names == {name: (one,)}
    assert json.loads((store.folder / "taught.json").read_text(encoding="utf-8"))["names"] == {name: [one]}


def test_a_name_is_tidied_and_differs_from_another_by_more_than_capitals(store):
    assert clean_name("  Quince \n\x00 tree ") == "Quince tree" and len(clean_name("y" * 5000)) == 100
    store.add("Quince", picture((1, 2, 3)))
    store.add("quince ", picture((4, 5, 6)))
    assert [len(own) for own in store.index().names.values()] == [2]
    for empty in ("", "  ", "\x00"):
        with pytest.raises(DataError) as caught:
            store.add(empty, picture())
        assert caught.value.code == "taught-name-empty"


def test_the_same_picture_is_kept_once_and_moves_to_the_name_it_was_taught_last(store):
    assert store.add("Pear", picture()) == store.add("Pear", picture())
    store.add("Quince", picture())
    assert {name: len(own) for name, own in store.index().names.items()} == {"Quince": 1}


def test_only_the_upright_small_picture_is_kept_nothing_of_its_file(store):
    large = picture(size=(1200, 800))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "at home"
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", exif=exif)
    (one,) = store.add("Quince", buffer.getvalue())
    assert store.pixels(one).shape == (384, 256, 3)
    assert b"at home" not in (store.folder / "pictures" / f"{one}.jpg").read_bytes()


@pytest.mark.parametrize("content", [b"", b"a letter", b"\xff\xd8\xff broken", b"<svg/>"])
def test_what_is_no_picture_is_refused_and_nothing_is_taught(store, content):
    with pytest.raises(PictureError):
        store.add("Quince", picture(), content)
    assert store.index().names == {}


def test_one_picture_one_name_or_all_are_taken_back_with_their_files(store):
    first, second = store.add("Quince", *colours(2))
    store.add("Pear", picture((9, 9, 200)))
    features = store.features_file(first, "f" * 64)
    features.parent.mkdir(parents=True)
    features.write_bytes(b"x")
    store.remove_picture(first)
    assert store.index().names["Quince"] == (second,)
    assert not features.exists() and not (store.folder / "pictures" / f"{first}.jpg").exists()
    store.remove_picture(first)
    store.remove_picture(second)
    assert list(store.index().names) == ["Pear"], "the name goes with its last picture"
    store.remove_name("Pear")
    assert files(store.folder) == {"taught.json"}
    store.add("Quince", *colours(3))
    store.clear()
    assert store.index().names == {} and files(store.folder) == {"taught.json"}


def test_two_processes_that_teach_at_once_lose_nothing(store, project):
    code = """
import sys
import time
import numpy as np
from fruitvision.recognition.taught.store import TaughtStore
store, who = TaughtStore(sys.argv[1]), int(sys.argv[2])
for n in range(12):
    store.add(f"kind {n % 3}", np.full((16, 16, 3), 10 * n + who, np.uint8))
"""
    command = [sys.executable, "-c", code, str(store.folder)]
    both = [subprocess.Popen([*command, who], cwd=project) for who in ("0", "5")]
    assert [one.wait(120) for one in both] == [0, 0]
    assert {name: len(own) for name, own in store.index().names.items()} == {f"kind {n}": 8 for n in range(3)}
    assert len(files(store.folder)) == 25


def test_a_store_that_another_holds_for_too_long_says_so(store, monkeypatch):
    monkeypatch.setattr(taught_store, "WAIT_SECONDS", 0.1)
    store.folder.mkdir()
    with filelock.FileLock(store.folder / ".lock"), pytest.raises(DataError) as caught:
        store.add("Quince", picture())
    assert caught.value.code == "taught-busy"


@pytest.mark.parametrize("content", ["{", "[]", '{"names": {"x": ["../../etc"]}}', '{"names": {"x": 3}}'])
def test_a_damaged_index_is_said_not_written_over_and_starting_over_keeps_it_beside(store, content):
    store.add("Quince", picture())
    (store.folder / "taught.json").write_text(content, encoding="utf-8")
    for ask in (store.index, lambda: store.add("Pear", picture()), lambda: store.remove_name("Quince")):
        with pytest.raises(DataError) as caught:
            ask()
        assert caught.value.code == "taught-damaged"
    store.clear()
    assert store.index().names == {}
    assert [path.read_text(encoding="utf-8") for path in store.folder.glob("taught-damaged-*.json")] == [content]


def test_what_is_exported_here_is_imported_elsewhere_beside_what_is_there(store, tmp_path):
    for n, name in enumerate(NAMES):
        store.add(name, picture((n * 9 + 3, 50, 60)))
    export_taught(store, tmp_path / "taught.zip")
    there = TaughtStore(tmp_path / "elsewhere")
    there.add("🍐", picture((1, 1, 1)))
    assert import_taught(there, tmp_path / "taught.zip") == len(NAMES)
    assert set(there.index().names) == set(NAMES)
    assert there.index().pictures == len(NAMES) + 1
    before = there.index()
    assert import_taught(there, tmp_path / "taught.zip") == len(NAMES)
    assert import_taught(store, tmp_path / "taught.zip") == len(NAMES)
    assert there.index() == before and store.index().pictures == len(NAMES), "what is there already is not added again"


def test_a_teachable_machine_project_and_a_zip_of_class_folders_are_taught_class_by_class(store, tmp_path):
    manifest = json.dumps({"type": "image", "classes": ["Apple", "Mug"]}).encode()
    shades = {"Apple": 40, "Mug": 140}

    def drawn(red: int) -> bytes:
        stream = io.BytesIO()
        Image.new("RGB", (40, 30), (red, 90, 30)).save(stream, "PNG")
        return stream.getvalue()

    files = {"manifest.json": manifest} | {f"{name}-{n}.png": drawn(shades[name] + n) for name in shades for n in range(2)}
    folders = {f"set/{name}/{n}.png": drawn(shades[name] + n) for name in shades for n in range(3)}
    for called, content in (("project.tm", files), ("set.zip", folders)):
        with zipfile.ZipFile(tmp_path / called, "w") as made:
            for name, own in content.items():
                made.writestr(name, own)
    there = TaughtStore(tmp_path / "there")
    assert import_taught(there, tmp_path / "project.tm") == 4
    assert {name: len(own) for name, own in there.index().names.items()} == {"Apple": 2, "Mug": 2}
    assert import_taught(there, tmp_path / "set.zip") == 6
    assert {name: len(own) for name, own in there.index().names.items()} == {"Apple": 3, "Mug": 3}, "the same picture is there once"


def test_pictures_that_are_gone_are_left_out_of_an_export(store, tmp_path):
    first, second = store.add("Quince", *colours(2))
    (store.folder / "pictures" / f"{first}.jpg").unlink()
    export_taught(store, tmp_path / "taught.zip")
    there = TaughtStore(tmp_path / "elsewhere")
    assert import_taught(there, tmp_path / "taught.zip") == 1


def jpeg() -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG")
    return buffer.getvalue()


ID = "a" * 32


@pytest.mark.parametrize(
    "entries",
    [
        {"..__up.jpg": b"x"},
        {"__etc__passwd.jpg": b"x"},
        {"C:__x.jpg": b"x"},
        {"taught.json": b"\x80\x04pickle", "pictures__a.jpg": b"x"},
        {"taught.json": b"{}", "pictures__a.jpg": b"x"},
        {"fruit__a.jpg": b"x"},
        {"taught.json": json.dumps({"names": {"x": ["../../../etc/passwd"]}}).encode(), "pictures__a.jpg": b"x"},
        {"taught.json": json.dumps({"names": {"x": [ID]}}).encode(), f"pictures__{ID}.jpg": b"no picture"},
        {"taught.json": json.dumps({"names": {"x": [ID]}}).encode(), "pictures__other.jpg": b"missing"},
        {"bomb.jpg": b"\0" * 40_000_000},
    ],
)
def test_an_archive_that_is_none_of_ours_or_wants_out_of_its_folder_changes_nothing(store, tmp_path, entries):
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries.items():
            opened.writestr(name.replace("__", "/"), content)
    before = set(tmp_path.rglob("*"))
    with pytest.raises((DownloadError, DataError)):
        import_taught(store, tmp_path / "in.zip")
    assert store.index().names == {}
    assert {path for path in tmp_path.rglob("*") if store.folder not in (path, *path.parents)} == before
    (tmp_path / "not.zip").write_bytes(jpeg())
    with pytest.raises(DownloadError):
        import_taught(store, tmp_path / "not.zip")


def test_training_finds_every_picture_in_a_folder_near_to_its_name(store, tmp_path):
    for n, name in enumerate([*NAMES, "a:b", "empty-table"]):
        store.add(name, *(picture((n * 9 + 3, 50 + 3 * i, 60)) for i in range(4)))
    listing = list_pictures(class_folders(store, tmp_path / "runs"), need_training=False)
    assert len(listing.files) == 4 * (len(NAMES) + 2) and not listing.left_out
    assert not any(held_out(file.path) for file in listing.files), "all of it is there to be learned"
    folders = {file.folder for file in listing.files}
    assert {"奶奶的苹果", "Grandma's apple", "🍐", "_CON", "a_b", "a_b_", "not-fruit"} <= folders
    assert len({name.casefold() for name in folders}) == len(NAMES) + 2
    assert class_folders(store, tmp_path / "runs") == listing.root, "made once"
    store.remove_name("CON")
    assert class_folders(store, tmp_path / "runs") != listing.root and len(list_pictures(listing.root).files) == len(listing.files)


# What a network makes of it --------------------------------------------------------------------------------------


def test_what_a_network_saw_is_kept_beside_the_pictures_and_another_network_looks_again(store, colour_classifier):
    classifier = colour_classifier()
    store.add("Quince", *colours(3))
    lessons = TaughtEmbeddings(store, classifier)
    assert lessons.pending() == 3 and lessons.current().names == ("Quince",) and lessons.pending() == 0
    passes = len(classifier.network.passes)
    assert lessons.current() is lessons.current()
    again = TaughtEmbeddings(store, classifier)
    assert again.pending() == 0, "they are on the disk"
    assert again.current().names == ("Quince",) and len(classifier.network.passes) == passes, "nothing is looked at twice"
    other = colour_classifier(temperature=2.0)
    assert fingerprint(other) != fingerprint(classifier)
    TaughtEmbeddings(store, other).current()
    assert len(other.network.passes) > 0


def test_lessons_follow_the_store_and_a_damaged_file_costs_one_picture_or_one_look(store, colour_classifier):
    lessons = TaughtEmbeddings(store, colour_classifier())
    assert lessons.current() is None
    first, second, third = store.add("Quince", *colours(3))
    store.add("Pear", picture())
    assert set(lessons.current().names) == {"Quince", "Pear"}
    store.remove_name("Pear")
    assert lessons.current().names == ("Quince",)
    store.features_file(first, lessons.fingerprint).write_bytes(b"\x93NUMPY broken")
    (store.folder / "pictures" / f"{second}.jpg").write_bytes(b"broken")
    store.features_file(second, lessons.fingerprint).unlink()
    again = TaughtEmbeddings(store, lessons.classifier)
    assert again.current().names == ("Quince",)
    store.remove_name("Quince")
    assert again.current() is None


def test_many_pictures_are_looked_at_while_the_answers_go_on(store, colour_classifier):
    store.add("Quince", *colours(AT_ONCE + 20))
    lessons = TaughtEmbeddings(store, colour_classifier())
    lessons.current()
    lessons._thread.join(60)
    assert lessons.pending() == 0 and lessons.current().names == ("Quince",)


# What an import holds is counted before it is decoded --------------------------------------------------------------


def exported(path: Path, names: dict[str, list[str]], pictures: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("taught.json", json.dumps({"version": 1, "names": names}))
        for one, content in pictures.items():
            opened.writestr(f"pictures/{one}.jpg", content)
    return path


def large_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (7071, 7071)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("names", "content", "code"),
    [
        ({"x": [ID] * 300_000}, large_png, "taught-full"),
        ({f"name {n}": [ID] for n in range(20_001)}, large_png, "taught-full"),
        ({"x": [ID]}, large_png, "taught-no-export"),
        ({**{f"name {n}": [] for n in range(300_000)}, "x": [ID]}, jpeg, "taught-no-export"),
    ],
)
def test_an_import_is_counted_before_anything_is_decoded(store, tmp_path, monkeypatch, names, content, code):
    file = exported(tmp_path / "in.zip", names, {ID: content()})
    monkeypatch.setattr(taught_transfer, "encoded", lambda image: pytest.fail("decoded before it was counted"))
    start = time.process_time()
    with pytest.raises(DataError) as caught:
        import_taught(store, file)
    assert caught.value.code == code and time.process_time() - start < 5
    assert store.index().names == {}


def test_a_picture_that_is_named_again_and_again_is_decoded_once_and_soon_kept(store, tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(taught_transfer, "encoded", lambda image: decoded.append(image) or (ID, jpeg()))
    names = {f"name {n}": [ID] for n in range(9_999)} | {"last": [ID] * 9_999}
    start = time.process_time()
    assert import_taught(store, exported(tmp_path / "in.zip", names, {ID: jpeg()})) == 1
    assert len(decoded) == 1 and store.index().names == {"last": (ID,)} and time.process_time() - start < 5


def test_an_index_that_is_larger_than_any_is_not_read(store, tmp_path, monkeypatch):
    monkeypatch.setattr(taught_transfer, "MAX_INDEX_BYTES", 5000)
    monkeypatch.setattr(TaughtStore, "index", lambda store: pytest.fail("it was read"))
    with pytest.raises(DataError) as caught:
        import_taught(store, exported(tmp_path / "in.zip", {"x" * 5000: [ID]}, {ID: jpeg()}))
    assert caught.value.code == "taught-no-export"


def test_an_export_of_more_files_than_can_be_taught_is_not_unpacked(store, tmp_path, monkeypatch):
    monkeypatch.setattr(taught_transfer, "MAX_PICTURES", 5)
    with pytest.raises(DownloadError) as caught:
        import_taught(store, exported(tmp_path / "in.zip", {"x": [ID]}, {f"{n:032x}": b"x" for n in range(20)}))
    assert caught.value.code == "archive-too-large"
