"""Teaching from the page: what each call does for the owner, and that it does nothing for a visitor."""

from __future__ import annotations

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.recognition.taught.store import TaughtIndex, TaughtStore
from fruitvision.ui.classify.panel import answer_frame, answer_picture
from fruitvision.ui.classify.teaching import teach
from fruitvision.ui.classify.teaching.taught_view import meant_name, name_choices, taught_list
from fruitvision.ui.classify.teaching.teach import (
    HANDLERS,
    WORDS,
    export_taught,
    import_taught,
    put_back,
    start_over,
    take_back,
    take_back_lesson,
    taught_pictures,
    taught_state,
    teach_picture,
)
from fruitvision.ui.page.client.handlers import call, scripted_html
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import COOKIE, Access
from fruitvision.wording.text import say
from tests.ui.visitor import data_url

OWNER = SimpleNamespace(headers={"cookie": f"{COOKIE}=token"})
VISITOR = SimpleNamespace(headers={})


@pytest.fixture
def context(tmp_path, shipped_checkpoint) -> Context:
    runs = tmp_path / "runs"
    return Context(
        runs=runs, taught=tmp_path / "taught", access=Access("token"), models=Models(runs, shipped_checkpoint), data=tmp_path / "data"
    )


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (60, 50, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def owner(context: Context, handler, **given):
    return call(context, handler, given, OWNER)


def test_the_owner_teaches_sees_and_takes_back(context):
    for seed in range(3):
        taught = owner(context, teach_picture, name=" <b>Quitte</b> ", image=data_url(png(seed)))
        picture = context.teaching.store.index().names["<b>Quitte</b>"][-1]
        names = {"en": "<b>Quitte</b>", "zh": "<b>Quitte</b>"}
        assert taught == {"name": names, "taught": "<b>Quitte</b>", "kept": 1, "picture": picture, "former": ""}
    assert owner(context, teach_picture, name="<B>quitte</B>", image=data_url(png(0)))["kept"] == 0, "the same picture again"
    state = owner(context, taught_state, language="en")
    assert (state["kinds"], state["pictures"]) == (1, 3)
    assert "&lt;b&gt;Quitte" in state["html"] and "<b>Quitte" not in state["html"] + state["names"]
    assert '<option value="Apple">' in state["names"]
    shown = owner(context, taught_pictures, name="<b>Quitte</b>")["html"]
    assert shown.count("data:image/jpeg;base64,") == 3
    (first, *_) = context.teaching.store.index().names["<b>Quitte</b>"]
    removed = owner(context, take_back, picture=first)
    assert (removed["word"], removed["count"]) == ("removed_picture", 1), "the name stays"
    assert owner(context, taught_state)["pictures"] == 2
    removed = owner(context, take_back, name="<b>Quitte</b>")
    assert (removed["word"], removed["count"], removed["name"]["zh"]) == ("removed", 2, "<b>Quitte</b>")
    assert "Nothing yet" in owner(context, taught_state)["html"]
    assert owner(context, put_back, undo=removed["undo"]) == {}
    assert owner(context, put_back, undo=removed["undo"])["code"] == "taught-undo-gone"
    assert owner(context, taught_state)["pictures"] == 2, "what was removed last, once"
    removed = owner(context, take_back, name="<b>Quitte</b>")
    owner(context, start_over)
    assert owner(context, put_back, undo=removed["undo"])["code"] == "taught-undo-gone"
    assert owner(context, taught_state)["pictures"] == 0, "starting over leaves nothing"


def test_a_removal_is_put_back_by_the_page_that_removed_and_not_by_another(context):
    for name, seed in (("Apple", 0), ("Pear", 1), ("Pear", 2)):
        owner(context, teach_picture, name=name, image=data_url(png(seed)))
    mine = owner(context, take_back, name="Apple")
    for nothing in ({"picture": "0" * 32}, {"picture": "../../x"}, {"name": "Plum"}, {"name": "Apple"}, {}):
        assert owner(context, take_back, **nothing) == {"word": "removed_nothing", "count": 0}, nothing
    owner(context, put_back, undo=mine["undo"])
    assert list(context.teaching.store.index().names) == ["Pear", "Apple"], "what removes nothing keeps the Undo that there was"
    mine = owner(context, take_back, name="Apple")
    others = owner(context, take_back, picture=context.teaching.store.index().names["Pear"][0])
    for undo in (mine["undo"], "", None, 3):
        assert owner(context, put_back, undo=undo)["code"] == "taught-undo-gone", undo
    assert owner(context, put_back, undo=others["undo"]) == {}
    assert {name: len(own) for name, own in context.teaching.store.index().names.items()} == {"Pear": 2}


def test_a_lesson_is_taken_back_and_a_name_whose_pictures_it_took_has_them_again(context):
    for name, seed in (("My friend", 0), ("My friend", 1), ("Pear", 2)):
        owner(context, teach_picture, name=name, image=data_url(png(seed)))
    before = context.teaching.store.index().names
    taught = [owner(context, teach_picture, name="no FRUIT", image=data_url(png(seed))) for seed in (0, 1, 3)]
    assert [(one["former"], one.get("left")) for one in taught] == [("My friend", 1), ("My friend", 0), ("", None)]
    assert taught[0]["former_name"]["zh"] == "My friend" and taught[0]["name"]["zh"] == "没有水果"
    assert list(context.teaching.store.index().names) == ["Pear", "not-fruit"], "what has no picture left is gone"
    lesson = {"name": taught[0]["taught"], "pictures": [{key: one[key] for key in ("picture", "former")} for one in taught]}
    assert owner(context, take_back_lesson, **lesson) == {"count": 3}
    assert context.teaching.store.index().names == before
    assert not context.teaching.store.picture_file(taught[2]["picture"]).exists()
    assert owner(context, take_back_lesson, **lesson) == {"count": 0}, "once"


def test_a_lesson_that_is_taken_back_late_touches_only_what_its_name_still_has(context):
    taught = [owner(context, teach_picture, name="Pear", image=data_url(png(seed))) for seed in range(3)]
    owner(context, teach_picture, name="Apple", image=data_url(png(0)))
    owner(context, take_back, picture=taught[1]["picture"])
    pictures = [*taught, {"picture": "../../x"}, {"picture": taught[2]["picture"], "former": 3}, "x", None]
    assert owner(context, take_back_lesson, name="Pear", pictures=pictures) == {"count": 1}
    assert {name: len(own) for name, own in context.teaching.store.index().names.items()} == {"Apple": 1}


def test_a_taught_name_that_is_wrong_is_corrected_to_what_the_network_answers_without_it(context, tmp_path):
    path = tmp_path / "banana.png"
    draw_fruit("Banana", np.random.default_rng(3), 320, background="white").save(path)

    def offered() -> list[str]:
        return re.findall(r'data-teach="([^"]+)"', answer_picture(context, path, False, None, "en", owner=True)[0])

    assert "Banana" not in offered()
    for name in ("My friend", "not-fruit"):
        owner(context, teach_picture, name=name, image=data_url(path.read_bytes()))
        card = answer_picture(context, path, False, None, "en", owner=True)[0]
        assert "From what you taught" in card and offered()[0] == "Banana" and name not in offered(), name


@pytest.mark.parametrize("way", ["teach", "import"])
def test_a_picture_that_was_taught_under_another_name_since_stays_there(context, way):
    owner(context, teach_picture, name="Pear", image=data_url(png()))
    exported = owner(context, export_taught)["file"]
    owner(context, start_over)
    owner(context, teach_picture, name="Apple", image=data_url(png()))
    removed = owner(context, take_back, name="Apple")
    if way == "teach":
        owner(context, teach_picture, name="Pear", image=data_url(png()))
    else:
        owner(context, import_taught, file=exported)
    assert owner(context, put_back, undo=removed["undo"])["code"] == "taught-undo-gone"
    assert list(context.teaching.store.index().names) == ["Pear"]


@pytest.mark.parametrize("moved", [False, True])
def test_only_what_the_page_has_seen_is_removed(context, moved):
    """Another process teaches the name another picture meanwhile, or this picture under another name."""
    owner(context, teach_picture, name="Apple", image=data_url(png()))
    store, other = context.teaching.store, TaughtStore(context.taught)
    read = store.index

    def meanwhile() -> TaughtIndex:
        found = read()
        vars(store).pop("index")
        other.add("Pear" if moved else "Apple", png() if moved else png(1))
        return found

    store.index = meanwhile
    removed = owner(context, take_back, name="Apple")
    assert (removed["word"], removed["count"]) == (("removed_nothing", 0) if moved else ("removed", 1))
    assert {name: len(own) for name, own in store.index().names.items()} == {"Pear" if moved else "Apple": 1}
    if not moved:
        owner(context, put_back, undo=removed["undo"])
        assert len(store.index().names["Apple"]) == 2


def test_an_undo_adds_what_no_name_has_by_then(context):
    for seed in range(2):
        owner(context, teach_picture, name="Apple", image=data_url(png(seed)))
    other = TaughtStore(context.taught)
    removed = owner(context, take_back, name="Apple")
    other.add("Pear", png())
    assert owner(context, put_back, undo=removed["undo"]) == {}
    assert {name: len(own) for name, own in context.teaching.store.index().names.items()} == {"Pear": 1, "Apple": 1}
    removed = owner(context, take_back, name="Apple")
    other.add("Pear", png(1))
    assert owner(context, put_back, undo=removed["undo"])["code"] == "taught-undo-gone", "all of it is there again"
    assert list(context.teaching.store.index().names) == ["Pear"]


def test_a_picture_whose_file_is_gone_is_removed_without_an_undo(context):
    owner(context, teach_picture, name="Apple", image=data_url(png()))
    (picture,) = context.teaching.store.index().names["Apple"]
    context.teaching.store.picture_file(picture).unlink()
    assert owner(context, take_back, picture=picture)["undo"] == ""


def test_what_is_kept_to_be_put_back_is_bounded(context, monkeypatch):
    owner(context, teach_picture, name="Quitte", image=data_url(png()))
    monkeypatch.setattr(teach, "MAX_KEPT_BYTES", 100)
    assert owner(context, take_back, name="Quitte")["undo"] == ""


def test_what_was_taught_changes_the_owners_answers_alone(context, tmp_path):
    path = tmp_path / "p.png"
    path.write_bytes(png())
    for model in (None, "shipped:fruits-webcam"):
        owner(context, teach_picture, name="Quitte", image=data_url(png()), model=model)
        assert "Quitte" in answer_picture(context, path, False, model, "en", owner=True)[0]
        assert "Quitte" not in answer_picture(context, path, False, model, "en")[0]
        frame = {"image": data_url(png()), "model": model, "language": "en"}
        mine = answer_frame(context, frame, owner=True)
        assert "Quitte" in mine["html"] and "Quitte" in answer_frame(context, {**frame, "memory": mine["memory"]}, owner=True)["html"]
        assert "Quitte" not in answer_frame(context, {**frame, "memory": mine["memory"]})["html"]


def test_another_model_looks_at_the_pictures_when_it_is_asked(context):
    owner(context, teach_picture, name="Quitte", image=data_url(png()))
    frame = {"image": data_url(png()), "model": "shipped:fruits-webcam"}
    assert context.teaching.embeddings("shipped:fruits-webcam").pending() == 1
    assert "Quitte" in answer_frame(context, frame, owner=True)["html"]
    assert context.teaching.embeddings("shipped:fruits-webcam").pending() == 0


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
@pytest.mark.parametrize("request_", [VISITOR, None, SimpleNamespace(headers={"cookie": f"{COOKIE}=guess"})])
def test_a_visitor_is_refused_whatever_is_asked_and_nothing_happens(context, handler, request_):
    context.teaching.store.add("Quitte", png())
    before = context.teaching.store.index()
    given = {"name": "Quitte", "picture": before.names["Quitte"][0], "image": data_url(png(1)), "file": "AAAA", "language": "zh"}
    answer = call(context, handler, given, request_)
    assert set(answer) == {"error", "code"} and answer["code"] == "owner-only" and "访客" in answer["error"]
    assert context.teaching.store.index() == before


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
@pytest.mark.parametrize("given", [None, [], {}, {"name": 3, "image": [], "file": {}, "picture": None, "language": ["x"], "model": {}}])
def test_whatever_pretends_to_be_a_call_is_answered(context, handler, given):
    assert isinstance(call(context, handler, given, OWNER), dict)
    assert context.teaching.store.index().names == {}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"name": "", "image": data_url(png())}, "taught-name-empty"),
        ({"name": "x", "image": data_url(b"letter")}, "picture-not-an-image"),
        ({"name": "x", "image": "/etc/passwd"}, "picture-not-an-image"),
        ({"name": "x", "image": data_url(b"\0" * 11_000_000)}, "picture-too-large"),
        ({"name": "x", "image": data_url(png()), "model": "run:gone"}, "model-gone"),
    ],
)
def test_what_cannot_be_taught_is_said_and_nothing_is_kept(context, given, code):
    assert owner(context, teach_picture, **given)["code"] == code
    assert context.teaching.store.index().names == {}


