"""The examples run as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fruitvision.models.checkpoint import load_checkpoint

PROJECT = Path(__file__).resolve().parents[1]


def test_the_training_example_learns_saves_a_checkpoint_and_classifies_with_it(sample_set, tmp_path):
    words = [sys.executable, "-m", "examples.train", "--data", str(sample_set), "--out", str(tmp_path / "best")]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, encoding="utf-8", timeout=240)
    assert done.returncode == 0, done.stderr
    *epochs, answer = done.stdout.splitlines()
    losses = [float(line.split("train loss ")[1].split(",")[0]) for line in epochs]
    assert len(losses) == 8 and losses[-1] < losses[0] and "validation accuracy" in epochs[-1]
    _, config = load_checkpoint(tmp_path / "best")
    assert answer.rsplit(": ", 1)[1] in config.classes
