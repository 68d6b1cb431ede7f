"""Pictures are answered, folders are scored, a learning rate is found."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.models.checkpoint import CheckpointConfig, save_checkpoint
from fruitvision.models.networks import build_network
from tests.cli.conftest import TINY, one_line

# predict, evaluate -------------------------------------------------------------------------------------------------


def test_each_picture_is_answered_and_a_broken_one_is_named(run, trained, sample_set, tmp_path):
    good = sorted((sample_set / "Test" / "Banana").iterdir())[:2]
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(good[0].read_bytes()[:200])
    code, out, err = run("predict", good[0], bad, good[1], "--checkpoint", trained / "best", "--json")
    first, broken, second = json.loads(out)["predictions"]
    assert code == 1
    assert "bad.jpg" in one_line(err) and broken["error"]["code"].startswith("picture-")
    for answer, path in ((first, good[0]), (second, good[1])):
        assert answer["image"] == str(path)
        assert answer["verdict"] in ("sure", "unsure", "not-fruit") and 0 <= answer["confidence"] <= 1
        assert [guess["probability"] for guess in answer["top"]] == sorted((guess["probability"] for guess in answer["top"]), reverse=True)


def test_names_that_a_terminal_would_obey_are_printed_without_what_it_obeys(run, tmp_path):
    """A class of somebody else's checkpoint could change the title of the window, or what was printed before."""
    names = ("\x1b]0;title\x07A", "B\x1b[2J")
    config = CheckpointConfig(width=8, classes=names, fruit_types=names, transform=EvalTransform(resize=64, crop=64))
    save_checkpoint(tmp_path / "made", build_network(num_classes=2, width=8), config)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    code, out, _ = run("predict", tmp_path / "a.png", "--checkpoint", tmp_path / "made")
    assert code == 0 and "\ufffd" in out and "\x1b" not in out and "\x07" not in out
    code, _, err = run("predict", tmp_path / "gone\x1b[2J.png", "--checkpoint", tmp_path / "made")
    assert code == 1 and "gone\ufffd[2J" in err and "\x1b" not in err


def test_a_folder_and_a_pattern_are_answered_in_a_table(run, trained, sample_set, tmp_path):
    words = ("--checkpoint", trained / "best", "--csv", tmp_path / "answers.csv")
    code, out, _ = run("predict", sample_set / "Test", *words)
    head, *rows, drawn, written = out.splitlines()
    assert code == 0 and head.split() == ["picture", "fruit", "variety", "confidence", "verdict"]
    assert len(rows) == 16 and str(sample_set / "Test" / "Banana") in out and str(tmp_path / "answers.csv") in written
    assert "does not know real fruit" in drawn
    table = (tmp_path / "answers.csv").read_text(encoding="utf-8-sig").splitlines()
    assert table[0] == "image,fruit_type,label,confidence,verdict,note,error" and len(table) == 17
    code, out, _ = run("predict", sample_set / "Test" / "*" / "*.jpg", *words[:2], "--json")
    assert code == 0 and [answer["image"].rpartition("Test")[2] for answer in json.loads(out)["predictions"]] == [
        line.split(",")[0].rpartition("Test")[2] for line in table[1:]
    ]


def test_the_paths_of_pictures_are_understood_as_people_write_them(run, trained, sample_set, tmp_path, monkeypatch):
    picture = next((sample_set / "Test").rglob("*.jpg"))
    (tmp_path / "my apple.jpg").write_bytes(picture.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    address = (tmp_path / "my apple.jpg").as_uri()
    words = ("~/my apple.jpg", "~/*.jpg", f'"{tmp_path / "my apple.jpg"}"', address)
    code, out, _ = run("predict", *words, "--checkpoint", trained / "best", "--json")
    assert code == 0 and {answer["image"] for answer in json.loads(out)["predictions"]} == {str(tmp_path / "my apple.jpg")}
    code, _, err = run("predict", "https://fruit.example/a.jpg", "--checkpoint", trained / "best")
    assert code == 1 and "Download it" in one_line(err)


def test_a_pattern_without_a_picture_and_a_folder_without_one_are_named(run, trained, tmp_path):
    (tmp_path / "notes.txt").write_text("none", encoding="utf-8")
    code, _, err = run("predict", tmp_path / "*.jpg", "--checkpoint", trained / "best")
    assert code == 1 and "*.jpg" in one_line(err)
    code, _, err = run("predict", tmp_path, "--checkpoint", trained / "best")
    assert code == 1 and "no pictures" in one_line(err)


def test_what_is_wrong_with_a_file_that_was_read_is_a_note(run, trained, sample_set, tmp_path):
    whole = next((sample_set / "Test" / "Banana").iterdir())
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:-3])
    code, out, err = run("predict", tmp_path / "cut.jpg", whole, "--checkpoint", trained / "best", "--json")
    cut, good = json.loads(out)["predictions"]
    assert code == 0 and "its end is missing" in cut["note"] and "note" not in good
    assert err.startswith("Note: ") and "cut.jpg" in err and err.count("\n") == 1


