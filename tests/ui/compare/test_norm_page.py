"""The norm page: what it says is counted from the real layers, in both languages, for a norm of one's own too."""

from __future__ import annotations

import re

import pytest
from torch import nn

from fruitvision.comparison.layers.norm_effect import compose_batch, norm_effect
from fruitvision.comparison.study import StudyPlan
from fruitvision.models import norms
from fruitvision.models.networks import build_network
from fruitvision.training.config import TrainConfig
from fruitvision.ui.compare.norm_effect_panel import norm_effect_html
from fruitvision.ui.compare.norm_page import ERRORS, LAYER_SHAPE, formula, norm_page
from fruitvision.ui.page.norm_names import norm_choices, norm_colour, norm_name
from fruitvision.wording.text import LANGUAGES

DESCRIBED = ("batch", "layer", "instance", "group", "group-ws", "none")


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", " ", html)


@pytest.mark.parametrize(
    ("norm", "means", "kept", "paper"),
    [
        ("batch", 64, 128, "1502.03167"),
        ("layer", 32, 0, "1607.06450"),
        ("instance", 2048, 0, "1607.08022"),
        ("group", 1024, 0, "1803.08494"),
        ("group-ws", 1024, 0, "1903.10520"),
    ],
)
def test_means_parameters_and_paper_are_those_of_the_norm(norm, means, kept, paper):
    assert LAYER_SHAPE == (32, 64, 24, 24)
    words = text_of(norm_page(norm, "en"))
    assert f"{means:,}, and {means:,} variances" in words and "128 learned" in words
    assert (f"{kept} more are kept" in words) == bool(kept)
    assert f"arXiv:{paper}" in words and norms.get_norm(norm).paper[0][-4:] in words


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_follows_the_norm(language):
    pages = {norm: norm_page(norm, language) for norm in DESCRIBED}
    assert len(set(pages.values())) == len(DESCRIBED)
    for page in pages.values():
        assert page.count("<dt>") >= 8 + len(ERRORS) and "{" not in page


def test_the_formula_sums_over_what_is_shared_and_keeps_the_rest():
    found = {norm: re.findall(r"<munder><mo>∑</mo><mi>([^<]+)", formula(norm))[:1] for norm in DESCRIBED}
    assert found == {
        "batch": ["n,h,w"],
        "layer": ["c,h,w"],
        "instance": ["h,w"],
        "group": ["c∈g,h,w"],
        "group-ws": ["c∈g,h,w"],
        "none": [],
    }


@pytest.fixture
def own_norm(monkeypatch):
    """A norm that a person writes: ConvNeXt's, which shares over C alone."""

    class PositionNorm(nn.LayerNorm):
        def forward(self, x):
            return super().forward(x.movedim(1, -1)).movedim(-1, 1)

    monkeypatch.setattr(norms, "NORMS", norms.NORMS)
    before = dict(norms.NORMS)

    @norms.norm("position", shares="C", title="Mine <over C>")
    def position_norm(channels: int) -> nn.Module:
        """Per sample and position, over the channels."""
        return PositionNorm(channels, eps=norms.EPS)

    yield "position"
    norms.NORMS.clear()
    norms.NORMS.update(before)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_norm_of_ones_own_is_one_function_and_appears_everywhere(own_norm, language, sample_set):
    assert ("Mine <over C>", own_norm) in norm_choices(language) and norm_name(own_norm, language) == "Mine <over C>"
    assert norm_colour(own_norm) != norm_colour("none")
    page = norm_page(own_norm, language)
    assert "Mine &lt;over C&gt;" in page and "Per sample and position, over the channels." in page
    assert "18,432" in page  # N · H · W means, each over 64 numbers
    composition, numbers, view = norm_effect_html(own_norm, None, 2, 1, "stem", "training", 0, language)
    assert "Mine &lt;over C&gt;" in composition and "<over" not in composition + numbers + view
    seen = norm_effect(own_norm, "stem", compose_batch(None, 2, 0))
    mean, deviation = seen.moments(seen.after)
    assert abs(mean).max() < 1e-4 and deviation.max() < 1.001
    assert TrainConfig.from_preset("fast", norm=own_norm, start="scratch").norm == own_norm
    plan = StudyPlan.parse({"data": str(sample_set), "norms": ("batch", own_norm)})
    assert [trial.norm for trial in plan.trials()] == ["batch", own_norm]
    assert build_network(num_classes=3, norm=own_norm, width=8)
