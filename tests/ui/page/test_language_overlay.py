"""The overlay that hides the page while its language changes, run by node on a page of two tabs."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from fruitvision.ui.page.client.language_overlay import PARTS, language_overlay_script
from fruitvision.ui.page.context import SYNC_LANGUAGES_JS

PAGE = """
const listeners = {}, observers = [];
const element = () => ({ hidden: false, children: [], attributes: {}, append(...own) { this.children.push(...own); },
  setAttribute(name, value) { this.attributes[name] = value; }, getAttribute(name) { return this.attributes[name] ?? null; } });
const tab = (id, selected) => ({ ...element(), id: `${id}-button`, attributes: { "aria-selected": String(selected) },
  closest(selector) { return selector === "[role=tab]" ? this : null; } });
const root = element(), panels = element();
const tabs = { "panel-classify": tab("panel-classify", false), "panel-train": tab("panel-train", true) };
root.append(panels);
let language = "en", label = "Picture";
globalThis.window = { fetch: async () => ({}), fruitvision: { language: "en" } };
globalThis.document = { body: element(), activeElement: null, createElement: element,
  addEventListener(kind, own) { listeners[kind] = own; },
  querySelectorAll: () => [{ textContent: label }],
  getElementById: (id) => tabs[id.replace(/-button$/, "")] ?? null,
  querySelector: (selector) => (selector === ".gradio-container" ? root : { value: language }) };
globalThis.MutationObserver = class { constructor(own) { observers.push(own); } observe() {} };
const open = (id) => { for (const [own, one] of Object.entries(tabs)) one.attributes["aria-selected"] = String(own === id); };
const cover = () => root.children.find((one) => one.className === "fv-language-overlay");
const uncovered = async () => {
  const began = performance.now();
  while (!cover().hidden) await new Promise((resolve) => setTimeout(resolve, 10));
  return performance.now() - began;
};
const assert = (fine, what) => { if (!fine) { console.error(what); process.exit(1); } };
"""


def run(script: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js")
    constants = f"const PARTS = {json.dumps(list(PARTS))}, all = (language) => PARTS.map(() => language);"
    source = f"{PAGE}\n{constants}\n({language_overlay_script()})();\n(async () => {{ {script} }})();"
    done = subprocess.run([node, "-"], input=source, encoding="utf-8", capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_tab_whose_words_are_in_the_language_already_is_not_covered_for_long():
    run("""
      language = "zh";
      open("panel-classify");
      listeners.click({ target: tabs["panel-classify"] });
      assert(!cover().hidden && panels.inert, "it is covered, and takes no keys");
      window.fruitvisionSyncLanguages("zh", all("zh"));
      assert(await uncovered() < 2500, "nothing of it changes");
      assert(!panels.inert, "and takes keys again");
    """)


def test_a_panel_that_is_opened_without_a_click_is_covered_until_it_has_changed():
    run("""
      language = "zh";
      open("panel-classify");
      observers.forEach((own) => own([{ target: tabs["panel-classify"] }]));
      assert(!cover().hidden, "as soon as it is seen");
      window.fruitvisionSyncLanguages("zh", all("en"));
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert(!cover().hidden, "its words are on the way");
      label = "图片";
      window.fruitvisionTranslated("classify");
      assert(await uncovered() < 2500, "all has changed");
    """)


def test_a_panel_stays_covered_until_the_labels_of_its_tabs_have_changed_too():
    run("""
      window.fruitvisionSyncLanguages("zh", all("en"));
      window.fruitvisionTranslated("train");
      await new Promise((resolve) => setTimeout(resolve, 400));
      assert(!cover().hidden, "its tabs say the old words");
      label = "图片";
      assert(await uncovered() < 400, "all has changed");
      window.fruitvisionSyncLanguages("en", all("zh"));
      window.fruitvisionTranslated("train");
      assert(await uncovered() < 2500, "a label that is the same in both languages is not waited for much longer");
    """)


def test_words_that_change_on_an_open_panel_are_covered():
    run("""
      window.fruitvisionSyncLanguages("zh", all("en"));
      assert(!cover().hidden && !root.attributes["aria-busy"], "covered");
      const said = root.children.find((one) => one.attributes.role === "status");
      assert(said && said !== cover() && !said.hidden && !said.inert && said.textContent, "and said beside the cover");
      window.fruitvisionTranslated("train");
      await uncovered();
    """)


def test_a_panel_that_is_opened_before_the_scripts_are_there_keeps_its_language():
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js")
    asked = f"globalThis.window = {{}}; console.log(JSON.stringify(({SYNC_LANGUAGES_JS})('zh', 'en', 'en')))"
    done = subprocess.run([node, "-e", asked], capture_output=True, encoding="utf-8", timeout=60)
    assert done.stdout.strip() == '["en","en"]', done.stderr
