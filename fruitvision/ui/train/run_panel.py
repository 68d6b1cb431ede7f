"""The right side of Train: the displayed run, updated every second from its folder, and the actions on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from fruitvision.errors import RunError
from fruitvision.files import current_folder, named_write_errors, write_text
from fruitvision.models import EXPORT_PACKAGES, can_export
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunFolder, RunStatus, list_runs
from fruitvision.runs.report import begin_report, report_file, report_state
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.downloads import download_path
from fruitvision.ui.page.elements import note
from fruitvision.ui.page.events import (
    QUEUED,
    SAVE_FILE_JS,
    UNQUEUED,
    Seen,
    Updates,
    by_component,
    changed,
    fingerprint,
    for_owner,
    scroll_to_js,
)
from fruitvision.ui.page.export.buttons import wire_export
from fruitvision.ui.page.export.files import Kind, export_file, zip_folder
from fruitvision.ui.train.results import AutoReports, results_view
from fruitvision.ui.train.run_view import epochs_csv, main_charts, more_charts, run_table, status_line
from fruitvision.ui.train.runs import RunTable, find_run, use_run
from fruitvision.wording.text import LANGUAGES, say

UPDATED = (
    "status",
    "charts",
    "results",
    "more",
    "log",
    "stop",
    "end",
    "resume",
    "use",
    "show",
    "report",
    "downloads",
    "checkpoint",
    "onnx",
    "page",
    "csv",
    "table",
    "model",
    "run",
    "seen",
)
"""The names of the components that :func:`run_updates` updates."""

DOWNLOADS = ("checkpoint", "onnx", "page", "csv")


class RunPanel:
    """The components, in page order."""

    def __init__(self, page: Page) -> None:
        language = page.context.language

        def button(name: str, key: str, min_width: int = 150, variant: Any = "secondary") -> gr.Button:
            return page.bind(gr.Button(visible=False, variant=variant, elem_id=f"train-{name}", min_width=min_width), value=key)

        status = gr.HTML(status_line(None, language), elem_id="train-status")
        self.status = page.bind_initial(status, value=partial(status_line, None))
        with gr.Row():
            self.stop = button("stop", "train.stop", 110)
            self.end = button("end", "train.end", 110, "stop")
            self.resume = button("resume", "train.resume", 110)
            self.use = button("use", "train.use", variant="primary")
            show = gr.Button(visible=False, elem_id="train-show", min_width=150)
            self.show = page.bind_initial(show, value="train.report_none")  # its label depends on the evaluation too
            self.report = button("report", "train.report")
        with page.bind(gr.Accordion(visible=False, open=False, elem_id="train-downloads"), label="train.downloads") as self.downloads:
            with gr.Row():
                self.checkpoint, self.onnx, self.page, self.csv = (button(name, f"train.{name}", 200) for name in DOWNLOADS)
            if not can_export():
                page.bind(gr.HTML(elem_id="train-export-missing"), value=export_missing)
            self.downloaded = gr.HTML(elem_id="train-downloaded")
        self.file = gr.DownloadButton(visible="hidden")
        self.charts = page.bind_initial(gr.HTML(main_charts([], language), elem_id="train-charts"), value=partial(main_charts, []))
        self.results = gr.HTML(elem_id="train-results")
        with page.bind(gr.Accordion(open=False, elem_id="train-more"), label="train.more"):
            self.more = gr.HTML()
        with page.bind(gr.Accordion(open=False, elem_id="train-log-fold"), label="train.log"):
            self.log = gr.Textbox(
                lines=10, max_lines=10, show_label=False, interactive=False, autoscroll=True, elem_id="train-log", container=False
            )
        self.seen = gr.State(None)


def wire_run(page: Page, parts: RunPanel, table: RunTable, notice: gr.HTML, timer: gr.Timer) -> None:
    """Register the actions on the displayed run, and its regular update. ``notice`` shows the actions' errors."""
    auto_reports = AutoReports()
    context, inputs, components = page.context, [page.language, table.run], {**vars(table), **vars(parts)}

    def stop(language: str, run: str | None) -> Updates:
        stopped = find_run(context, run)
        launcher.stop(stopped)
        return {parts.status: status_line(stopped, language), parts.stop: gr.update(interactive=False)}

    def end(language: str, run: str | None) -> Updates:
        find_run(context, run).end()
        return {}

    def resume(language: str, run: str | None) -> Updates:
        launcher.resume(find_run(context, run))
        return {}

    # The page itself shows at once that the run is stopping, before the server has answered.
    parts.stop.click(None, None, None, js=stopping_js())
    parts.stop.click(for_owner(context, stop, notice), inputs, [notice, parts.status, parts.stop], **QUEUED)
    for button, action in ((parts.end, end), (parts.resume, resume)):
        button.click(for_owner(context, action, notice), inputs, notice, **QUEUED)

    def show(language: str, run: str | None) -> Updates:
        begin_report(find_run(context, run), language)
        return {}

    shown = parts.show.click(for_owner(context, show, notice), inputs, notice, **QUEUED)
    shown.then(None, None, None, js=scroll_to_js("#train-results", unless="#train-notice [role=alert]"))

    def report(language: str, run: str | None) -> Updates:
        return {parts.file: str(report_copy(find_run(context, run)))}

    def csv(language: str, run: str | None) -> Updates:
        return {parts.file: str(csv_file(find_run(context, run)))}

    for button, action in ((parts.report, report), (parts.csv, csv)):
        written = button.click(for_owner(context, action, notice), inputs, [parts.file, notice], **QUEUED)
        written.success(None, [parts.file, notice], None, js=SAVE_FILE_JS)

    def checkpoint(language: str, run: str | None) -> Path:
        return checkpoint_file(find_run(context, run))

    def onnx(language: str, run: str | None) -> Path:
        return exported_run(find_run(context, run), "onnx")

    def web_page(language: str, run: str | None) -> Path:
        return exported_run(find_run(context, run), "page")

    for name, make in (("checkpoint", checkpoint), ("onnx", onnx), ("page", web_page)):
        button = getattr(parts, name)
        wire_export(page, button, f"train.{name}", make, [table.run], parts.file, parts.downloaded, f"train.{name}_how")

    table.run.change(None, None, parts.downloaded, js="() => ''")  # what is said of a download is said of the run before

    def use(language: str, run: str | None) -> Any:
        return by_component(components, use_run(context, run, language))

    parts.use.click(use, inputs, [page.model, page.tabs], **QUEUED)

    def update(run: str | None, overlaid: list[str], seen: Seen | None, language: str, request: gr.Request) -> Any:
        owner = context.access.is_owner(request)
        updates = run_updates(context, run, overlaid, seen, language, owner=owner)
        if owner and (displayed := updates.get("run", run)):
            auto_reports.start_if_due(context.runs, displayed, language)
        return by_component(components, updates)

    gr.on(
        [page.demo.load, timer.tick, table.run.change, table.overlaid.change],
        update,
        [table.run, table.overlaid, parts.seen, page.language],
        [components[name] for name in UPDATED],
        **UNQUEUED,
    )


