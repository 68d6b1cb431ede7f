"""The table of runs and its actions: open, overlay, classify with it, rename, delete."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from fruitvision.errors import RunError
from fruitvision.report.charts import COLOURS
from fruitvision.runs.folder import RunFolder, list_runs
from fruitvision.runs.names import rename as rename_run
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.events import QUEUED, Updates, by_component, for_owner, scroll_to_js
from fruitvision.ui.train.bar.run_bar import visible_runs
from fruitvision.ui.train.run_view import delete_question

MAX_OVERLAID = len(COLOURS) - 1
"""Maximum runs whose curves are overlaid on those of the displayed run, each in a colour of its own; the last ones are kept."""
OWNER_ACTIONS = ("rename", "delete")
# The click event of the table carries the action and the run of the pressed button.
TABLE_CLICK_JS = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-action]');
  if (!button) return;
  document.querySelector('#train-runs').dataset.asked = button.dataset.action;
  trigger('click', { action: button.dataset.action, run: button.dataset.run });
});
document.addEventListener('keydown', (event) => {
  const row = event.key === 'Escape' && event.target.closest('#train-rename-row, #train-delete-row');
  if (row) row.querySelector('#train-rename-no, #train-delete-no').click();
});"""
# On a phone the result of an action is far from the table: by action, the selector to scroll to, and the one to focus.
EFFECTS = {
    "open": ("#train-status",),
    "overlay": ("#train-charts",),
    "rename": ("#train-rename-row", "#train-new-name textarea, #train-new-name input"),
    "delete": ("#train-delete-row", "#train-delete-no"),
    "classify": ("#panels", "#panel-classify-button"),
}
SCROLL_TO_EFFECT_JS = f"""() => {{
  const effect = {json.dumps(EFFECTS)}[document.querySelector("#train-runs").dataset.asked];
  if (effect) window.fruitvisionScrollIntoView(...effect);
}}"""
SCROLL_TO_ERROR_JS = scroll_to_js("#train-row-forms:has(#train-row-notice [role=alert])", None)
SCROLL_TO_TABLE_JS = scroll_to_js("#train-runs", unless="#train-rename-row, #train-delete-row")  # the row stays open after an error


def find_run(context: Context, run_id: str | None) -> RunFolder:
    """The run with that id. Raises RunError "run-gone"."""
    for run in list_runs(context.runs):
        if run.id == run_id:
            return run
    raise RunError("run-gone")


def use_run(context: Context, run_id: str | None, language: str) -> dict[str, Any]:
    """Updates that select this run's network as the model, and open Classify."""
    model = gr.update(choices=context.models.choices(language), value=f"run:{run_id}")
    return {"model": model, "tabs": gr.update(selected="classify")}


class RunTable:
    """The components: the table, and the rows for renaming and for confirming a deletion."""

    def __init__(self, page: Page, run: gr.State) -> None:
        self.table = gr.HTML(elem_id="train-runs", js_on_load=TABLE_CLICK_JS)
        with gr.Column(elem_id="train-row-forms"):
            self.notice = gr.HTML(elem_id="train-row-notice")
            with gr.Row(visible=False, elem_id="train-rename-row") as self.rename_row:
                self.new_name = page.bind(gr.Textbox(elem_id="train-new-name", max_lines=1, max_length=100), label="train.new_name")
                self.save_name = page.bind(gr.Button(elem_id="train-save-name", scale=0, min_width=110), value="train.save")
                self.rename_no = page.bind(gr.Button(elem_id="train-rename-no", scale=0, min_width=110), value="train.cancel")
            with gr.Row(visible=False, elem_id="train-delete-row") as self.delete_row:
                self.delete_ask = gr.HTML()
                yes = gr.Button(variant="stop", elem_id="train-delete-yes", scale=0, min_width=110)
                self.delete_yes = page.bind(yes, value="train.delete_yes")
                self.delete_no = page.bind(gr.Button(elem_id="train-delete-no", scale=0, min_width=110), value="train.cancel")
        self.run = run
        """The id of the displayed run."""
        self.overlaid = gr.State([])
        """The ids of the runs whose curves are overlaid."""
        self.target = gr.State(None)
        """The id of the run that is being renamed or deleted."""
        self.model, self.tabs = page.model, page.tabs


