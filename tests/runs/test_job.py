"""``execute`` is all that ``train`` is: from a folder's configuration to its checkpoints."""

from __future__ import annotations

import errno
import json
import time

import psutil
import pytest
import torch

from fruitvision.comparison.study import diverged
from fruitvision.errors import DataError, RunError, TrainingError
from fruitvision.models.checkpoint import load_checkpoint, read_config
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job import loop, resume
from fruitvision.runs.job.loop import execute
from fruitvision.runs.job.resume import read_state
from fruitvision.runs.lock import hold_lock
from fruitvision.training.engine import StepDone
from fruitvision.ui.train.run_view import run_table, status_line


def begun(tmp_path, config) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "run").create(config)


def weights(path) -> list[torch.Tensor]:
    return list(load_checkpoint(path)[0].state_dict().values())


def test_a_run_ends_with_metrics_a_log_and_two_checkpoints_that_say_what_they_are(tmp_path, tiny):
    run = begun(tmp_path, tiny())
    seen = []
    status = execute(run.path, on_event=seen.append)
    assert status.state == run.status().state == "finished" and status.error is None
    epochs = run.metrics()
    expected = {"kind", "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "grad_norm", "images_per_s", "seconds"}
    assert [e["epoch"] for e in epochs] == [1, 2] and expected <= set(epochs[0])
    assert len(run.metrics("step")) == sum(isinstance(event, StepDone) for event in seen) == 8
    assert "epoch 2/2" in run.log_tail()
    best = read_config(run.best)
    assert best.classes == ("Apple", "Banana", "Kiwi", "Orange") == best.fruit_types
    assert best.dataset["synthetic"] and best.start == "scratch" and best.temperature > 0
    assert best.metrics["test"]["top1"] == run.metrics("test")[0]["top1"]
    assert best.transform.resize == 32 and best.training["command"].startswith("python -m fruitvision train")
    assert load_checkpoint(run.last)


def test_four_epochs_are_two_a_stop_in_the_middle_and_the_rest_to_the_bit(tmp_path, tiny):
    whole = RunFolder(tmp_path / "a" / "run").create(tiny(epochs=4, ema=0.9))
    execute(whole.path)
    parts = RunFolder(tmp_path / "b" / "run").create(tiny(epochs=4, ema=0.9))
    for stop_at in (5, 11):

        def stop(event, stop_at=stop_at):
            if isinstance(event, StepDone) and (event.epoch - 1) * event.steps + event.step == stop_at:
                parts.request_stop()

        assert execute(parts.path, on_event=stop).state == "stopped"
        assert not parts.stop_file.exists()
        last = parts.metrics("step")[-1]
        assert (last["epoch"] - 1) * 4 + last["step"] == stop_at, "it stops after the step it is in"
    assert execute(parts.path).state == "finished"
    assert all(torch.equal(a, b) for a, b in zip(weights(whole.last), weights(parts.last), strict=True))
    assert [e["val_loss"] for e in whole.metrics()] == [e["val_loss"] for e in parts.metrics()]
    steps = [(s["epoch"], s["step"]) for s in parts.metrics("step")]
    assert steps == sorted(set(steps)) and len(steps) == 16


def test_a_loss_that_is_no_number_fails_by_name_and_the_last_good_checkpoint_stands(tmp_path, tiny, monkeypatch):
    run = begun(tmp_path, tiny(norm="none", epochs=3))

    built, build = [], loop.build
    monkeypatch.setattr(loop, "build", lambda *given, **named: built.append(build(*given, **named)) or built[-1])

    def spoil(event):
        if isinstance(event, StepDone) and event.epoch == 2:
            with torch.no_grad():
                built[0].fc.bias.fill_(float("nan"))

    with pytest.raises(TrainingError):
        execute(run.path, on_event=spoil)
    status = run.status()
    assert (status.state, status.error["code"]) == ("failed", "non-finite-loss")
    assert [record["skipped"] for record in run.metrics()] == [0, 3]
    network, _ = load_checkpoint(run.best)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_a_full_disk_fails_by_name_and_what_was_saved_loads(tmp_path, tiny, monkeypatch):
    run = begun(tmp_path, tiny(epochs=3))
    real = resume.write_bytes

    def full(path, data):
        if len(run.metrics()) >= 1:
            raise DataError("disk-full", path=str(path))
        real(path, data)

    monkeypatch.setattr(resume, "write_bytes", full)
    with pytest.raises(DataError):
        execute(run.path)
    assert run.status().error["code"] == "disk-full"
    load_checkpoint(run.best)
    monkeypatch.undo()
    assert execute(run.path).state == "finished"


def test_the_best_accuracy_that_is_shown_is_that_of_a_checkpoint_that_was_saved(tmp_path, tiny, monkeypatch):
    run = begun(tmp_path, tiny(epochs=1))

    def full(path, *given):
        raise DataError("disk-full", path=str(path))

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", full)
        with pytest.raises(DataError):
            execute(run.path)
    assert run.status().best_val_accuracy is None and not run.has_checkpoint
    execute(run.path)
    assert run.status().best_val_accuracy == run.metrics()[0]["val_accuracy"]


def test_a_clock_that_is_set_back_does_not_shorten_what_a_run_took(tmp_path, tiny, monkeypatch):
    run, real = begun(tmp_path, tiny()), time.time
    with monkeypatch.context() as patch:
        status = execute(run.path, on_event=lambda event: patch.setattr(time, "time", lambda: real() - 3600))
    assert 0 < status.seconds < 600


@pytest.mark.parametrize("name", ["metrics.jsonl", "log.txt"])
def test_a_disk_that_is_full_while_metrics_or_the_log_are_written_has_a_name_too(tmp_path, tiny, monkeypatch, name):
    import pathlib

    run = begun(tmp_path, tiny())
    real = pathlib.Path.open

    def full(self, mode="r", *given, **named):
        if self.name == name and "a" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, mode, *given, **named)

    monkeypatch.setattr(pathlib.Path, "open", full)
    with pytest.raises(DataError) as caught:
        execute(run.path)
    assert caught.value.code == "disk-full" and run.status().state == "failed"