def export_missing(language: str) -> Markup:
    """The sentence in the place of the exports that need packages that are not installed."""
    return note(say("train.export_missing", language, packages=" ".join(EXPORT_PACKAGES)))


def stopping_js() -> str:
    """JavaScript that shows "stopping" as the status, until the server's answer replaces it."""
    words = {language: Markup(say("train.status_stopping", language)).striptags().replace("{name}", "").strip() for language in LANGUAGES}
    return f"""() => {{
  const words = {json.dumps(words)}, status = document.querySelector("#train-status p");
  const name = status?.querySelector("strong")?.textContent ?? "";
  if (status) status.textContent = `${{name}} ${{words[window.fruitvision?.language] ?? words.en}}`;
}}"""


def run_updates(
    context: Context, run_id: str | None, overlaid: list[str], seen: Seen | None, language: str, *, owner: bool
) -> dict[str, Any]:
    """Updates of the ``UPDATED`` components by name; unchanged ones are left out.

    If ``run_id`` is None, or no longer exists, the run that is training is displayed, or the newest. Visitors see only finished runs,
    without their logs, which contain paths of this computer.
    """
    runs = list_runs(context.runs)
    states = {one.id: one.status() for one in runs}
    if not owner:
        runs = [one for one in runs if states[one.id].state == "finished"]
    training = next((one for one in runs if states[one.id].active), None)
    run = next((one for one in runs if one.id == run_id), None) or training or next(iter(runs), None)
    status = states[run.id] if run else None
    report = report_state(run) if run else "none"
    stopping = bool(run and status and status.active and run.stop_file.exists())
    position = (status.epoch, status.step, status.eta_s, status.heartbeat, status.error, report, stopping) if status else ()
    overlays = [one for one in runs if one.id in overlaid and one != run]
    listed = fingerprint([_facts(one, states[one.id]) for one in runs], [one.id for one in overlays], language, owner)
    key = (listed, fingerprint(run_id, run and run.id, overlaid, position))
    if seen and key == tuple(seen[0]):
        return {}
    charted = [*([run] if run else []), *overlays]
    values = {
        "status": status_line(run, language, training),
        "charts": main_charts(charted, language),
        "results": results_view(run, status, report, language) if owner else "",
        "more": more_charts(charted, language),
        "log": run.log_tail() if run and owner else "",
        **_buttons(run, status, report, language, owner, stopping),
        "run": run.id if run else None,
    }
    if not (seen and listed == seen[0][0]):  # another step of the displayed run does not change the table
        values["table"] = run_table(runs, [one.id for one in overlays], language, owner=owner)
        values["model"] = gr.update(choices=context.models.choices(language))
    return changed(values, seen, key)


