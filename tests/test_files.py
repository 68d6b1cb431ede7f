"""Files are whole or not there, also on Windows, where nobody may replace what another program has open."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import threading
import time
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest

from fruitvision import files
from fruitvision.errors import DataError
from fruitvision.files import (
    MAX_NAME_BYTES,
    clean_path,
    csv_text,
    current_folder,
    is_network_path,
    nfc,
    previous_folder,
    remove_folder,
    remove_leftovers,
    replace_folder,
    retry,
    safe_name,
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


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_nothing_is_written_through_a_link_that_waits_beside_a_file(tmp_path):
    precious, file = tmp_path / "precious", tmp_path / "config.json"
    precious.write_text("mine", encoding="utf-8")
    (tmp_path / f".config.json.{os.getpid()}-{threading.get_native_id()}.new").symlink_to(precious)
    write_text(file, "new")
    assert precious.read_text(encoding="utf-8") == "mine" and file.read_text(encoding="utf-8") == "new" and not file.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "precious"]


def test_what_a_killed_process_with_this_number_left_is_written_over(tmp_path):
    (tmp_path / f".a.txt.{os.getpid()}-{threading.get_native_id()}.new").write_text("half of something much longer", encoding="utf-8")
    write_text(tmp_path / "a.txt", "whole")
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["whole"]


MARKS = {
    "sorted": "\u0301" * 60_000 + "\u0316" * 60_000,
    "decomposed": "\u0f73" * 60_000,
    "in turn": "/".join(["\u0301\u0316" * 30_000] * 2),
}


@pytest.mark.parametrize("marks", MARKS.values(), ids=MARKS)
def test_a_text_of_combining_marks_takes_no_time(marks):
    """Python sorts them by insertion, while no other thread runs: 7 million took (hours)."""
    start = time.process_time()
    assert 1 < len(nfc(f"a{marks}")) < 200 and safe_name(f"a{marks}")
    assert time.process_time() - start < 1


def test_every_letter_that_becomes_marks_is_counted_as_one():
    marks = [letter for letter in map(chr, range(0x110000)) if unicodedata.combining(unicodedata.normalize("NFD", letter)[0])]
    assert len(marks) > 800 and [letter for letter in marks if len(nfc(f"a{letter * 300}")) > 100] == []


def test_text_of_any_language_is_normalized_whole():
    for text in ("Tie\u0302\u0301ng Vie\u0323\u0302t", "e\u0301" * 500, "བོད་ཡིག" * 100, "हिन्दी" * 100, "한국어" * 200, "x" * 10_000, ""):
        assert nfc(text) == unicodedata.normalize("NFC", text)


def test_names_are_normalized_in_one_place(project):
    """Where marks are counted first."""
    sources = (project / "fruitvision").rglob("*.py")
    assert [path.name for path in sources if "unicodedata.normalize" in path.read_text("utf-8")] == ["files.py"]


def test_the_name_of_a_file_made_of_one_of_megabytes_takes_no_time():
    start = time.process_time()
    assert safe_name("x" * 2_000_000 + ".jpg") == "x" * (MAX_NAME_BYTES - 4) + ".jpg"
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        *(
            (start + "evil.example/share", True)
            for start in ("\\\\", "//", "/\\", "\\/", " \\\\", "\\\\?\\UNC\\", "\\\\.\\", "\\??\\UNC\\")
        ),
        *((path, False) for path in ("", "/home/me", "\\fruit", "C:\\fruit", "fruit//x", "?", "/?/x", "~/x")),
    ],
)
def test_a_path_by_which_windows_would_connect_to_another_computer_is_known(path, is_one):
    assert is_network_path(path) == is_one


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


def test_no_cell_behind_a_semicolon_is_a_formula_and_other_text_stays_as_it_is():
    """Where the comma is the decimal sign, spreadsheets separate cells by semicolons."""
    made = ["x;=1+1", "x; @SUM(A1);-2+3;", "x|+1", 'x;"=1+1', ";\t=1", "x;＝1"]
    rows = [*([text] for text in made), [["y;=1+1"]], *([text] for text in ("Apple; red", "Apple|red-2", "a;b=c", "1;2"))]
    told = csv_text(["name;=1"], rows).removeprefix("\ufeff")
    assert not re.search(r"[;|][\s\"]*[=+@\-＝＋－＠]", told)
    cells = [row[0] for row in csv.reader(io.StringIO(told))]
    assert cells[:3] == ["name;'=1", "x;'=1+1", "x;' @SUM(A1);'-2+3;"] and cells[-4:] == ["Apple; red", "Apple|red-2", "a;b=c", "1;2"]


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
