"""What Train shows of runs, and what may be done with them: watched each second, from their folders alone."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.errors import FruitVisionError, RunError
from fruitvision.files import named_write_errors, write_text
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunFolder, RunStatus, list_runs
from fruitvision.runs.report import begin_report, report_file, report_state
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.downloads import to_download
from fruitvision.ui.page.events import QUIET, SHOWN, notice
from fruitvision.ui.train.run_view import epochs_csv, main_charts, more_charts, run_table, status_line
from fruitvision.wording.text import say, say_error

VIEW = ("status", "charts", "more", "log", "stop", "end", "resume", "use", "checkpoint", "report", "csv", "table")
# A button in the table of runs says what to do with which run.
TABLE_CLICKS = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-action]');
  if (button) trigger('click', { action: button.dataset.action, run: button.dataset.run });
});"""
# Made when it is asked for: what lies ready on the server is deleted after a while.
SAVE_FILE = """(file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name || "";
  link.click();
}"""


def changed(values: list[Any], seen: tuple[Any, list[int]] | None, now: Any) -> list[Any]:
    """``values`` for the page, those that it shows already skipped; and, last, what is to be remembered as ``seen``.

    So a button keeps the focus, and a list stays open, while a curve beside it grows.
    """
    known = seen[1] if seen else [None] * len(values)
    marks = [old if value == gr.skip() else hash(repr(value)) for value, old in zip(values, known, strict=True)]
    fresh = [gr.skip() if mark == old else value for value, mark, old in zip(values, marks, known, strict=True)]
    return [*fresh, (now, marks)]


def find_run(context: Context, run_id: str | None) -> RunFolder:
    """The run of that id. Raises RunError "run-gone"."""
    for run in list_runs(context.runs):
        if run.id == run_id:
            return run
    raise RunError("run-gone", "That run is not there any more.", "Choose another one.")


def use_run(context: Context, run_id: str | None, language: str) -> tuple[Any, Any]:
    """Let Classify answer with this run's network, and go there."""
    return gr.update(choices=context.models.choices(language), value=f"run:{run_id}"), gr.update(selected="classify")


# Watching --------------------------------------------------------------------------------------------------------


def wire_view(page: Page, p: dict[str, Any]) -> None:
    """The right side: it follows the run in view, which its buttons stop, resume, hand on and download."""
    context, here = page.context, [p["run"], page.language]

    def changing(action: Callable[[RunFolder], None]) -> Callable[..., str]:
        def change(run: str | None, language: str, request: gr.Request) -> str:
            try:
                context.access.require_owner(request)
                action(find_run(context, run))
            except FruitVisionError as error:
                return notice(error, language)
            return ""

        return change

    for name, action in (("stop", launcher.stop), ("end", RunFolder.end), ("resume", launcher.resume)):
        p[name].click(changing(action), here, p["notice"], **SHOWN)
    p["use"].click(lambda run, language: use_run(context, run, language), here, [page.model, page.tabs], **SHOWN)

    def pack(run: str | None, language: str, request: gr.Request) -> tuple[Any, str]:
        try:
            context.access.require_owner(request)
            return str(packed(find_run(context, run))), ""
        except FruitVisionError as error:
            return None, notice(error, language)

    made = p["checkpoint"].click(pack, here, [p["packed"], p["notice"]], **SHOWN)
    made.success(None, p["packed"], None, js=SAVE_FILE)

    def report(run: str | None, language: str, request: gr.Request) -> tuple[Any, str]:
        try:
            context.access.require_owner(request)
            return give_report(find_run(context, run), language), ""
        except FruitVisionError as error:
            return None, notice(error, language)

    given = p["report"].click(report, here, [p["packed"], p["notice"]], **SHOWN)
    given.success(None, p["packed"], None, js=SAVE_FILE)

    def figures(run: str | None, language: str, request: gr.Request) -> tuple[Any, str]:
        try:
            context.access.require_owner(request)
            return str(figures_file(find_run(context, run))), ""
        except FruitVisionError as error:
            return None, notice(error, language)

    written = p["csv"].click(figures, here, [p["packed"], p["notice"]], **SHOWN)
    written.success(None, p["packed"], None, js=SAVE_FILE)

    def watch(run: str | None, overlaid: list[str], seen: Any, language: str, request: gr.Request) -> list[Any]:
        return run_view(context, run, overlaid, seen, language, owner=context.access.is_owner(request))

    gr.on(
        [page.demo.load, p["timer"].tick, p["run"].change, p["overlaid"].change],
        watch,
        [p["run"], p["overlaid"], p["run_seen"], page.language],
        [*(p[name] for name in VIEW), page.model, p["run"], p["run_seen"]],
        **QUIET,
    )