def test_a_heic_teaches_where_the_browser_cannot_show_it(context):
    buffer = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(Image.open(io.BytesIO(png()))).save(buffer, format="HEIF")
    assert owner(context, teach_picture, name="Quitte", image=data_url(buffer.getvalue()))["kept"] == 1
    assert context.teaching.store.index().pictures == 1


def test_an_export_is_imported_again_and_anything_else_refused(context):
    owner(context, teach_picture, name="CON", image=data_url(png()))
    exported = owner(context, export_taught)
    owner(context, start_over)
    assert owner(context, taught_state)["kinds"] == 0
    assert owner(context, import_taught, file=exported["file"], called="x.zip") == {"word": "imported", "count": 1, "same": 0, "kept": 1}
    assert owner(context, import_taught, file=exported["file"])["word"] == "imported_same"
    assert list(context.teaching.store.index().names) == ["CON"]
    for wrong in ("", "!!!", base64.b64encode(b"no zip").decode()):
        assert "error" in owner(context, import_taught, file=wrong, called="../../x.zip")


def test_a_damaged_store_is_said_answers_go_on_without_it_and_starting_over_helps(context):
    owner(context, teach_picture, name="Quitte", image=data_url(png()))
    (context.taught / "taught.json").write_text("{", encoding="utf-8")
    assert "cannot be read" in owner(context, taught_state)["html"]
    assert "fv-name" in answer_frame(context, {"image": data_url(png())}, owner=True)["html"]
    assert owner(context, teach_picture, name="Quitte", image=data_url(png()))["code"] == "taught-damaged"
    assert owner(context, start_over) == {}
    assert owner(context, taught_state)["kinds"] == 0


