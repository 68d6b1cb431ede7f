"""A person trains a network, goes away, comes back, and classifies with it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from fruitvision.runs import launcher
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import list_runs, new_run
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig

from .measured import hidden_scrolls, small_letters, small_targets

PHONE = {"width": 390, "height": 844}
QUICK = {"epochs": 3, "image-size": 32, "first-image-size": 0, "eval-resize": 32, "width": 8, "max-train-images": 140}


def open_train(visit, **how):
    page = visit(**how)
    page.get_by_role("tab", name=re.compile("Train|训练")).click()
    page.wait_for_selector("#train-found .fv-data")
    return page


def open_settings(page) -> None:
    """The twelve that stand first, and the fold with the others."""
    page.locator("#train-settings > button").click()
    page.wait_for_selector("#setting-epochs input")
    assert page.locator("#setting-seed input").count() == 0 or not page.locator("#setting-seed input").is_visible()
    page.locator("#train-all-settings > button").click()
    page.wait_for_selector("#setting-seed input")


def fill_quick(page, **changes) -> None:
    """Settings with which an epoch takes a second."""
    open_settings(page)
    page.wait_for_timeout(500)  # a field that has just come into the page takes its value once more
    for name, value in {**QUICK, **changes}.items():
        box = page.locator(f"#setting-{name} input")
        box.fill(str(value))
        box.press("Tab")
        assert box.input_value() == str(value)
    page.locator("#train-name textarea, #train-name input").first.click()


def wait_until_free(page) -> None:
    """Until no earlier run goes on."""
    page.wait_for_function("!document.querySelector('#train-status .fv-run-running, #train-status .fv-run-waiting')")


def answer_slowly(route) -> None:
    """For ``page.route``: the app seems to take a second for each thing that it is asked."""
    time.sleep(1)
    route.continue_()


def name_run(page, name: str) -> None:
    page.locator("#train-name textarea, #train-name input").first.fill(name)


def test_the_sample_set_is_shown_counted_called_synthetic_and_augmented_before_training(visit):
    page = open_train(visit)
    page.wait_for_selector("#train-grid img", timeout=60_000)
    text = page.inner_text("#train-found")
    assert "14 kinds" in text and "synthetic" in text
    before = page.get_attribute("#train-grid img", "src")
    page.click("#train-again")
    page.wait_for_function("before => document.querySelector('#train-grid img').src !== before", arg=before)
    assert "about" in page.inner_text("#train-preset") or "measuring" in page.inner_text("#train-preset")


def test_every_setting_stands_in_the_form_with_its_meaning_in_both_languages(visit):
    from fruitvision.wording.text import setting

    page = open_train(visit)
    assert page.locator("#train-minutes input, #train-minutes textarea").first.input_value() == "", "no time is claimed to be there"
    open_settings(page)
    for language, name in (("en", "English"), ("zh", "中文")):
        page.get_by_role("radio", name=name).check(force=True)
        page.wait_for_function("text => document.body.textContent.includes(text)", arg=setting("epochs", language)[1])
        content = page.evaluate("document.querySelector('#train-settings').textContent")
        for field in set(TrainConfig.model_fields) - {"preset"}:
            label, meaning = setting(field, language)
            assert label in content and meaning in content, field


def take_suggested_rate(page) -> str:
    """Let learning rates be tried, and take the suggested one over by a click; returns it."""
    page.locator("#train-rate-fold > button").click()
    page.click("#train-rate")
    page.wait_for_selector("#train-rate-card svg", timeout=60_000)
    suggested = page.inner_text("#train-rate-card strong")
    assert suggested in page.inner_text("#train-rate-take")
    page.click("#train-rate-take")
    page.wait_for_function("v => Number(document.querySelector('#setting-learning-rate input').value) === Number(v)", arg=suggested)
    return suggested


@pytest.mark.slow
def test_a_run_at_a_suggested_rate_goes_on_while_the_page_is_closed_and_classifies_when_it_is_done(visit, app):
    page = open_train(visit)
    wait_until_free(page)
    fill_quick(page)
    rate = take_suggested_rate(page)
    name_run(page, "苹果 <b>three</b>")
    page.click("#train-start")
    page.wait_for_selector("#train-status .fv-run-running, #train-status .fv-run-finished", timeout=90_000)
    page.context.close()

    page = open_train(visit)
    page.wait_for_selector("#train-status .fv-run-finished", timeout=120_000)
    status = page.inner_text("#train-status")
    assert "苹果 <b>three</b>" in status and "Test accuracy" in status
    assert page.locator("#train-charts circle").count() >= 9  # three epochs of three curves that are drawn by epoch
    page.locator("#train-log-fold > button").click()
    assert "epoch 3/3" in page.locator("#train-log textarea").input_value()
    assert list_runs(app.runs)[0].config().training.learning_rate == float(rate)
    page.wait_for_selector("#train-results .fv-results .matrix td.right", timeout=120_000)  # evaluated by itself, beside the app
    assert "Confusion matrix" in page.inner_text("#train-results") and page.locator("#train-results figure img").count() >= 2
    page.wait_for_selector("#train-report:visible")
    for language in ("zh", "en"):  # the results stand below, and no button offers to show them
        page.locator(f"#language label:has(input[value={language}])").click()
        page.wait_for_timeout(300)
        page.wait_for_selector(".fv-language-overlay", state="hidden")
        page.wait_for_timeout(1500)  # a tick of the panel's timer
        assert page.is_visible("#train-report") and not page.is_visible("#train-show")
    page.locator("#train-downloads > button").click()
    for button, kind in (("report", ".html"), ("checkpoint", ".zip"), ("onnx", ".onnx"), ("csv", ".csv")):
        with page.expect_download(timeout=120_000) as download:
            page.click(f"#train-{button}")
        assert download.value.suggested_filename.endswith(kind)
    assert "ONNX Runtime" in page.inner_text("#train-downloaded")
    page.click("#train-use")
    page.wait_for_selector("#classify-note:has-text('synthetic')")
    assert "苹果" in page.locator("#model input").input_value()
    page.wait_for_function("!location.search.includes('tab=train')")


@pytest.mark.slow
def test_a_run_is_stopped_within_seconds_and_goes_on_where_it_stopped(visit, app):
    page, name = open_train(visit), f"long {time.time_ns()}"  # a second try has another name
    for run in list_runs(app.runs):
        launcher.stop(run)  # of a first try
    wait_until_free(page)
    fill_quick(page, epochs=200)
    name_run(page, name)
    page.click("#train-start")
    page.wait_for_selector("#train-status .fv-run-running", timeout=90_000)
    page.click("#train-start")  # a second one
    page.wait_for_selector(f"#train-notice:has-text('{name}')")
    page.get_by_role("tab", name="Classify").click()
    bar = page.locator(".fv-run-bar-go")
    bar.wait_for()
    page.wait_for_function("document.querySelector('.fv-run-bar-words').textContent.includes('epoch')")
    assert f"{name} is training" in bar.inner_text()
    bar.click()
    page.wait_for_selector(f"#train-status:has-text('{name}')")
    assert page.get_by_role("tab", name="Train").get_attribute("aria-selected") == "true"
    page.click("#train-stop")
    # Within a second where nothing else runs; here a training and other tests take the processors.
    page.wait_for_selector("#train-status:has-text('stopping after this step'), #train-status .fv-run-stopped", timeout=10_000)
    page.wait_for_selector("#train-status .fv-run-stopped", timeout=30_000)
    bar.wait_for(state="hidden")
    page.click("#train-resume")
    page.wait_for_selector("#train-status .fv-run-running", timeout=90_000)
    page.get_by_role("tab", name="Classify").click()
    launcher.stop(list_runs(app.runs)[0])
    page.wait_for_selector(f".fv-run-bar-go:has-text('{name} was stopped')", timeout=30_000)
    assert f"{name} was stopped" in page.inner_text(".fv-run-bar-said[role=status]"), "and it is announced"
    page.reload()
    page.wait_for_selector(f".fv-run-bar-go:has-text('{name} was stopped')")
    page.get_by_role("button", name="Dismiss").click()
    bar.wait_for(state="hidden")
    page.reload()
    page.wait_for_selector("#classify-answer .fv-answer", state="attached")
    assert page.evaluate("localStorage.getItem('fruitvision-run')") is None and not bar.is_visible()


def test_wrong_settings_are_named_all_at_once_and_nothing_is_started(visit, app):
    page = open_train(visit)
    wait_until_free(page)
    before = len(list(app.runs.glob("*/config.json")))
    fill_quick(page, epochs=0, **{"batch-size": 100000})
    page.click("#train-start")
    page.wait_for_selector("#train-notice .fv-wrong")
    notice = page.inner_text("#train-notice")
    assert "“Epochs”" in notice and "“Batch size”" in notice and "batch_size" not in notice
    page.locator("#train-processes input").fill("99")
    page.locator("#train-processes input").press("Tab")
    page.click("#train-start")
    page.wait_for_selector("#train-notice:has-text('99 is not a valid number of processes')")
    assert len(list(app.runs.glob("*/config.json"))) == before


def test_a_folder_without_pictures_is_said_to_be_one(visit, tmp_path):
    (tmp_path / "空 folder").mkdir()
    page = open_train(visit)
    page.click("#train-data input")
    page.get_by_role("option", name="A folder on this computer…").click()
    page.locator("#train-folder textarea, #train-folder input").first.fill(str(tmp_path / "空 folder"))
    page.click("#train-look")
    page.wait_for_selector("#train-found .fv-wrong")


def lay_run(runs: Path, name: str) -> None:
    """A run that ended after three epochs."""
    training = TrainConfig.from_preset("fast", width=8, epochs=3, start="scratch")
    run = new_run(runs, RunConfig(name=name, data=str(runs), training=training))
    for epoch in (1, 2, 3):
        run.append({"kind": "epoch", "epoch": epoch, "train_loss": 1 / epoch, "val_loss": 1 / epoch, "val_accuracy": epoch / 4})
    run.write_status(RunStatus(state="stopped", epochs=3, epoch=3, steps=1))


def test_a_run_that_finished_while_nobody_looked_is_told_at_the_top_until_it_was_seen(visit, app):
    wait_until_free(open_train(visit))
    run = new_run(app.runs, RunConfig(name="overnight", data=str(app.runs), training=TrainConfig.from_preset("fast")))
    run.write_status(RunStatus(state="finished", epochs=3, epoch=3, heartbeat=time.time(), skipped=0, test_top1=2 / 3, test_images=15))
    page = visit(size=PHONE)
    bar = page.locator(".fv-run-bar-go")
    bar.wait_for()
    assert re.sub(r"\s+", " ", bar.inner_text()) == "overnight has finished: accuracy 66.7%. Show"
    bar.click()
    page.wait_for_selector("#train-status:has-text('95% confidence interval')")
    focused_in_view(page, "#train-status")
    bar.wait_for(state="hidden")
    page.reload()
    page.wait_for_selector("#train-status .fv-run-finished")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(5000)  # the bar asks every four seconds
    assert not bar.is_visible()
    run.delete()


def focused_in_view(page, selector: str) -> None:
    """Wait until the focus is within ``selector``, and its place on the screen."""
    page.wait_for_function(
        """selector => {
          const { top } = document.querySelector(selector)?.getBoundingClientRect() ?? { top: -1 };
          return document.activeElement.closest(selector) && top >= 0 && top < innerHeight - 40;
        }""",
        arg=selector,
    )


@pytest.mark.slow
def test_a_run_is_renamed_overlaid_and_deleted_after_a_question(visit, app):
    for name in ("first try", "laid under it"):
        lay_run(app.runs, name)
    page = open_train(visit, size=PHONE)
    wait_until_free(page)
    row = page.locator("#train-runs tr", has_text="first try").first
    row.get_by_role("button", name="Rename").click()
    focused_in_view(page, "#train-new-name")
    page.locator("#train-new-name textarea, #train-new-name input").first.fill("laid under it")
    page.click("#train-save-name")  # taken: the row stays open, and the focus in it
    page.wait_for_selector("#train-row-notice [role=alert]:has-text('laid under it')")
    page.wait_for_timeout(500)
    focused_in_view(page, "#train-rename-row")
    seen = "[...document.querySelectorAll('#train-row-notice, #train-new-name, #train-save-name, #train-rename-no')].map((one) => "
    seen += "one.getBoundingClientRect()).every(({ top, bottom }) => top >= 0 && bottom <= innerHeight)"
    page.wait_for_function(seen)
    assert not page.locator(".toast-body").count()
    page.keyboard.press("Escape")
    focused_in_view(page, "#train-runs")
    assert not page.is_visible("#train-rename-row") and not page.is_visible("#train-row-notice")
    row.get_by_role("button", name="Rename").click()
    focused_in_view(page, "#train-new-name")
    page.click("#train-rename-no")
    focused_in_view(page, "#train-runs")
    row.get_by_role("button", name="Rename").click()
    focused_in_view(page, "#train-new-name")
    page.locator("#train-new-name textarea, #train-new-name input").first.fill("second try")
    page.click("#train-save-name")
    focused_in_view(page, "#train-runs")
    row = page.locator("#train-runs tr", has_text="second try").first
    other = page.locator("#train-runs tr", has_text="laid under it").first
    page.route("**/queue/join*", answer_slowly)
    page.evaluate(  # the second click comes before the first is answered
        "([open, overlay]) => { open.click(); setTimeout(() => overlay.click(), 300) }",
        [
            row.get_by_role("button", name="Open").element_handle(),
            other.get_by_role("button", name="Overlay").element_handle(),
        ],
    )
    page.wait_for_selector("#train-status:has-text('second try')")
    page.wait_for_selector("#train-charts .fv-legend:has-text('laid under it')")
    page.unroute("**/queue/join*")
    focused_in_view(page, "#train-charts")
    row.get_by_role("button", name="Open").click()
    focused_in_view(page, "#train-status")
    before = len(list(app.runs.glob("*/config.json")))
    row.get_by_role("button", name="Delete").click()
    page.wait_for_selector("#train-delete-row:has-text('second try')")
    focused_in_view(page, "#train-delete-row")
    page.keyboard.press("Escape")
    page.wait_for_selector("#train-delete-row", state="hidden")
    row.get_by_role("button", name="Delete").click()
    focused_in_view(page, "#train-delete-row")
    assert "without a result" in page.inner_text("#train-delete-row") and time.strftime("%Y-") in page.inner_text("#train-delete-row")
    page.click("#train-delete-yes")
    page.wait_for_selector("#train-runs tr:has-text('second try')", state="detached")
    assert len(list(app.runs.glob("*/config.json"))) == before - 1


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_panel_fits_a_phone(visit, locale):
    page = open_train(visit, size=PHONE, locale=locale)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    found = [measure(page, "#panel-train") for measure in (small_letters, small_targets, hidden_scrolls)]
    assert not any(found), found
