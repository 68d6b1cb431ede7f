"""A learning rate for what the panel is set to: tried in the background, drawn as a curve, taken over by a click."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.errors import FruitVisionError
from fruitvision.report.charts import COLOURS, Series, line_chart
from fruitvision.runs import launcher
from fruitvision.runs.lock import hold_lock
from fruitvision.runs.prepare.rate import find_rate
from fruitvision.training.config import TrainConfig
from fruitvision.training.lr_find import LOWEST, RangeTest
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.events import QUIET, SHOWN
from fruitvision.wording.text import say, say_error

LOCK_HOLDER = "lr-find"
STEPS = 100
TICK_SECONDS = 1.0


class _Stopped(Exception):
    """Asked to stop."""


class RateSearch:
    """One range test at a time, and what the last one found. One for all visitors of an app."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0
        self.data, self.preset = "", ""
        self.found: RangeTest | None = None
        self.error: dict[str, Any] | None = None
        self._asked_to_stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether one is going on."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, runs: Path, data: Path, training: TrainConfig) -> None:
        """Start one. Raises RunError "busy" while a run goes on, or another one of these."""
        launcher.refuse_if_busy(runs)
        self.done, self.total, self.found, self.error = 0, STEPS, None, None
        self.data, self.preset = data.name, training.preset
        self._asked_to_stop.clear()
        self._thread = threading.Thread(target=self._search, args=(runs, data, training), name="fruitvision-rate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it after its step."""
        self._asked_to_stop.set()

    def _search(self, runs: Path, data: Path, training: TrainConfig) -> None:
        def progress(done: int, total: int) -> None:
            self.done, self.total = done, total
            if self._asked_to_stop.is_set():
                raise _Stopped

        lock = None
        try:
            lock = hold_lock(runs / LOCK_HOLDER, LOCK_HOLDER)
            self.found = find_rate(data, training, steps=STEPS, progress=progress)
        except _Stopped:
            return
        except FruitVisionError as error:
            self.error = error.as_dict()
        except Exception as error:  # a thread's last words would reach nobody
            fact = f"{type(error).__name__}: {error}"[:300]
            self.error = {"code": "internal", "message": f"An unexpected error: {fact}", "facts": {"error": fact}}
        finally:
            if lock is not None:
                lock.release(force=True)


def build_rate(page: Page, p: dict[str, Any]) -> None:
    """The fold under the settings."""
    with page.bind(gr.Accordion(open=False, elem_id="train-rate-fold"), label="train.rate"):
        page.bind(gr.HTML(), value=lambda language: f'<p class="fv-note">{say("train.rate_info", language)}</p>')
        with gr.Row():
            p["rate"] = gr.Button(say("train.rate_begin", page.context.language), elem_id="train-rate", size="sm")
            p["rate_take"] = gr.Button(visible=False, variant="primary", elem_id="train-rate-take", size="sm")
        p["rate_card"] = gr.HTML(elem_id="train-rate-card")
        p["rate_timer"] = gr.Timer(TICK_SECONDS, active=False)


def wire_rate(
    page: Page, p: dict[str, Any], search: RateSearch, fields: dict[str, Any], chosen: Callable[..., tuple[Path, TrainConfig]]
) -> None:
    """Begin, stop, watch and take over. ``chosen`` makes of the data, the folder, the preset and the fields' values what is
    to be tried; it raises FruitVisionError."""
    context = page.context
    shown = [p["rate_card"], p["rate"], p["rate_take"], p["rate_timer"]]

    def toggle(choice: str, folder: str, preset: str, language: str, request: gr.Request, *values: Any) -> list[Any]:
        try:
            context.access.require_owner(request)
            if search.busy:
                search.stop()
            else:
                search.begin(context.runs, *chosen(choice, folder or "", preset, values))
        except FruitVisionError as error:
            card = f'<div class="fv-data fv-wrong" role="alert"><p>{escape(say_error(error, language))}</p></div>'
            return [card, gr.skip(), gr.skip(), gr.skip()]
        return rate_view(search, language, owner=True)

    asked = [p["data"], p["folder"], p["preset"], page.language, *fields.values()]
    p["rate"].click(toggle, asked, shown, **SHOWN)

    def watch(language: str, request: gr.Request) -> list[Any]:
        return rate_view(search, language, owner=context.access.is_owner(request))

    gr.on([page.demo.load, p["rate_timer"].tick, page.language.change], watch, page.language, shown, **QUIET)
    p["rate_take"].click(lambda: search.found.suggested if search.found else gr.skip(), None, fields["learning_rate"], **QUIET)


def rate_view(search: RateSearch, language: str, *, owner: bool) -> list[Any]:
    """The card, both buttons, and whether it is to be asked again. A visitor sees nothing of it."""
    if not owner:
        return ["", gr.update(interactive=False), gr.update(visible=False), gr.Timer(active=False)]
    busy, found = search.busy, search.found
    take = say("train.rate_take", language, rate=f"{found.suggested:g}") if found else ""
    return [
        rate_card(search, language),
        gr.update(value=say("train.rate_stop" if busy else "train.rate_begin", language)),
        gr.update(visible=found is not None and not busy, value=take),
        gr.Timer(active=busy),
    ]


def rate_card(search: RateSearch, language: str) -> str:
    """How far it is, or what it found: the curve, and the suggestion; empty where none was asked for."""
    if search.busy:
        key = "train.rate_busy" if search.done else "train.rate_reading"
        return f'<div class="fv-data" role="status"><p>{say(key, language, done=search.done, total=search.total)}</p></div>'
    if search.error:
        return f'<div class="fv-data fv-wrong" role="alert"><p>{escape(say_error(search.error, language))}</p></div>'
    if search.found is None:
        return ""
    words = say(
        "train.rate_found",
        language,
        data=escape(search.data),
        preset=say(f"train.preset_{search.preset}", language),
        rate=f"{search.found.suggested:g}",
    )
    return f'<div class="fv-data" role="status"><p>{words}</p></div>{rate_chart(search.found, language)}'


def rate_chart(found: RangeTest, language: str) -> str:
    """The smoothed loss over the logarithm of the rate, the suggestion as a dot on it."""
    places = [math.log10(rate / LOWEST) for rate in found.rates]
    nearest = min(range(len(places)), key=lambda n: abs(math.log(found.rates[n] / found.suggested)))
    dot = [loss if n == nearest else None for n, loss in enumerate(found.losses)]
    powers = range(math.ceil(places[-1]) + 1)
    return line_chart(
        [
            Series(say("train.rate_loss", language), places, found.losses, COLOURS[0]),
            Series(f"{say('train.rate_suggested', language)} {found.suggested:g}", places, dot, COLOURS[1]),
        ],
        title=say("train.rate_chart", language),
        x_max=powers[-1],
        x_label=say("train.rate_axis", language),
        description=f"{say('train.rate_chart', language)}; {say('train.rate_suggested', language)} {found.suggested:g}",
        x_places=[(power, f"{LOWEST * 10**power:.0e}") for power in powers],
    )
