"""What stands before the entries of a tar is bounded, and of what it says only names and sizes are kept."""

from __future__ import annotations

import io
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fruitvision.data.fetch import archive as archives
from fruitvision.data.fetch import tar
from fruitvision.data.fetch.archive import is_zip_or_tar, unpack
from fruitvision.errors import DownloadError

PICTURE = b"\xff\xd8 a picture, nearly"


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = len(PICTURE), **said: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.pax_headers = kind, size, said
    return made


def packed(path: Path, *parts: tarfile.TarInfo | bytes, mode: str = "w:gz") -> Path:
    """A tar of headers, and of contents each filled up to whole blocks."""
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as made:
        for part in parts:
            is_header = isinstance(part, tarfile.TarInfo)
            content = part.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") if is_header else part
            made.fileobj.write(content + bytes(-len(content) % tarfile.BLOCKSIZE))
    return path


def code_of(archive: Path, folder: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        unpack(archive, folder)
    return caught.value.code


def unpacked(archive: Path, folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in unpack(archive, folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_whether_it_is_a_tar_is_asked_without_reading_a_header_that_is_a_bomb(tmp_path, suffix, kind):
    bomb = entry("header", kind, 20 * tar.MAX_HEADER_BYTES)
    path = packed(tmp_path / f"a.tar.{suffix}", bomb, b"a" * bomb.size, entry("a.jpg"), PICTURE, mode=f"w:{suffix}")
    with memory_below(14 * tar.MAX_HEADER_BYTES):  # the decompressor of xz alone takes 8 MB
        assert is_zip_or_tar(path), "and unpacking it says what is wrong"
        assert code_of(path, tmp_path / "out") == "archive-damaged"


def test_what_is_no_archive_or_breaks_off_at_once_is_told_apart_without_an_error(tmp_path):
    whole = packed(tmp_path / "a.tgz", entry("a.jpg"), PICTURE).read_bytes()
    for content, found in ((whole, True), (whole[:30], True), (b"", False), (b"a letter" * 200, False)):
        (tmp_path / "x").write_bytes(content)
        assert is_zip_or_tar(tmp_path / "x") is found


def test_headers_before_one_entry_are_bounded_together(tmp_path):
    """tarfile holds each while it reads the next."""
    one = b"a" * (tar.MAX_HEADER_BYTES // 4)
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        path = packed(tmp_path / "a.tgz", *([entry("header", kind, len(one)), one] * 12), entry("a.jpg"), PICTURE)
        with memory_below(6 * tar.MAX_HEADER_BYTES):
            assert code_of(path, tmp_path / "out") == "archive-damaged"


def comments(count: int) -> list[tarfile.TarInfo | bytes]:
    """Empty pictures, each with an extended header of most of a MB."""
    said = {"comment": "c" * 800_000, "uname": "u" * 100_000, "linkpath": "l" * 100_000}
    return [part for n in range(count) for part in (entry(f"top/{n}.jpg", size=1, **said), b"x")]


def links(count: int) -> list[tarfile.TarInfo | bytes]:
    """Pictures that say where they would lead to, if they were links."""
    header = entry("header", tarfile.GNUTYPE_LONGLINK, 900_000)
    return [part for n in range(count) for part in (header, b"l" * header.size, entry(f"top/{n}.jpg", size=1), b"x")]


@pytest.mark.parametrize("made", [comments, links])
def test_of_a_header_only_the_name_and_the_size_are_kept(tmp_path, made):
    path = packed(tmp_path / "a.tgz", *made(12))
    with memory_below(7 * tar.MAX_HEADER_BYTES):
        assert len(unpacked(path, tmp_path / "out")) == 12


def test_what_is_not_unpacked_is_not_kept(tmp_path):
    """The names of what macOS adds may be as long as a header."""
    longs = [part for n in range(12) for part in (entry("__MACOSX/" + "abcdefghijkl"[n] * 900_000, size=1), b"x")]
    path = packed(tmp_path / "a.tgz", *longs, entry("a.jpg"), PICTURE)
    with memory_below(7 * tar.MAX_HEADER_BYTES):
        assert unpacked(path, tmp_path / "out") == ["a.jpg"]


def test_what_a_tar_is_unpacked_to_counts_its_headers(tmp_path, monkeypatch):
    path = packed(tmp_path / "a.tgz", *comments(12))
    monkeypatch.setattr(archives, "RATIO_FREE_BYTES", 6 * 2**20)
    assert code_of(path, tmp_path / "out") == "archive-too-large"
    with pytest.raises(DownloadError) as caught:
        unpack(packed(tmp_path / "b.tar", *comments(12), mode="w"), tmp_path / "out", max_bytes=6 * 2**20)
    assert caught.value.code == "archive-too-large"


def test_a_header_of_digits_takes_no_time(tmp_path):
    """tarfile's search in it takes a time that grows with the square of their number."""
    header = entry("header", tarfile.XHDTYPE, 120_000)
    for content in (b"1" * header.size, b"2 " * (header.size // 2)):
        path = packed(tmp_path / "a.tgz", header, content, entry("a.jpg"), PICTURE)
        began = time.process_time()
        try:
            assert unpacked(path, tmp_path / "out") == ["a.jpg"]
        except DownloadError as error:
            assert error.code == "archive-damaged"
        assert time.process_time() - began < 3


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_in_any_letters_and_a_comment_on_the_whole_are_read(tmp_path, form):
    names = [f"top/{'苹果' * 30}/{n}/{'x' * 120}.jpg" for n in range(3)]
    about = {"comment": "0123456789abcdef"} if form == tarfile.PAX_FORMAT else {}
    with tarfile.open(tmp_path / "a.tgz", "w:gz", format=form, pax_headers=about) as made:
        folder = entry(f"top/{'苹果' * 30}", tarfile.DIRTYPE, 0)
        made.addfile(folder)
        for name in names:
            made.addfile(entry(name, mtime="1.5"), io.BytesIO(PICTURE))
    assert unpacked(tmp_path / "a.tgz", tmp_path / "out") == [name.removeprefix("top/") for name in names]


def size_record(size: str) -> bytes:
    """It begins with its own length."""
    return next(said for n in range(9999) if len(said := f"{n} size={size}\n".encode()) == n)


def test_a_size_that_stands_in_an_extended_header_counts(tmp_path):
    content = PICTURE * 40
    said = size_record(str(len(content)))
    header = entry("header", tarfile.XHDTYPE, len(said))
    path = packed(tmp_path / "a.tgz", header, said, entry("a.jpg", size=0), content, entry("b.jpg"), PICTURE)
    assert unpacked(path, tmp_path / "out") == ["a.jpg", "b.jpg"]
    assert (tmp_path / "out" / "a.jpg").read_bytes() == content
    for wrong in ("-512", "9" * 5000, "x"):
        said = size_record(wrong)
        path = packed(path, entry("header", tarfile.XHDTYPE, len(said)), said, entry("a.jpg"), PICTURE)
        assert code_of(path, tmp_path / "other") == "archive-damaged"


def test_the_paths_of_an_archive_are_bounded_in_memory(tmp_path, monkeypatch):
    """A long path of folders that no other entry is in is kept once for each of them."""
    monkeypatch.setattr(archives, "MAX_PATH_BYTES", 100_000)
    deep = [f"{n}/" + "folder of many letters/" * 30 + "a.jpg" for n in range(20)]
    assert code_of(packed(tmp_path / "a.tgz", *(entry(name, size=0) for name in deep)), tmp_path / "out") == "archive-too-large"
    assert len(unpacked(packed(tmp_path / "a.tgz", *(entry(f"{n}.jpg", size=0) for n in range(20))), tmp_path / "out")) == 20