def test_a_gradient_that_is_never_finite_fails_by_name_and_is_counted_in_the_log(tmp_path, tiny, monkeypatch):
    run, built, build = begun(tmp_path, tiny(epochs=3)), [], loop.build
    monkeypatch.setattr(loop, "build", lambda *given, **named: built.append(build(*given, **named)) or built[-1])

    def spoil(event):
        if isinstance(event, StepDone) and (event.epoch, event.step) == (1, 2):
            built[0].fc.weight.register_hook(lambda gradient: gradient * float("inf"))

    with pytest.raises(TrainingError):
        execute(run.path, on_event=spoil)
    assert run.status().error["code"] == "non-finite-gradient"
    assert [record["skipped"] for record in run.metrics()] == [2] and "2 steps skipped" in run.log_tail()
    assert all(torch.isfinite(value).all() for value in load_checkpoint(run.best)[0].state_dict().values())
    assert "skipped" in status_line(run, "en") and "2" in status_line(run, "zh")


def test_a_run_that_never_validated_finitely_ends_by_name_and_keeps_what_it_learned(tmp_path, tiny, monkeypatch):
    run, build = begun(tmp_path, tiny(epochs=2)), loop.build

    def overflows_when_asked(*given, **named):
        network = build(*given, **named)
        network.fc.register_forward_hook(lambda module, given, logits: logits if module.training else logits * float("nan"))
        return network

    monkeypatch.setattr(loop, "build", overflows_when_asked)
    with pytest.raises(TrainingError) as caught:
        execute(run.path)
    status = run.status()
    assert caught.value.code == "non-finite-validation" == status.error["code"] and status.state == "failed"
    assert status.best_val_accuracy is None and len(run.metrics()) == 2 and not run.has_checkpoint
    assert json.loads((run.path / "status.json").read_text(encoding="utf-8"))["best_val_accuracy"] is None
    assert "-100" not in run_table([run], [], "en", owner=True) and "Group norm" in status_line(run, "en")
    assert all(torch.isfinite(value).all() for value in weights(run.last)) and read_state(run)["progress"]["epoch"] == 2
    assert diverged(status), "in a study it is a result"


