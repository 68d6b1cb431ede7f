"""What visitors upload is not kept: deleted after its time, and with the folder when the app is closed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from gradio.routes import App
from starlette.testclient import TestClient

from fruitvision.ui import app as app_module
from fruitvision.ui.access import Access
from fruitvision.ui.app import build_app
from fruitvision.ui.checked_image import MAX_UPLOAD_BYTES
from fruitvision.ui.context import Context, ModelShelf
from tests.browser.conftest import run_app
from tests.ui.test_allowed import quietly
from tests.ui.visitor import UPLOAD, picture_bytes


def test_uploads_are_deleted_after_their_time_and_the_rest_when_the_app_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(app_module, "KEEP_SECONDS", 1)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    context = Context(runs=tmp_path, taught=tmp_path, access=Access("token"), models=ModelShelf(tmp_path), data=tmp_path / "data")
    demo = quietly(build_app, context)
    demo.max_file_size = MAX_UPLOAD_BYTES  # launch() does
    app = quietly(App.create_app, demo)

    def upload() -> Path:
        path = Path(client.post(UPLOAD, files={"files": ("mine.jpg", picture_bytes())}).json()[0])
        assert path.is_file() and (tmp_path / "uploads") in path.parents
        return path

    with TestClient(app) as client:
        first, end = upload(), time.monotonic() + 20
        while first.exists():
            assert time.monotonic() < end, "it is kept"
            time.sleep(0.1)
        last = upload()
    assert not last.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_the_folder_of_uploads_is_private_and_gone_when_the_system_closes_the_app(tmp_path, project, shipped_checkpoint):
    own = {"GRADIO_TEMP_DIR": "", "TMPDIR": str(tmp_path)}
    flags = ("--public", "--host", "127.0.0.1", "--checkpoint", "fruits-360")
    with run_app(tmp_path, *flags, cwd=tmp_path, app=project / "app.py", environment=own) as running:
        path = Path(httpx.post(running.url + UPLOAD, files={"files": ("mine.jpg", picture_bytes())}, timeout=60).json()[0])
        folder = tmp_path / path.relative_to(tmp_path).parts[0]
        assert path.is_file() and folder.stat().st_mode & 0o077 == 0
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)
    assert not folder.exists()
