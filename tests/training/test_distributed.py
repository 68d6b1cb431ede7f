"""Two real processes on gloo learn what one does; they stop together, and the end of one ends all."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fruitvision.data.augment.recipes import no_augmentation
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.load.loader import EvalLoader, Shard, TrainLoader
from fruitvision.data.read.store import open_dataset
from fruitvision.errors import TrainingError
from fruitvision.models.networks import build_network
from fruitvision.runs import launcher
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.training.config import TrainConfig
from fruitvision.training.distributed import World, convert_sync_batchnorm, torchrun_shard

PROJECT = Path(__file__).resolve().parents[2]
TINY = (
    "start=scratch",
    "width=8",
    "image_size=32",
    "first_image_size=32",
    "eval_resize=32",
    "batch_size=8",
    "epochs=3",
    "device=cpu",
    "precision=float32",
)
# Nothing but the processes differs. Pictures of 64: of 32 the last maps are 1 × 1, where group norm over two channels is
# hardly more than a sign, and a float's last digit would decide it. So would it at a larger learning rate, on some processors.
STEADY = (*TINY, "image_size=64", "first_image_size=64", "eval_resize=64", "learning_rate=0.0001", "schedule=constant", "epochs=2")


def train(run: Path, data: Path, *settings: str, processes: int = 1, resume: bool = False) -> subprocess.Popen[str]:
    # The two dashes keep torchrun from reading --run as an abbreviation of its own --run-path.
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "--"]
    words = ["--run", str(run), *(["--resume"] if resume else ["--data", str(data), "--set", *settings])]
    return subprocess.Popen(
        [sys.executable, *(launcher if processes > 1 else ["-m"]), "fruitvision", "train", *words],
        cwd=PROJECT,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=240)
    return output


def finished(run: Path, data: Path, *settings: str, processes: int = 1) -> RunFolder:
    if processes == 1:
        given = dict(setting.split("=") for setting in settings)
        folder = RunFolder(run).create(RunConfig(data=str(data), training=TrainConfig.from_preset("fast", **given)))
        execute(folder.path)
        return folder
    process = train(run, data, *settings, processes=processes)
    output = ended(process)
    assert process.returncode == 0, output
    return RunFolder(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [("norm=group",), ("norm=layer", "accumulate=2", "ema=0.9", "batch_size=7")],
    ids=["group", "accumulated, averaged, and a last batch of one"],
)
def test_two_processes_draw_the_curve_of_one(sample_set, tmp_path, extra):
    one = finished(tmp_path / "one" / "run", sample_set, *STEADY, *extra)
    two = finished(tmp_path / "two" / "run", sample_set, *STEADY, *extra, processes=2)
    assert [r["step"] for r in one.metrics("step")] == [r["step"] for r in two.metrics("step")]
    for kind, keys in (
        ("step", ("loss", "grad_norm", "lr")),
        ("epoch", ("train_loss", "val_loss", "train_accuracy", "val_accuracy")),
        ("test", ("images", "loss", "top1", "top3")),
    ):
        assert len(one.metrics(kind)) == len(two.metrics(kind)) > 0
        for key in keys:
            mine, theirs = ([record[key] for record in run.metrics(kind)] for run in (one, two))
            np.testing.assert_allclose(theirs, mine, rtol=2e-3, atol=2e-4, err_msg=f"{kind} {key}")
    assert two.status().state == "finished" and two.has_checkpoint
    assert "2 processes" in two.log_tail() and (two.path / "log.txt").read_text(encoding="utf-8").count("epoch 1/2") == 1


@pytest.mark.slow
def test_the_app_starts_two_processes_and_batch_norm_on_a_cpu_learns_by_parts_and_says_so(sample_set, tmp_path):
    given = dict(setting.split("=") for setting in (*TINY, "norm=batch", "epochs=1"))
    config = RunConfig(data=str(sample_set), training=TrainConfig.from_preset("fast", **given), processes=2)
    run = launcher.start(tmp_path / "runs", config)
    end = time.monotonic() + 120
    while run.status().active and time.monotonic() < end:
        time.sleep(0.05)
    output = (run.path / "output.txt").read_text(encoding="utf-8")
    assert run.status().state == "finished", output
    assert "2 processes" in run.log_tail() and "its own part of the batch" in run.log_tail()
    tests = run.metrics("test")
    assert tests[0]["images"] == 16 and 0 <= tests[0]["top1"] <= 1


@pytest.mark.slow
def test_a_stop_file_stops_all_of_them_and_the_run_goes_on(sample_set, tmp_path):
    run = RunFolder(tmp_path / "runs" / "a")
    process = train(run.path, sample_set, *TINY, "norm=group", "epochs=500", processes=2)
    wait(process, lambda: run.exists and run.status().state == "running" and run.status().step > 0)
    run.request_stop()
    output = ended(process)
    assert process.returncode == 0 and run.status().state == "stopped", output
    assert output.count("Stopped; everything is kept") == 1
    at = run.status()
    again = train(run.path, sample_set, processes=2, resume=True)
    wait(again, lambda: run.status().state == "running" and run.status().epoch > at.epoch)
    run.request_stop()
    output = ended(again)
    assert again.returncode == 0, output
    steps = [(record["epoch"], record["step"]) for record in run.metrics("step")]
    assert steps == sorted(set(steps))


@pytest.mark.slow
def test_the_end_of_one_ends_all_and_the_reason_is_kept(sample_set, tmp_path):
    run = RunFolder(tmp_path / "runs" / "a")
    process = train(run.path, sample_set, *TINY, "norm=group", "epochs=500", processes=2)
    wait(process, lambda: run.exists and run.status().state == "running" and run.status().step > 0)
    import psutil

    leader = run.status().pid
    children = psutil.Process(process.pid).children(recursive=True)
    next(child for child in children if child.pid != leader and "fruitvision" in child.cmdline()).kill()
    output = ended(process)
    assert process.returncode != 0
    status = run.status()
    assert not status.active, output
    assert status.state in ("failed", "stopped", "interrupted")
    assert run.resume_file.exists() or status.epoch <= 1


def wait(process: subprocess.Popen[str], condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end, "the run did not come so far in time"
        time.sleep(0.05)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_shards_put_together_are_the_whole_and_nothing_twice(sample_set, ranks):
    dataset, store = open_dataset(sample_set)
    train = TrainLoader(store, dataset.splits["train"], no_augmentation(32, 32), 6, seed=3)
    whole = list(train.epoch(1, 32))
    parts = [list(train.epoch(1, 32, shard=Shard(rank, ranks))) for rank in range(ranks)]
    for step, batch in enumerate(whole):
        shared = [part[step] for part in parts]
        assert sum(one.local_size for one in shared) == len(batch.rows) and {one.global_size for one in shared} == {len(batch.rows)}
        assert sorted(row for one in shared for row in one.rows[: one.local_size]) == sorted(batch.rows)
        assert all(len(one.labels) >= 1 for one in shared)
    seen = EvalLoader(store, dataset.splits["test"], EvalTransform(resize=32, crop=32), batch_size=3)
    rows = [row for rank in range(ranks) for batch in seen.batches(Shard(rank, ranks)) for row in batch.rows]
    assert sorted(rows) == sorted(dataset.splits["test"].rows)


def test_a_torch_that_cannot_join_processes_is_named_before_there_is_a_run(sample_set, tmp_path, monkeypatch):
    def refused(*given, **how):
        raise RuntimeError("use_libuv was requested but PyTorch was built without libuv support")

    monkeypatch.setattr("torch.distributed.TCPStore", refused)
    config = RunConfig(data=str(sample_set), training=TrainConfig(), processes=2)
    with pytest.raises(TrainingError) as caught:
        launcher.start(tmp_path / "runs", config)
    assert caught.value.code == "distributed-missing" and "libuv" in str(caught.value)
    assert not list((tmp_path / "runs").glob("*/config.json"))


@pytest.mark.parametrize("architecture", ["tf_efficientnet_lite0", "mobilenetv2_050"])
def test_synchronized_batch_norms_apply_the_activations_that_they_carry(architecture):
    """One of our own, and one of timm's. On one process SyncBatchNorm computes what batch norm does."""
    network, x = build_network(architecture, num_classes=3, norm="own", seed=1).eval(), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = network(x).logits
        found = copy.deepcopy(convert_sync_batchnorm(network))
        assert not any(isinstance(module, nn.BatchNorm2d) for module in found.modules())
        torch.testing.assert_close(found(x).logits, expected)


def test_on_one_process_nothing_happens(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert torchrun_shard() == (0, 1)
    world = World()
    assert world.is_global_zero and world.all_reduce(1.5, 2) == [1.5, 2] and world.any(True) and not world.any(False)
    assert world.broadcast("word") == "word" and world.all_gather([1, 2]) == [1, 2]
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert torchrun_shard() == (3, 8)