def test_what_an_earlier_version_wrote_of_such_a_run_is_no_accuracy(tmp_path, tiny):
    run = begun(tmp_path, tiny())
    run.write_status(run.status().model_copy(update={"best_val_accuracy": -1.0}))
    assert run.status().best_val_accuracy is None and "-100" not in run_table([run], [], "en", owner=True)


def test_what_a_killed_process_left_half_written_is_swept_away_and_what_another_is_writing_stays(tmp_path, tiny):
    run = begun(tmp_path, tiny(epochs=1))
    left, folder, others = run.path / "resume" / f".state.pt.{2**22 + 1}.new", run.path / f".best.{2**22 + 1}.new", run.path / ".stop.1.new"
    folder.mkdir()
    left.parent.mkdir()
    for path in (left, folder / "model.safetensors", others):
        path.write_bytes(b"half")
    execute(run.path)
    assert sorted(run.path.rglob(".*.new")) == ([others] if psutil.pid_exists(1) else [])


def test_a_damaged_saved_state_is_said_to_be_one(tmp_path, tiny):
    run = begun(tmp_path, tiny())
    execute(run.path, on_event=lambda event: run.request_stop())
    run.resume_file.write_bytes(run.resume_file.read_bytes()[:1000])
    with pytest.raises(RunError) as caught:
        execute(run.path)
    assert caught.value.code == "resume-damaged"


def test_one_training_at_a_time_and_the_second_is_told_which_and_may_be_asked_for_again(tmp_path, tiny):
    run = begun(tmp_path, tiny("second"))
    with hold_lock(tmp_path / "runs" / "first", "the first"), pytest.raises(RunError) as caught:
        execute(run.path)
    assert caught.value.code == "busy" and caught.value.facts["run"] == "the first"
    status = run.status()
    assert (status.state, status.error["code"]) == ("failed", "busy") and "the first" in status_line(run, "en")
    run.create(tiny("second", epochs=1))  # it never began
    assert execute(run.path).state == "finished"
    with pytest.raises(RunError) as caught:
        run.create(tiny("second"))
    assert caught.value.code == "run-exists"


def test_being_busy_is_not_written_over_a_run_that_is_at_work_or_has_something_to_lose(tmp_path, tiny):
    run, me = begun(tmp_path, tiny()), psutil.Process()
    execute(run.path, on_event=lambda event: run.request_stop())
    with hold_lock(run.path, "it"):
        run.write_status(run.status().model_copy(update={"state": "running", "pid": me.pid, "heartbeat": time.time()}))
        with pytest.raises(RunError):  # the same command typed twice
            execute(run.path)
        assert run.status().state == "running" and run.status().error is None
        run.write_status(run.status().model_copy(update={"state": "stopped"}))
        with pytest.raises(RunError):
            execute(run.path)
    assert run.status().error["code"] == "busy"
    with pytest.raises(RunError) as caught:
        run.create(tiny())
    assert caught.value.code == "run-exists", "it was trained before"
    assert execute(run.path).state == "finished"


def test_a_stop_counts_for_the_process_that_it_was_asked_of(tmp_path, tiny, monkeypatch):
    run = begun(tmp_path, tiny(epochs=1))
    run.request_stop()
    assert execute(run.path).state == "stopped" and not run.metrics(None), "it was asked while its process was awaited"
    run.request_stop()
    assert execute(run.path).state == "finished", "it was asked of a process that is gone"


def test_without_imagenet_the_run_says_what_it_starts_from(tmp_path, tiny, monkeypatch):
    def offline(**given):
        from fruitvision.errors import DownloadError

        raise DownloadError("download-offline", host="example.org")

    monkeypatch.setattr("fruitvision.runs.prepare.weights.imagenet_weights", lambda *given, **named: offline())
    run = begun(tmp_path, tiny(start="imagenet", width=64, epochs=1, max_train_images=8))
    status = execute(run.path)
    assert status.start.startswith(("shipped", "scratch"))
    assert "ImageNet" in run.log_tail()
