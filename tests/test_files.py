"""Files are whole or not there, also on Windows, where nobody may replace what another program has open."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from fruitvision import files
from fruitvision.errors import DataError
from fruitvision.files import (
    clean_path,
    csv_text,
    current_folder,
    previous_folder,
    remove_folder,
    remove_leftovers,
    replace_folder,
    retry,
    write_text,
)


def in_use(times: int):
    """An action that fails so many times as Windows does while a virus scanner reads the file."""
    left = [times]

    def action() -> str:
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        return "replaced"

    return action


def test_a_file_system_that_is_read_only_is_a_clean_error(monkeypatch, tmp_path):
    """Linux checks for write access before it looks a name up: even a file that is not there cannot be unlinked."""

    def refuse(*given, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(DataError) as caught:
        write_text(tmp_path / "a.txt", "a")
    assert caught.value.code == "cannot-write"


def test_a_file_in_use_is_tried_again_on_windows_and_nowhere_else(monkeypatch):
    with pytest.raises(PermissionError):
        if os.name == "nt":
            pytest.skip("this is Windows")
        retry(in_use(1))
    monkeypatch.setattr(files, "os", SimpleNamespace(name="nt"))
    assert retry(in_use(3)) == "replaced"
    monkeypatch.setattr(files, "RETRY_SECONDS", 0.1)
    with pytest.raises(PermissionError):
        retry(in_use(1000))


def test_a_folder_is_the_old_one_or_the_new_one_at_every_moment(tmp_path):
    folder, new = tmp_path / "best", tmp_path / "fresh"
    for path, text in ((folder, "old"), (new, "new")):
        path.mkdir()
        (path / "weights").write_text(text, encoding="utf-8")
    os.replace(folder, previous_folder(folder))  # cut off between the two renames
    assert (current_folder(folder) / "weights").read_text(encoding="utf-8") == "old"
    replace_folder(new, folder)
    assert (current_folder(folder) / "weights").read_text(encoding="utf-8") == "new"


def test_only_what_dead_processes_left_is_swept_away(tmp_path):
    write_text(tmp_path / "空 folder" / "kept.txt", "whole")
    dead, own, living = (tmp_path / f".kept.txt.{pid}.new" for pid in (2**22 + 1, os.getpid(), os.getppid()))
    strange = tmp_path / ".kept.txt.new"
    for path in (dead, own, living, strange):
        path.write_text("half", encoding="utf-8")
    remove_leftovers(tmp_path)
    assert not dead.exists() and not own.exists() and living.exists() and strange.exists()
    assert (tmp_path / "空 folder" / "kept.txt").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_a_folder_that_is_a_link_is_replaced_or_removed_and_what_it_leads_to_stays(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    folder.symlink_to(elsewhere)
    for _ in range(3):  # the link was once left beside as the old folder, and the next replacement failed on it
        (tmp_path / "new").mkdir()
        replace_folder(tmp_path / "new", folder)
    assert not folder.is_symlink() and sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "folder"]
    folder.rmdir()
    folder.symlink_to(folder)  # leads to itself
    (tmp_path / "new").mkdir()
    replace_folder(tmp_path / "new", folder)
    (tmp_path / "link").symlink_to(elsewhere)
    remove_folder(tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "folder"]
    assert (elsewhere / "precious").exists()


def test_no_text_of_a_table_is_a_formula_and_numbers_stay_numbers():
    texts = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\n=1"]
    rows = [*([text, 1] for text in texts), ["Apple, red", -1.23456789], ['say "it"', float("nan")], [None, True]]
    told = list(csv.reader(io.StringIO(csv_text(["=name", "n"], rows, digits=3).removeprefix("\ufeff"))))
    assert [row[0] for row in told[: len(texts) + 1]] == ["'=name", *("'" + re.sub(r"[\t\r\n]", " ", text) for text in texts)]
    assert told[len(texts) + 1 :] == [["Apple, red", "-1.23"], ['say "it"', ""], ["", "True"]]


def test_every_table_is_written_in_one_place(project):
    """Where formulas are made harmless."""
    writing = re.compile(r"to_csv\(|csv\.(Dict)?[wW]riter")
    assert [path.name for path in (project / "fruitvision").rglob("*.py") if writing.search(path.read_text("utf-8"))] == ["files.py"]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("~/fruit", Path.home() / "fruit"),
        ('"/data/my fruit"', Path("/data/my fruit")),
        (" '/data/my fruit' ", Path("/data/my fruit")),
        ("“/data/水果”", Path("/data/水果")),
        ("'~/fruit'", Path.home() / "fruit"),
        (Path("~/fruit"), Path.home() / "fruit"),
        ("runs/a", Path("runs/a")),
    ],
)
def test_a_path_is_read_as_people_write_it(given, path):
    assert clean_path(given) == path


@pytest.mark.skipif(os.name == "nt", reason="other paths")
@pytest.mark.parametrize("given", ["file:///data/my%20fruit", Path("file:///data/my%20fruit"), "FILE://localhost/data/my%20fruit"])
def test_a_file_address_is_a_path(given):
    assert clean_path(given) == Path("/data/my fruit")


def test_what_exists_is_taken_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("~", "'quoted'", "a%20b"):
        (tmp_path / name).mkdir()
        assert clean_path(name) == Path(name)


@pytest.mark.parametrize("given", ["https://example.org/fruit.zip", Path("http://example.org/fruit.zip"), "'ftp://x.y/z'"])
def test_an_address_is_refused_by_its_name(given):
    with pytest.raises(DataError) as caught:
        clean_path(given)
    assert caught.value.code == "path-is-address" and "Download it" in str(caught.value) and "://" in str(caught.value)
