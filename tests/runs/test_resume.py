"""What a resume takes over: every epoch's record once, the precision, what the start had learned, fewer cards."""

from __future__ import annotations

import errno

import pytest
import torch

from fruitvision.errors import DataError, RunError
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job import loop, session
from fruitvision.runs.job.loop import execute
from fruitvision.runs.job.resume import read_state
from fruitvision.runs.job.session import Session
from fruitvision.runs.job.status import StatusWriter
from fruitvision.runs.lock import hold_lock
from fruitvision.training.config import TrainConfig
from fruitvision.training.distributed import World


@pytest.mark.parametrize("before_the_record", [True, False])
def test_a_run_that_ends_between_an_epochs_record_and_its_state_has_each_epoch_once(tmp_path, tiny, monkeypatch, before_the_record):
    run = RunFolder(tmp_path / "runs" / "run").create(tiny(epochs=3))
    append, save = RunFolder.append, loop.save_state

    def full_disk(*given):
        raise DataError("disk-full", path="x") from OSError(errno.ENOSPC, "full")

    def failing_append(folder, record):
        return full_disk() if record["kind"] == "epoch" and record["epoch"] == 2 else append(folder, record)

    def failing_save(folder, state, fingerprint):
        return full_disk() if state.progress.epoch == 2 else save(folder, state, fingerprint)

    with monkeypatch.context() as patch:
        if before_the_record:
            patch.setattr(RunFolder, "append", failing_append)
        else:
            patch.setattr(loop, "save_state", failing_save)
        with pytest.raises(DataError):
            execute(run.path)
    assert execute(run.path).state == "finished"
    assert [record["epoch"] for record in run.metrics()] == [1, 2, 3]


def test_an_automatic_precision_is_decided_once_and_kept_by_a_resume(tmp_path, tiny, monkeypatch):
    config = tiny(precision="auto")
    device = torch.device("cpu")
    monkeypatch.setattr(session, "precision_name", lambda config, device: "bfloat16")
    monkeypatch.setattr(session, "has_bfloat16", lambda device: True)

    def settled(saved, broadcast=lambda name: name):
        one = Session(RunFolder(tmp_path / "run"), config, World(), None)
        monkeypatch.setattr(one.world.__class__, "broadcast", lambda world, value: broadcast(value))
        assert one.choose_precision(device, saved) is one.training
        return one.training.precision

    assert settled({}) == "bfloat16"
    assert settled({}, lambda name: "float32") == "float32", "what process 0 found counts"
    assert settled({"precision": {"device": "cpu", "name": "float32"}}) == "float32"
    assert settled({"precision": {"device": "cuda", "name": "float16"}}) == "bfloat16", "it was another device"
    monkeypatch.setattr(session, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(session, "precision_name", lambda config, device: "float32")
    assert settled({"precision": {"device": "cpu", "name": "bfloat16"}}) == "float32", "this CPU has no instructions for it"


def test_the_precision_of_a_run_stands_in_its_saved_state_and_its_configuration_stays_automatic(tmp_path, tiny):
    run = RunFolder(tmp_path / "runs" / "run").create(tiny(precision="auto", epochs=1))
    execute(run.path)
    saved = read_state(run)["precision"]
    assert saved["device"] in ("cpu", "cuda", "mps") and saved["name"] in ("float32", "bfloat16", "float16")
    assert run.config().training.precision == "auto"


def test_a_resume_remembers_what_its_start_had_learned(tmp_path, tiny):
    run = RunFolder(tmp_path / "runs" / "run").create(tiny())
    run.write_status(run.status().model_copy(update={"state": "stopped", "sources_before": ("shop",)}))
    assert StatusWriter.of_run(run, 2).status.sources_before == ("shop",)


def test_a_state_of_two_cards_is_resumed_on_one(monkeypatch, tmp_path, tiny):
    from fruitvision.models.networks import build_network
    from fruitvision.training.state import TrainState

    config, restored = TrainConfig.from_preset("fast", width=8, start="scratch"), []
    state = TrainState(build_network(num_classes=2, width=8), config, torch.device("cpu"))
    saved = state.state_dict()
    saved["random"]["cuda"] = [torch.zeros(1), torch.ones(1)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, card: restored.append((card, state.item())))
    state.load_state_dict(saved)
    assert restored == [(0, 0.0)]


def test_a_lock_that_was_left_is_free_though_the_error_that_left_it_is_still_held(tmp_path):
    held = hold_lock(tmp_path / "a", "first")
    with pytest.raises(RunError) as caught, held:
        raise RunError("busy", run="x")
    with hold_lock(tmp_path / "b", "second"):
        assert caught.value.code == "busy"


def test_memory_that_several_processes_ran_out_of_is_said_without_a_trial_on_one(tmp_path, tiny):
    from fruitvision.models.networks import build_network
    from fruitvision.runs.job.memory import out_of_memory
    from fruitvision.training.state import TrainState

    config: RunConfig = tiny(batch_size=64)
    state = TrainState(build_network(num_classes=2, width=8), config.training, torch.device("cpu"))
    state.world = World(1, 4)
    error = out_of_memory(state)
    assert error.code == "out-of-memory-shared" and "64" in str(error) and "4 processes" in str(error)
