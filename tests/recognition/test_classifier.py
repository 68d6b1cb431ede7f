"""One picture or many, from one thread or many: the same answers."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import MAX_CLASSES, NOT_FRUIT
from fruitvision.errors import CheckpointError, PictureError
from fruitvision.models.checkpoint import CheckpointConfig, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.recognition import classifier as classifier_module
from fruitvision.recognition.batcher import Batcher
from fruitvision.recognition.classifier import SMOOTHING, Classifier, FrameContext, LabelSpace

RED, GREEN, BLUE, GREY = (250, 20, 20), (20, 250, 20), (20, 20, 250), (128, 128, 128)
EXIF_ORIENTATION = 0x0112


def plain(colour, size=(90, 70)) -> Image.Image:
    return Image.new("RGB", size, colour)


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


@pytest.fixture
def small_network() -> Classifier:
    """A ResNet18 of width 8 with fresh weights: its answers are arbitrary, but its own."""
    config = CheckpointConfig(
        classes=("Apple Red 1", "Apple Red 2", "Banana", "Kiwi"),
        fruit_types=("Apple", "Apple", "Banana", "Kiwi"),
        transform=EvalTransform(resize=40, crop=32),
        width=8,
    )
    return Classifier(build_network(num_classes=4, width=8, seed=5), config)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + 3 * i, 50, 3), np.uint8) for i in range(9)]


# What an answer says -----------------------------------------------------------------------------------------------


def test_answer_names_type_variety_and_how_sure(colour_classifier):
    answer = colour_classifier().predict(plain(RED))
    assert (answer.fruit_type, answer.label, answer.verdict) == ("Apple", "Apple Red 1", "sure")
    assert 0.9 < answer.confidence <= 1
    assert colour_classifier().predict(plain(GREY)).verdict == "unsure"


def test_guesses_are_one_a_fruit_type_and_count_its_varieties_together(colour_classifier):
    classifier = colour_classifier()
    answer = classifier.predict(plain((200, 120, 60)))
    by_class = dict(zip(classifier.classes, classifier.probabilities([plain((200, 120, 60))])[0], strict=True))
    assert [guess.fruit_type for guess in answer.top] == ["Apple", "Kiwi", "Blueberry"]
    assert answer.top[0].probability == pytest.approx(by_class["Apple Red 1"] + by_class["Apple Red 2"], abs=1e-6)
    assert answer.confidence == answer.top[0].probability
    assert sum(guess.probability for guess in answer.top) == pytest.approx(1, abs=1e-5)
    assert answer.top[1].label == "Kiwi"


def test_five_guesses_at_most_each_with_a_class_of_its_own_type(colour_classifier):
    colours = [(f"{kind} {n}", kind, (50.0 * i - n, 0.0, 0.0)) for i, kind in enumerate("ABCDEFG") for n in (1, 2)]
    answer = colour_classifier(colours).predict(plain(RED))
    assert len(answer.top) == 5
    # The last guesses are so unlikely that their probability is exactly zero; they keep a variety of their own.
    assert [guess.label for guess in answer.top][0] == "G 1"
    assert all(guess.label.startswith(guess.fruit_type) for guess in answer.top)


def test_a_class_of_no_fruit_refuses_and_is_never_a_guess(colour_classifier):
    colours = (("Apple", "Apple", (8.0, -4.0, -4.0)), ("Kiwi", "Kiwi", (-4.0, 8.0, -4.0)), ("none", "not-fruit", (0.0, 0.0, 9.0)))
    classifier = colour_classifier(colours, not_fruit=0.5)
    answer = classifier.predict(plain(BLUE))
    assert answer.verdict == "not-fruit"
    assert {guess.fruit_type for guess in answer.top} == {"Apple", "Kiwi"}
    assert classifier.predict(plain(RED)).verdict == "sure"


def test_temperature_tempers_and_views_are_averaged(colour_classifier):
    red = plain((180, 110, 90))
    assert colour_classifier(temperature=3.0).predict(red).confidence < colour_classifier().predict(red).confidence
    one, two = colour_classifier(), colour_classifier(views=2)
    halves = Image.new("RGB", (64, 64), RED)
    halves.paste(GREEN, (40, 0, 64, 64))
    np.testing.assert_allclose(two.probabilities([halves, red]), one.probabilities([halves, red]), atol=1e-5)
    assert two.network.passes == [4]
    assert two.embed([halves]).shape == (1, 3)
    assert two.predict(halves).heatmap().size == (64, 64)


# What may be asked -------------------------------------------------------------------------------------------------


def test_paths_bytes_images_and_arrays_get_the_same_answer(small_network, pictures, tmp_path):
    content = encoded(Image.fromarray(pictures[3]))
    path = tmp_path / "一个 苹果.png"
    path.write_bytes(content)
    image = Image.fromarray(pictures[3])
    forms = [path, str(path), content, image, image.convert("RGBA"), pictures[3]]
    answers = small_network.predict_batch(forms)
    assert len({answer.confidence for answer in answers}) == 1
    assert answers == [answers[0]] * 6
    assert {answer.heatmap().size for answer in answers} == {image.size}


def test_a_turned_photo_is_answered_and_drawn_upright(small_network):
    rng = np.random.default_rng(1)
    upright = Image.fromarray(rng.integers(0, 256, (60, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    turned = encoded(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    answer = small_network.predict(turned)
    assert answer.confidence == pytest.approx(small_network.predict(upright).confidence, abs=1e-6)
    assert answer.heatmap().size == (40, 60)


def test_an_answer_does_not_depend_on_the_pictures_beside_it(small_network, pictures):
    small_network.network.train()
    classifier = Classifier(small_network.network, small_network.config)  # puts it into evaluation mode
    together = classifier.predict_batch(pictures)
    alone = [classifier.predict(picture) for picture in pictures]
    assert [a.label for a in together] == [a.label for a in alone]
    assert [a.confidence for a in together] == pytest.approx([a.confidence for a in alone], abs=1e-6)


def test_features_are_what_the_head_answers_from(small_network, pictures, monkeypatch):
    monkeypatch.setattr("fruitvision.recognition.classifier.BATCH_SIZE", 4)
    features = small_network.embed(pictures)
    assert (features.shape, features.dtype) == ((9, 64), np.float32)
    logits = small_network.network.head(torch.from_numpy(features))
    np.testing.assert_allclose(small_network.probabilities(pictures), logits.softmax(1).detach().numpy(), atol=1e-6)


def test_no_pictures_give_no_answers(small_network):
    assert small_network.predict_batch([]) == []
    assert small_network.embed([]).shape == (0, 64)
    assert small_network.probabilities([]).shape == (0, 4)


def test_a_bad_picture_is_named_and_a_vanished_one_has_no_heatmap(small_network, tmp_path):
    with pytest.raises(PictureError):
        small_network.predict(b"not a picture")
    path = tmp_path / "gone.png"
    path.write_bytes(encoded(plain(RED)))
    answer = small_network.predict(path)
    path.unlink()
    with pytest.raises(PictureError) as caught:
        answer.heatmap()
    assert caught.value.code == "picture-missing"


def test_a_saved_checkpoint_answers_as_the_network_did(small_network, pictures, tmp_path):
    folder = save_checkpoint(tmp_path / "best", small_network.network, small_network.config)
    loaded = Classifier.from_checkpoint(folder)
    np.testing.assert_allclose(loaded.probabilities(pictures), small_network.probabilities(pictures), atol=1e-6)
    with pytest.raises(CheckpointError):
        Classifier.from_checkpoint(tmp_path / "nothing here")


def test_many_threads_may_ask_one_classifier(small_network, pictures):
    expected = [small_network.predict(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(small_network.predict, pictures * 4))
    assert [a.label for a in answers] == [a.label for a in expected] * 4


def test_a_live_view_remembers_its_earlier_answers(colour_classifier):
    classifier = colour_classifier()
    red, green = (np.full((64, 64, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0)))
    alone, earlier = classifier.predict_pixels([green], [green])[0], classifier.predict_pixels([red], [red])[0]
    with closing(Batcher(classifier)) as batcher:
        joined = batcher.submit(green, FrameContext(previous=earlier.probabilities))
    assert joined.probabilities.sum() == pytest.approx(1, abs=1e-4)
    assert np.allclose(joined.probabilities, SMOOTHING * earlier.probabilities + (1 - SMOOTHING) * alone.probabilities, atol=1e-4)
    probabilities = earlier.probabilities
    for _ in range(4):
        answer = classifier.predict_pixels([green], [green], [FrameContext(previous=probabilities)])[0]
        probabilities = answer.probabilities
    assert answer.fruit_type == "Kiwi", "another fruit wins within four frames"


def test_an_empty_shot_gives_a_second_look_at_what_was_laid_down(colour_classifier):
    """On a bright green table a blue fruit is lost in the mean colour; set on white it is not."""
    classifier = colour_classifier()
    empty = np.full((64, 64, 3), (40, 200, 40), np.uint8)
    frame = empty.copy()
    frame[20:44, 20:44] = (30, 30, 220)
    assert classifier.predict_pixels([frame], [frame])[0].fruit_type == "Kiwi"
    found = classifier.predict_pixels([frame, frame], [frame] * 2, [FrameContext(), FrameContext(background=empty)])
    assert found[0].fruit_type == "Kiwi"
    assert found[1].probabilities[3] > 2 * found[0].probabilities[3]


def test_a_file_that_lacks_a_little_is_answered_with_a_note(small_network, pictures):
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "JPEG")
    whole, cut, led = buffer.getvalue(), buffer.getvalue()[:-9], b"\n" + buffer.getvalue()
    with closing(Batcher(small_network)) as batcher:
        assert [batcher.submit(data).note for data in (whole, cut, led)] == ["", "cut-off", "leading-bytes"]
    assert [answer.note for answer in small_network.predict_batch([whole, cut, led])] == ["", "cut-off", "leading-bytes"]
    assert small_network.predict(cut).note == "cut-off"


def test_the_heatmap_of_a_phones_large_picture_is_drawn_over_half_of_its_size(small_network):
    buffer = io.BytesIO()
    Image.new("RGB", (10_000, 6000), "red").save(buffer, "JPEG")
    assert small_network.predict(buffer.getvalue()).heatmap().size == (5000, 3000)


# What a checkpoint of somebody else may ask for ------------------------------------------------------------------------


def test_sums_by_type_are_those_of_a_matrix_of_classes_and_types():
    rng = torch.Generator().manual_seed(0)
    types = [f"type {n % 7}" if n % 5 else NOT_FRUIT for n in range(131)]
    probabilities = torch.rand(9, 131, generator=rng).softmax(dim=1)
    space = LabelSpace([f"c{n}" for n in range(131)], types)
    sums, nothing = space.by_type(probabilities)
    matrix = torch.tensor([[own == one for one in (*space.types, NOT_FRUIT)] for own in types]).float()
    torch.testing.assert_close(torch.cat((sums, nothing[:, None]), dim=1), probabilities @ matrix)


def test_thousands_of_classes_that_are_types_take_no_matrix_of_both():
    """60,000 took (40 GB)."""
    names, memory, start = [f"c{n}" for n in range(MAX_CLASSES)], psutil.Process().memory_info(), time.process_time()
    space = LabelSpace(names, names)
    sums, nothing = space.by_type(torch.full((1, MAX_CLASSES), 1 / MAX_CLASSES))
    assert sums.shape == (1, MAX_CLASSES) and nothing.tolist() == [0]
    assert psutil.Process().memory_info().rss - memory.rss < 100 * 2**20 and time.process_time() - start < 2


def test_pictures_of_many_pixels_are_answered_in_several_passes(colour_classifier, pictures, monkeypatch):
    classifier = colour_classifier(views=2)
    whole = classifier.infer(pictures)
    assert classifier.network.passes == [18]
    monkeypatch.setattr(classifier_module, "PASS_PIXELS", 2 * 64**2 * 4)
    parts = classifier.infer(pictures)
    assert classifier.network.passes[1:] == [8, 8, 2]
    for name in ("probabilities", "features"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


def test_a_heatmap_of_many_pixels_is_not_of_an_enlarged_picture(colour_classifier, monkeypatch):
    answer, sizes = colour_classifier().predict(plain(RED)), []
    monkeypatch.setattr(
        EvalTransform, "enlarged", lambda own, zoom, enlarged=EvalTransform.enlarged: sizes.append(zoom) or enlarged(own, zoom)
    )
    assert answer.heatmap().size == (90, 70) and sizes == [2]
    monkeypatch.setattr(classifier_module, "MAX_PIXELS", 100 * 100)
    assert answer.heatmap().size == (90, 70) and sizes == [2, 1]
