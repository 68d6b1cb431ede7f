"""Every class with its recall, its precision, and what it is mostly taken for: a table that sorts by a click."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fruitvision.data.fruits import fruit_type
from fruitvision.recognition.evaluate.evaluation import Evaluation
from fruitvision.report.bilingual import both, hint, named

COLUMNS = ("name", "kind", "images", "recall", "precision", "mistaken")


def class_table(examination: Evaluation) -> str:
    """The least recognised first. A cell's ``data-value`` is what its column is sorted by."""
    mistakes: dict[int, Counter[int]] = {}
    for i in np.flatnonzero(examination.wrong).tolist():
        mistakes.setdefault(int(examination.labels[i]), Counter())[int(examination.scores.predicted[i])] += 1
    per_class = examination.summary["per_class"]
    order = sorted(per_class, key=lambda name: (per_class[name]["recall"], name))
    columns = [name for name in COLUMNS if name != "kind" or examination.by == "class"]
    heads = "".join(_head(name) for name in columns)
    rows = "".join(_row(examination, name, per_class[name], mistakes, columns) for name in order)
    return f'<div class="wide" tabindex="0"><table class="sortable"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _head(name: str) -> str:
    order = "ascending" if name == "recall" else "none"
    return f'<th scope="col" aria-sort="{order}"><button type="button">{both(f"report.column_{name}")}</button></th>'


def _row(examination: Evaluation, name: str, figures: dict, mistakes: dict[int, Counter[int]], columns: list[str]) -> str:
    mostly = mistakes.get(examination.names.index(name), Counter()).most_common(2)
    words = ", ".join(f"{named(examination.names[other])} ({count})" for other, count in mostly)
    cells = {
        "name": f'<th scope="row" data-value="{hint(name)}">{named(name)}</th>',
        "kind": f'<td data-value="{hint(fruit_type(name))}">{named(fruit_type(name))}</td>',
        "images": f'<td class="number" data-value="{figures["images"]}">{figures["images"]}</td>',
        "recall": _share(figures["recall"]),
        "precision": _share(figures["precision"]),
        "mistaken": f'<td data-value="{sum(count for _, count in mostly)}">{words}</td>',
    }
    return f"<tr>{''.join(cells[column] for column in columns)}</tr>"


def _share(value: float | None) -> str:
    if value is None:
        return '<td class="number" data-value="-1">–</td>'
    return f'<td class="number" data-value="{value:.6f}"><span class="bar" style="--share:{value:.3f}"></span>{value:.1%}</td>'
