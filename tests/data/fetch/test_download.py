from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile

import pytest
from typer.testing import CliRunner

from fruitvision.cli import app
from fruitvision.data.fetch import download
from fruitvision.data.fetch.download import download_fruits360
from fruitvision.data.read.store import open_dataset
from fruitvision.errors import DataError, UsageError
from tests.sentences import is_worded

PICTURE = b"\xff\xd8" + bytes(range(256)) * 400
FILES = {f"fruits-360-main/{split}/Apple {n}/{n}_100.jpg": PICTURE for split in ("Training", "Test") for n in range(3)}


def zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


ARCHIVE = zipped(FILES)
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture
def github(server, monkeypatch, tmp_path):
    """The two GitHub mirrors and Kaggle's, on the loopback; and nobody's Kaggle key."""
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "kaggle"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    urls = {"github": (server.url("/new.zip"), server.url("/old.zip")), "kaggle": (server.url("/kaggle"),)}
    monkeypatch.setattr(download, "MIRRORS", urls)
    return server


def around(tmp_path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()}


def failing(*arguments, **settings) -> DataError:
    with pytest.raises(DataError) as caught:
        download_fruits360(*arguments, **settings)
    assert is_worded(caught.value)
    return caught.value


def test_fruits_360_arrives_ready_for_training(github, tmp_path):
    github.serve("/new.zip", ARCHIVE, chunked=True, etag='W/"x"', ranges=False, drop_after=[200_000, None])
    told = []
    folder = download_fruits360(tmp_path / "水果", progress=lambda *done: told.append(done))
    assert folder == tmp_path / "水果"
    assert {path.name for path in folder.iterdir()} == {"Training", "Test", "download.json"}
    assert (folder / "Training" / "Apple 2" / "2_100.jpg").read_bytes() == PICTURE
    assert around(tmp_path) == {"水果"}, "the archive is not kept twice"
    assert told[0][1] is None, "GitHub tells no length"
    assert told[-1] == (6 * len(PICTURE), 6 * len(PICTURE))
    note = json.loads((folder / "download.json").read_text(encoding="utf-8"))
    assert note == {"from": github.url("/new.zip"), "bytes": len(ARCHIVE), "sha256": SHA256}


def test_the_downloaded_set_can_be_scanned_at_once(github, tmp_path, sample_set):
    pictures = {f"fruits-360-main/{path.relative_to(sample_set).as_posix()}": path.read_bytes() for path in sample_set.rglob("*.jpg")}
    github.serve("/new.zip", zipped(pictures | {"fruits-360-main/README.md": b"read me"}))
    dataset, store = open_dataset(download_fruits360(tmp_path / "set"))
    assert dataset.classes == ("Apple", "Banana", "Kiwi", "Orange")
    assert (len(dataset.splits["train"].paths), len(dataset.splits["test"].paths)) == (32, 16)
    assert dataset.problems == ()
    assert not dataset.synthetic, "the mark of the drawn set did not come along"


def test_what_was_downloaded_before_is_not_fetched_again(github, tmp_path):
    served = github.serve("/new.zip", ARCHIVE)
    assert download_fruits360(tmp_path / "set") == download_fruits360(tmp_path / "set")
    assert len(served.requests) == 1


def test_where_the_first_mirror_has_gone_the_second_serves(github, tmp_path):
    github.serve("/old.zip", ARCHIVE)
    folder = download_fruits360(tmp_path / "set")
    assert json.loads((folder / "download.json").read_text(encoding="utf-8"))["from"] == github.url("/old.zip")


def test_where_no_mirror_has_it_the_person_is_told(github, tmp_path):
    assert failing(tmp_path / "set").code == "download-not-found"
    assert around(tmp_path) == set()


def test_a_broken_download_goes_on_at_the_next_call(github, tmp_path):
    served = github.serve("/new.zip", ARCHIVE, drop_after=[200_000, 0])
    assert failing(tmp_path / "set").code == "download-incomplete"
    assert not (tmp_path / "set").exists()
    served.drop_after = [None]
    download_fruits360(tmp_path / "set")
    assert served.requests[-1]["Range"] == "bytes=200000-"
    assert around(tmp_path) == {"set"}


def test_an_archive_fetched_by_hand_is_used_and_kept(github, tmp_path):
    served = github.serve("/new.zip", ARCHIVE)
    (tmp_path / "set.zip").write_bytes(ARCHIVE)
    folder = download_fruits360(tmp_path / "set")
    assert (folder / "Test" / "Apple 0" / "0_100.jpg").is_file()
    assert served.requests == []
    assert around(tmp_path) == {"set", "set.zip"}


def test_no_other_archive_is_unpacked_than_the_one_that_was_asked_for(github, tmp_path):
    served = github.serve("/new.zip", ARCHIVE)
    error = failing(tmp_path / "set", sha256="0" * 64)
    assert (error.code, error.facts["got"]) == ("archive-other", SHA256)
    assert around(tmp_path) == set(), "what was fetched is removed"
    assert download_fruits360(tmp_path / "set", sha256=SHA256.upper()) == tmp_path / "set"
    assert len(served.requests) == 2
    assert failing(tmp_path / "set", sha256="0" * 64).code == "archive-other"
    assert (tmp_path / "set" / "Training").is_dir() and len(served.requests) == 2
    assert download_fruits360(tmp_path / "set", sha256=SHA256) == tmp_path / "set"
    (tmp_path / "set" / "download.json").write_text('{"from": "an older FruitVision"}', encoding="utf-8")
    assert failing(tmp_path / "set", sha256=SHA256).facts["got"] == "?"


