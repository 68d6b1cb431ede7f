"""The Classify panel's handlers: an answer or a sentence for whatever comes."""

from __future__ import annotations

import base64
import io
import re
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from gradio.data_classes import ImageData
from PIL import Image

from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import CheckpointError, PictureError
from fruitvision.models.compiled import CompiledNetwork
from fruitvision.models.prepacked import PrepackedNetwork
from fruitvision.recognition import classifier
from fruitvision.recognition.classifier import Guess, Prediction
from fruitvision.ui.classify.answer import accuracy_note, answer_card, error_card
from fruitvision.ui.classify.panel import LIVE_WORDS, _decode_memory, _preload_handler, answer_frame, answer_picture, live_view, model_note
from fruitvision.ui.page.components import MAX_UPLOAD_BYTES, CheckedImage, data_url_bytes
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import Access


@pytest.fixture(scope="module")
def context(tmp_path_factory, shipped_checkpoint) -> Context:
    folder = tmp_path_factory.mktemp("context")
    return Context(runs=folder / "runs", taught=folder / "taught", access=Access(), models=Models(folder / "runs"), data=folder / "data")


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    buffer = io.BytesIO()
    draw_fruit("Banana", np.random.default_rng(0), 200, background="white").save(buffer, "JPEG")
    return buffer.getvalue()


def data_url(content: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def small_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, "PNG")
    return buffer.getvalue()


PNG = small_png()


def text_of(card: str) -> str:
    return re.sub(r"<[^>]+>", " ", card)


def prediction(verdict: str, confidence: float = 0.8, label: str = "Apple <b>") -> Prediction:
    top = (Guess(label, "Apple", confidence), *(Guess(f"K{n}", f"K{n}", 0.01) for n in range(4)))
    return Prediction(label, "Apple", confidence, verdict, top, np.ones(3) / 3, None, None)


def test_a_picture_is_answered_and_its_heatmap_shown_only_when_asked_for(context, jpeg, tmp_path):
    path = tmp_path / "b.jpg"
    path.write_bytes(jpeg)
    card, heat = answer_picture(context, path, False, None, "en")
    assert "fv-name" in card and "Banana" in card and heat["visible"] is False
    _, heat = answer_picture(context, path, True, "shipped:fruits-360", "zh")
    assert heat["visible"] is True and heat["value"].size == (200, 200)
    assert "fv-empty" in answer_picture(context, None, True, None, "en")[0]