def wire_table(page: Page, parts: RunTable) -> None:
    """Register the table's actions. Errors are shown above the open row: on a phone, a toast would cover it."""
    context = page.context

    def act(overlaid: list[str], language: str, event: gr.EventData, request: gr.Request) -> Any:
        action, run = (str(getattr(event, name, "")) for name in ("action", "run"))
        owner = context.access.is_owner(request)
        return by_component(vars(parts), table_action(context, action, run, overlaid, language, owner=owner))

    rows = [parts.rename_row, parts.new_name, parts.delete_row, parts.delete_ask, parts.notice]
    outputs = [parts.run, parts.overlaid, parts.target, *rows, page.model, page.tabs]
    # All buttons share one click event: with Gradio's default "once", the second of two quick clicks would be lost. They are handled one
    # after another, because each reads the overlaid runs that the previous one has changed.
    acted = parts.table.click(act, [parts.overlaid, page.language], outputs, **QUEUED, trigger_mode="multiple", concurrency_limit=1)
    acted.then(None, None, None, js=SCROLL_TO_EFFECT_JS)

    def rename(language: str, run: str | None, name: str) -> Updates:
        rename_run(find_run(context, run), name)
        return {parts.rename_row: gr.update(visible=False)}

    def delete(language: str, run: str | None, model: str | None) -> Updates:
        find_run(context, run).delete()
        return {parts.delete_row: gr.update(visible=False), page.model: context.models.choices_update(language, model)}

    rename_inputs = [page.language, parts.target, parts.new_name]
    saved, closed = [parts.save_name.click, parts.new_name.submit], [parts.rename_row, parts.delete_row, parts.notice]
    renamed = gr.on(saved, for_owner(context, rename, parts.notice), rename_inputs, [parts.rename_row, parts.notice], **QUEUED)
    delete_inputs = [page.language, parts.target, page.model]
    delete_outputs = [parts.delete_row, page.model, parts.notice]
    deleted = parts.delete_yes.click(for_owner(context, delete, parts.notice), delete_inputs, delete_outputs, **QUEUED)
    canceled = gr.on([parts.rename_no.click, parts.delete_no.click], lambda: [*[gr.update(visible=False)] * 2, ""], None, closed, **QUEUED)
    for done in (renamed, deleted, canceled):  # the row is hidden, and has lost the focus
        done.then(None, None, None, js=SCROLL_TO_TABLE_JS)
        done.then(None, None, None, js=SCROLL_TO_ERROR_JS)


def table_action(context: Context, action: str, target: str, overlaid: list[str], language: str, *, owner: bool = False) -> dict[str, Any]:
    """Updates by component name for a button of the table; empty if the run no longer exists, or the button is not for a visitor."""
    names = {one.id: one.name for one in visible_runs(context, owner=owner)}
    if target not in names or (action in OWNER_ACTIONS and not owner):
        return {}
    others = [one for one in overlaid if one in names and one != target]
    match action:
        case "open":
            return {"run": target}
        case "overlay":
            return {"overlaid": [*others, target][-MAX_OVERLAID:]}
        case "hide":
            return {"overlaid": others}
        case "classify":
            return use_run(context, target, language)
        case "rename":
            opened = {"rename_row": gr.update(visible=True), "delete_row": gr.update(visible=False), "notice": ""}
            return {"target": target, "new_name": names[target], **opened}
        case "delete":
            question = delete_question(find_run(context, target), language)
            opened = {"rename_row": gr.update(visible=False), "delete_row": gr.update(visible=True), "notice": ""}
            return {"target": target, "new_name": "", "delete_ask": question, **opened}
    return {}