def test_a_known_name_is_meant_in_either_language_and_any_capitals():
    types = ("Apple", "Sweet Potato")
    for typed, meant in (
        ("苹果", "Apple"),
        (" aPPLE ", "Apple"),
        ("sweet  potato", "Sweet Potato"),
        ("空桌面", "empty-table"),
        ("No fruit", "not-fruit"),
        ("Grandma's apple", "Grandma's apple"),
        ("", ""),
    ):
        assert meant_name(typed, types) == meant


def test_the_names_and_the_list_follow_the_language():
    index = TaughtIndex(names={"empty-table": ("a" * 32,), "Quitte": ("b" * 32, "c" * 32)})
    assert "空桌面" in taught_list(index, 2, "zh") and "The empty table" in taught_list(index, 0, "en")
    assert "2" in taught_list(index, 2, "en").split("</p>")[0]
    choices = name_choices(index, ("Apple",), "zh")
    assert choices.index("空桌面") < choices.index("没有水果") < choices.index("苹果")


def test_the_view_carries_its_words_in_both_languages():
    html = scripted_html("ui/classify/teaching/teach.html", WORDS, "teach")
    for word in WORDS:
        assert html.count(f"data-{word.replace('_', '-')}=") == 2 and say(f"teach.{word}", "zh")
    assert 'class="fv-teach" data-part hidden' in html, "shown when the server says that the owner asks"
