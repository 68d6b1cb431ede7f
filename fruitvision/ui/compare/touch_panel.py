"""An uploaded picture goes through a norm layer of a real network: its numbers before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from fruitvision.comparison.layers.shown import CHANNELS, LAYERS
from fruitvision.data.read.decode_gate import decoding_for
from fruitvision.data.read.picture import load_pixels
from fruitvision.errors import FruitVisionError
from fruitvision.models.norms import NORMS
from fruitvision.report.markup import tag
from fruitvision.ui.page.checked_image import CheckedImage
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.elements import notice
from fruitvision.ui.page.events import QUIET, show
from fruitvision.wording.text import say

SIZES = (1, 2, 4, 8)
VISITORS_AT_ONCE = 8
SHORT_SIDE = 256


class Touch:
    """The components, which stand in several places of the panel. ``build_...`` are called in the place, then :meth:`wire`."""

    def build_picture(self, page: Page) -> None:
        """The picture, and the batch that it is in."""
        language = page.context.language
        self.picture = page.bind(
            CheckedImage(
                sources=["upload", "clipboard"],
                type="filepath",
                height=150,
                show_label=True,
                elem_id="touch-picture",
                buttons=[],
            ),
            label="touch.picture",
            placeholder="touch.drop_banana",
        )
        self.size = page.bind(gr.Radio(SIZES, value=4, elem_id="touch-size", elem_classes="fv-buttons"), label="touch.size")
        self.others = page.bind(gr.Button(elem_id="touch-others", variant="primary"), value="touch.others")
        self.mode = page.bind(
            gr.Radio(_modes(language), value="training", elem_id="touch-mode", elem_classes="fv-buttons"),
            label="touch.mode",
            choices=_modes,
        )

    def build_numbers(self) -> None:
        """Mean and standard deviation before and after the layer."""
        self.numbers = gr.HTML(elem_id="touch-numbers")

    def build_composition(self) -> None:
        """What the other pictures of the batch change."""
        self.composition = gr.HTML(elem_id="touch-composition")

    def build_details(self, page: Page) -> None:
        """Which layer and which channel, and what else can be seen of them."""
        page.bind(gr.HTML(), value=lambda spoken: tag("p", say("touch.intro", spoken)))
        with gr.Row():
            layer = gr.Dropdown(_layers(page.context.language), value="stem", filterable=False, elem_id="touch-layer")
            self.layer = page.bind(layer, label="touch.layer", choices=_layers)
            self.channel = page.bind(gr.Slider(0, CHANNELS - 1, value=0, step=1, elem_id="touch-channel"), label="touch.channel")
        self.view = gr.HTML(elem_id="touch-view")

    def wire(self, page: Page, norm: gr.Radio) -> None:
        """Everything follows ``norm``, the panel's one choice of a norm."""
        turn = gr.State(1)  # which other pictures are in the batch; it is compared with that of the turn before
        others = self.others.click(lambda number: number + 1, turn, turn, **QUIET)
        others.then(None, None, None, js=show("#touch-composition", None))

        def answer_it(request: gr.Request, opened: bool, *given: Any) -> Any:
            if not opened:
                return gr.skip()
            with decoding_for(*page.context.access.counted(request)):
                return answer(*given)

        asked = [norm, self.picture, self.size, turn, self.layer, self.mode, self.channel, page.language]
        gr.on(
            [page.opened.change, *(one.change for one in asked)],
            answer_it,
            [page.opened, *asked],
            [self.composition, self.numbers, self.view],
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=VISITORS_AT_ONCE,
            trigger_mode="always_last",
        )


def _layers(language: str) -> list[tuple[str, str]]:
    return [(say(f"touch.layer_{name}", language), name) for name in LAYERS]


def _modes(language: str) -> list[tuple[str, str]]:
    return [(say(f"touch.mode_{name}", language), name) for name in ("training", "use")]


def answer(
    norm: str, picture: Path | bytes | None, size: int, turn: int, layer: str, mode: str, channel: float, language: str
) -> tuple[Markup, Markup, Markup]:
    """The HTML of the batch's composition, of the numbers before and after the layer, and of what else can be seen of it.

    A picture that cannot be read gets a sentence instead.
    """
    from fruitvision.comparison.layers.norm_effect import (
        compose_batch,
        composition_effect,
        composition_effects,
        norm_effect,
        single_picture_difference,
    )
    from fruitvision.ui.compare.touch_view import composition_view, numbers_view, touch_view

    norm, layer = (norm if norm in NORMS else "batch"), (layer if layer in LAYERS else "stem")
    count, channel = min(max(int(size or 1), 1), SIZES[-1]), min(max(int(channel or 0), 0), CHANNELS - 1)
    training, turn = mode != "use", max(int(turn or 1), 1)
    try:
        mine = None if picture is None else load_pixels(picture, SHORT_SIDE)
        now, before = compose_batch(mine, count, turn), compose_batch(mine, count, turn - 1)
        seen = norm_effect(norm, layer, now, training=training)
        alone, effects, difference = None, {}, seen.after[0]
        if count == 1:
            alone = single_picture_difference(layer, now[0])
        else:
            effects = composition_effects(layer, now, before, training=training)
            difference = composition_effect(norm, layer, now, before, training=training)
    except FruitVisionError as error:
        return notice(error, language), Markup(), Markup()
    made = composition_view(now, before, effects, difference, alone, norm, training=training, language=language)
    return made, numbers_view(seen, channel, language), touch_view(seen, channel, language)