def run_view(context: Context, run_id: str | None, overlaid: list[str], seen: Any, language: str, *, owner: bool) -> list[Any]:
    """The parts of ``VIEW``, the models, the run in view and what is seen now; what did not change is skipped.

    Where there is no run in view, or it is gone, the one at work is taken, or the newest. A visitor sees finished runs, and
    not their logs, which name folders of this computer.
    """
    runs = list_runs(context.runs)
    states = {one.id: one.status() for one in runs}
    if not owner:
        runs = [one for one in runs if states[one.id].state == "finished"]
    going = next((one for one in runs if states[one.id].active), None)
    run = next((one for one in runs if one.id == run_id), None) or going or next(iter(runs), None)
    status = states[run.id] if run else None
    facts = [_facts(one, states[one.id]) for one in runs]
    report = report_state(run) if run else "none"
    position = (status.epoch, status.step, status.eta_s, status.heartbeat, status.error, report) if status else ()
    others = [one for one in runs if one.id in overlaid and one != run]
    listed = repr((facts, [one.id for one in others], language, owner))
    now = (listed, repr((run_id, run and run.id, overlaid, position)))
    if seen and now == tuple(seen[0]):
        return [gr.skip()] * (len(VIEW) + 3)
    same = bool(seen) and listed == seen[0][0]  # a step of one run changes nothing of the others
    drawn = [*([run] if run else []), *others]
    done = bool(run and status.state == "finished" and run.has_checkpoint)
    values = [
        status_line(run, language, going),
        main_charts(drawn, language),
        more_charts(drawn, language),
        run.log_tail() if run and owner else "",
        gr.update(visible=bool(status and status.active and status.responding)),
        gr.update(visible=bool(status and not status.responding)),
        gr.update(visible=bool(status and status.state in ("stopped", "interrupted", "failed"))),
        gr.update(visible=done),
        gr.update(visible=done and owner),
        gr.update(visible=done and owner, value=say(f"train.report_{report}", language), interactive=report != "making"),
        gr.update(visible=bool(status and owner and status.epoch)),
        gr.skip() if same else run_table(runs, [one.id for one in others], language, owner=owner),
        gr.skip() if same else gr.update(choices=context.models.choices(language)),
        run.id if run else None,
    ]
    return changed(values, seen, now)


def _facts(run: RunFolder, status: RunStatus) -> tuple[Any, ...]:
    """What the table shows of a run that can change."""
    return run.id, run.name, status.state, status.responding, status.start, status.best_val_accuracy, status.test_top1


def give_report(run: RunFolder, language: str) -> str | None:
    """The report's file to download where there is one; otherwise it is begun, and nothing given yet. Raises as that does."""
    if report_state(run) != "ready":
        begin_report(run, language)
        return None
    path = to_download(run.name, "html", otherwise=run.id)
    with named_write_errors(path):
        shutil.copyfile(report_file(run), path)
    return str(path)


def figures_file(run: RunFolder) -> Path:
    """The run's epochs as CSV by its name, with the mark by which Excel knows UTF-8."""
    path = to_download(run.name, "csv", otherwise=run.id)
    write_text(path, epochs_csv(run))
    return path


def packed(run: RunFolder) -> Path:
    """The run's best checkpoint as one ZIP file by the run's name."""
    path = to_download(run.name, "zip", otherwise=run.id)
    with named_write_errors(path), zipfile.ZipFile(path, "w") as archive:  # weights do not compress
        for file in sorted(run.best.iterdir()):
            archive.write(file, f"{path.stem}/{file.name}")
    return path


# The table of runs -----------------------------------------------------------------------------------------------


