"""Where a study stands, and which studies there are. HTML, without gradio."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path

from fruitvision.comparison.results import Results, measured
from fruitvision.comparison.study import Cell, StudyFolder, list_studies
from fruitvision.ui.compare.norm_words import norm_html, norm_name
from fruitvision.wording.text import duration, say, say_error

BROUGHT = "measured-before"
"""The id of the study that the program brings, among those that were made here."""


def race_status(study: StudyFolder | None, language: str, *, brought: bool = False) -> str:
    """One line of words, and a bar while it goes on. ``brought``: the program's own study is in view."""
    if study is None:
        words = say("compare.race_brought" if brought else "compare.race_idle", language)
        return f'<div class="fv-status" role="status"><p>{words}</p></div>'
    status = study.status()
    cell = next((one for one in study.plan().cells() if one.id == status.message), None)
    facts = {"done": status.epoch, "total": status.epochs, "now": _cell_name(cell, language) if cell else "…"}
    words = say(f"compare.race_{status.state if status.responding else 'unresponsive'}", language, **facts)
    if status.state == "failed" and status.error:
        words += " " + escape(say_error(status.error, language))
    if status.active and status.responding and status.eta_s is not None:
        words += " " + say("train.time_left", language, time=duration(status.eta_s, language))
    bar = ""
    if status.active and status.responding:
        share = (status.epoch + status.step / max(status.steps, 1)) / max(status.epochs, 1)
        bar = f'<span class="fv-bar" role="progressbar" aria-valuenow="{share * 100:.0f}"><i style="width:{share * 100:.1f}%"></i></span>'
    return f'<div class="fv-status fv-run-{status.state}" role="status"><p>{words}</p>{bar}</div>'


def _cell_name(cell: Cell, language: str) -> str:
    return say("compare.cell", language, size=cell.batch_size, norm=norm_html(cell.norm, language), seed=cell.seed)


def shown_studies(runs: str | Path, *, owner: bool) -> list[StudyFolder]:
    """The studies that somebody may look at, newest first: a visitor those that are finished."""
    return [study for study in list_studies(runs) if owner or study.status().state == "finished"]


def study_choices(studies: list[StudyFolder], language: str) -> list[tuple[str, str]]:
    """(name, id) of the studies, newest first; the one that the program brings at the end."""
    choices = []
    for study in studies:
        plan = study.plan()
        norms = ", ".join(norm_name(norm, language) for norm in plan.norms)
        choices.append((f"{plan.name or study.id} · {norms}", study.id))
    return [*choices, (say("compare.brought", language), BROUGHT)] if brought_results() else choices


@cache
def brought_results() -> Results | None:
    """The study that the program brings, read once."""
    found = measured()
    return found and Results(found.table, found.epochs, {**found.about, "shipped": True})
