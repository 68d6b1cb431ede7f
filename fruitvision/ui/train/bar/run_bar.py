"""The training's progress above the panels: which run goes on, how far it is, how it ended, and the way to it. See ``run_bar.js``."""

from __future__ import annotations

from typing import Any

import gradio as gr

from fruitvision.runs import launcher
from fruitvision.runs.folder import list_runs
from fruitvision.ui.page.client.handlers import Given, served_html, text
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.events import UNQUEUED
from fruitvision.wording.text import duration, say

MAX_NAME_LENGTH = 60
"""Letters of a run's name in the bar."""


def build_bar(context: Context) -> gr.HTML:
    """The bar, which its script hides while there is nothing to tell, and from visitors. Clicked, it says which run it shows."""
    return served_html(context, "ui/train/bar/run_bar.html", ("lead", "away"), (run_state,), elem_id="run-bar", prefix="train.bar")


def wire_bar(page: Page, run: gr.State) -> None:
    """A click brings the bar's run into view; its script opens the panel. ``run``: the id of the run in view."""

    def lead(event: gr.EventData) -> Any:
        return known_run(page.context, getattr(event, "run", None)) or gr.skip()

    page.bar.click(lead, None, run, **UNQUEUED)


def known_run(context: Context, shown: Any) -> str | None:
    """The id where there is such a run. Anything may be sent, and the page's state keeps what is let in: 13 MB a session."""
    return next((run.id for run in list_runs(context.runs) if run.id == shown), None)


def run_state(context: Context, given: Given, language: str) -> dict[str, Any]:
    """The run that goes on, as {"run": id, "words", "share": 0..1}; otherwise how the run ended whose id the page sends as "after"."""
    run = launcher.running(context.runs)
    if run is None:
        return _ended(context, text(given, "after"), language)
    status, stopping = run.status(), run.stop_file.exists()
    epochs = status.epochs or run.config().training.epochs
    state = "unresponsive" if not status.responding else "stopping" if stopping else status.state
    facts = {"name": run.name[:MAX_NAME_LENGTH], "epoch": max(status.epoch, 1), "epochs": epochs}
    words = say(f"train.bar_{state}", language, **facts)
    if state == "running" and status.eta_s is not None:
        words += (" " if language == "en" else "") + say("train.time_left", language, time=duration(status.eta_s, language))
    return {"run": run.id, "words": words, "share": status.progress(epochs)}


def _ended(context: Context, shown: str, language: str) -> dict[str, Any]:
    """How a run ended, as {"ended": id, "state", "words"}; nothing of one that is gone, or has not."""
    run = next((one for one in list_runs(context.runs) if one.id == shown), None) if shown else None
    status = run.status() if run else None
    if run is None or status is None or status.active:
        return {}
    tested, validated = run.summary(status).test_top1, status.best_val_accuracy
    measured = validated if tested is None else tested
    known = status.state == "finished" and measured is not None
    facts = {"name": run.name[:MAX_NAME_LENGTH], "accuracy": f"{measured:.1%}" if known else ""}
    return {"ended": run.id, "state": status.state, "words": say(f"train.bar_{status.state}{'_at' if known else ''}", language, **facts)}
