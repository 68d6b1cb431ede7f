"""What a person teaches is answered; what the network knew before is answered as before."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from fruitvision.data.fruits import EMPTY_TABLE
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.models.checkpoint import Thresholds
from fruitvision.recognition.classifier import Classifier, FrameContext
from fruitvision.recognition.taught.embeddings import VIEWS, embedding, fit
from fruitvision.recognition.taught_head import Embedding, TaughtHead
from fruitvision.report.answers import sureness


def drawn(kind: str, count: int, ground: str = "wood", start: int = 0) -> list[np.ndarray]:
    """Drawn fruit, each another one."""
    return [np.asarray(draw_fruit(kind, np.random.default_rng((start, n)), 160, background=ground)) for n in range(count)]


@pytest.fixture(scope="module")
def shipped(shipped_checkpoint) -> Classifier:
    return Classifier.from_checkpoint(shipped_checkpoint.parent / "fruits-webcam")


@pytest.fixture(scope="module")
def teach(shipped):
    """Teaches pictures by name."""

    def make(**pictures: list[np.ndarray]) -> TaughtHead:
        return fit(shipped, [(name, embedding(shipped, one)) for name, own in pictures.items() for one in own])

    return make


def ask(classifier: Classifier, pictures: list[np.ndarray], taught: TaughtHead | None):
    return classifier.predict_pixels(pictures, pictures, [FrameContext(taught=taught)] * len(pictures))


def test_a_new_name_is_answered_for_other_pictures_of_the_kind_and_the_rest_stays(shipped, teach):
    taught = teach(Quitte=drawn("Banana", 5))
    for answer in ask(shipped, drawn("Banana", 3, start=1), taught):
        assert (answer.label, answer.fruit_type, answer.verdict) == ("Quitte", "Quitte", "sure")
        assert answer.probabilities.sum() == pytest.approx(1, abs=1e-4)
        assert len(answer.probabilities) == len(shipped.classes) + 1
    others = [*drawn("Strawberry", 2, "white"), *drawn("Lime", 2, "white")]
    before, after = ask(shipped, others, None), ask(shipped, others, taught)
    assert [one.label for one in after] == [one.label for one in before]
    assert max(abs(a.confidence - b.confidence) for a, b in zip(after, before, strict=True)) < 1e-6, "the gate is shut"
    assert [guess.taught for answer in after for guess in answer.top] == [False] * 20


def test_a_name_is_not_sure_of_one_or_two_pictures(shipped, teach):
    for count, verdict in ((1, "unsure"), (2, "unsure"), (5, "sure")):
        (answer,) = ask(shipped, drawn("Banana", 1), teach(Quitte=drawn("Banana", count)))
        assert (answer.label, answer.verdict) == ("Quitte", verdict)
        assert sureness(answer) == verdict, "and never very sure"


def test_a_taught_name_that_is_a_class_leaves_the_networks_own_answer_as_sure_as_it_was(shipped, teach):
    taught, probabilities = teach(Banana=drawn("Lime", 1)), torch.zeros(len(shipped.classes) + 1)
    probabilities[shipped.classes.index("Banana")] = 1
    answer = shipped._prediction(probabilities, shipped.label_space(taught), drawn("Banana", 1)[0], taught)
    assert answer.label == "Banana" and not answer.top[0].taught and answer.verdict == "sure"


def test_two_taught_kinds_are_told_apart_and_a_known_name_adds_to_what_is_known(shipped, teach):
    taught = teach(Kiwi=drawn("Kiwi", 4), 奶奶的苹果=drawn("Apple", 4))
    assert taught.fruit_types == ("Kiwi", "奶奶的苹果")
    kiwi, apple = ask(shipped, [*drawn("Kiwi", 1, start=1), *drawn("Apple", 1, start=1)], taught)
    assert (kiwi.fruit_type, apple.fruit_type) == ("Kiwi", "奶奶的苹果")
    assert sum(guess.fruit_type == "Kiwi" for guess in kiwi.top) == 1, "known and taught are one type"


def test_a_name_that_is_a_known_variety_keeps_its_type(shipped, teach):
    assert teach(**{"Apple Braeburn": drawn("Apple", 1), "Apple pie": drawn("Kiwi", 1)}).fruit_types == ("Apple", "Apple pie")


def test_the_empty_table_is_no_fruit_even_for_a_network_that_knows_none(shipped, teach):
    from fruitvision.data.synthetic.backgrounds import BACKGROUNDS

    tables = [(BACKGROUNDS["wood"](np.random.default_rng(n), (160, 160), 40.0).transpose(1, 2, 0) ** 0.5 * 255) for n in range(6)]
    tables = [table.clip(0, 255).astype(np.uint8) for table in tables]
    taught = teach(**{EMPTY_TABLE: tables[:4], "Quitte": drawn("Banana", 4)})
    table, fruit = ask(shipped, [tables[5], drawn("Banana", 1, start=1)[0]], taught)
    assert (table.verdict, fruit.verdict) == ("not-fruit", "sure")
    assert EMPTY_TABLE not in {guess.fruit_type for guess in fruit.top}
    assert taught.thresholds(Thresholds(not_fruit=1.0)).not_fruit == 0.5
    assert teach(Quitte=drawn("Banana", 1)).thresholds(Thresholds(not_fruit=1.0)).not_fruit == 1.0


def test_each_is_answered_by_what_they_taught_themselves_in_one_pass(shipped, teach):
    taught = teach(Quitte=drawn("Banana", 5))
    picture = drawn("Banana", 1, start=1)[0]
    owner, visitor = shipped.predict_pixels([picture] * 2, [picture] * 2, [FrameContext(taught=taught), FrameContext()])
    assert owner.label == "Quitte" and visitor.label != "Quitte"
    assert len(visitor.probabilities) == len(shipped.classes)


def test_a_memory_of_another_length_is_forgotten(shipped, teach):
    taught, picture = teach(Quitte=drawn("Banana", 5)), drawn("Banana", 1, start=1)
    plain = ask(shipped, picture, taught)[0]
    before = FrameContext(taught=taught, previous=np.full(len(shipped.classes), 1 / len(shipped.classes), np.float32))
    assert np.allclose(shipped.predict_pixels(picture, picture, [before])[0].probabilities, plain.probabilities)


def test_a_taught_answer_has_a_heatmap(shipped, teach):
    picture = drawn("Banana", 1, start=1)
    heat = ask(shipped, picture, teach(Quitte=drawn("Banana", 2)))[0].heatmap()
    assert heat.size == (160, 160)


def test_a_picture_is_seen_in_several_views_the_first_as_it_is_answered_by(shipped):
    picture = drawn("Kiwi", 1)[0]
    seen = embedding(shipped, picture)
    assert seen.features.shape == (VIEWS, shipped.network.head.in_features)
    assert np.allclose(seen.features[0], shipped.embed([picture])[0], atol=1e-4)
    assert np.allclose(seen.probabilities, shipped.probabilities([picture])[0], atol=1e-5)


def test_a_hundred_names_with_fifty_pictures_are_fitted_in_seconds():
    generator = torch.Generator().manual_seed(0)
    means = torch.rand(100, 1, 1, 1280, generator=generator)
    views = means + 0.3 * torch.rand(100, 50, VIEWS, 1280, generator=generator)
    head = torch.randn(118, 1280, generator=generator)
    classes = [f"class {n}" for n in range(118)]
    even = torch.full((118,), 1 / 118)
    lessons = [(f"name {n}", Embedding(views[n, i], even)) for n in range(100) for i in range(50)]
    began = time.process_time()
    taught = TaughtHead(lessons, head, classes, classes)
    joined = taught.join(even.expand(100, -1), means[:, 0, 0] + 0.15)
    assert (joined[:, 118:].argmax(dim=1) == torch.arange(100)).all()
    assert time.process_time() - began < 12, "processor time, generously"
