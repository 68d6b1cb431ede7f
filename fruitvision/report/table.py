"""A sortable table of all classes with recall, precision, and the most frequent wrong predictions."""

from __future__ import annotations

from collections import Counter

import numpy as np
from markupsafe import Markup

from fruitvision.data.fruits import fruit_type
from fruitvision.recognition.evaluate.evaluation import Evaluation
from fruitvision.report.bilingual import bilingual, bilingual_name, plain_label, plain_name
from fruitvision.report.markup import join, tag

COLUMNS = ("name", "kind", "images", "recall", "precision", "mistaken")


def class_table(examination: Evaluation) -> Markup:
    """The classes by recall, lowest first. A cell's ``data-value`` is its sort key."""
    mistakes: dict[int, Counter[int]] = {}
    for i in np.flatnonzero(examination.wrong).tolist():
        mistakes.setdefault(int(examination.labels[i]), Counter())[int(examination.scores.predicted[i])] += 1
    per_class = examination.summary["per_class"]
    order = sorted(per_class, key=lambda name: (per_class[name]["recall"], name))
    columns = [name for name in COLUMNS if name != "kind" or examination.by == "class"]
    rows = [tag("tr", _cells(examination, name, per_class[name], mistakes, columns)) for name in order]
    table = tag("table", tag("thead", tag("tr", map(_head, columns))), tag("tbody", rows), class_="sortable")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label=plain_label("report.classes"))


def _head(name: str) -> Markup:
    button = tag("button", bilingual(f"report.column_{name}"), type="button")
    return tag("th", button, scope="col", aria_sort="ascending" if name == "recall" else "none")


def _cells(examination: Evaluation, name: str, figures: dict, mistakes: dict[int, Counter[int]], columns: list[str]) -> list[Markup]:
    mostly = mistakes.get(examination.names.index(name), Counter()).most_common(2)
    words = Markup(", ").join(join([bilingual_name(examination.names[other]), f" ({count})"]) for other, count in mostly)
    cells = {
        "name": tag("th", bilingual_name(name), scope="row", data_value=plain_name(name)),
        "kind": tag("td", bilingual_name(fruit_type(name)), data_value=plain_name(fruit_type(name))),
        "images": tag("td", figures["images"], class_="number", data_value=figures["images"]),
        "recall": _share(figures["recall"]),
        "precision": _share(figures["precision"]),
        "mistaken": tag("td", words, data_value=sum(count for _, count in mostly)),
    }
    return [cells[column] for column in columns]


def _share(value: float | None) -> Markup:
    if value is None:
        return tag("td", "–", class_="number", data_value=-1)
    bar = tag("span", class_="bar", style=f"--share:{value:.3f}")
    return tag("td", bar, f"{value:.1%}", class_="number", data_value=f"{value:.6f}")
