"""The app as somebody gets it: a copy of the project in a folder of any name."""

from __future__ import annotations

import shutil

import pytest

from .conftest import run_app


@pytest.mark.slow
def test_the_app_opens_from_a_folder_with_a_name_in_no_western_script(browser, visit, project, shipped_checkpoint, tmp_path):
    home = tmp_path / "水果 视觉 ü"
    home.mkdir()
    shutil.copy(project / "app.py", home)
    for folder in ("fruitvision", "checkpoints"):
        shutil.copytree(project / folder, home / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with run_app(tmp_path, "--lang", "zh", cwd=home, app=home / "app.py") as running:
        page = visit(url=running.url)
        page.wait_for_selector("text=给我看一个水果")
        page.get_by_role("tab", name="训练").click()
        page.wait_for_selector("#train-found .fv-data", timeout=60_000)
        page.context.close()
