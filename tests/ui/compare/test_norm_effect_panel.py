"""Compare's numbers: whatever is chosen ends in numbers that were computed, or in a sentence."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from fruitvision.comparison.layers.shown import LAYERS
from fruitvision.models.norms import NORMS
from fruitvision.report.charts import histogram
from fruitvision.ui.compare.norm_effect_panel import BATCH_SIZES, norm_effect_html
from fruitvision.wording.text import LANGUAGES


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", " ", html)


def png(colour: str = "orange") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 70), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_layer_and_size_has_its_numbers(norm, language):
    for place, layer in enumerate(LAYERS):
        composition, numbers, view = norm_effect_html(
            norm, None, BATCH_SIZES[place], 1, layer, ("training", "use")[place % 2], 63, language
        )
        assert "<table" in view and "nan" not in text_of(composition + numbers + view).lower()
        assert ("<table" in numbers) == (norm != "none")
        assert composition.count("<img") >= BATCH_SIZES[place]


def test_the_sentence_follows_what_was_computed():
    composition, _, view = norm_effect_html("batch", png(), 4, 1, "stem", "training", 3, "en")
    changed = int(re.search(r"changes by (\d+)%", composition)[1])
    assert changed > 0 and "✓" in view
    assert "no difference. A picture’s output" in norm_effect_html("group", png(), 4, 1, "stem", "training", 3, "en")[0]
    assert "in evaluation mode: no difference" in norm_effect_html("batch", png(), 4, 1, "stem", "use", 3, "en")[0]
    assert "which is instance norm" in norm_effect_html("batch", png(), 1, 1, "stem", "training", 3, "en")[0]


def test_a_damaged_picture_and_a_made_up_request_end_in_words():
    composition, _, view = norm_effect_html("batch", b"\xff\xd8\xff broken", 4, 1, "stem", "training", 0, "en")
    assert 'role="alert"' in composition and view == ""
    assert "<table" in norm_effect_html("no-such", None, 10**9, -5, "no-such", "no-such", 1e9, "zh")[2]


def test_a_histogram_counts_everything_and_stays_inside():
    drawing = histogram(np.array([-9, 0, 0, 9.0]), title="<t>", reach=2, colour="#000", description='"d"')
    assert drawing.count("<rect") == 1 + 3 and "<t>" not in drawing
    assert all(0 <= float(x) <= 300 for x in re.findall(r'x="([\d.-]+)"', drawing))
    assert "nan" not in histogram(np.zeros(5), title="t", reach=1, colour="#000", description="d")
