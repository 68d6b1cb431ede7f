"""Markup escapes whatever is put into it, unless it is markup already."""

from __future__ import annotations

import base64

from markupsafe import Markup
from PIL import Image

from fruitvision.report.markup import data_url, render, say_html, tag

HOSTILE = "<b>\"'&"
ESCAPED = "&lt;b&gt;&#34;&#39;&amp;"


def test_content_and_attributes_are_escaped_once():
    assert tag("p", HOSTILE, title=HOSTILE) == f'<p title="{ESCAPED}">{ESCAPED}</p>'
    assert tag("p", tag("b", "&")) == "<p><b>&amp;</b></p>"


def test_names_of_attributes_values_and_void_elements_are_written_as_html_does():
    assert tag("a", class_="x", data_set=1, aria_label=None, hidden=True, open=False) == '<a class="x" data-set="1" hidden></a>'
    assert tag("circle", cx=1.0, cy=2.345, r=-0.5) == '<circle cx="1" cy="2.35" r="-0.5"></circle>'
    assert tag("img", alt="") == '<img alt="">'


def test_iterables_are_joined_and_none_is_left_out():
    assert tag("ul", [tag("li", n) for n in (1, 2)], None, (word for word in "<>")) == "<ul><li>1</li><li>2</li>&lt;&gt;</ul>"


def test_a_sentence_keeps_its_own_markup_and_escapes_its_facts():
    assert "<strong>&lt;img&gt;</strong>" in say_html("train.status_finished", "en", name="<img>")


def test_templates_escape_by_default():
    words = {"en": {"title": HOSTILE}}
    assert f'data-title="{ESCAPED}"' in render("ui/classify/teaching/teach.html", words_by_language=words)
    assert isinstance(render("ui/classify/teaching/teach.html", words_by_language={}), Markup)


def test_a_data_url_holds_the_picture():
    url = data_url(Image.new("RGB", (2, 2)), "PNG")
    assert url.startswith("data:image/png;base64,") and base64.b64decode(url.partition(",")[2])[1:4] == b"PNG"
