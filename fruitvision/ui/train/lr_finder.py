"""The learning rate finder: a range test in the background with the panel's settings, its curve, and a button that applies its result."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from fruitvision.report.charts import COLOURS, Series, line_chart
from fruitvision.report.markup import join, say_html
from fruitvision.runs import launcher
from fruitvision.runs.lock import hold_lock
from fruitvision.runs.subprocess_call import call_in_subprocess
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.background import Progress, Task
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.elements import card, note, notice
from fruitvision.ui.page.events import QUEUED, UNQUEUED, UNQUEUED_LAST, Updates, by_component, for_owner
from fruitvision.ui.train.start import Form, data_and_config
from fruitvision.wording.text import say

if TYPE_CHECKING:
    from fruitvision.training.lr_find import RangeTest

LOCK_HOLDER = "lr-find"
STEPS = 100
TICK_SECONDS = 1.0


class LrFinder:
    """Runs one range test at a time, and keeps the last result. Shared by all visitors of an app."""

    def __init__(self) -> None:
        self.data, self.preset = "", ""
        self.task: Task[RangeTest] | None = None

    @property
    def busy(self) -> bool:
        """Whether a range test is running."""
        return self.task is not None and self.task.busy

    def begin(self, runs: Path, data: Path, training: TrainConfig) -> None:
        """Start a range test. Raises RunError "busy" if a run, or another range test, is running."""
        from fruitvision.runs.prepare.rate import range_test_of

        launcher.refuse_if_busy(runs)

        def search(progress: Progress) -> RangeTest:
            with hold_lock(runs / LOCK_HOLDER, LOCK_HOLDER):
                return call_in_subprocess(range_test_of, data, training, STEPS, report=progress)

        self.data, self.preset = data.name, training.preset
        self.task = Task(search, "rate")


class LrFinderPanel:
    """The components, in a collapsed section below the settings."""

    def __init__(self, page: Page) -> None:
        with page.bind(gr.Accordion(open=False, elem_id="train-rate-fold"), label="train.rate"):
            page.bind(gr.HTML(), value=lambda language: note(say("train.rate_info", language)))
            with gr.Row():
                self.begin = gr.Button(say("train.rate_begin", page.context.language), elem_id="train-rate", size="sm")
                self.take = gr.Button(visible=False, variant="primary", elem_id="train-rate-take", size="sm")
            self.card = gr.HTML(elem_id="train-rate-card")
            self.timer = gr.Timer(TICK_SECONDS, active=False)


def wire_lr_finder(page: Page, search: LrFinder, parts: LrFinderPanel, form: list[Any], learning_rate: gr.Number) -> None:
    """Register the events. ``form``: the inputs of :meth:`Form.of`."""
    context, shown = page.context, [parts.card, parts.begin, parts.take, parts.timer]

    def toggle(language: str, *values: Any) -> Updates:
        if search.task and search.busy:
            search.task.stop()
        else:
            search.begin(context.runs, *data_and_config(context, Form.of(*values)))
        return by_component(vars(parts), lr_finder_updates(search, language, owner=True))

    parts.begin.click(for_owner(context, toggle, parts.card), [page.language, *form], shown, **QUEUED)

    def watch(language: str, request: gr.Request) -> Any:
        return by_component(vars(parts), lr_finder_updates(search, language, owner=context.access.is_owner(request)))

    def take(request: gr.Request) -> Any:
        result = search.task and search.task.result
        return result.suggested if result and context.access.is_owner(request) else gr.skip()

    gr.on([page.demo.load, parts.timer.tick, page.language.change], watch, page.language, shown, **UNQUEUED_LAST)
    parts.take.click(take, None, learning_rate, **UNQUEUED)


def lr_finder_updates(search: LrFinder, language: str, *, owner: bool) -> dict[str, Any]:
    """Updates of the card, the buttons and the timer, by component name. Visitors see nothing of a range test."""
    if not owner:
        hidden = {"begin": gr.update(interactive=False), "take": gr.update(visible=False)}
        return {"card": "", **hidden, "timer": gr.Timer(active=False)}
    busy, result = search.busy, search.task and search.task.result
    take = say("train.rate_take", language, rate=f"{result.suggested:g}") if result else ""
    return {
        "card": lr_finder_card(search, language),
        "begin": gr.update(value=say("train.rate_stop" if busy else "train.rate_begin", language)),
        "take": gr.update(visible=bool(result) and not busy, value=take),
        "timer": gr.Timer(active=busy),
    }


def lr_finder_card(search: LrFinder, language: str) -> Markup:
    """The progress of the range test, or its result: the curve with the suggestion. Empty if there was none."""
    task = search.task
    if task is None:
        return Markup()
    if task.busy:
        key = "train.rate_busy" if task.done else "train.rate_reading"
        return card(Markup("<p>{}</p>").format(say(key, language, done=task.done, total=task.total)))
    if task.error:
        return notice(task.error, language)
    if task.result is None:
        return Markup()
    facts = {"data": search.data, "preset": say(f"train.preset_{search.preset}", language), "rate": f"{task.result.suggested:g}"}
    return join([card(Markup("<p>{}</p>").format(say_html("train.rate_found", language, **facts))), lr_finder_chart(task.result, language)])


def lr_finder_chart(result: RangeTest, language: str) -> Markup:
    """The smoothed loss against the logarithm of the learning rate, with the suggestion as a dot."""
    from fruitvision.training.lr_find import LOWEST

    places = [math.log10(rate / LOWEST) for rate in result.rates]
    nearest = min(range(len(places)), key=lambda n: abs(math.log(result.rates[n] / result.suggested)))
    dot = [loss if n == nearest else None for n, loss in enumerate(result.losses)]
    powers = range(math.ceil(places[-1]) + 1)
    suggested = f"{say('train.rate_suggested', language)} {result.suggested:g}"
    return line_chart(
        [Series(say("train.rate_loss", language), places, result.losses, COLOURS[0]), Series(suggested, places, dot, COLOURS[1])],
        title=say("train.rate_chart", language),
        x_max=powers[-1],
        x_label=say("train.rate_axis", language),
        description=f"{say('train.rate_chart', language)}; {suggested}",
        x_places=[(power, f"{LOWEST * 10**power:.0e}") for power in powers],
    )
