"""A study's results as HTML: curves with bands over seeds, the table, and the findings in words. Without gradio."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from fruitvision.comparison.results import Results
from fruitvision.comparison.statistics import (
    MIN_SEEDS,
    all_differences,
    batch_size_effects,
    recomputation_effects,
    reversal,
    summary,
)
from fruitvision.report.charts import Series, close_ticks, line_chart
from fruitvision.report.markup import join, say_html, tag
from fruitvision.ui.page.elements import folded, note, table
from fruitvision.ui.page.norm_names import norm_colour, norm_name
from fruitvision.wording.text import LIST_SEPARATOR, SPACE, number, say

LOSSES = ("val_loss", "train_loss")
Effects = list[dict[Any, Any]]
"""The rows of :func:`batch_size_effects`."""
MISSING = "–"
COLUMNS = ("norm", "accuracy", "best", "loss", "epochs_to_90", "seconds", "speed", "memory", "grad_norm", "parameters")


def study_charts(found: Results | None, language: str) -> Markup:
    """Accuracy against batch size if there are several, accuracy by epoch for each batch size, and the losses."""
    if found is None:
        nothing, title = pd.DataFrame(columns=["norm", "epoch", "val_accuracy"]), say("compare.chart_val_accuracy", language)
        return _charts(_curves(nothing, "val_accuracy", 1, title, language))
    sizes = _sizes(found.table)
    last = max(found.epochs["epoch"].tolist(), default=1)
    epochs = max(found.planned_epochs, int(last))
    accuracy, losses = [], []
    for size in sizes:
        rows = found.epochs.query("batch_size == @size")
        beside = say("compare.of_batch", language, size=size) if len(sizes) > 1 else ""
        accuracy.append(_curves(rows, "val_accuracy", epochs, _title(found, "val_accuracy", language) + beside, language))
        losses += [_curves(rows, key, epochs, _title(found, key, language) + beside, language) for key in LOSSES]
    if len(sizes) == 1:
        return _charts(*accuracy, *losses)
    more = folded(say("compare.losses", language), _charts(*losses), class_="fv-more")
    by_size = summary(found.done).sort_values("batch_size", kind="stable")
    return join([_charts(*_by_batch_size(by_size, sizes, language), *accuracy), more])


def _charts(*charts: Markup) -> Markup:
    return tag("div", charts, class_="fv-charts")


def _title(found: Results, key: str, language: str) -> str:
    on = f"_{found.measured_on}" if key.startswith("val_") and found.measured_on == "test" else ""
    return say(f"compare.chart_{key}{on}", language)


def _curves(rows: pd.DataFrame, key: str, epochs: int, title: str, language: str) -> Markup:
    """One curve per norm: the mean over the seeds, with ± one standard deviation as a band."""
    series = []
    for norm, of_norm in rows.groupby("norm", sort=False):
        figures = of_norm.astype({key: float}).groupby("epoch")[key].agg(["mean", "std"])
        series.append(_series(str(norm), figures.index.tolist(), figures["mean"].tolist(), figures["std"].tolist(), language))
    return line_chart(
        series,
        title=title,
        x_max=epochs,
        x_label=say("train.chart_epoch", language),
        y_format="percent" if key == "val_accuracy" else "number",
        description=say("compare.chart_description", language, title=title),
        empty=say("train.chart_empty", language),
    )


def _by_batch_size(found: pd.DataFrame, sizes: list[int], language: str) -> list[Markup]:
    """The charts of accuracies at each batch size, which stand together and have one scale."""
    drawn = [_against_batch_size(found, sizes, language), *_by_statistics(found, sizes, language)]
    ticks = close_ticks([one for chart in drawn for one in chart.series])
    return [
        line_chart(
            chart.series,
            title=chart.title,
            x_max=len(sizes) + 0.5,
            x_label=say("compare.batch_size", language),
            y_format="percent",
            ticks=ticks,
            x_places=[(place, str(size)) for place, size in enumerate(sizes, 1)],
            description=chart.description,
            empty=say("train.chart_empty", language),
        )
        for chart in drawn
    ]


class Drawn(NamedTuple):
    """A chart's curves and words."""

    series: list[Series]
    title: str
    description: str


def _against_batch_size(found: pd.DataFrame, sizes: list[int], language: str) -> Drawn:
    """Wu & He's figure (arXiv:1803.08494): the accuracy of each norm at each batch size. Batch sizes are spaced evenly."""
    series = []
    for norm, rows in found.groupby("norm", sort=False):
        places = [sizes.index(size) + 1 for size in rows["batch_size"].tolist()]
        series.append(_series(str(norm), places, rows["mean"].tolist(), rows["sd"].tolist(), language))
    return Drawn(series, say("compare.chart_batch_size", language), say("compare.chart_batch_size_description", language))


