"""A study's results as a person reads them: curves with bands for seeds, the table, and what it shows. HTML, without gradio."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

import pandas as pd

from fruitvision.comparison.results import Results
from fruitvision.comparison.statistics import MIN_SEEDS, all_differences, batch_size_effects, summary
from fruitvision.report.charts import Series, line_chart
from fruitvision.ui.compare.norm_words import norm_colour, norm_html, norm_name
from fruitvision.wording.text import say

LOSSES = ("val_loss", "train_loss")
COLUMNS = ("norm", "accuracy", "best", "loss", "epochs_to_90", "seconds", "speed", "memory", "grad_norm", "parameters")


def race_charts(found: Results | None, language: str) -> str:
    """Accuracy against batch size, where there are several; accuracy by epoch for each; and the losses."""
    if found is None:
        nothing, title = pd.DataFrame(columns=["norm", "epoch", "val_accuracy"]), say("compare.chart_val_accuracy", language)
        empty = _curves(nothing, "val_accuracy", 1, title, language)
        return f'<div class="fv-charts">{empty}</div>'
    sizes = sorted(found.table["batch_size"].unique())
    epochs = max(int(found.about.get("settings", {}).get("epochs", 0)), int(found.epochs["epoch"].max() or 1) if len(found.epochs) else 1)
    accuracy, losses = [], []
    for size, rows in _by_batch_size(found.epochs, sizes):
        beside = say("compare.of_batch", language, size=size) if len(sizes) > 1 else ""
        accuracy.append(_curves(rows, "val_accuracy", epochs, _title(found, "val_accuracy", language) + beside, language))
        losses += [_curves(rows, key, epochs, _title(found, key, language) + beside, language) for key in LOSSES]
    if len(sizes) == 1:
        return f'<div class="fv-charts">{"".join(accuracy + losses)}</div>'
    summary_line = f"<summary>{say('compare.losses', language)}</summary>"
    folded = f'<details class="fv-more">{summary_line}<div class="fv-charts">{"".join(losses)}</div></details>'
    return f'<div class="fv-charts">{_against_batch_size(found, sizes, language)}{"".join(accuracy)}</div>{folded}'


def _title(found: Results, key: str, language: str) -> str:
    on = f"_{found.measured_on}" if key.startswith("val_") and found.measured_on == "test" else ""
    return say(f"compare.chart_{key}{on}", language)


def _by_batch_size(epochs: pd.DataFrame, sizes: list[int]) -> Iterator[tuple[int, pd.DataFrame]]:
    for size in sizes:
        yield size, epochs[epochs["batch_size"] == size]


def _curves(rows: pd.DataFrame, key: str, epochs: int, title: str, language: str) -> str:
    """One curve a norm: the mean over the seeds, and ± one standard deviation as a band."""
    series = []
    for norm, of_norm in rows.groupby("norm", sort=False):
        by_epoch = of_norm.astype({key: float}).groupby("epoch")[key]
        mean, deviation = by_epoch.mean(), by_epoch.std(ddof=1)
        band = None if deviation.isna().all() else list(zip(mean - deviation, mean + deviation, strict=True))
        series.append(Series(norm_name(norm, language), mean.index.tolist(), mean.tolist(), norm_colour(norm), band=band))
    return line_chart(
        series,
        title=title,
        x_max=epochs,
        x_label=say("train.chart_epoch", language),
        y_format="percent" if key == "val_accuracy" else "number",
        description=say("compare.chart_description", language, title=title),
        empty=say("train.chart_empty", language),
    )


def _against_batch_size(found: Results, sizes: list[int], language: str) -> str:
    """The classical picture: who falls when batches shrink. Sizes lie evenly, whatever their ratio."""
    rows = summary(found.done)
    series = []
    for norm, of_norm in rows.groupby("norm", sort=False):
        of_norm = of_norm.sort_values("batch_size")
        places = [sizes.index(size) + 1 for size in of_norm["batch_size"]]
        band = [(mean - sd, mean + sd) for mean, sd in zip(of_norm["mean"], of_norm["sd"], strict=True)]
        series.append(Series(norm_name(norm, language), places, of_norm["mean"].tolist(), norm_colour(norm), band=band))
    title = say("compare.chart_batch_size", language)
    return line_chart(
        series,
        title=title,
        x_max=len(sizes) + 0.5,
        x_label=say("compare.batch_size", language),
        y_format="percent",
        close=True,
        x_places=[(place, str(size)) for place, size in enumerate(sizes, 1)],
        description=say("compare.chart_batch_size_description", language),
        empty=say("train.chart_empty", language),
    )


def race_words(found: Results | None, language: str) -> str:
    """What the study shows, in sentences; and of the program's own, how it was measured."""
    if found is None or found.done.empty:
        return ""
    several = found.done["batch_size"].nunique() > 1
    return measured_before(found, language) + _verdicts(found.done, several, language)


