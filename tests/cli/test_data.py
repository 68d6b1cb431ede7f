"""Pictures as people bring them: drawn, scanned, archived, nested."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, one_line

# data ------------------------------------------------------------------------------------------------------------


def test_a_set_is_drawn_and_scanned(run, tmp_path):
    words = ("--train-per-class", "2", "--test-per-class", "1", "--size", "32", "--json")
    code, out, err = run("data", "sample", tmp_path / "水果 set", *words)
    assert (code, err) == (0, "")
    drawn = json.loads(out)
    code, out, err = run("data", "scan", drawn["root"], "--json")
    assert (code, err) == (0, "")
    scanned = json.loads(out)
    assert scanned["synthetic"] is True and scanned["problems"] == []
    assert scanned["classes"] == drawn["classes"] and len(drawn["classes"]) >= 12
    assert scanned["images"] == {"train": 2 * len(drawn["classes"]), "test": len(drawn["classes"])}
    assert set(scanned["counts"]["train"].values()) == {2}


def test_a_scan_names_every_file_that_cannot_be_used(run, sample_set, tmp_path):
    folder = Path(shutil.copytree(sample_set, tmp_path / "set"))
    (folder / "Training" / "Apple" / "broken.jpg").write_text("no picture", encoding="utf-8")
    code, out, _ = run("data", "scan", folder)
    assert code == 0
    assert "Synthetic" in out and "Training/Apple/broken.jpg" in out and "1 problem" in out


# pictures as people bring them ------------------------------------------------------------------------------------


@pytest.fixture
def archived(sample_set, tmp_path) -> Path:
    """The sample set as a zip, in a folder of its own."""
    (tmp_path / "brought").mkdir()
    return Path(shutil.make_archive(str(tmp_path / "brought" / "fruit"), "zip", sample_set.parent, sample_set.name))


def test_an_archive_is_scanned_and_trained_on_like_a_folder(run, archived, tmp_path):
    code, out, err = run("data", "scan", f"'{archived}'", "--json")
    assert code == 0 and len(json.loads(out)["classes"]) == 4 and "Unpacked fruit.zip" in err
    code, out, err = run("train", "--run", tmp_path / "r", "--data", archived, "--json", "--set", "epochs=1", *TINY)
    assert code == 0 and json.loads(out)["state"] == "finished" and "Unpacked" not in err, "once"
    config = json.loads((tmp_path / "r" / "config.json").read_text(encoding="utf-8"))
    assert config["data"] == str(archived.with_suffix(""))


def test_an_address_in_place_of_a_folder_is_refused_in_one_line(run, tmp_path):
    code, out, err = run("train", "--run", tmp_path / "r", "--data", "https://example.org/fruit.zip")
    assert (code, out) == (1, "") and "https://example.org/fruit.zip" in one_line(err) and not (tmp_path / "r").exists()


def test_the_home_folder_and_file_addresses_are_understood(run, sample_set, monkeypatch):
    monkeypatch.setenv("HOME" if os.name != "nt" else "USERPROFILE", str(sample_set.parent))
    for given in (Path("~") / sample_set.name, sample_set.as_uri()):
        code, out, _ = run("data", "scan", given, "--json")
        assert code == 0 and json.loads(out)["root"] == str(sample_set)


def test_scan_says_how_a_nested_folder_was_understood(run, sample_set, tmp_path):
    for name, above in (("Apple", "Round"), ("Orange", "Round"), ("Banana", "Long")):
        shutil.copytree(sample_set / "Training" / name, tmp_path / "nested" / above / name)
    code, out, _ = run("data", "scan", tmp_path / "nested")
    assert code == 0 and "3 classes" in out and "class_depth" in out
    code, out, _ = run("data", "scan", tmp_path / "nested", "--depth", "1", "--json")
    result = json.loads(out)
    assert result["classes"] == ["Long", "Round"] and result["notes"] == []