def test_a_folder_is_scored_and_reported(run, trained, sample_set, tmp_path):
    words = ("--checkpoint", trained / "best", "--split", "test", "--report", tmp_path / "report", "--json")
    code, out, err = run("evaluate", "--data", sample_set, *words)
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["images"] == 16 and set(result["per_class"]) == {"Apple", "Banana", "Kiwi", "Orange"}
    assert {"top1", "top3", "macro_recall", "ece", "answered", "answered_top1", "not_fruit_accepted"} <= set(result)
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text(encoding="utf-8"))["top1"] == result["top1"]
    table = (tmp_path / "report" / "per_class.csv").read_text(encoding="utf-8-sig").splitlines()
    assert "<html lang=" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert table[0] == "class,images,recall,precision" and len(table) == 5


def test_a_learning_rate_is_found_and_its_curve_kept(run, sample_set, tmp_path):
    words = ("--data", sample_set, "--steps", "30", "--out", tmp_path / "rate", "--json", "--set", *TINY)
    code, out, err = run("lr-find", *words)
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert len(result["rates"]) == len(result["losses"]) and result["rates"][0] <= result["suggested"] <= result["rates"][-1]
    rows = (tmp_path / "rate" / "rates.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "learning_rate,loss" and len(rows) == len(result["rates"]) + 1
    assert (tmp_path / "rate" / "rates.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_score_reads_in_plain_words(run, trained, sample_set):
    code, out, _ = run("evaluate", "--data", sample_set, "--checkpoint", trained / "best", "--by", "type")
    assert code == 0
    assert "48 pictures" in out and "top1" in out and "%" in out


def test_other_looks_give_other_figures_and_are_not_recorded(run, trained, sample_set):
    words = ("evaluate", "--data", sample_set, "--split", "test", "--checkpoint", trained / "best")
    one, middle = (json.loads(run(*words, "--views", views, "--json")[1])["ece"] for views in ("one", "middle"))
    assert one != middle
    code, _, err = run(*words, "--views", "middle", "--record", "test")
    assert code == 2 and "--record" in one_line(err)


def test_teaching_is_measured_known_and_new_and_by_what_it_costs_the_others(run, trained, sample_set):
    words = ["teach-benchmark", "--data", sample_set / "Test", "--checkpoint", trained / "best", "--shots", "1,2", "--seeds", "2"]
    code, out, _ = run(*words, "--untaught", sample_set / "Test", "--json")
    result = json.loads(out)
    assert code == 0 and (result["images"], result["classes"], result["seeds"]) == (16, 4, 2)
    assert set(result["known"]) == set(result["new"]) == {"1", "2"}
    assert all(0 <= result[way][count][key] <= 1 for way in ("known", "new") for count in "12" for key in ("top1", "sd", "ece"))
    code, out, _ = run(*words)
    assert code == 0 and out.count("new names") == 2
    for wrong, name in ((["--shots", "0"], "not a list of numbers"), (["--shots", "9"], "fewer than 9"), (["--split", "val"], "no split")):
        code, _, err = run(*words[:5], *wrong)
        assert code == 2 and name in one_line(err)


@pytest.mark.parametrize("option", [("--by", "colour"), ("--split", "holiday")])
def test_an_unknown_way_of_scoring_is_misuse(run, trained, sample_set, option):
    code, _, err = run("evaluate", "--data", sample_set, "--checkpoint", trained / "best", *option)
    assert code == 2 and option[1] in one_line(err)
