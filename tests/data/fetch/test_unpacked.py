"""An archive of pictures is unpacked once, beside itself, and never taken for whole when it is not."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from fruitvision.data.fetch import archive as archives
from fruitvision.data.fetch.archive import SUFFIXES, is_archive_name, without_suffix
from fruitvision.data.fetch.transfer import recorded_sha256
from fruitvision.data.fetch.unpacked import MARKER, is_archive, unpacked
from fruitvision.data.fetch.uploads import is_wanted
from fruitvision.errors import ConfigError, DataError

FILES = {"set/Apple/1.jpg": b"one", "set/Pear/1.jpg": b"two"}


def make_zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name), content)
    return path


def inside(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        unpacked(archive)
    return caught.value


def test_it_is_unpacked_beside_itself_once(tmp_path):
    archive, seen = make_zip(tmp_path / "fruit.zip"), []
    folder, fresh = unpacked(archive, progress=lambda done, total: seen.append((done, total)))
    assert fresh and folder == tmp_path / "fruit" and seen[-1] == (6, 6)
    assert inside(folder) == {"Apple/1.jpg", "Pear/1.jpg", MARKER}
    assert unpacked(archive) == (folder, False)
    os.utime(archive, (1, 1))
    assert unpacked(archive) == (folder, False), "the content is the same"
    make_zip(archive, {"set/Quince/1.jpg": b"three"})
    assert unpacked(archive) == (folder, True) and inside(folder) == {"Quince/1.jpg", MARKER}
    assert {path.name for path in tmp_path.iterdir()} == {"fruit.zip", "fruit"}, "no lock and nothing half is left"


def test_a_folder_of_that_name_that_is_somebody_elses_stays_as_it_is(tmp_path):
    (tmp_path / "fruit").mkdir()
    (tmp_path / "fruit" / "mine.txt").write_text("mine", encoding="utf-8")
    folder, _ = unpacked(make_zip(tmp_path / "fruit.zip"))
    assert folder == tmp_path / "fruit-unpacked" and inside(tmp_path / "fruit") == {"mine.txt"}
    assert unpacked(tmp_path / "fruit.zip") == (folder, False)


@pytest.mark.parametrize("note", ["", "[1]", '{"sha256": ["x"]}', "[" * 50_000, '{"more": "' + "x" * 2**17 + '", "sha256": "x"}'])
def test_a_note_of_somebody_elses_names_no_archive(tmp_path, note):
    (tmp_path / MARKER).write_text(note, encoding="utf-8")
    assert recorded_sha256(tmp_path / MARKER) == recorded_sha256(tmp_path / "missing") == ""
    (tmp_path / MARKER).write_text('{"sha256": "x"}', encoding="utf-8")
    assert recorded_sha256(tmp_path / MARKER) == "x"


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may write anywhere")
def test_where_nothing_may_be_written_the_cache_takes_it(tmp_path):
    archive = make_zip(tmp_path / "fruit.zip")
    tmp_path.chmod(0o500)
    try:
        folder, _ = unpacked(archive)
    finally:
        tmp_path.chmod(0o700)
    assert tmp_path not in folder.parents and folder.name == "fruit"


def test_what_was_interrupted_is_unpacked_anew(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "fruit.zip")

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpacked(archive, progress=killed)
    assert not (tmp_path / "fruit").exists()
    (tmp_path / ".fruit.unpacking" / "Apple").mkdir(parents=True)  # of a process that was killed at once
    assert unpacked(archive)[1] and "Pear/1.jpg" in inside(tmp_path / "fruit")


def test_tar_archives_and_teachable_machine_projects(tmp_path):
    with tarfile.open(tmp_path / "fruit.tar.gz", "w:gz") as made:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    assert unpacked(tmp_path / "fruit.tar.gz")[0].name == "fruit"
    make_zip(tmp_path / "project.tm", {"manifest.json": b"{}", "Apple-0.jpg": b"x"})
    assert inside(unpacked(tmp_path / "project.tm")[0]) == {"manifest.json", "Apple-0.jpg", MARKER}
    make_zip(tmp_path / "sounds.tm", {"manifest.json": b"{}", "Class 1-samples.bin": b"x"})
    assert refused(tmp_path / "sounds.tm").code == "tm-no-pictures"
    assert {without_suffix(f"fruit{end}") for end in SUFFIXES} == {"fruit"} == {without_suffix("fruit")}
    assert is_archive_name("a/FRUIT.TAR.XZ") and is_wanted("fruit.tar.bz2") and not is_archive_name("pictures.gz")
    assert is_archive(tmp_path / "project.tm") and not is_archive(tmp_path / "none.zip") and not is_archive(tmp_path)


def test_an_archive_is_bounded_by_a_setting(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "fruit.zip")
    monkeypatch.setenv("FRUITVISION_ARCHIVE_GB", "0.0000001")
    assert refused(archive).code == "archive-over-limit"
    monkeypatch.setenv("FRUITVISION_ARCHIVE_GB", "many")
    with pytest.raises(ConfigError):
        unpacked(archive)
    monkeypatch.delenv("FRUITVISION_ARCHIVE_GB")
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    assert refused(archive).code == "archive-too-large"
    archive.write_bytes(b"<html>")
    assert refused(archive).code == "archive-damaged"


def test_what_macos_adds_is_not_unpacked_and_does_not_refuse_an_archive(tmp_path):
    more = {"__MACOSX/set/Apple/._1.jpg": b"x", "set/.DS_Store": b"x", "set/Apple/Icon\r": b"x", "set/Apple/._1.jpg": b"x"}
    folder, _ = unpacked(make_zip(tmp_path / "fruit.zip", {**FILES, **more}))
    assert inside(folder) == {"Apple/1.jpg", "Pear/1.jpg", MARKER}


def test_names_that_windows_wrote_in_chinese_are_read_as_such(tmp_path):
    archive = tmp_path / "fruit.zip"
    names = {"苹果/1.jpg": ("gbk", b"a"), "香蕉/1.jpg": ("utf-8", b"b")}
    placed = {name: (name.encode(encoding), mark * len(name.encode(encoding))) for name, (encoding, mark) in names.items()}
    with zipfile.ZipFile(archive, "w") as made:
        for _, mark in placed.values():
            made.writestr(mark.decode(), b"1")
    content = archive.read_bytes()
    for raw, mark in placed.values():
        content = content.replace(mark, raw)
    archive.write_bytes(content)
    assert inside(unpacked(archive)[0]) == {*names, MARKER}
