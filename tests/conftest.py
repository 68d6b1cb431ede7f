"""What every test stands on: folders of its own, few threads, a small drawn data set, real pictures on request."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports gradio, torch or a package of fruitvision; processes that the tests start inherit these.
_SESSION = Path(tempfile.mkdtemp(prefix="fruitvision-tests-"))
os.environ.update(
    FRUITVISION_CACHE=str(_SESSION / "cache"),
    GRADIO_TEMP_DIR=str(_SESSION / "gradio"),
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_OFFLINE="1",
)
# One thread a process: two would wait for each other wherever the test beside this one holds a core. Not by PYTEST_XDIST_WORKER:
# the process that starts the workers loads this file first, and they would inherit what it chose for itself.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("FRUITVISION_DEBUG", None)

PROJECT = Path(__file__).resolve().parents[1]
CONCURRENT = {"asyncio", "multiprocessing", "psutil", "subprocess", "threading"}  #: a test module that imports one of these depends on time


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_SESSION, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser, a second process or a thread may be late on a busy machine: such a test runs again once, and fails if it fails twice."""
    for item in items:
        concurrent = CONCURRENT & vars(getattr(item, "module", None) or object).keys()
        if concurrent or item.get_closest_marker("browser") or item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's top folder."""
    return PROJECT


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sentences of the operating system and of argparse would follow the developer's own language.
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def sample_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four kinds of drawn fruit, 8 training and 4 test pictures each, 64×64. Read it; never change it."""
    from fruitvision.data.synthetic.sample import draw_sample

    return draw_sample(
        tmp_path_factory.mktemp("sample") / "sample set",
        train_per_class=8,
        test_per_class=4,
        size=64,
        classes=("Apple", "Banana", "Orange", "Kiwi"),
    )


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder that holds ``fruits-360/`` with photographs, named by FRUITVISION_TEST_DATA."""
    folder = os.environ.get("FRUITVISION_TEST_DATA")
    if not folder:
        pytest.skip("FRUITVISION_TEST_DATA is not set: name a folder that holds fruits-360/ to run this")
    return Path(folder).resolve(strict=True)


@pytest.fixture(scope="session")
def shipped_checkpoint() -> Path:
    """The checkpoint that the project ships."""
    folder = PROJECT / "checkpoints" / "fruits-360"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("checkpoints/fruits-360 is not there: train it with the command in its README.md")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[str | None]:
    """What Playwright's ``launch(executable_path=...)`` takes: the system's Chromium, or None for Playwright's own."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            yield found
            return
    playwright = pytest.importorskip("playwright.sync_api", reason="run: python -m pip install -r requirements-dev.txt")
    with playwright.sync_playwright() as driver:
        there = Path(driver.chromium.executable_path).is_file()
    if not there:
        pytest.skip("no Chromium: install the package 'chromium', or run: python -m playwright install chromium")
    yield None


@pytest.fixture
def run(capsys):
    """Run a command in this process: (exit code, standard output, standard error)."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        from fruitvision.__main__ import main

        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run
