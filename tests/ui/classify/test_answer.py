"""The answer card: what it says, to whom, and what it leaves unsaid."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest

from fruitvision.models.checkpoint import find_checkpoint, read_config
from fruitvision.recognition.classifier import Classifier, Guess, Prediction
from fruitvision.ui.classify.answer import accuracy_note, announcement, answer_card, correction_form
from fruitvision.ui.classify.panel import EXAMPLES, examples


@pytest.fixture(scope="module")
def config(shipped_checkpoint):
    return read_config(find_checkpoint(None))


def answer(verdict: str, *shares: tuple[str, float], taught: bool = False) -> Prediction:
    top = tuple(Guess(name, name, share, taught=taught and n == 0) for n, (name, share) in enumerate(shares))
    return Prediction(top[0].label, top[0].fruit_type, top[0].probability, verdict, top, np.ones(3) / 3, None, None)


def text_of(card: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", card).split())


SURE = answer("sure", ("Orange", 0.98), ("Lemon", 0.015))
UNSURE = answer("unsure", ("Orange", 0.6), ("Lemon", 0.1))


def test_the_line_under_an_answer_is_measured_on_strangers_photographs(config):
    card = text_of(answer_card(SURE, "en", config))
    assert f"{config.left_out['very_sure_right']:.0%} of the “very sure” answers were right" in card
    assert "Orange was mixed up most with" in card
    plain = config.model_copy(update={"left_out": {}})
    assert "left out of training" not in text_of(answer_card(SURE, "en", plain)), "nothing was measured, nothing is said"
    note = text_of(accuracy_note(config, "mine", "en"))
    assert "very sure" in note and "networks made by nearly the same recipe as mine" in note, "it learned these sources itself"
    itself = config.model_copy(update={"left_out": {**config.left_out, "itself": True}})
    assert "left out of its training, mine got" in text_of(accuracy_note(itself, "mine", "en"))


def test_nothing_of_white_is_said_of_somebodys_own_run(config):
    own = config.model_copy(
        update={"left_out": {}, "metrics": {"test": {"top1": 0.9}}, "dataset": {"name": "kitchen", "photographed": {"Kiwi": 3}}}
    )
    for language, word in (("en", "white"), ("zh", "白色")):
        assert word not in text_of(accuracy_note(own, "mine", language)) + text_of(answer_card(SURE, language, own))


def test_a_bar_stands_under_a_sure_answer_alone(config):
    assert 'class="fv-bar"' in answer_card(SURE, "en", config).split("<h3>")[0]
    assert 'class="fv-bar"' not in answer_card(UNSURE, "en", config).split("<h3>")[0]


def test_a_network_of_drawn_fruit_is_never_sure_and_says_so_where_the_answer_stands(config):
    drawn = config.model_copy(update={"left_out": {}, "dataset": {"name": "sample-set", "synthetic": True}})
    for language, words in (("en", "does not know real fruit"), ("zh", "不认识真正的水果")):
        card = answer_card(SURE, language, drawn)
        assert words in text_of(card) and 'class="fv-bar"' not in card.split("<h3>")[0] and "98%" in card
    assert text_of(answer_card(SURE, "en", drawn)).startswith("Not sure. Perhaps Orange")
    assert announcement(SURE, "en", drawn) == announcement(UNSURE, "en", config)
    taught = answer("sure", ("Mug", 0.98), ("Lemon", 0.01), taught=True)
    assert "real fruit" not in text_of(answer_card(taught, "en", drawn)), "taught on photos"


def test_a_taught_name_is_marked_and_no_figure_of_the_network_is_claimed_for_it(config):
    mine = answer("sure", ("Mug", 0.95), ("Lemon", 0.02), taught=True)
    assert "From what you taught" in answer_card(mine, "en", config) and "来自你教的内容" in answer_card(mine, "zh", config)
    assert "left out of training" not in answer_card(mine, "en", config)
    assert "taught" not in text_of(answer_card(SURE, "en", config))


def test_the_owner_alone_may_correct_an_answer_by_the_next_guesses_or_a_name(config):
    assert "fv-fix" not in answer_card(SURE, "en", config) and "fv-fix" in answer_card(SURE, "en", config, owner=True)
    offered = re.findall(r'data-teach="([^"]+)"', correction_form(SURE, "zh", config))
    assert offered[0] == "Lemon" and "Orange" not in offered and offered[-1] == "not-fruit"
    assert "<input" in correction_form(SURE, "en", config)
    tossed = correction_form(answer("unsure", ("Orange", 0.45), ("Lemon", 0.4)), "en", config)
    assert 'data-teach="Orange"' in tossed and 'data-teach="Lemon"' in tossed


def test_where_no_fruit_was_seen_the_likeliest_fruits_are_offered_all_the_same(config):
    missed = correction_form(answer("not-fruit", ("Orange", 0.004), ("Lemon", 0.001), ("Kiwi", 0.00002)), "en", config)
    assert re.findall(r'data-teach="([^"]+)"', missed) == ["Orange", "Lemon"], "under 1% of what is fruit is no guess"
    assert re.findall(r'data-teach="([^"]+)"', correction_form(answer("not-fruit", ("Orange", 0.0)), "en", config)) == []


def test_a_live_answer_is_not_announced_frame_by_frame_and_pictures_say_what_they_show(config):
    assert "aria-live" in answer_card(SURE, "en", config) and "aria-live" not in answer_card(SURE, "en", config, live=True)
    assert announcement(SURE, "en", config) == "Orange. Very sure."
    assert 'data-picture-alt="Your picture. Answer: Orange. Very sure."' in answer_card(SURE, "en", config)
    assert announcement(answer("not-fruit", ("Orange", 0.1)), "zh", config) == "没有看到水果"


def test_the_shipped_network_is_sure_of_every_drawn_example(shipped_checkpoint):
    classifier = Classifier.from_checkpoint(find_checkpoint(None))
    pictures = [base64.b64decode(url.partition(",")[2]) for url in examples().values()]
    found = classifier.predict_batch(pictures)
    assert [(one.fruit_type, one.verdict) for one in found] == [(kind, "sure") for kind in EXAMPLES]


def test_a_network_that_knows_no_kind_of_the_sources_left_out_claims_nothing_of_them(config):
    unknown = config.model_copy(update={"left_out": {"top1": None, "sources": 0}})
    assert "left out" not in text_of(accuracy_note(unknown, "mine", "en"))