def build_table(page: Page, p: dict[str, Any]) -> None:
    """All runs, and the two rows that ask for a name and for leave to delete."""
    p["table"] = gr.HTML(elem_id="train-runs", js_on_load=TABLE_CLICKS)
    with gr.Row(visible=False, elem_id="train-rename-row") as p["rename_row"]:
        p["new_name"] = page.bind(gr.Textbox(elem_id="train-new-name", max_lines=1, max_length=100), label="train.new_name")
        p["save_name"] = page.bind(gr.Button(elem_id="train-save-name", scale=0, min_width=110), value="train.save")
    with gr.Row(visible=False, elem_id="train-delete-row") as p["delete_row"]:
        p["delete_ask"] = gr.HTML()
        p["delete_yes"] = page.bind(gr.Button(variant="stop", elem_id="train-delete-yes", scale=0, min_width=110), value="train.delete_yes")
        p["delete_no"] = page.bind(gr.Button(elem_id="train-delete-no", scale=0, min_width=110), value="train.cancel")
    p["overlaid"] = gr.State([])
    p["acting"] = gr.State(None)  # the run that the rename or delete row is about


def wire_table(page: Page, p: dict[str, Any]) -> None:
    """Open, overlay, classify, rename and delete. What goes wrong is said in a toast: the table may be far down."""
    context = page.context

    def act(run: str | None, overlaid: list[str], language: str, event: gr.EventData) -> list[Any]:
        asked = event._data if isinstance(event._data, dict) else {}
        return table_action(context, str(asked.get("action", "")), str(asked.get("run", "")), overlaid, language)

    shown = [
        p["run"],
        p["overlaid"],
        p["acting"],
        p["rename_row"],
        p["new_name"],
        p["delete_row"],
        p["delete_ask"],
        page.model,
        page.tabs,
    ]
    # Each button of the table is a click of the one component: by Gradio's "once" the second of two quick ones would be lost.
    # One after another, because each knows what the one before has laid over.
    p["table"].click(act, [p["run"], p["overlaid"], page.language], shown, **SHOWN, trigger_mode="multiple", concurrency_limit=1)

    def rename(run: str | None, name: str, language: str, request: gr.Request) -> Any:
        try:
            context.access.require_owner(request)
            find_run(context, run).rename(name)
        except FruitVisionError as error:
            gr.Warning(escape(say_error(error, language)))
            return gr.skip()
        return gr.update(visible=False)

    def delete(run: str | None, model: str | None, language: str, request: gr.Request) -> tuple[Any, Any]:
        try:
            context.access.require_owner(request)
            find_run(context, run).delete()
        except FruitVisionError as error:
            gr.Warning(escape(say_error(error, language)))
            return gr.update(visible=False), gr.skip()
        return gr.update(visible=False), context.models.choices_update(language, model)

    asked = [p["acting"], p["new_name"], page.language]
    gr.on([p["save_name"].click, p["new_name"].submit], rename, asked, p["rename_row"], **SHOWN)
    p["delete_yes"].click(delete, [p["acting"], page.model, page.language], [p["delete_row"], page.model], **SHOWN)
    p["delete_no"].click(lambda: gr.update(visible=False), None, p["delete_row"], **SHOWN)


def table_action(context: Context, action: str, target: str, overlaid: list[str], language: str) -> list[Any]:
    """What a button of the table does: to the run in view, the overlaid runs, the rename and delete rows, the header."""
    keep: list[Any] = [gr.skip()] * 9
    names = {one.id: one.name for one in list_runs(context.runs)}
    if target not in names:
        return keep
    if action == "open":
        keep[0] = target
    elif action in ("overlay", "hide"):
        keep[1] = [one for one in overlaid if one != target] + ([target] if action == "overlay" else [])
    elif action == "classify":
        keep[7:] = use_run(context, target, language)
    elif action == "rename":
        keep[2:6] = target, gr.update(visible=True), names[target], gr.update(visible=False)
    elif action == "delete":
        asked = f'<p role="alert">{say("train.delete_ask", language, name=escape(names[target]))}</p>'
        keep[2:7] = target, gr.update(visible=False), "", gr.update(visible=True), asked
    return keep
