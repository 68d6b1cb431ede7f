"""A study as a person reads it: where it stands, the curves of its norms, and the table. HTML, without gradio."""

from __future__ import annotations

import math
from html import escape

import pandas as pd

from fruitvision.comparison.statistics import all_differences, summary
from fruitvision.comparison.study import Cell, StudyFolder, table
from fruitvision.ui.norm_words import norm_colour, norm_html, norm_name
from fruitvision.ui.plots import Series, line_chart
from fruitvision.ui.text import duration, say, say_error


def race_status(study: StudyFolder | None, language: str) -> str:
    """One line of words, and a bar while it goes on."""
    if study is None:
        return f'<div class="fv-status" role="status"><p>{say("compare.race_idle", language)}</p></div>'
    status = study.status()
    cell = next((one for one in study.plan().cells() if one.id == status.message), None)
    facts = {"done": status.epoch, "total": status.epochs, "now": _cell_name(cell, language) if cell else "…"}
    words = say(f"compare.race_{status.state}", language, **facts)
    if status.state == "failed" and status.error:
        words += " " + escape(say_error(status.error, language))
    if status.active and status.eta_s is not None:
        words += " " + say("train.time_left", language, time=duration(status.eta_s, language))
    bar = ""
    if status.active:
        share = (status.epoch + status.step / max(status.steps, 1)) / max(status.epochs, 1)
        bar = f'<span class="fv-bar" role="progressbar" aria-valuenow="{share * 100:.0f}"><i style="width:{share * 100:.1f}%"></i></span>'
    return f'<div class="fv-status fv-run-{status.state}" role="status"><p>{words}</p>{bar}</div>'


def _cell_name(cell: Cell, language: str) -> str:
    return say("compare.cell", language, norm=norm_html(cell.norm, language), seed=cell.seed)


def race_charts(study: StudyFolder | None, language: str) -> str:
    """Validation accuracy and loss by epoch: one colour a norm, a line a seed; further batch sizes dashed."""
    cells = study.plan().cells() if study else []
    epochs = max((cell.training.epochs for cell in cells), default=1)
    charts = []
    for key, y_format in (("val_accuracy", "percent"), ("val_loss", "number"), ("train_loss", "number")):
        title = say(f"compare.chart_{key}", language)
        series = []
        for cell in cells:
            records = study.run(cell).metrics("epoch") if study else []
            first = cell.seed == cells[0].seed
            name = norm_name(cell.norm, language) if first else ""
            if len({c.batch_size for c in cells}) > 1 and name:
                name += f" · {cell.batch_size}"
            xs, ys = [r["epoch"] for r in records], [r.get(key) for r in records]
            series.append(Series(name, xs, ys, norm_colour(cell.norm), dashed=cell.batch_size != cells[0].batch_size))
        charts.append(line_chart(
            series, title=title, x_max=epochs, x_label=say("train.chart_epoch", language), y_format=y_format,
            description=say("compare.chart_description", language, title=title), empty=say("train.chart_empty", language),
        ))  # fmt: skip
    return f'<div class="fv-charts">{"".join(charts)}</div>'


def race_table(study: StudyFolder | None, language: str) -> str:
    """Accuracy, loss, time and parameters of each norm, and what the differences show."""
    if study is None:
        return ""
    rows = table(study.path)
    done = rows[rows["state"].isin(["finished"]) | rows["diverged"]]
    if done.empty:
        return ""
    measure = "test_accuracy" if rows["test_accuracy"].notna().any() else "val_accuracy"
    heads = ("norm", "accuracy", "loss", "seconds", "speed", "parameters")
    head = "".join(f"<th>{say(f'compare.column_{name}', language)}</th>" for name in heads)
    several = len(set(rows["batch_size"])) > 1
    body = "".join(_row(row, several, language) for _, row in summary(done, measure).iterrows())
    on = say(f"compare.measured_{measure}", language)
    return (
        f'<div class="fv-table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<p class="fv-note">{on}</p>{_verdicts(done, measure, language)}'
    )


def _row(row: pd.Series, several: bool, language: str) -> str:
    norm = str(row["norm"])
    name = norm_html(norm, language) + (f" · {row['batch_size']}" if several else "")
    accuracy = _number(row["mean"], "{:.1%}") + (f" ± {row['sd']:.1%}" if row["seeds"] > 1 else "")
    if row["diverged"]:
        accuracy += " " + say("compare.diverged", language, count=int(row["diverged"]))
    cells = (
        accuracy, _number(row["loss_mean"], "{:.3f}"), _number(row["seconds_per_epoch"], "{:.1f}"),
        _number(row["images_per_s"], "{:.0f}"), _number(row["parameters"], "{:,.0f}"),
    )  # fmt: skip
    dot = f'<i class="fv-dot" style="background:{norm_colour(norm)}"></i>'
    return f"<tr><td>{dot}{name}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _verdicts(rows: pd.DataFrame, measure: str, language: str) -> str:
    """Words for every pair, where three seeds allow any; otherwise why there are none."""
    pairs = all_differences(rows, measure)
    if pairs.empty:
        return ""
    if (pairs["pairs"] < 3).all():
        return f'<p class="fv-note">{say("compare.too_few_seeds", language)}</p>'
    items = []
    for _, pair in pairs.iterrows():
        key = {"a-higher": "higher", "b-higher": "higher", "no-difference-shown": "same", "runs-diverged": "broken"}.get(pair["verdict"])
        if key is None:
            continue
        a, b = norm_html(pair["a"], language), norm_html(pair["b"], language)
        low, high = pair["low"], pair["high"]
        if pair["verdict"] == "b-higher":
            a, b, low, high = b, a, -high, -low
        facts = {"a": a, "b": b, "low": f"{low * 100:.1f}", "high": f"{high * 100:.1f}"}
        items.append(f"<li>{say(f'compare.verdict_{key}', language, **facts)}</li>")
    return f'<ul class="fv-verdicts">{"".join(items)}</ul>'


def _number(value: float, form: str) -> str:
    return form.format(value) if not math.isnan(float(value)) else "–"


def study_choices(studies: list[StudyFolder], language: str) -> list[tuple[str, str]]:
    """(name, id) of the studies, newest first."""
    choices = []
    for study in studies:
        plan = study.plan()
        norms = ", ".join(norm_name(norm, language) for norm in plan.norms)
        choices.append((f"{plan.name or study.id} · {norms}", study.id))
    return choices
