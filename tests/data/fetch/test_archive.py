from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import stat
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest

from fruitvision.data.fetch import archive as archives
from fruitvision.data.fetch import tar
from fruitvision.data.fetch.archive import unpack
from fruitvision.errors import DataError

PICTURE = b"\xff\xd8 a picture, nearly"
GOOD = {"top-main/Training/Apple/0.jpg": PICTURE, "top-main/Test/Apple/1.jpg": PICTURE}


def make_zip(path: Path, files: dict[str, bytes], **more) -> Path:
    with zipfile.ZipFile(path, "w", **more) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that is there twice
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name), content)
    return path


def make_tar(path: Path, files: dict[str, bytes], *odd: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for entry in odd:
            made.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path, folder: Path) -> DataError:
    """The error; and nothing was written anywhere."""
    outside = names(folder.parent.parent)
    with pytest.raises(DataError) as caught:
        unpack(archive, folder)
    assert names(folder.parent.parent) == outside
    assert not folder.exists()
    assert not list(folder.parent.glob(".*"))
    return caught.value


@pytest.fixture
def folder(tmp_path) -> Path:
    """Deep enough that ``../..`` of it is still ours."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path / "a" / "b" / "set"


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_githubs_layout_loses_its_top_folder(tmp_path, folder, make):
    files = GOOD | {"top-main/README.md": b"read me", "top-main/papers/figure.png": b"not data"}
    told = []
    unpack(
        make(tmp_path / "x", files),
        folder,
        also={"note.json": "{}"},
        progress=lambda *done: told.append(done),
    )
    assert names(folder) == {"Training/Apple/0.jpg", "Test/Apple/1.jpg", "README.md", "note.json"}
    assert (folder / "Training" / "Apple" / "0.jpg").read_bytes() == PICTURE
    assert told[-1][0] == told[-1][1] == 2 * len(PICTURE) + len(b"read me")


def test_of_kaggles_several_sets_the_small_pictures_are_taken(tmp_path, folder):
    files = {
        "fruits-360_original-size/o/Training/Apple/0.jpg": b"large",
        "fruits-360_original-size/o/Validation/Apple/0.jpg": b"large",
        "fruits-360_100x100/fruits-360/Training/Apple/0.jpg": PICTURE,
        "fruits-360_100x100/fruits-360/Test/Apple/1.jpg": PICTURE,
    }
    unpack(make_zip(tmp_path / "x", files), folder)
    assert names(folder) == {"Training/Apple/0.jpg", "Test/Apple/1.jpg"}


def test_a_tree_of_classes_without_splits_is_unpacked_whole(tmp_path, folder):
    unpack(make_zip(tmp_path / "x", {"mine/Apple/0.jpg": PICTURE, "mine/Kiwi/1.jpg": PICTURE}), folder)
    assert names(folder) == {"Apple/0.jpg", "Kiwi/1.jpg"}


def test_an_empty_folder_is_filled_and_leftovers_of_a_killed_process_go(tmp_path, folder):
    folder.mkdir()
    (folder.parent / ".set.unpacking" / "old").mkdir(parents=True)
    unpack(make_zip(tmp_path / "x", GOOD), folder)
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


EVIL = [
    "../evil.jpg",
    "top-main/../../evil.jpg",
    "/tmp/evil.jpg",
    "//server/share/evil.jpg",
    "C:/evil.jpg",
    "C:evil.jpg",
    "..\\evil.jpg",
    "\\\\server\\evil.jpg",
    "top-main/x.jpg:stream",
    "top-main/CON",
    "top-main/nul.jpg",
    "top-main/Com1.tar.gz",
    "top-main/lpt¹/x.jpg",
    "top-main/AUX /x.jpg",
    "top-main/dot./x.jpg",
    "top-main/space /x.jpg",
    "top-main/new\nline.jpg",
    "top-main/what?.jpg",
    "top-main/" + "x" * 300 + ".jpg",
    "a/" * 40 + "x.jpg",
    "top-main/ok.jpg\x00.exe",
]


@pytest.mark.parametrize("name", EVIL, ids=lambda name: ascii(name)[:30])
def test_a_zip_with_one_evil_name_is_refused_whole(tmp_path, folder, name):
    path = make_zip(tmp_path / "x", GOOD | {name.replace("\x00", "@"): PICTURE})
    if "\x00" in name:  # zipfile would not write it
        path.write_bytes(path.read_bytes().replace(b"ok.jpg@", b"ok.jpg\x00"))
    assert refused(path, folder).code == "archive-unsafe"


@pytest.mark.parametrize("name", [name for name in EVIL if "\x00" not in name], ids=lambda name: ascii(name)[:30])
def test_a_tar_with_one_evil_name_is_refused_whole(tmp_path, folder, name):
    assert refused(make_tar(tmp_path / "x", GOOD | {name: PICTURE}), folder).code == "archive-unsafe"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_a_tar_with_a_link_or_a_device_is_refused(tmp_path, folder, kind):
    odd = tarfile.TarInfo("top-main/Training")
    odd.type, odd.linkname = kind, "/etc"
    error = refused(make_tar(tmp_path / "x", GOOD, odd), folder)
    assert (error.code, error.facts["reason"]["code"]) == ("archive-unsafe", "link-or-device")


def test_a_zip_with_a_link_is_refused(tmp_path, folder):
    path = make_zip(tmp_path / "x", GOOD)
    with zipfile.ZipFile(path, "a") as made:
        link = zipfile.ZipInfo("top-main/link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    assert refused(path, folder).facts["reason"]["code"] == "link-or-device"


@pytest.mark.parametrize(
    "more",
    [
        ["t/Training/A/0.JPG"],
        ["t/Training/A"],
        ["t/Training/A/0.jpg/x.jpg"],
        ["t/Training/ä.jpg", "t/Training/a\u0308.jpg"],
    ],
    ids=["case", "file-and-folder", "folder-in-file", "unicode"],
)
def test_names_that_some_file_systems_take_for_one_are_refused(tmp_path, folder, more):
    files = {"t/Training/A/0.jpg": PICTURE} | dict.fromkeys(more, PICTURE)
    assert refused(make_zip(tmp_path / "x", files), folder).code == "archive-unsafe"


def test_a_bomb_is_not_unpacked(tmp_path, folder):
    content = bytes(20 * 2**20)
    bombs = [
        make_zip(tmp_path / "x", {"t/Training/A/0.jpg": content}, compression=zipfile.ZIP_DEFLATED),
        make_tar(tmp_path / "y", {"t/Training/A/0.jpg": content}),
    ]
    with zipfile.ZipFile(bombs[0], "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("t/Training/A/0.jpg", content)
    for bomb in bombs:
        assert bomb.stat().st_size < 10**5
        assert refused(bomb, folder).code == "archive-too-large"


def test_the_number_and_the_size_of_files_are_bounded(tmp_path, folder, monkeypatch):
    path = make_zip(tmp_path / "x", GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_FILES", 1)
        assert refused(path, folder).code == "archive-too-large"
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_BYTES", len(PICTURE))
        assert refused(path, folder).code == "archive-too-large"


def test_a_size_that_is_a_lie_is_found_out(tmp_path, folder):
    path = make_zip(tmp_path / "x", GOOD)
    data = path.read_bytes()
    # The central directory's uncompressed sizes: what the limits are held against.
    true, less = (struct.pack("<LL", len(PICTURE), size) for size in (len(PICTURE), 3))
    assert data.count(true) >= 2
    path.write_bytes(data.replace(true, less))
    assert refused(path, folder).code == "archive-damaged"


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_truncated_and_damaged_archives_are_said_so(tmp_path, folder, make):
    files = {f"t/Training/A/{number}.jpg": os.urandom(3000) for number in range(4)}
    whole = make(tmp_path / "x", files).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-30], whole[:4000] + bytes(200) + whole[4200:]):
        (tmp_path / "x").write_bytes(damaged)
        assert refused(tmp_path / "x", folder).code == "archive-damaged"


def test_a_plain_tar_that_was_cut_off_between_two_files_is_said_so(tmp_path, folder):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as made:
        for number in range(3):
            entry = tarfile.TarInfo(f"t/Training/A/{number}.jpg")
            entry.size = tarfile.BLOCKSIZE
            made.addfile(entry, io.BytesIO(os.urandom(tarfile.BLOCKSIZE)))
    (tmp_path / "x").write_bytes(whole.getvalue()[: 4 * tarfile.BLOCKSIZE])
    assert refused(tmp_path / "x", folder).code == "archive-damaged"


def test_a_page_in_place_of_an_archive_is_said_so(tmp_path, folder):
    (tmp_path / "x").write_text("<html>Please log in to the hotel's network</html>", encoding="utf-8")
    error = refused(tmp_path / "x", folder)
    assert error.code == "archive-damaged"
    assert "login page" in str(error)


def test_an_encrypted_zip_is_refused(tmp_path, folder):
    path = make_zip(tmp_path / "x", GOOD)
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 8] |= 1
        at = data.find(b"PK\x01\x02", at + 4)
    path.write_bytes(data)
    assert refused(path, folder).facts["reason"]["code"] == "encrypted"


def test_an_archive_without_pictures_is_refused(tmp_path, folder):
    for files in ({"t/readme.txt": b"text"}, {}):
        assert refused(make_zip(tmp_path / "x", files), folder).code == "archive-no-pictures"


def test_a_full_disk_is_foreseen_or_met_and_leaves_nothing(tmp_path, folder, monkeypatch):
    path = make_zip(tmp_path / "x", GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
        assert refused(path, folder).code == "disk-full"

    def full(source, target, size):
        target.write(source.read(5))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archives, "_copy", full)
    assert refused(path, folder).code == "disk-full"


def test_what_the_progress_raises_is_not_taken_for_damage(tmp_path, folder):
    def stop(done, total):
        raise RuntimeError("stopped by the person")

    with pytest.raises(RuntimeError, match="stopped by the person"):
        unpack(make_zip(tmp_path / "x", GOOD), folder, progress=stop)
    assert not list(folder.parent.iterdir()), "half a set never looks whole"


def test_a_zip_of_countless_entries_is_refused_before_its_directory_is_read(tmp_path, folder, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", {**GOOD, **{f"{n}": b"" for n in range(25)}})
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    monkeypatch.setattr(archives.zipfile, "ZipFile", lambda *given: pytest.fail("the directory was read"))
    assert refused(archive, folder).code == "archive-too-large"


def test_a_tar_whose_name_is_a_bomb_is_refused_before_it_is_read(tmp_path, folder):
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        with tarfile.open(tmp_path / "a.tgz", "w:gz") as made:
            name = tarfile.TarInfo("././@LongLink")
            name.type, name.size = kind, tar.MAX_HEADER_BYTES * 40
            made.fileobj.write(name.tobuf() + b"a" * name.size)
            made.addfile(tarfile.TarInfo("top/a.jpg"))
        tracemalloc.start()
        assert refused(tmp_path / "a.tgz", folder).code == "archive-damaged"
        assert tracemalloc.get_traced_memory()[1] < tar.MAX_HEADER_BYTES * 8
        tracemalloc.stop()


def test_bounds_of_ones_own_hold(tmp_path, folder):
    archive = make_zip(tmp_path / "a.zip", GOOD)
    for bounds in ({"max_files": 1}, {"max_bytes": len(PICTURE)}):
        with pytest.raises(DataError) as caught:
            unpack(archive, folder, **bounds)
        assert caught.value.code == "archive-too-large"
    assert unpack(archive, folder, max_files=2, max_bytes=2 * len(PICTURE)) == folder


def sparse_tar(path: Path, numbers: int, *, old: bool) -> Path:
    """A packed tar of one sparse file whose map has so many numbers; GNU's old format, or that of 1.0 in a pax header."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        if old:
            entry = tarfile.TarInfo("a.jpg")
            entry.type = tarfile.GNUTYPE_SPARSE
            head = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
            head[482] = 1  # the map goes on
            head[148:156] = b" " * 8
            head[148:156] = b"%06o\0 " % sum(head[:512])
            stream.write(head)
            for _ in range(numbers // 42):
                stream.write(b"00000000001\0" * 42 + b"\1" + bytes(7))
            stream.write(bytes(1024))
        else:
            facts = {"major": "1", "minor": "0", "name": "a.jpg", "realsize": "10"}
            with io.BytesIO() as written:
                with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as packed:
                    entry = tarfile.TarInfo("a.jpg")
                    entry.pax_headers = {f"GNU.sparse.{name}": value for name, value in facts.items()}
                    entry.size = 2 * numbers + len(f"{numbers // 2}\n")
                    body = f"{numbers // 2}\n".encode() + b"0\n" * numbers
                    packed.addfile(entry, io.BytesIO(body))
                stream.write(written.getvalue())
    return path


@pytest.mark.parametrize("old", [False, True])
def test_a_sparse_file_is_not_listed(tmp_path, old):
    """tarfile reads its whole map first: 78 KB took 1.7 GB and a minute."""
    archive = sparse_tar(tmp_path / "a.tar.gz", 1_000_000, old=old)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            unpack(archive, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert caught.value.code == "archive-damaged"