@pytest.mark.parametrize("content", [b"", b"letter", b"\xff\xd8\xff broken", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_cannot_be_read_becomes_a_sentence(context, tmp_path, content):
    path = tmp_path / "b.jpg"
    path.write_bytes(content)
    for language in ("en", "zh"):
        card, heat = answer_picture(context, path, True, None, language)
        assert "fv-error" in card and heat["visible"] is False and "Error" not in text_of(card)


def test_a_model_that_is_gone_becomes_a_sentence(context, jpeg, tmp_path):
    path = tmp_path / "b.jpg"
    path.write_bytes(jpeg)
    for model in ("run:gone", "../../etc", "shipped:../..", "/etc/passwd", "given"):
        assert "fv-error" in answer_picture(context, path, False, model, "en")[0]
        with pytest.raises(CheckpointError):
            context.models.folder(model)


def test_a_frame_is_answered(context, jpeg):
    answer = answer_frame(context, {"image": data_url(jpeg), "model": None, "language": "zh"})
    assert "fv-name" in answer["html"] and re.search("[\u4e00-\u9fff]", answer["html"])


def test_a_frame_remembers_the_ones_before_and_knows_the_empty_table(context, jpeg, monkeypatch):
    seen = []
    batcher = context.models.batcher(None)
    submit = batcher.submit
    monkeypatch.setattr(batcher, "submit", lambda picture, before: seen.append(before) or submit(picture, before))
    first = answer_frame(context, {"image": data_url(jpeg)})
    again = answer_frame(context, {"image": data_url(jpeg), "memory": first["memory"], "empty": data_url(jpeg)})
    assert "fv-name" in again["html"] and len(again["memory"]) == len(first["memory"])
    assert seen[0].previous is None and seen[0].background is None
    assert seen[1].previous.sum() == pytest.approx(1) and seen[1].background.ndim == 3


@pytest.mark.parametrize("memory", [3, "", "!!!", "AAAA", "A" * 100_000, base64.b64encode(b"\xff" * 236).decode(), ["x"]])
def test_a_memory_that_no_answer_gave_is_forgotten(context, jpeg, memory):
    assert "fv-name" in answer_frame(context, {"image": data_url(jpeg), "memory": memory})["html"]
    assert _decode_memory(memory, 117) is _decode_memory(memory, 118) is None


@pytest.mark.parametrize(
    "frame",
    [
        None,
        3,
        [],
        {},
        {"image": 3},
        {"image": "data:image/jpeg;base64,!!!"},
        {"image": "data:text/html;base64,PGI+"},
        {"image": "/etc/passwd"},
        {"image": "http://127.0.0.1/"},
        {"image": data_url(b"x" * 3_000_000)},
        {"image": data_url(PNG), "empty": "/etc/passwd"},
        {"image": data_url(PNG), "empty": {"a": 1}},
        {"image": data_url(b"GIF89a"), "model": {"a": 1}, "language": ["zh"]},
    ],
)
def test_whatever_pretends_to_be_a_frame_becomes_a_sentence(context, frame):
    assert "fv-error" in answer_frame(context, frame)["html"]


def test_the_picture_component_hands_on_what_it_was_given_without_opening_it(tmp_path):
    (tmp_path / "x.png").write_bytes(b"anything at all")
    component = CheckedImage()
    assert component.preprocess(ImageData(path=str(tmp_path / "x.png"))) == tmp_path / "x.png"
    assert component.preprocess(None) is None
    assert component.preprocess(ImageData(url=data_url(b"bytes"))) == b"bytes"
    assert component.get_block_name() == "image"


def test_a_data_url_is_bounded_before_it_is_decoded():
    with pytest.raises(PictureError) as caught:
        data_url_bytes(data_url(b"x" * (MAX_UPLOAD_BYTES + 100)), MAX_UPLOAD_BYTES)
    assert caught.value.code == "picture-too-large"


@pytest.mark.parametrize(
    ("verdict", "confidence", "words"),
    [("sure", 0.95, "Very sure"), ("sure", 0.7, "Sure   70%"), ("unsure", 0.4, "Not sure. Perhaps"), ("not-fruit", 0.1, "I see no fruit")],
)
def test_how_sure_stands_in_words_and_what_would_help_under_an_unsure_answer(verdict, confidence, words):
    card = answer_card(prediction(verdict, confidence), "en")
    assert words in text_of(card)
    assert ("What would help" in card) == (verdict == "unsure")
    assert ("If there is a fruit in it" in card) == (verdict == "not-fruit")
    assert text_of(card).count("Not sure") == (verdict == "unsure"), "it is said once"
    assert "<b>" not in card, "a class name is no HTML"


@pytest.mark.parametrize(("confidence", "words"), [(0.9961, "&gt;99%"), (1.0, "100%"), (0.994, "99%"), (0.004, "&lt;1%"), (0.006, "1%")])
def test_a_little_doubt_is_not_rounded_away(confidence, words):
    assert f"<span>{words}</span>" in answer_card(prediction("sure", confidence), "en")


def guesses(verdict: str, *shares: float) -> Prediction:
    names = ("Orange", "Lemon", "Apple", "Kiwi")
    top = tuple(Guess(name, name, share) for name, share in zip(names, shares, strict=False))
    return replace(prediction(verdict, shares[0]), label="Orange", fruit_type="Orange", top=top)


@pytest.mark.parametrize(
    ("verdict", "shares", "name", "percent"),
    [
        ("unsure", (0.46, 0.40, 0.05), "Orange or Lemon", False),  # a coin toss is not called by one side's name
        ("unsure", (0.60, 0.05, 0.05), "Orange", True),
        ("unsure", (0.20, 0.18, 0.10), "I cannot tell", False),
        ("sure", (0.52, 0.40, 0.05), "Orange", True),
        ("not-fruit", (0.05, 0.04, 0.01), "I see no fruit", False),
    ],
)
def test_words_never_say_more_than_the_network_knows(verdict, shares, name, percent):
    card = answer_card(guesses(verdict, *shares), "en")
    assert f'<h2 class="fv-name">{name}</h2>' in card
    assert (f"<span>{shares[0]:.0%}</span></p>" in card) == percent, "a bar stands beside one fruit alone"


def test_both_fruits_of_a_coin_toss_are_named_in_chinese_too():
    assert '<h2 class="fv-name">橙子或柠檬</h2>' in answer_card(guesses("unsure", 0.46, 0.40), "zh")


def test_guesses_of_less_than_one_in_a_hundred_are_not_shown_nor_any_where_no_fruit_is_seen():
    card = text_of(answer_card(guesses("sure", 0.97, 0.011, 0.009), "en"))
    assert "Lemon" in card and "Apple" not in card
    assert "Orange" not in answer_card(guesses("not-fruit", 0.05, 0.04), "en")


def test_a_fruit_known_from_the_studio_alone_says_so(context):
    config = context.models.batcher("shipped:fruits-360").classifier.config
    known = {**config.dataset, "photographed": {"Orange": 12}}
    config = config.model_copy(update={"classes": ("Orange", "Lemon"), "fruit_types": ("Orange", "Lemon"), "dataset": known})
    only = "Seen only on white so far"
    assert only not in answer_card(guesses("sure", 0.9), "en", config)
    lemon = replace(guesses("sure", 0.9), top=(Guess("Lemon", "Lemon", 0.9),))
    assert only in answer_card(lemon, "en", config) and "没有学过它的照片" in answer_card(lemon, "zh", config)
    assert only not in answer_card(lemon, "en", config.model_copy(update={"dataset": {}})), "nothing is known of photographs"
    taught = replace(lemon, top=(Guess("My lemon", "My lemon", 0.9),))
    assert only not in answer_card(taught, "en", config)


def test_the_note_leads_with_what_strangers_photographs_gave(context):
    config = context.models.batcher("shipped:fruits-360").classifier.config
    found = {"top1": 0.712, "sources": 19, "sure": 0.55, "sure_right": 0.958}
    note = text_of(accuracy_note(config.model_copy(update={"left_out": found}), "mine", "en"))
    assert all(figure in note for figure in ("71%", "19 sources", "55%", "96%")) and "99.1%" not in note
    never = text_of(accuracy_note(config.model_copy(update={"left_out": {**found, "sure": 0.0, "sure_right": None}}), "mine", "en"))
    assert "never sure" in never


def test_very_sure_is_said_from_where_the_card_measured_it(context):
    config = context.models.batcher("shipped:fruits-360").classifier.config
    measured = config.model_copy(update={"left_out": {"very_sure_from": 0.97}})
    assert "Very sure" in answer_card(guesses("sure", 0.95), "en") and "Very sure" not in answer_card(guesses("sure", 0.95), "en", measured)
    never = config.model_copy(update={"left_out": {"very_sure_from": None}})
    assert "Very sure" not in answer_card(guesses("sure", 1.0), "en", never)


def test_the_variety_stands_beneath_only_where_it_says_more_than_the_fruit():
    assert "Variety, a guess: Apple Braeburn" in answer_card(prediction("sure", label="Apple Braeburn"), "en")
    assert "Variety" not in answer_card(prediction("sure", label="Apple"), "en")
    for label, kind in (("Potato Sweet", "Sweet Potato"), ("Limes", "Lime")):
        named = replace(prediction("sure"), top=(Guess(label, kind, 0.97),))
        assert "Variety" not in answer_card(named, "en")


def test_the_note_of_a_shipped_network_is_what_strangers_photographs_gave(context):
    config = context.models.batcher("shipped:fruits-webcam").classifier.config
    note = text_of(accuracy_note(config, "fruits-webcam", "en"))
    assert "fruits-webcam" in note and f"{config.left_out['top1']:.0%}" in note and f"{config.left_out['sources']} sources" in note
    config = context.models.batcher("shipped:fruits-360").classifier.config
    note, strangers = text_of(accuracy_note(config, "fruits-360", "en")), config.metrics["photos-ms-learn"]
    assert "fruits-360" in note and f"{strangers['top1']:.0%} of 69 photographs" in note


def test_the_note_shows_the_lab_and_the_range_of_all_photographs_where_no_source_was_left_out(context):
    config = context.models.batcher("shipped:fruits-360").classifier.config.model_copy(update={"left_out": {}})
    figures = {"test": {"top1": 0.991}, "photos": {"top1": 0.96, "images": 300}, "photos-x": {"top1": 0.43, "images": 69}}
    note = text_of(accuracy_note(config.model_copy(update={"metrics": figures}), "mine", "en"))
    assert "99.1%" in note and "43% to 96%" in note and "of 369 photographs" in note


def test_the_note_gives_one_figure_of_photographs_where_there_is_but_one(context):
    config = context.models.batcher("shipped:fruits-360").classifier.config.model_copy(update={"left_out": {}})
    one = config.model_copy(update={"metrics": {"test": {"top1": 0.99}, "photos": {"top1": 0.8, "images": 70}}})
    assert "It also got 80% of 70 photographs right that it never saw: " in text_of(accuracy_note(one, "mine", "en"))
    assert "照片上答对了 80%" in text_of(accuracy_note(one, "mine", "zh"))
    unmeasured = {"photos-old": {}, "photos-x": {"top1": None}}
    odd = one.model_copy(update={"metrics": {**one.metrics, **unmeasured}})
    assert accuracy_note(odd, "mine", "en") == accuracy_note(one, "mine", "en")
    lab = config.model_copy(update={"metrics": {"test": {"top1": 0.99}}})
    assert "99.0%" in text_of(accuracy_note(lab, "mine", "en")) and "photographs" not in text_of(accuracy_note(lab, "mine", "en"))


def test_an_error_is_no_html():
    assert "<script>" not in error_card({"code": "x", "message": "<script>alert(1)</script>"}, "en")


def test_the_live_view_carries_its_words_in_both_languages():
    html = live_view()
    for language in ("en", "zh"):
        assert f'data-language="{language}"' in html
    assert all(html.count(f"data-{word}=") == 2 for word in LIVE_WORDS)


def test_a_model_answers_by_torch_at_once_and_by_openvino_soon(tmp_path, monkeypatch):
    monkeypatch.setattr("fruitvision.models.compiled.shortest_seconds", lambda networks, _: [1.0 for _ in networks])
    batcher = Models(tmp_path).batcher(None)
    assert batcher.classifier.inference_network is batcher.classifier.network, "the first answer waits for nothing"
    first = batcher.submit(np.full((240, 320, 3), 200, np.uint8))
    end = time.monotonic() + 30
    while not isinstance(batcher.classifier.inference_network, CompiledNetwork if find_spec("openvino") else PrepackedNetwork):
        assert time.monotonic() < end
        time.sleep(0.05)
    again = batcher.submit(np.full((240, 320, 3), 200, np.uint8))
    np.testing.assert_allclose(again.probabilities, first.probabilities, atol=0.01)


def test_the_default_model_is_loaded_ahead_and_a_damaged_one_troubles_nobody(context, tmp_path):
    context.models.preload().join(30)
    started = time.perf_counter()
    assert context.models.batcher(None).classifier.path == context.models.folder(None)
    assert time.perf_counter() - started < 0.1
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    shelf = Models(tmp_path / "runs", tmp_path / "damaged")
    shelf.preload().join(30)
    with pytest.raises(CheckpointError):
        shelf.batcher(None)


def test_the_network_is_loaded_once_when_somebody_reaches_for_a_picture_and_the_page_needs_none(context, monkeypatch):
    context, began = replace(context, models=Models(context.runs)), []  # which has loaded nothing yet
    monkeypatch.setattr(Models, "batcher", lambda shelf, model_id: began.append(model_id))
    assert "fv-note" in model_note(context, None, "en") and not began
    prepare = _preload_handler(context)
    prepare("run:another")
    assert not began, "a model that was chosen is loaded when it is asked"
    for given in (None, context.models.default, {"model": "../.."}):
        prepare(given)
    context.models.preload().join(90)
    assert began == [None]


def test_a_heatmap_is_no_larger_than_a_screen_shows(context, monkeypatch):
    """A picture of the largest size would take gigabytes once more, for each visitor who asks for one."""
    buffer = io.BytesIO()
    draw_fruit("Banana", np.random.default_rng(0), 200, background="white").resize((3000, 3000)).save(buffer, "PNG")
    monkeypatch.setattr(classifier, "open_picture", lambda source: pytest.fail("the whole picture was opened"))
    _, heat = answer_picture(context, buffer.getvalue(), True, None, "en")
    assert heat["value"].size == (720, 720)
