"""Elements of a report: pictures as data URLs, and confusion matrices as tables with sticky headers. Needs no gradio."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from PIL import Image

from fruitvision.data.read.rgb import cap_short_side
from fruitvision.recognition.evaluate.confusions import Confusions
from fruitvision.recognition.evaluate.interval import FEW_PICTURES, wilson_interval
from fruitvision.report.bilingual import bilingual, bilingual_name, plain_label, plain_name
from fruitvision.report.markup import data_url, tag

SIDE = 132
"""Short side of a picture in the report, in pixels."""
QUALITY = 82
MAX_ASPECT = 1.8
"""A longer picture is cropped to its center."""


def picture(pixels: np.ndarray | Image.Image, words: str) -> Markup:
    """An ``<img>`` that holds its picture. ``words``: its alternative text."""
    image = small_picture(pixels)
    source = data_url(image, quality=QUALITY)
    return tag("img", src=source, width=image.width, height=image.height, alt=words, decoding="async")


def small_picture(pixels: np.ndarray | Image.Image) -> Image.Image:
    """A picture for a report, with a short side of at most ``SIDE``, and cropped if it is very long."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return _center_crop(cap_short_side(image.convert("RGB"), SIDE))


def share_words(value: float) -> str:
    """A percentage such as 98.6%; 100% only for exactly 1, 0% only for exactly 0."""
    if value in (0, 1):
        return f"{value:.0%}"
    words = f"{value:.1%}"
    return {"100.0%": "> 99.9%", "0.0%": "< 0.1%"}.get(words, words)


def interval_words(accuracy: float, images: int) -> dict[str, str] | None:
    """The bounds of the accuracy's 95% confidence interval, as the facts of "report.few"; None if enough pictures were tested."""
    if not 0 < images < FEW_PICTURES or not 0 <= accuracy <= 1:
        return None
    low, high = wilson_interval(accuracy, images)
    return {"low": f"{low:.0%}", "high": f"{high:.0%}"}


def _center_crop(image: Image.Image) -> Image.Image:
    short = min(image.size)
    width, height = (min(side, round(short * MAX_ASPECT)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def hardest_meaning(heatmaps: bool) -> Markup:
    """What the hardest pictures are, with or without class activation maps."""
    return bilingual("report.hardest_meaning" if heatmaps else "report.hardest_plain")


def matrix(found: Confusions, *, links: Mapping[str, str] | None = None, small: bool = False, language: str | None = None) -> Markup:
    """A confusion matrix with true classes as rows and predictions as columns. Correct predictions are green and errors orange, more
    saturated for higher counts.

    Args:
        links: row name → the id of the element that a click on the row opens.
        small: narrow cells without numbers, for more than a hundred rows.
        language: that of the tooltips; both by default, since the report's language switch cannot change them.
    """
    links = links or {}
    heads = [tag("th", tag("span", bilingual_name(name), title=plain_name(name, language)), scope="col") for name in found.columns]
    rows = []
    totals = found.counts.sum(axis=1)
    for i, name in enumerate(found.rows):
        target = links.get(name)
        words = tag("a", bilingual_name(name), href=f"#{target}") if target else bilingual_name(name)
        cells = [_cell(found, i, j, totals[i], small, language) for j in range(len(found.columns))]
        rows.append(tag("tr", tag("th", words, scope="row", title=plain_name(name, language)), cells, data_opens=target))
    corner = tag("td", bilingual("report.matrix_corner"), class_="corner")
    table = tag("table", tag("thead", tag("tr", corner, heads)), tag("tbody", rows), class_="matrix small" if small else "matrix")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label=plain_label("report.matrix", language))


def _cell(found: Confusions, i: int, j: int, total: int, small: bool, language: str | None) -> Markup:
    count = int(found.counts[i, j])
    if not count:
        return Markup("<td></td>")
    truth, answer = found.rows[i], found.columns[j]
    title = f"{plain_name(truth, language)} → {plain_name(answer, language)}: {count}"
    style = f"--share:{count / total:.2f}"
    return tag("td", None if small else count, class_="right" if truth == answer else "wrong", style=style, title=title)
