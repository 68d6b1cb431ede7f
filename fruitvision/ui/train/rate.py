"""A learning rate for what the panel is set to: a range test in the background, drawn as a curve, taken over by a click."""

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
from fruitvision.ui.train.start import Form, chosen
from fruitvision.wording.text import say

if TYPE_CHECKING:
    from fruitvision.training.lr_find import RangeTest

LOCK_HOLDER = "lr-find"
STEPS = 100
TICK_SECONDS = 1.0


class RateSearch:
    """One range test at a time, and what the last one found. One for all visitors of an app."""

    def __init__(self) -> None:
        self.data, self.preset = "", ""
        self.task: Task[RangeTest] | None = None

    @property
    def busy(self) -> bool:
        """Whether one is going on."""
        return self.task is not None and self.task.busy

    def begin(self, runs: Path, data: Path, training: TrainConfig) -> None:
        """Start one. Raises RunError "busy" while a run goes on, or another one of these."""
        from fruitvision.runs.prepare.rate import range_test_of

        launcher.refuse_if_busy(runs)

        def search(progress: Progress) -> RangeTest:
            with hold_lock(runs / LOCK_HOLDER, LOCK_HOLDER):
                return call_in_subprocess(range_test_of, data, training, STEPS, report=progress)

        self.data, self.preset = data.name, training.preset
        self.task = Task(search, "rate")


class RateParts:
    """The components: a fold under the settings."""

    def __init__(self, page: Page) -> None:
        with page.bind(gr.Accordion(open=False, elem_id="train-rate-fold"), label="train.rate"):
            page.bind(gr.HTML(), value=lambda language: note(say("train.rate_info", language)))
            with gr.Row():
                self.begin = gr.Button(say("train.rate_begin", page.context.language), elem_id="train-rate", size="sm")
                self.take = gr.Button(visible=False, variant="primary", elem_id="train-rate-take", size="sm")
            self.card = gr.HTML(elem_id="train-rate-card")
            self.timer = gr.Timer(TICK_SECONDS, active=False)


def wire_rate(page: Page, search: RateSearch, parts: RateParts, form: list[Any], learning_rate: gr.Number) -> None:
    """Begin, stop, watch and take over. ``form``: the inputs of :meth:`Form.of`."""
    context, shown = page.context, [parts.card, parts.begin, parts.take, parts.timer]

    def toggle(language: str, *values: Any) -> Updates:
        if search.task and search.busy:
            search.task.stop()
        else:
            search.begin(context.runs, *chosen(context, Form.of(*values)))
        return by_component(vars(parts), rate_view(search, language, owner=True))

    parts.begin.click(for_owner(context, toggle, parts.card), [page.language, *form], shown, **QUEUED)

    def watch(language: str, request: gr.Request) -> Any:
        return by_component(vars(parts), rate_view(search, language, owner=context.access.is_owner(request)))

    def take() -> Any:
        found = search.task and search.task.result
        return found.suggested if found else gr.skip()

    gr.on([page.demo.load, parts.timer.tick, page.language.change], watch, page.language, shown, **UNQUEUED_LAST)
    parts.take.click(take, None, learning_rate, **UNQUEUED)


def rate_view(search: RateSearch, language: str, *, owner: bool) -> dict[str, Any]:
    """The card, both buttons, and whether the timer goes on, by component. A visitor sees nothing of it."""
    if not owner:
        hidden = {"begin": gr.update(interactive=False), "take": gr.update(visible=False)}
        return {"card": "", **hidden, "timer": gr.Timer(active=False)}
    busy, found = search.busy, search.task and search.task.result
    take = say("train.rate_take", language, rate=f"{found.suggested:g}") if found else ""
    return {
        "card": rate_card(search, language),
        "begin": gr.update(value=say("train.rate_stop" if busy else "train.rate_begin", language)),
        "take": gr.update(visible=bool(found) and not busy, value=take),
        "timer": gr.Timer(active=busy),
    }


def rate_card(search: RateSearch, language: str) -> Markup:
    """How far it is, or what it found: the curve, and the suggestion; empty where none was asked for."""
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
    return join([card(Markup("<p>{}</p>").format(say_html("train.rate_found", language, **facts))), rate_chart(task.result, language)])


def rate_chart(found: RangeTest, language: str) -> Markup:
    """The smoothed loss over the logarithm of the rate, the suggestion as a dot on it."""
    from fruitvision.training.lr_find import LOWEST

    places = [math.log10(rate / LOWEST) for rate in found.rates]
    nearest = min(range(len(places)), key=lambda n: abs(math.log(found.rates[n] / found.suggested)))
    dot = [loss if n == nearest else None for n, loss in enumerate(found.losses)]
    powers = range(math.ceil(places[-1]) + 1)
    suggested = f"{say('train.rate_suggested', language)} {found.suggested:g}"
    return line_chart(
        [Series(say("train.rate_loss", language), places, found.losses, COLOURS[0]), Series(suggested, places, dot, COLOURS[1])],
        title=say("train.rate_chart", language),
        x_max=powers[-1],
        x_label=say("train.rate_axis", language),
        description=f"{say('train.rate_chart', language)}; {suggested}",
        x_places=[(power, f"{LOWEST * 10**power:.0e}") for power in powers],
    )