def race_table(found: Results | None, language: str) -> str:
    """Every figure of each norm and batch size."""
    if found is None or found.done.empty:
        return ""
    done = found.done
    several = done["batch_size"].nunique() > 1
    head = "".join(f"<th>{say(f'compare.column_{name}', language)}</th>" for name in COLUMNS)
    rows = summary(done)
    if several:
        rows = rows.sort_values("batch_size", kind="stable")
    body = "".join(_row(row, several, language) for _, row in rows.iterrows())
    on = say(f"compare.measured_on_{found.measured_on}", language)
    return (
        '<div class="fv-table fv-figures">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p class="fv-note">{on}</p>'
    )


def measured_before(found: Results, language: str) -> str:
    """Of a study that the program brings: that it was measured before, with which command, on which machine, when."""
    about = found.about
    if not about.get("shipped"):
        return ""
    facts = {name: escape(str(about.get(name, "?"))) for name in ("machine", "date", "data", "train_images", "measured_images")}
    command = f"<code>{escape(str(about.get('command', '?')))}</code>"
    return f'<div class="fv-data"><p>{say("compare.measured_before", language, **facts)}</p><p>{command}</p></div>'


def _row(row: pd.Series, several: bool, language: str) -> str:
    norm = str(row["norm"])
    name = norm_html(norm, language) + (say("compare.of_batch", language, size=row["batch_size"]) if several else "")
    accuracy = _number(row["mean"], "{:.1%}") + (f" ± {row['sd']:.1%}" if row["seeds"] > 1 else "")
    if row["diverged"]:
        accuracy += " " + say("compare.diverged", language, count=int(row["diverged"]))
    reached = _number(row["epochs_to_90"], "{:.1f}")
    if 0 < row["reached_90"] < row["seeds"]:
        reached += f" ({row['reached_90']}/{row['seeds']})"
    cells = (
        accuracy,
        _number(row["best_mean"], "{:.1%}"),
        _number(row["loss_mean"], "{:.3f}"),
        reached,
        _number(row["seconds_per_epoch"], "{:.1f}"),
        _number(row["images_per_s"], "{:.0f}"),
        _number(row["peak_memory_mb"], "{:,.0f}"),
        _number(row["grad_norm"], "{:.2f}"),
        _number(row["parameters"], "{:,.0f}"),
    )
    dot = f'<i class="fv-dot" style="background:{norm_colour(norm)}"></i>'
    return f"<tr><td>{dot}{name}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _verdicts(rows: pd.DataFrame, several: bool, language: str) -> str:
    """Words for every pair, where three seeds allow any; otherwise why there are none."""
    pairs = all_differences(rows)
    if pairs.empty and not several:
        return ""
    if rows["seed"].nunique() < MIN_SEEDS:
        return f'<p class="fv-note">{say("compare.too_few_seeds", language)}</p>'
    lists = []
    for size, of_size in pairs.groupby("batch_size"):
        title = say("compare.verdicts_of_batch" if several else "compare.verdicts", language, size=size)
        lists.append(_list(title, (_pair(pair, language) for _, pair in of_size.iterrows())))
    if not several:
        return "".join(lists)
    effects = (_effect(effect, language) for _, effect in batch_size_effects(rows).iterrows())
    folded = f"<summary>{say('compare.norm_against_norm', language)}</summary>{''.join(lists)}"
    return f'{_list(say("compare.smaller_batches", language), effects)}<details class="fv-more">{folded}</details>'


def _list(title: str, sentences: Iterator[str]) -> str:
    items = "".join(f"<li>{sentence}</li>" for sentence in sentences if sentence)
    return f'<h4 class="fv-group">{title}</h4><ul class="fv-verdicts">{items}</ul>' if items else ""


def _pair(pair: pd.Series, language: str) -> str:
    """ "Batch norm is ahead of layer norm by 2.0 to 5.1 points", or that no difference is shown."""
    key = {"a-higher": "higher", "b-higher": "higher", "no-difference-shown": "same", "runs-diverged": "broken"}.get(pair["verdict"])
    if key is None:
        return ""
    a, b = norm_html(pair["a"], language), norm_html(pair["b"], language)
    low, high = pair["low"], pair["high"]
    if pair["verdict"] == "b-higher":
        a, b, low, high = b, a, -high, -low
    return say(f"compare.verdict_{key}", language, a=a, b=b, **_points(mean=pair["mean"], low=low, high=high))


def _effect(effect: pd.Series, language: str) -> str:
    """ "Batch norm loses 8.0 to 13.1 points from 32 to 2"."""
    key = {"a-higher": "gains", "b-higher": "loses", "no-difference-shown": "level", "runs-diverged": "unfair"}.get(effect["verdict"])
    if key is None:
        return ""
    low, high = effect["low"], effect["high"]
    if key == "loses":
        low, high = -high, -low
    facts = {"norm": norm_html(effect["norm"], language), "large": effect["b"], "small": effect["a"]}
    return say(f"compare.effect_{key}", language, **facts, **_points(mean=effect["mean"], low=low, high=high))


def _points(**shares: float) -> dict[str, str]:
    """Differences of shares, in points."""
    return {name: f"{share * 100:.1f}".replace("-", "−") for name, share in shares.items()}


def _number(value: float, form: str) -> str:
    return form.format(value) if not math.isnan(float(value)) else "–"