def _buttons(run: RunFolder | None, status: RunStatus | None, report: str, language: str, owner: bool, stopping: bool) -> dict[str, Any]:
    """Updates of the buttons: which are shown, and which are enabled."""
    if run is None or status is None:
        return {name: gr.update(visible=False) for name in ("stop", "end", "resume", "use", "show", "report", "downloads", *DOWNLOADS)}
    done = status.state == "finished" and run.has_checkpoint
    return {
        "stop": gr.update(visible=status.active and status.responding, interactive=owner and not stopping),
        "end": gr.update(visible=not status.responding),
        "resume": gr.update(visible=status.state in ("stopped", "interrupted", "failed")),
        "use": gr.update(visible=done),
        "downloads": gr.update(visible=bool(owner and (done or status.epoch))),
        "checkpoint": gr.update(visible=done and owner),
        **{name: gr.update(visible=done and owner and can_export()) for name in ("onnx", "page")},
        "show": gr.update(
            visible=done and owner and report != "ready",
            value=say(f"train.report_{'none' if report == 'ready' else report}", language),
            interactive=report != "making",
        ),
        "report": gr.update(visible=done and owner and report == "ready"),
        "csv": gr.update(visible=bool(owner and status.epoch)),
    }


def _facts(run: RunFolder, status: RunStatus) -> tuple[Any, ...]:
    """The values of a run that the table shows, and that can change."""
    return run.id, run.name, status.state, status.responding, status.start, status.best_val_accuracy, status.test_top1


# Files to download -----------------------------------------------------------------------------------------------


def report_copy(run: RunFolder) -> Path:
    """A copy of the run's report for download. Raises RunError "report-not-finished"."""
    if report_state(run) != "ready":
        raise RunError("report-not-finished", run=run.name)
    return _download(run, "html", lambda path: shutil.copyfile(report_file(run), path))


def csv_file(run: RunFolder) -> Path:
    """The run's epochs as a CSV file, with a byte order mark, by which Excel recognizes UTF-8."""
    return _download(run, "csv", lambda path: write_text(path, epochs_csv(run)))


def checkpoint_file(run: RunFolder) -> Path:
    """The run's best checkpoint as a ZIP file."""
    return zip_folder(current_folder(run.best), run.name, fallback=run.id)


def exported_run(run: RunFolder, kind: Kind) -> Path:
    """The run's best network as an ONNX file, or as a standalone web page in a ZIP file. Raises RunError "report-not-finished"."""
    if run.status().state != "finished" or not run.has_checkpoint:
        raise RunError("report-not-finished", run=run.name)
    return export_file(run.best, run.name, kind, fallback=run.id)


def _download(run: RunFolder, suffix: str, write: Callable[[Path], Any]) -> Path:
    """Write a file for download, named after the run. Raises DataError if it cannot be written."""
    path = download_path(run.name, suffix, fallback=run.id)
    with named_write_errors(path):
        write(path)
    return path
