"""Numbers before and after one norm layer of a real network, for a batch with the user's picture in it."""

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
from fruitvision.ui.page.components import picture_input
from fruitvision.ui.page.context import Page
from fruitvision.ui.page.elements import notice
from fruitvision.ui.page.events import UNQUEUED, scroll_to_js
from fruitvision.wording.text import say

BATCH_SIZES = (1, 2, 4, 8)
CONCURRENCY_LIMIT = 8
SHORT_SIDE = 256


class NormEffectPanel:
    """The components, in several places of the Compare panel: call each ``build_...`` in its place, then :meth:`wire`."""

    def build_picture(self, page: Page) -> None:
        """Build the picture and the settings of its batch."""
        language = page.context.language
        self.picture = page.bind(
            picture_input("norm-effect-picture", 180),
            label="touch.picture",
            placeholder="touch.drop_banana",
        )
        self.size = page.bind(gr.Radio(BATCH_SIZES, value=4, elem_id="norm-effect-size", elem_classes="fv-buttons"), label="touch.size")
        self.others = page.bind(gr.Button(elem_id="norm-effect-others", variant="primary"), value="touch.others")
        self.mode = page.bind(
            gr.Radio(_modes(language), value="training", elem_id="norm-effect-mode", elem_classes="fv-buttons"),
            label="touch.mode",
            choices=_modes,
        )

    def build_numbers(self) -> None:
        """Build the table of means and standard deviations before and after the layer."""
        self.numbers = gr.HTML(elem_id="norm-effect-numbers")

    def build_composition(self) -> None:
        """Build the card that shows the effect of the batch's other pictures."""
        self.composition = gr.HTML(elem_id="norm-effect-composition")

    def build_details(self, page: Page) -> None:
        """Build the choice of layer and channel, and the cards with further detail."""
        page.bind(gr.HTML(), value=lambda language: tag("p", say("touch.intro", language)))
        with gr.Row():
            layer = gr.Dropdown(_layers(page.context.language), value="stem", filterable=False, elem_id="norm-effect-layer")
            self.layer = page.bind(layer, label="touch.layer", choices=_layers)
            self.channel = page.bind(gr.Slider(0, CHANNELS - 1, value=0, step=1, elem_id="norm-effect-channel"), label="touch.channel")
        self.details = gr.HTML(elem_id="norm-effect-view")

    def wire(self, page: Page, norm: gr.Radio) -> None:
        """Register the events. ``norm`` is the panel's choice of a norm."""
        draw = gr.State(1)  # which other pictures are in the batch; each draw is compared with the one before
        redrawn = self.others.click(lambda number: number + 1, draw, draw, **UNQUEUED)
        redrawn.then(None, None, None, js=scroll_to_js("#norm-effect-composition", None))

        def update(request: gr.Request, opened: bool, *values: Any) -> Any:
            if not opened:
                return gr.skip()
            with decoding_for(*page.context.access.quota_keys(request)):
                return norm_effect_html(*values)

        inputs = [norm, self.picture, self.size, draw, self.layer, self.mode, self.channel, page.language]
        gr.on(
            [page.opened.change, *(component.change for component in inputs)],
            update,
            [page.opened, *inputs],
            [self.composition, self.numbers, self.details],
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=CONCURRENCY_LIMIT,
            trigger_mode="always_last",
        )


def _layers(language: str) -> list[tuple[str, str]]:
    return [(say(f"touch.layer_{name}", language), name) for name in LAYERS]


def _modes(language: str) -> list[tuple[str, str]]:
    return [(say(f"touch.mode_{name}", language), name) for name in ("training", "use")]


def norm_effect_html(
    norm: str, picture: Path | bytes | None, size: int, draw: int, layer: str, mode: str, channel: float, language: str
) -> tuple[Markup, Markup, Markup]:
    """The HTML of the three components: the batch's composition, the numbers before and after the layer, and the details.

    For a picture that cannot be read, the first holds the error message. Values out of range are clamped.
    """
    from fruitvision.comparison.layers.norm_effect import (
        compose_batch,
        composition_effect,
        composition_effects,
        norm_effect,
        single_picture_difference,
    )
    from fruitvision.ui.compare.norm_effect_view import composition_view, details_view, numbers_view

    norm, layer = (norm if norm in NORMS else "batch"), (layer if layer in LAYERS else "stem")
    size, channel = min(max(int(size or 1), 1), BATCH_SIZES[-1]), min(max(int(channel or 0), 0), CHANNELS - 1)
    training, draw = mode != "use", max(int(draw or 1), 1)
    try:
        pixels = None if picture is None else load_pixels(picture, SHORT_SIDE)
        batch, previous = compose_batch(pixels, size, draw), compose_batch(pixels, size, draw - 1)
        effect = norm_effect(norm, layer, batch, training=training)
        single, effects, difference = None, {}, effect.after[0]
        if size == 1:
            single = single_picture_difference(layer, batch[0])
        else:
            effects = composition_effects(layer, batch, previous, training=training)
            difference = composition_effect(norm, layer, batch, previous, training=training)
    except FruitVisionError as error:
        return notice(error, language), Markup(), Markup()
    composition = composition_view(batch, previous, effects, difference, single, norm, training=training, language=language)
    return composition, numbers_view(effect, channel, language), details_view(effect, channel, language)
