"""Charts as inline SVG that takes its colours from the page's CSS, light or dark: lines, a histogram, calibration.

The axes of a line chart depend on ``x_max`` and on a scale that only widens in round steps, so a curve that grows by a point each
epoch can be redrawn without flicker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Literal, TypeGuard

import numpy as np
from markupsafe import Markup

from fruitvision.report.markup import tag
from fruitvision.wording.text import LANGUAGES, number, say

if TYPE_CHECKING:
    from fruitvision.training.evaluation import Reliability

# Based on Okabe and Ito's palette for colour blindness; each colour has a contrast of at least 3:1 against
# the light and the dark background of a chart.
COLOURS = ("#2474bb", "#d55e00", "#009e73", "#c86a9f", "#b8860b", "#2f9bd0", "#7f5fc8", "#8c8c8c")

WIDTH, HEIGHT = 460.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 12.0, 10.0, 44.0
MANY_TICKS = 5
"""With more labels on the x axis, the CSS hides every second one in a narrow chart."""

Format = Literal["percent", "number"]


@dataclass(frozen=True)
class Series:
    """One curve: points (x, y); a y that is None or not finite leaves a gap. ``band``: the (low, high) of each point's uncertainty."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    colour: str
    dashed: bool = False
    band: Sequence[tuple[float, float]] | None = None


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_max: float,
    x_label: str,
    description: str,
    y_format: Format = "number",
    empty: str = "",
    x_places: Sequence[tuple[float, str]] | None = None,
    ticks: Sequence[float] | None = None,
) -> Markup:
    """HTML of a chart with its title and legend.

    Args:
        x_max: the right end of the x axis, which begins at 0; the curves may be shorter.
        description: what the chart shows, for screen readers.
        y_format: "percent" takes y in 0..1 on a fixed scale from 0 to 100%.
        empty: what stands in the middle of a chart without points.
        x_places: (x, label) of the ticks of the x axis, instead of whole numbers.
        ticks: those of the y axis, such as :func:`close_ticks` of all charts that stand together and show small differences.
    """
    if ticks is None:
        ticks = [0, 0.25, 0.5, 0.75, 1] if y_format == "percent" else round_ticks(series)
    labels = dict(x_places or ())
    drawn = [_curve(one, x_max, ticks, y_format, labels) for one in series if any(is_number(y) for y in one.ys)]
    missing = None if drawn or not empty else tag("text", empty, x=WIDTH / 2, y=HEIGHT / 2, text_anchor="middle", class_="fv-tick")
    content = [_grid(ticks, y_format), _x_axis(x_max, x_label, x_places), [_band(one, x_max, ticks) for one in series], drawn, missing]
    svg = tag("svg", content, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", role="img", aria_label=description)
    return tag("figure", tag("figcaption", title, _legend(series)), svg, class_="fv-chart")


def round_ticks(series: Sequence[Series]) -> list[float]:
    """Four to six round steps from zero over the highest point; half of a rare outlier's height may be cut off."""
    values = sorted(y for one in series for y in one.ys if is_number(y))
    if not values:
        return [0, 0.5, 1]
    high = values[-1]
    usual = values[int(0.98 * (len(values) - 1))]
    high = min(high, 4 * usual) if usual > 0 else high
    if high < 1e-300:  # steps of it would be zero
        return [0, 0.5, 1]
    step = 10 ** math.floor(math.log10(high))
    step = next(step * factor for factor in (0.1, 0.2, 0.25, 0.5, 1, 2) if step * factor * 5 >= high)
    return [step * n for n in range(math.ceil(high / step - 1e-9) + 1)]


def close_ticks(series: Sequence[Series]) -> list[float]:
    """Steps of 5, 10, 20 or 25% (at most six) from under the lowest point or band's edge over the highest, within 0..1."""
    edges = [edge for one in series for pair in one.band or () for edge in pair]
    values = [value for one in series for value in (*one.ys, *edges) if is_number(value)]
    if not values:
        return [0, 0.25, 0.5, 0.75, 1]
    low, high = max(0.0, min(values)), min(1.0, max(values))
    percent, first, last = 25, 0, 4
    for percent in (5, 10, 20, 25):
        first, last = math.floor(low * 100 / percent + 1e-9), math.ceil(high * 100 / percent - 1e-9)
        if last - first <= 5:
            break
    if last == first:  # a horizontal line on a tick
        first, last = (first, first + 1) if low < 1 else (first - 1, first)
    return [n * percent / 100 for n in range(first, last + 1)]


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number, NumPy's as well as Python's."""
    return isinstance(value, Real) and math.isfinite(value)


def _grid(ticks: Sequence[float], y_format: Format) -> Iterator[Markup]:
    for tick in ticks:
        y = _y(tick, ticks)
        yield tag("path", class_="fv-grid", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}")
        words = f"{tick:.0%}" if y_format == "percent" else f"{tick:.3g}"
        yield tag("text", words, class_="fv-tick", x=LEFT - 6, y=y, dy=".35em", text_anchor="end")


def _x_axis(x_max: float, label: str, places: Sequence[tuple[float, str]] | None) -> Iterator[Markup]:
    step = max(1, round(x_max / 6)) if x_max >= 2 else 1
    shown = places or [(n, str(n)) for n in range(0, int(x_max) + 1, step)]
    for index, (place, words) in enumerate(shown):
        kind = "fv-tick fv-tick-between" if len(shown) > MANY_TICKS and index % 2 else "fv-tick"
        yield tag("text", words, class_=kind, x=_x(place, x_max), y=HEIGHT - BOTTOM + 18, text_anchor="middle")
    yield tag("text", label, class_="fv-tick", x=WIDTH - RIGHT, y=HEIGHT - 4, text_anchor="end")


def _band(series: Series, x_max: float, ticks: Sequence[float]) -> Markup | None:
    """The area between the band's edges, where both are numbers, clipped to the scale."""
    known = [(x, low, high) for x, (low, high) in zip(series.xs, series.band or (), strict=False) if is_number(low) and is_number(high)]
    if len(known) < 2:
        return None
    corners = [(x, high) for x, _, high in known] + [(x, low) for x, low, _ in reversed(known)]
    path = "L".join(f"{_x(x, x_max):.1f} {_y(min(max(y, ticks[0]), ticks[-1]), ticks):.1f}" for x, y in corners)
    return tag("path", class_="fv-curve-band", d=f"M{path}Z", fill=series.colour)


def _curve(series: Series, x_max: float, ticks: Sequence[float], y_format: Format, labels: Mapping[float, str]) -> list[Markup]:
    """The line, and below 40 points a dot for each with its value as a tooltip. ``labels``: of places on the x axis."""
    path, alone, dots = [], True, []
    points = list(zip(series.xs, series.ys, strict=True))
    drawn = sum(is_number(y) for _, y in points)
    for place, (x, y) in enumerate(points):
        if not is_number(y):
            alone = True
            continue
        px, py = _x(x, x_max), _y(min(y, ticks[-1]), ticks)
        path.append(f"{'M' if alone else 'L'}{px:.1f} {py:.1f}")
        if alone and not any(is_number(after) for _, after in points[place + 1 : place + 2]):
            path.append("h0")  # a line of length 0, whose round caps are a dot
        alone = False
        if drawn <= 40:
            at = labels.get(x, f"{x:g}")
            words = f"{series.name} · {at}: {f'{y:.1%}' if y_format == 'percent' else f'{y:.4g}'}"
            dots.append(tag("circle", tag("title", words), cx=px, cy=py, r=3 if drawn > 1 else 4, fill=series.colour))
    dashes = "6 4" if series.dashed else None
    return [tag("path", class_="fv-curve", d="".join(path), stroke=series.colour, stroke_dasharray=dashes), *dots]


def _legend(series: Sequence[Series]) -> Markup:
    styles = [f"border-top: 3px {'dashed' if one.dashed else 'solid'} {one.colour}" for one in series]
    names = [tag("span", tag("i", style=style), one.name) for style, one in zip(styles, series, strict=True)]
    return tag("span", names, class_="fv-legend")


def _x(x: float, x_max: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * x / max(x_max, 1e-9)


def _y(y: float, ticks: Sequence[float]) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - ticks[0]) / (ticks[-1] - ticks[0])


# Histogram -------------------------------------------------------------------------------------------------------

BINS = 41
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT, BASE, HIGHEST, MARGIN = 300.0, 120.0, 98.0, 88.0, 8.0


def histogram(values: np.ndarray, *, title: str, reach: float, colour: str, description: str) -> Markup:
    """HTML of the distribution of ``values`` between −reach and reach; values beyond are counted in the outermost bars.

    A line marks 0 and a band the mean ± one standard deviation.
    """
    values = np.asarray(values, float).ravel()
    counts, _ = np.histogram(np.clip(values, -reach, reach), BINS, (-reach, reach))
    width = HISTOGRAM_WIDTH - 2 * MARGIN

    def across(value: float) -> float:
        return MARGIN + width * (min(max(value / reach, -1), 1) + 1) / 2

    mean, deviation, highest = float(values.mean()), float(values.std()), max(int(counts.max()), 1)
    left, right = across(mean - deviation), across(mean + deviation)
    content = [tag("rect", class_="fv-band", x=left, y=6, width=max(right - left, 1.0), height=BASE - 6)]
    for place, count in enumerate(counts.tolist()):
        if count:
            height, x = HIGHEST * count / highest, MARGIN + place * width / BINS
            content.append(tag("rect", x=x, y=BASE - height, width=width / BINS - 0.8, height=height, fill=colour))
    content.append(tag("path", class_="fv-grid", d=f"M{MARGIN} {BASE}H{HISTOGRAM_WIDTH - MARGIN}"))
    content.append(tag("path", class_="fv-zero", d=f"M{across(0):.1f} 4V{BASE}"))
    for place, anchor in ((-reach, "start"), (0.0, "middle"), (reach, "end")):
        content.append(tag("text", number(place, ".3g"), class_="fv-tick", x=across(place), y=BASE + 17, text_anchor=anchor))
    svg = tag("svg", content, viewBox=f"0 0 {HISTOGRAM_WIDTH:.0f} {HISTOGRAM_HEIGHT:.0f}", role="img", aria_label=description)
    return tag("figure", tag("figcaption", title), svg, class_="fv-chart fv-histogram")


# Calibration -----------------------------------------------------------------------------------------------------


def reliability_chart(found: Reliability) -> Markup:
    """A reliability diagram (Guo et al. 2017, arXiv:1706.04599): confidence across, accuracy up, a bar for each bin.

    Bars of few pictures are pale. The text is in both languages, each in an element with a ``lang``.
    """
    width, height, left, bottom, top, right = 440, 300, 58, 42, 12, 24
    across, up = width - left - right, height - top - bottom
    content: list[Markup] = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + across * share, height - bottom - up * share
        content.append(tag("path", class_="grid", d=f"M{left} {y:.1f}H{width - right}"))
        content.append(tag("text", f"{share:.0%}", x=left - 6, y=y + 4, text_anchor="end"))
        content.append(tag("text", f"{share:.0%}", x=x, y=height - bottom + 16, text_anchor="middle"))
    bins, most = len(found.counts), float(found.counts.max())
    for i, (count, claimed, true) in enumerate(zip(found.counts.tolist(), found.confidence.tolist(), found.accuracy.tolist(), strict=True)):
        if count:
            title = tag("title", f"{claimed:.1%} → {true:.1%} ({count:.0f})")
            x, y, opacity = left + across * i / bins + 1, height - bottom - up * true, 0.25 + 0.75 * min((count / most) ** 0.25, 1)
            content.append(tag("rect", title, class_="bar", x=x, y=y, width=across / bins - 2, height=up * true, opacity=opacity))
    content.append(tag("path", class_="ideal", d=f"M{left} {height - bottom}L{width - right} {top}"))
    turned = {"x": 12, "y": top + up / 2, "transform": f"rotate(-90 12 {top + up / 2})", "text_anchor": "middle"}
    for language in LANGUAGES:
        claimed, true = (say(f"report.axis_{axis}", language) for axis in ("claimed", "right"))
        content.append(tag("text", claimed, lang=language, x=left + across / 2, y=height - 4, text_anchor="middle"))
        content.append(tag("text", true, lang=language, **turned))
    return tag("svg", content, class_="chart", viewBox=f"0 0 {width} {height}", role="img", aria_label=f"ECE {found.error:.3f}")
