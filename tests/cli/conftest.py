"""Commands in this process and in one of their own, and a finished run to ask about."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fruitvision.__main__ import main

PROJECT = Path(__file__).resolve().parents[2]
TINY = ["start=scratch", "width=8", "image_size=32", "eval_resize=32", "batch_size=8", "augmentation=none"]


def start(*words: str | Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a command as a process of its own, in the project's folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "fruitvision", *map(str, words)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def one_line(text: str) -> str:
    assert text.startswith("Error: ") and text.endswith("\n") and text.count("\n") == 1
    assert "Traceback" not in text
    return text.strip()


@pytest.fixture(scope="session")
def trained(sample_set, tmp_path_factory) -> Path:
    """A finished run of one tiny epoch."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert main(["train", "--run", str(folder), "--data", str(sample_set), "--json", "--set", "epochs=1", *TINY]) == 0
    return folder


# evaluate-sources ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sources(sample_set, tmp_path_factory) -> Path:
    """Two sources of photographs, each with two of the sample's kinds."""
    root = tmp_path_factory.mktemp("sources") / "photos"
    for source, kinds in (("phone", ("Apple", "Banana")), ("shop", ("Apple", "Kiwi"))):
        for kind in kinds:
            shutil.copytree(sample_set / "Training" / kind, root / source / kind)
    return root
