"""The right side of Train: the run in view, watched each second from its folder alone, and what can be done with it."""

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
from fruitvision.runs import launcher
from fruitvision.runs.folder import RunFolder, RunStatus, list_runs
from fruitvision.runs.report import begin_report, report_file, report_state
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.downloads import download_path
from fruitvision.ui.page.events import QUEUED, SAVE_FILE_JS, UNQUEUED, Seen, Updates, by_component, changed, fingerprint, for_owner
from fruitvision.ui.page.export.buttons import wire_export
from fruitvision.ui.page.export.files import Kind, export_file, zip_folder
from fruitvision.ui.train.results import FirstResults, results_view
from fruitvision.ui.train.run_view import epochs_csv, main_charts, more_charts, run_table, status_line
from fruitvision.ui.train.runs import RunTable, find_run, use_run
from fruitvision.wording.text import LANGUAGES, say

WATCHED = (
    "status",
    "charts",
    "results",
    "more",
    "log",
    "stop",
    "end",
    "resume",
    "use",
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
"""The components that :func:`run_view` updates."""

# A report that is not made yet is begun, and appears below the charts.
SAVE_OR_SCROLL_JS = (
    f"(file, said) => {{ if (!file && !said) return window.fruitvisionScrollIntoView('#train-results'); ({SAVE_FILE_JS})(file, said); }}"
)
DOWNLOADS = ("checkpoint", "onnx", "page", "csv")


class RunView:
    """The components, in the order of the page."""

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
            self.report = button("report", "train.report_none")
        with page.bind(gr.Accordion(visible=False, open=False, elem_id="train-downloads"), label="train.downloads") as self.downloads:
            with gr.Row():
                self.checkpoint, self.onnx, self.page, self.csv = (button(name, f"train.{name}", 200) for name in DOWNLOADS)
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


def wire_view(page: Page, parts: RunView, table: RunTable, notice: gr.HTML, timer: gr.Timer) -> None:
    """The buttons stop, resume, classify with and download the run in view; ``notice`` shows their errors."""
    first = FirstResults()
    context, here, components = page.context, [page.language, table.run], {**vars(table), **vars(parts)}

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

    # Whoever presses Stop reads at once that it was heard: the page says so itself, before the server has answered.
    parts.stop.click(None, None, None, js=stopping_script())
    parts.stop.click(for_owner(context, stop, notice), here, [notice, parts.status, parts.stop], **QUEUED)
    for button, action in ((parts.end, end), (parts.resume, resume)):
        button.click(for_owner(context, action, notice), here, notice, **QUEUED)

    def report(language: str, run: str | None) -> Updates:
        return {parts.file: report_copy(find_run(context, run), language)}

    def csv(language: str, run: str | None) -> Updates:
        return {parts.file: str(csv_file(find_run(context, run)))}

    for button, action, saved in ((parts.report, report, SAVE_OR_SCROLL_JS), (parts.csv, csv, SAVE_FILE_JS)):
        made = button.click(for_owner(context, action, notice), here, [parts.file, notice], **QUEUED)
        made.success(None, [parts.file, notice], None, js=saved)

    def checkpoint(language: str, run: str | None) -> Path:
        return checkpoint_file(find_run(context, run))

    def onnx(language: str, run: str | None) -> Path:
        return exported_run(find_run(context, run), "onnx")

    def own_page(language: str, run: str | None) -> Path:
        return exported_run(find_run(context, run), "page")

    for name, make in (("checkpoint", checkpoint), ("onnx", onnx), ("page", own_page)):
        button = getattr(parts, name)
        wire_export(page, button, f"train.{name}", make, [table.run], parts.file, parts.downloaded, f"train.{name}_how")

    def use(language: str, run: str | None) -> Any:
        return by_component(components, use_run(context, run, language))

    parts.use.click(use, here, [page.model, page.tabs], **QUEUED)

    def watch(run: str | None, overlaid: list[str], seen: Seen | None, language: str, request: gr.Request) -> Any:
        owner = context.access.is_owner(request)
        shown = run_view(context, run, overlaid, seen, language, owner=owner)
        if owner and (in_view := shown.get("run", run)):
            first.consider(context.runs, in_view, language)
        return by_component(components, shown)

    gr.on(
        [page.demo.load, timer.tick, table.run.change, table.overlaid.change],
        watch,
        [table.run, table.overlaid, parts.seen, page.language],
        [components[name] for name in WATCHED],
        **UNQUEUED,
    )


def stopping_script() -> str:
    """JavaScript that puts "stopping" where the status stands, until the server's own answer takes its place."""
    words = {language: Markup(say("train.status_stopping", language)).striptags().replace("{name}", "").strip() for language in LANGUAGES}
    return f"""() => {{
  const words = {json.dumps(words)}, told = document.querySelector("#train-status p");
  const named = told?.querySelector("strong")?.textContent ?? "";
  if (told) told.textContent = `${{named}} ${{words[window.fruitvision?.language] ?? words.en}}`;
}}"""


def run_view(context: Context, run_id: str | None, overlaid: list[str], seen: Seen | None, language: str, *, owner: bool) -> dict[str, Any]:
    """Updates of ``WATCHED``, by name; what did not change is left out.

    Where there is no run in view, or it is gone, the one that is training is taken, or the newest. A visitor sees finished runs,
    and not their logs, which name folders of this computer.
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
    beside = [one for one in runs if one.id in overlaid and one != run]
    listed = fingerprint([_facts(one, states[one.id]) for one in runs], [one.id for one in beside], language, owner)
    key = (listed, fingerprint(run_id, run and run.id, overlaid, position))
    if seen and key == tuple(seen[0]):
        return {}
    drawn = [*([run] if run else []), *beside]
    values = {
        "status": status_line(run, language, training),
        "charts": main_charts(drawn, language),
        "results": results_view(run, status, report, language) if owner else "",
        "more": more_charts(drawn, language),
        "log": run.log_tail() if run and owner else "",
        **_buttons(run, status, report, language, owner, stopping),
        "run": run.id if run else None,
    }
    if not (seen and listed == seen[0][0]):  # a step of one run changes nothing of the others
        values["table"] = run_table(runs, [one.id for one in beside], language, owner=owner)
        values["model"] = gr.update(choices=context.models.choices(language))
    return changed(values, seen, key)


def _buttons(run: RunFolder | None, status: RunStatus | None, report: str, language: str, owner: bool, stopping: bool) -> dict[str, Any]:
    """Which buttons are shown."""
    if run is None or status is None:
        return {name: gr.update(visible=False) for name in ("stop", "end", "resume", "use", "report", "downloads", *DOWNLOADS)}
    done = status.state == "finished" and run.has_checkpoint
    return {
        "stop": gr.update(visible=status.active and status.responding, interactive=owner and not stopping),
        "end": gr.update(visible=not status.responding),
        "resume": gr.update(visible=status.state in ("stopped", "interrupted", "failed")),
        "use": gr.update(visible=done),
        "downloads": gr.update(visible=bool(owner and (done or status.epoch))),
        **{name: gr.update(visible=done and owner) for name in ("checkpoint", "onnx", "page")},
        "report": gr.update(visible=done and owner, value=say(f"train.report_{report}", language), interactive=report != "making"),
        "csv": gr.update(visible=bool(owner and status.epoch)),
    }


def _facts(run: RunFolder, status: RunStatus) -> tuple[Any, ...]:
    """What the table shows of a run that can change."""
    return run.id, run.name, status.state, status.responding, status.start, status.best_val_accuracy, status.test_top1


# Files to download -----------------------------------------------------------------------------------------------


def report_copy(run: RunFolder, language: str) -> str | None:
    """The report's file to download where there is one; otherwise it is begun, and the answer is None. Raises as that does."""
    if report_state(run) != "ready":
        begin_report(run, language)
        return None
    return str(_made(run, "html", lambda path: shutil.copyfile(report_file(run), path)))


def csv_file(run: RunFolder) -> Path:
    """The run's epochs as CSV by its name, with the byte order mark by which Excel knows UTF-8."""
    return _made(run, "csv", lambda path: write_text(path, epochs_csv(run)))


def checkpoint_file(run: RunFolder) -> Path:
    """The run's best checkpoint as one ZIP file by the run's name."""
    return zip_folder(current_folder(run.best), run.name, fallback=run.id)


def exported_run(run: RunFolder, kind: Kind) -> Path:
    """The run's best network as an ONNX file, or as a standalone web page in a ZIP file. Raises RunError "report-not-finished"."""
    if run.status().state != "finished" or not run.has_checkpoint:
        raise RunError("report-not-finished", run=run.name)
    return export_file(run.best, run.name, kind, fallback=run.id)


def _made(run: RunFolder, kind: str, write: Callable[[Path], Any]) -> Path:
    """A file by the run's name. Raises DataError where it cannot be written."""
    path = download_path(run.name, kind, fallback=run.id)
    with named_write_errors(path):
        write(path)
    return path