STATISTICS = {"mean": "#d55e00", "recomputed_mean": "#0072b2", "batch_mean": "#8c8c8c"}
"""The columns of a summary with the accuracy under each kind of statistics at test time, and the colours of their curves."""


def _by_statistics(found: pd.DataFrame, sizes: list[int], language: str) -> list[Drawn]:
    """For each norm with running statistics: its accuracy with those and with other statistics, at each batch size."""
    charts = []
    for norm, rows in found.dropna(subset=["recomputed_mean"]).groupby("norm", sort=False):
        places = [sizes.index(size) + 1 for size in rows["batch_size"].tolist()]
        series = [
            Series(say(f"compare.statistics_{name}", language), places, rows[name].tolist(), colour) for name, colour in STATISTICS.items()
        ]
        title = say("compare.chart_statistics", language, norm=norm_name(str(norm), language))
        charts.append(Drawn(series, title, say("compare.chart_statistics_description", language)))
    return charts


def _series(norm: str, xs: Sequence[float], means: list[float], deviations: list[float], language: str) -> Series:
    """A norm's curve, with the mean ± one standard deviation as its band; a single seed has none."""
    band = [(mean - deviation, mean + deviation) for mean, deviation in zip(means, deviations, strict=True)]
    return Series(norm_name(norm, language), xs, means, norm_colour(norm), band=band)


def _sizes(rows: pd.DataFrame) -> list[int]:
    """The batch sizes in ``rows``, ascending."""
    return sorted(set(rows["batch_size"].tolist()))


def study_findings(found: Results | None, language: str) -> Markup:
    """What the study shows, in sentences; for the shipped study also how it was measured."""
    if found is None or found.done.empty:
        return Markup()
    effects = batch_size_effects(found.done).to_dict("records")
    return join([_finding(found.done, effects, language), measured_before(found, language), _verdicts(found.done, effects, language)])


def _finding(rows: pd.DataFrame, effects: Effects, language: str) -> Markup | None:
    """One sentence each: which norms lose accuracy with small batches, and how much recomputed statistics restore."""
    sentences = []
    if losses := [effect for effect in effects if effect["verdict"] == "b-higher"]:
        largest = min(losses, key=lambda effect: effect["mean"])
        unaffected = [norm_name(effect["norm"], language) for effect in effects if effect not in losses]
        facts = {"norm": norm_name(largest["norm"], language), "large": largest["b"], "small": largest["a"], "seeds": largest["pairs"]}
        key, names = ("fall_alone", LIST_SEPARATOR[language].join(unaffected)) if unaffected else ("fall", "")
        points = _points(low=-largest["high"], high=-largest["low"])
        sentences.append(say_html(f"compare.finding_{key}", language, **facts, **points, others=names))
    if found := reversal(rows):
        facts = {"ahead": norm_name(found.ahead, language), "behind": norm_name(found.behind, language), "seeds": found.seeds}
        facts |= {"large": found.large, "small": found.small}
        points = _points(low=found.lead[0], high=found.lead[1], low_small=found.loss[0], high_small=found.loss[1])
        sentences.append(say_html("compare.finding_reversal", language, **facts, **points))
    if gains := [effect for effect in recomputation_effects(rows).to_dict("records") if effect["verdict"] == "a-higher"]:
        largest = max(gains, key=lambda effect: effect["mean"])
        facts = {"norm": norm_name(largest["norm"], language), "size": largest["batch_size"], "seeds": largest["pairs"]}
        sentences.append(say_html("compare.finding_statistics", language, **facts, **_points(low=largest["low"], high=largest["high"])))
    return tag("div", (tag("p", sentence) for sentence in sentences), class_="fv-reply") if sentences else None


def measured_before(found: Results, language: str) -> Markup | None:
    """For the shipped study: the command, machine and date of its measurement."""
    about = found.about
    if not about.get("shipped"):
        return None
    facts = {name: about.get(name, "?") for name in ("machine", "date", "data", "train_images", "measured_images")}
    facts["machine"] = re.sub(r"(\d+) cores\b", lambda cores: say("compare.cores", language, count=cores[1]), str(facts["machine"]))
    command = tag("p", tag("code", about.get("command", "?")))
    return tag("div", tag("p", say_html("compare.measured_before", language, **facts)), command, class_="fv-data")


