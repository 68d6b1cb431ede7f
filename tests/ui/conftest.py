"""The real app in a process of its own, shared on this computer, with runs, a study and lessons that a visitor could harm."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import run_app
from tests.ui.visitor import Shared, Visitor, picture_bytes

SECRET = "a secret that no visitor may read"
MARKUP = "<img src=x onerror=alert(1)>"
FINISHED, STOPPED, STUDY = f"{MARKUP} finished", "stopped and not to be seen", f"{MARKUP} study"


@pytest.fixture(scope="session")
def shared(tmp_path_factory, project, shipped_checkpoint, sample_set) -> Iterator[Shared]:
    """One app for all tests of this folder; its token comes from the environment. What it keeps lies in its folder."""
    folder = tmp_path_factory.mktemp("shared")
    furnish(folder, sample_set)
    token = "token-of-the-tests-" + uuid.uuid4().hex
    own = {"FRUITVISION_OWNER_TOKEN": token, "GRADIO_TEMP_DIR": folder / "uploads", "FRUITVISION_CACHE": folder / "cache"}
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in own.items():
                patch.setenv(name, str(value))
            opening = run_app(folder, "--public", "--host", "127.0.0.1", "--checkpoint", "fruits-360", cwd=folder, app=project / "app.py")
            running = stack.enter_context(opening)
        yield Shared(running.url, token, folder, running.process.pid)


@pytest.fixture(scope="module")
def client(shared) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url, timeout=30, follow_redirects=False) as client:
        yield client


@pytest.fixture
def visitor(client) -> Visitor:
    return Visitor(client)


def furnish(folder: Path, sample_set: Path) -> None:
    """A finished run, a stopped one, a finished study, something taught, a folder of pictures and a secret."""
    from fruitvision.comparison.study import StudyFolder, StudyPlan
    from fruitvision.data.augment.transforms import EvalTransform
    from fruitvision.models.checkpoint import CheckpointConfig, save_checkpoint
    from fruitvision.models.networks import build_network
    from fruitvision.recognition.taught.store import TaughtStore
    from fruitvision.runs.config import RunConfig
    from fruitvision.runs.folder import new_run
    from fruitvision.runs.status import RunStatus
    from fruitvision.training.config import TrainConfig

    (folder / "secret.txt").write_text(SECRET, encoding="utf-8")
    (folder / "secret.jpg").write_bytes(picture_bytes())
    shutil.copytree(sample_set, folder / "data" / "drawn")
    training = TrainConfig.from_preset("fast", width=8, epochs=2, start="scratch")
    names = (f"{MARKUP}1", f"{MARKUP}2")
    config = CheckpointConfig(width=8, classes=names, fruit_types=names, transform=EvalTransform(resize=64, crop=64))
    for name, state in ((FINISHED, "finished"), (STOPPED, "stopped")):
        run = new_run(folder / "runs", RunConfig(name=name, data=str(folder / "data" / "gone"), training=training))
        run.append({"kind": "epoch", "epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "train_accuracy": 0.5, "val_accuracy": 0.5})
        save_checkpoint(run.best, build_network(num_classes=2, width=8), config)
        run.write_status(RunStatus(state=state, epochs=2, epoch=2, steps=1))
    study = StudyFolder(folder / "runs" / "study").create(
        StudyPlan.parse({"data": str(folder / "data"), "norms": ["batch", "group"], "name": STUDY})
    )
    study.write_status(RunStatus(state="finished", epochs=2, epoch=2))
    TaughtStore(folder / "taught").add("Quince", picture_bytes(colour=(200, 200, 40)))
