"""The benchmark of the webcam's delay, and of the first answer, against the real app."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="run: python -m pip install -r requirements-dev.txt")

from benchmarks.bench import Bench
from benchmarks.webcam import frame_latencies, live_view_answer, webcam_frames


@pytest.mark.slow
def test_a_frames_way_to_its_answer_on_the_page_is_timed(app, chromium, film: Path) -> None:
    waited = frame_latencies(app.url, film, 2)
    assert len(waited) == 2 and all(1 < milliseconds < 60_000 for milliseconds in waited)


def test_a_picture_is_answered_as_the_page_asks_for_it(app, sample_set: Path) -> None:
    assert "fv-name" in live_view_answer(app.url, next(webcam_frames(Bench(sample_set, 1, True))))