def study_table(found: Results | None, language: str) -> Markup:
    """Every figure of each norm and batch size; a figure that none of them has, has no column."""
    if found is None or found.done.empty:
        return Markup()
    several = len(_sizes(found.done)) > 1
    rows = summary(found.done)
    if several:
        rows = rows.sort_values("batch_size", kind="stable")
    cells = [_cells(row, several, language) for row in rows.to_dict("records")]
    columns = [n for n in range(len(COLUMNS)) if any(row[n] != MISSING for row in cells)]
    heads = [tag("th", say(f"compare.column_{COLUMNS[n]}", language)) for n in columns]
    drawn = [tag("tr", (tag("td", row[n]) for n in columns)) for row in cells]
    shown = table(heads, drawn, say("compare.figures", language), "fv-table fv-figures")
    notes = [f"measured_on_{found.measured_on}", *(["measured_memory"] if COLUMNS.index("memory") in columns else [])]
    return join([shown, note(SPACE[language].join(say(f"compare.{one}", language) for one in notes))])


def _cells(row: dict[Any, Any], several: bool, language: str) -> tuple[Any, ...]:
    """A row of the table, with a cell for each of ``COLUMNS``."""
    name = norm_name(row["norm"], language) + (say("compare.of_batch", language, size=row["batch_size"]) if several else "")
    accuracy = _number(row["mean"], ".1%") + (f" ± {row['sd']:.1%}" if row["seeds"] > 1 else "")
    if row["diverged"]:
        accuracy += " " + say("compare.diverged", language, count=int(row["diverged"]))
    reached = _number(row["epochs_to_90"], ".1f")
    if 0 < row["reached_90"] < row["seeds"]:
        reached += f" ({row['reached_90']}/{row['seeds']})"
    return (
        join([tag("i", class_="fv-dot", style=f"background:{norm_colour(row['norm'])}"), name]),
        accuracy,
        _number(row["best_mean"], ".1%"),
        _number(row["loss_mean"], ".3f"),
        reached,
        _number(row["seconds_per_epoch"], ".1f"),
        _number(row["images_per_s"], ".0f"),
        _number(row["peak_memory_mb"], ",.0f"),
        _number(row["grad_norm"], ".2f"),
        _number(row["parameters"], ",.0f"),
    )


def _verdicts(rows: pd.DataFrame, effects: Effects, language: str) -> Markup | None:
    """A sentence for every pair of norms; with fewer than ``MIN_SEEDS`` seeds, why there is none."""
    pairs, several = all_differences(rows), len(_sizes(rows)) > 1
    if pairs.empty and not several:
        return None
    if len(set(rows["seed"].tolist())) < MIN_SEEDS:
        return note(say("compare.too_few_seeds", language))
    lists = []
    for size, of_size in pairs.groupby("batch_size"):
        title = say("compare.verdicts_of_batch" if several else "compare.verdicts", language, size=size)
        lists.append(_list(title, [_pair(pair, language) for pair in of_size.to_dict("records")]))
    if not several:
        return join(lists)
    costs = [_effect(effect, language) for effect in effects]
    more = folded(say("compare.norm_against_norm", language), lists, class_="fv-more")
    return join([_list(say("compare.smaller_batches", language), costs), more])


def _list(title: str, sentences: list[Markup | None]) -> Markup | None:
    items = [tag("li", sentence) for sentence in sentences if sentence]
    return join([tag("h4", title, class_="fv-group"), tag("ul", items, class_="fv-verdicts")]) if items else None


def _pair(pair: dict[Any, Any], language: str) -> Markup | None:
    """ "Batch norm is ahead of layer norm by 2.0 to 5.1 points", or that no difference was shown."""
    key = {"a-higher": "higher", "b-higher": "higher", "no-difference-shown": "same", "runs-diverged": "broken"}.get(pair["verdict"])
    if key is None:
        return None
    a, b = norm_name(pair["a"], language), norm_name(pair["b"], language)
    low, high = pair["low"], pair["high"]
    if pair["verdict"] == "b-higher":
        a, b, low, high = b, a, -high, -low
    return say_html(f"compare.verdict_{key}", language, a=a, b=b, **_points(mean=pair["mean"], low=low, high=high))


def _effect(effect: dict[Any, Any], language: str) -> Markup | None:
    """ "Batch norm loses 8.0 to 13.1 points from 32 to 2"."""
    key = {"a-higher": "gains", "b-higher": "loses", "no-difference-shown": "level", "runs-diverged": "unfair"}.get(effect["verdict"])
    if key is None:
        return None
    low, high = effect["low"], effect["high"]
    if key == "loses":
        low, high = -high, -low
    facts = {"norm": norm_name(effect["norm"], language), "large": effect["b"], "small": effect["a"]}
    return say_html(f"compare.effect_{key}", language, **facts, **_points(mean=effect["mean"], low=low, high=high))


def _points(**shares: float) -> dict[str, str]:
    """Differences of accuracies, 0..1, formatted in percentage points."""
    return {name: number(share * 100, ".1f") for name, share in shares.items()}


def _number(value: float, form: str) -> str:
    return MISSING if math.isnan(value) else number(value, form)
