"""What the scripts of the page do that a page shows only after a failure, or after seconds: run by node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from fruitvision.ui.page.client.gradio_translation import gradio_translation_script
from fruitvision.ui.page.client.scroll_into_view import SCROLL_INTO_VIEW
from fruitvision.ui.page.events import SAVE_FILE_JS, scroll_to_js
from fruitvision.ui.train.bar import run_bar
from fruitvision.ui.train.runs import SCROLL_TO_TABLE_JS
from tests.web.test_javascript import node

# A page as far as the script asks: what is seen, by selector, and what got the focus.
SEEN = """
const focused = [], seen = %s;
const made = (selector) => ({ tabIndex: 0, getClientRects: () => [1], closest: () => null, focus: () => focused.push(selector),
  getBoundingClientRect: () => ({ top: 0, bottom: 1 }) });
globalThis.window = { dispatchEvent: () => focused.push("heard") };
const shown = (all) => all.split(", ").filter((one) => seen.includes(one)).map(made);
globalThis.document = { querySelector: () => null, querySelectorAll: shown };
globalThis.matchMedia = () => ({ matches: true });
globalThis.innerHeight = 100;
"""


def said(script: str) -> list:
    """The JSON that a script prints."""
    ran = subprocess.run([node(), "--input-type=commonjs", "-e", script], capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    ("seen", "focused"), [([], ["#train-runs"]), (["#train-rename-row"], []), (["#train-delete-row"], [])], ids=["gone", "rename", "delete"]
)
def test_a_row_that_is_left_open_by_an_error_keeps_the_focus(seen, focused):
    after = "setTimeout(() => console.log(JSON.stringify(focused)), 300)"
    assert said(f"{SEEN % json.dumps([*seen, '#train-runs'])} ({SCROLL_INTO_VIEW})(); ({SCROLL_TO_TABLE_JS})(); {after};") == focused


@pytest.mark.parametrize(("seen", "focused"), [(["#a"], ["heard", "#a"]), (["#a", "#error"], ["heard"])], ids=["begun", "refused"])
def test_what_a_button_led_to_is_shown_and_not_beside_an_error(seen, focused):
    script, after = (
        scroll_to_js("#a", unless="#error", event="fruitvision-run-started"),
        "setTimeout(() => console.log(JSON.stringify(focused)), 300)",
    )
    assert said(f"{SEEN % json.dumps(seen)} globalThis.Event = class {{}}; ({SCROLL_INTO_VIEW})(); ({script})(); {after};") == focused


def test_after_an_error_the_file_before_is_not_saved():
    page = """const done = []; 
globalThis.document = { createElement: () => ({ click: () => done.push("saved") }) };"""
    wrong, file, card = '<div class="fv-data fv-wrong" role="alert">', '{ url: "x" }', "<div>how to open it</div>"
    calls = [(SAVE_FILE_JS, file, ""), (SAVE_FILE_JS, file, card), (SAVE_FILE_JS, file, wrong), (SAVE_FILE_JS, "null", "")]
    called = [f"({script})({given}, {json.dumps(notice)}); done.push('|');" for script, given, notice in calls]
    found = said(f"{page} {' '.join(called)} console.log(JSON.stringify(done.join('')))")
    assert found == "saved|saved|||"


@pytest.mark.parametrize(
    ("state", "waits"),
    [({"run": "a", "words": "", "share": 0.5}, 1000), ({"ended": "a", "state": "finished", "words": ""}, 4000), ({}, 4000)],
    ids=["running", "ended", "none"],
)
def test_the_bar_asks_each_second_only_while_a_training_goes_on(state, waits):
    script = Path(run_bar.__file__).with_suffix(".js").read_text(encoding="utf-8")
    page = f"""const waits = [];
const made = () => ({{ style: {{}}, dataset: {{}}, addEventListener() {{}}, setAttribute() {{}}, parentElement: {{}} }});
const part = made(), element = {{ querySelector: made, closest: () => null }}, find = made, say = String, page = () => ({{}});
const server = {{ run_state: async () => ({json.dumps(state)}) }}, kept = setTimeout;
globalThis.document = {{ querySelector: () => null, addEventListener() {{}} }};
globalThis.window = {{ addEventListener() {{}} }};
globalThis.ResizeObserver = class {{ observe() {{}} }};
globalThis.setTimeout = (work, ms) => waits.push(ms);"""
    assert said(f"{page}\n{script}\nkept(() => console.log(JSON.stringify(waits)), 50);") == [waits]


def test_a_choice_is_named_by_its_label_and_not_by_its_value_in_the_program():
    page = """globalThis.Node = { ELEMENT_NODE: 1, TEXT_NODE: 3 };
globalThis.MutationObserver = class { observe() {} };
const made = (...children) => ({ nodeType: 1, dataset: {}, children, childNodes: [], getAttribute: () => null, closest: () => null });
const input = { ...made(), matches: (selector) => selector === "label > input[title]", removeAttribute: (name) => removed.push(name) };
const removed = [];
globalThis.document = { body: made(input) };
globalThis.window = { addEventListener() {}, fruitvision: { language: "zh" } };"""
    assert said(f"{page} ({gradio_translation_script()})(); console.log(JSON.stringify(removed))") == ["title"]


def test_what_people_named_stays_as_they_named_it():
    """A run called "Clear" is no button of Gradio's, and "$&" in a name is no pattern."""
    page = """globalThis.Node = { ELEMENT_NODE: 1, TEXT_NODE: 3 };
globalThis.MutationObserver = class { observe() {} };
const made = (role, data, ...children) => ({ nodeType: 1, dataset: {}, children, childNodes: data ? [{ nodeType: 3, data }] : [],
  getAttribute: () => null, closest: (selectors) => selectors.split(", ").includes(`[role=${role}]`) });
const parts = [made("button", "Clear"), made("option", "Clear"), made("", "number input for $& and $1")];
globalThis.document = { body: made("", "", ...parts) };
globalThis.window = { addEventListener() {}, fruitvision: { language: "zh" } };"""
    spoken = "JSON.stringify(parts.map((one) => one.childNodes[0].data))"
    assert said(f"{page} ({gradio_translation_script()})(); console.log({spoken})") == ["清除", "Clear", "$& and $1：输入数值"]