def test_the_command_says_which_archive_it_was(github, tmp_path):
    github.serve("/new.zip", ARCHIVE)
    said = CliRunner().invoke(app, ["data", "download", str(tmp_path / "set"), "--sha256", SHA256])
    assert said.exit_code == 0 and SHA256 in said.stdout
    said = CliRunner().invoke(app, ["data", "download", str(tmp_path / "set"), "--json"])
    assert json.loads(said.stdout) == {"root": str(tmp_path / "set"), "sha256": SHA256}


def test_another_archive_fetched_by_hand_is_not_unpacked_but_kept(github, tmp_path):
    (tmp_path / "set.zip").write_bytes(ARCHIVE)
    assert failing(tmp_path / "set", sha256="0" * 64).code == "archive-other"
    assert around(tmp_path) == {"set.zip"}


# Names of its own, since the archive, and so its checksum, differs between the processes that share the tests.
@pytest.mark.parametrize(
    "given", ["", "abc", "0" * 63, "g" * 64, SHA256 + "\n", f" {SHA256}"], ids=["empty", "abc", "short", "no-hex", "newline", "space"]
)
def test_a_checksum_that_is_none_is_misuse_before_anything_is_fetched(github, tmp_path, given):
    served = github.serve("/new.zip", ARCHIVE)
    with pytest.raises(UsageError, match="SHA-256"):
        download_fruits360(tmp_path / "set", sha256=given)
    assert served.requests == []


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_a_folder_that_is_a_link_is_filled_where_it_leads(github, tmp_path):
    github.serve("/new.zip", ARCHIVE)
    (tmp_path / "large disk" / "pictures").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "set").symlink_to(tmp_path / "large disk" / "pictures")
    download_fruits360(tmp_path / "home" / "set")
    assert (tmp_path / "home" / "set").is_symlink()
    assert (tmp_path / "large disk" / "pictures" / "Training").is_dir()
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["set"]


def test_a_path_traversing_archive_writes_nothing(github, tmp_path):
    github.serve("/new.zip", zipped(FILES | {"../../evil.jpg": PICTURE}))
    (tmp_path / "in" / "side").mkdir(parents=True)
    assert failing(tmp_path / "in" / "side" / "set").code == "archive-unsafe"
    assert not list((tmp_path / "in" / "side").iterdir())
    assert not list(tmp_path.rglob("evil*"))


def test_a_length_that_is_too_small_gives_no_half_set(github, tmp_path):
    served = github.serve("/new.zip", ARCHIVE, length_lie=-5000)
    assert failing(tmp_path / "set").code == "archive-damaged"
    assert around(tmp_path) == set()
    served.length_lie = 0
    download_fruits360(tmp_path / "set")


def test_a_tar_of_another_address_is_taken_too(github, tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    github.serve("/mirror/fruits.tar.gz", made.getvalue())
    folder = download_fruits360(tmp_path / "set", url=github.url("/mirror/fruits.tar.gz") + "?key=secret")
    assert (folder / "Training" / "Apple 1" / "1_100.jpg").is_file()
    assert "secret" not in (folder / "download.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("way", ["environment", "file", "token"])
def test_kaggle_is_asked_with_the_persons_key(github, tmp_path, monkeypatch, way):
    if way == "environment":
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
        monkeypatch.setenv("KAGGLE_KEY", "key")
    elif way == "file":
        (tmp_path / "kaggle").mkdir()
        (tmp_path / "kaggle" / "kaggle.json").write_text('{"username": "me", "key": "key"}', encoding="utf-8")
    else:
        monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_1")
    expected = "Bearer KGAT_1" if way == "token" else "Basic bWU6a2V5"
    github.serve("/kaggle", ARCHIVE, needs_authorization=expected)
    assert (download_fruits360(tmp_path / "set", source="kaggle") / "Training").is_dir()


def test_kaggle_without_a_key_says_how_to_get_one(github, tmp_path):
    github.serve("/kaggle", ARCHIVE, needs_authorization="Basic bWU6a2V5")
    error = failing(tmp_path / "set", source="kaggle")
    assert error.code == "download-refused"
    assert "kaggle.com/settings" in str(error)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"username": "me"}'])
def test_a_damaged_key_file_is_named(github, tmp_path, content):
    (tmp_path / "kaggle").mkdir()
    (tmp_path / "kaggle" / "kaggle.json").write_text(content, encoding="utf-8")
    error = failing(tmp_path / "set", source="kaggle")
    assert error.code == "kaggle-key-damaged"
    assert str(tmp_path / "kaggle" / "kaggle.json") in str(error)


def test_a_foreign_folder_is_left_alone(github, tmp_path):
    served = github.serve("/new.zip", ARCHIVE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").write_bytes(b"mine")
    for target in (tmp_path / "mine", tmp_path / "mine" / "holiday.jpg"):
        assert failing(target).code == "folder-not-empty"
    assert (tmp_path / "mine" / "holiday.jpg").read_bytes() == b"mine"
    assert served.requests == []


def test_an_unknown_source_is_misuse(github, tmp_path):
    with pytest.raises(UsageError) as caught:
        download_fruits360(tmp_path / "set", source="ftp")
    assert caught.value.exit_code == 2
    assert "github" in str(caught.value)
