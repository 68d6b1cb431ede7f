"""A run folder that was damaged anywhere is read as far as it can be, or refused by name; nothing in it is run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from fruitvision.errors import FruitVisionError, RunError
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder, list_runs
from fruitvision.runs.job.resume import read_state
from fruitvision.runs.names import rename
from fruitvision.runs.status import RunStatus
from tests.damage import damaged

TEXTS = ("config.json", "status.json", "metrics.jsonl", "log.txt")


@pytest.fixture
def run(tmp_path) -> RunFolder:
    run = RunFolder(tmp_path / "runs" / "one").create(RunConfig(name="one", data="pictures"))
    run.write_status(RunStatus(state="finished", epoch=2, epochs=2, best_val_accuracy=0.5))
    for epoch in (1, 2):
        run.append({"kind": "step", "epoch": epoch, "step": 4, "loss": 0.5})
        run.append({"kind": "epoch", "epoch": epoch, "val_accuracy": 0.5})
        run.log(f"epoch {epoch}")
    run.resume_file.parent.mkdir()
    torch.save({"network": {"weight": torch.arange(500.0)}, "progress": {"epoch": 2}}, run.resume_file)
    return run


def read_whole(run: RunFolder) -> None:
    """Everything that a panel and a resume read of a run."""
    assert run.status().state in ("finished", "interrupted", "failed", "stopped", "running", "waiting", "preparing")
    assert all(isinstance(record, dict) for record in run.metrics(None))
    assert isinstance(run.log_tail(), str)
    run.forget_after(1, 2)
    list_runs(run.path.parent)
    run.config()


@pytest.mark.parametrize("name", TEXTS)
def test_a_damaged_text_is_read_as_far_as_it_can_be_or_named(run, name):
    whole = {text: (run.path / text).read_bytes() for text in TEXTS}
    refused = 0
    for content in damaged(whole[name], 120):
        for text in TEXTS:
            (run.path / text).write_bytes(content if text == name else whole[text])
        try:
            read_whole(run)
        except RunError as error:
            assert error.code == "run-damaged" and "config.json" in str(error) and "restore the file" in str(error)
            refused += 1
    assert (refused > 0) == (name == "config.json")


def test_a_changed_digit_of_the_configuration_is_found_and_what_bears_no_digest_is_believed(run):
    path, before = run.path / "config.json", run.config()
    values = json.loads(path.read_text(encoding="utf-8"))
    values["training"]["batch_size"] += 1
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(RunError) as caught:
        run.config()
    assert caught.value.code == "run-damaged" and "config_sha256" in str(caught.value)
    lines = json.dumps(values, indent=1).splitlines()
    path.write_text("\n".join(line for line in lines if "config_sha256" not in line), encoding="utf-8")  # as the error says
    assert run.config().training.batch_size == before.training.batch_size + 1
    rename(run, "another")
    assert run.name == "another" and "config_sha256" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line",
    ["[]", "7", "null", '{"kind": "epoch"}', '{"kind": "epoch", "epoch": "x"}', '{"kind": "step", "epoch": 1, "step": null}', "[" * 20_000],
)
def test_a_line_that_is_no_record_costs_no_other(run, line):
    with (run.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    run.forget_after(2, 0)
    assert [record["epoch"] for record in run.metrics() if record.get("val_accuracy")] == [1, 2]


@pytest.mark.parametrize("name", TEXTS)
def test_a_missing_file_is_named_or_means_nothing(run, name):
    (run.path / name).unlink()
    if name != "config.json":
        read_whole(run)
        return
    with pytest.raises(RunError) as caught:
        run.config()
    assert caught.value.code == "run-missing" and list_runs(run.path.parent) == []


def test_a_damaged_training_state_is_never_taken_for_a_whole_one(run):
    whole = run.resume_file.read_bytes()
    before = read_state(run)
    for content in damaged(whole, 200):
        run.resume_file.write_bytes(content)
        try:
            found = read_state(run)
        except RunError as error:
            assert error.code == "resume-damaged" and "--set start=" in str(error)
            continue
        assert found["progress"] == before["progress"] and torch.equal(found["network"]["weight"], before["network"]["weight"])


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap-has-sprung",)


def test_a_pickle_under_any_name_is_never_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*TEXTS, "resume/state.pt", "environment.json", "best/config.json", "best/model.safetensors", "stop"):
        path: Path = run.path / name
        whole = path.read_bytes() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        for save in (lambda p: p.write_bytes(pickle.dumps(Trap())), lambda p: torch.save(Trap(), p)):
            save(path)
            for read in (read_whole, read_state):
                try:
                    read(run)
                except FruitVisionError as error:
                    assert "Delete" in str(error) or "Start a new run" in str(error)
        path.unlink() if whole is None else path.write_bytes(whole)
    assert not (tmp_path / "trap-has-sprung").exists()
    assert json.loads((run.path / "config.json").read_text(encoding="utf-8"))["name"] == "one"


def test_a_training_state_that_could_allocate_any_memory_is_not_read(run):
    """The run may be somebody else's, and torch's ``weights_only`` alone would fill 100 GB with zeros here."""
    zeros = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\xe8\x76\x48\x17\x85R."
    with zipfile.ZipFile(run.resume_file) as whole:
        parts = {member.filename: whole.read(member) for member in whole.infolist()}
    with zipfile.ZipFile(run.resume_file, "w") as changed:
        for name, content in parts.items():
            changed.writestr(name, zeros if name.endswith("data.pkl") else content)
    with pytest.raises(RunError) as caught:
        read_state(run)
    assert caught.value.code == "resume-damaged"
    assert getattr(caught.value.__cause__, "code", None) == "import-objects", "found before torch reads it"
