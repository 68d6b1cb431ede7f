"""Tables in, drawings out: line charts as inline SVG that take their colours from the page, light or dark.

A chart's axes follow from what is asked for (``x_max``, and a scale that only widens in round steps), so a curve that
grows by a point each epoch is drawn over the last one without a flicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from numbers import Real
from typing import Literal

# After Okabe and Ito's palette, which the colour-blind can tell apart; each at least 3:1 against the light and the
# dark ground of a chart.
COLOURS = ("#2474bb", "#d55e00", "#009e73", "#c86a9f", "#b8860b", "#2f9bd0", "#7f5fc8", "#8c8c8c")

WIDTH, HEIGHT = 460.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 10.0, 30.0

Format = Literal["percent", "number"]


@dataclass(frozen=True)
class Series:
    """One curve: points (x, y); a y that is None or no number leaves a gap. ``band``: from where to where it is uncertain."""

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
    close: bool = False,
) -> str:
    """HTML of a chart with its title and legend.

    Args:
        x_max: the right end of the x axis, which begins at 0; the curves may be shorter.
        description: what the chart shows, for those who do not see it.
        y_format: "percent" takes y in 0..1 on a fixed scale from 0 to 100%.
        empty: what stands in the middle of a chart without points.
        x_places: where on the x axis which words stand, instead of whole numbers.
        close: a percent scale only as wide as the curves and their bands, for a chart of small differences.
    """
    if y_format == "percent":
        ticks = close_ticks(series) if close else [0, 0.25, 0.5, 0.75, 1]
    else:
        ticks = round_ticks(series)
    parts = [_grid(ticks, y_format), _x_axis(x_max, x_label, x_places)]
    parts += [_band(one, x_max, ticks) for one in series]
    drawn = [_curve(one, x_max, ticks, y_format) for one in series]
    parts += drawn
    if not any(drawn) and empty:
        parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle" class="fv-tick">{escape(empty)}</text>')
    label = escape(description, quote=True)
    return (
        f'<figure class="fv-chart"><figcaption>{escape(title)}{_legend(series)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{label}">{"".join(parts)}</svg></figure>'
    )


def round_ticks(series: Sequence[Series]) -> list[float]:
    """Four to six round steps from zero over the highest point; half of a rare outlier's height may be cut off."""
    values = sorted(y for one in series for y in one.ys if is_number(y))
    if not values:
        return [0, 0.5, 1]
    high = values[-1]
    usual = values[int(0.98 * (len(values) - 1))]
    high = min(high, 4 * usual) if usual > 0 else high
    if high <= 0:
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
    for percent in (5, 10, 20, 25):
        first, last = math.floor(low * 100 / percent + 1e-9), math.ceil(high * 100 / percent - 1e-9)
        if last - first <= 5:
            break
    if last == first:  # a level line on a step
        first, last = (first, first + 1) if low < 1 else (first - 1, first)
    return [n * percent / 100 for n in range(first, last + 1)]


def is_number(value: object) -> bool:
    """Whether it can be drawn; NumPy's numbers as well as Python's."""
    return isinstance(value, Real) and math.isfinite(value)


def _grid(ticks: Sequence[float], y_format: Format) -> str:
    lines = []
    for tick in ticks:
        y = _y(tick, ticks)
        words = f"{tick:.0%}" if y_format == "percent" else f"{tick:.3g}"
        lines.append(f'<path class="fv-grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text class="fv-tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{words}</text>')
    return "".join(lines)


def _x_axis(x_max: float, label: str, places: Sequence[tuple[float, str]] | None) -> str:
    step = max(1, round(x_max / 6)) if x_max >= 2 else 1
    texts = [
        f'<text class="fv-tick" x="{_x(place, x_max):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(words)}</text>'
        for place, words in places or [(n, str(n)) for n in range(0, int(x_max) + 1, step)]
    ]
    texts.append(f'<text class="fv-tick" x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{escape(label)}</text>')
    return "".join(texts)


def _band(series: Series, x_max: float, ticks: Sequence[float]) -> str:
    """The area between the band's edges, where both are numbers; edges off the scale are cut to it."""
    known = [(x, low, high) for x, (low, high) in zip(series.xs, series.band or (), strict=False) if is_number(low) and is_number(high)]
    if len(known) < 2:
        return ""
    corners = [(x, high) for x, _, high in known] + [(x, low) for x, low, _ in reversed(known)]
    path = "L".join(f"{_x(x, x_max):.1f} {_y(min(max(y, ticks[0]), ticks[-1]), ticks):.1f}" for x, y in corners)
    return f'<path class="fv-curve-band" d="M{path}Z" fill="{series.colour}"/>'


def _curve(series: Series, x_max: float, ticks: Sequence[float], y_format: Format) -> str:
    path, alone, dots = [], True, []
    points = [(x, y) for x, y in zip(series.xs, series.ys, strict=True)]
    drawn = sum(is_number(y) for _, y in points)
    for place, (x, y) in enumerate(points):
        if not is_number(y):
            alone = True
            continue
        px, py = _x(x, x_max), _y(min(y, ticks[-1]), ticks)
        path.append(f"{'M' if alone else 'L'}{px:.1f} {py:.1f}")
        if alone and not any(is_number(after) for _, after in points[place + 1 : place + 2]):
            path.append("h0")  # a line without length, whose round ends are a dot
        alone = False
        if drawn <= 40:
            words = f"{y:.1%}" if y_format == "percent" else f"{y:.4g}"
            dots.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{3 if drawn > 1 else 4}" fill="{series.colour}">'
                f"<title>{escape(series.name)} · {x:g}: {words}</title></circle>"
            )
    if not path:
        return ""
    dashes = ' stroke-dasharray="6 4"' if series.dashed else ""
    return f'<path class="fv-curve" d="{"".join(path)}" stroke="{series.colour}"{dashes}/>{"".join(dots)}'


def _legend(series: Sequence[Series]) -> str:
    names = "".join(
        f'<span><i style="{"border-top: 3px dashed" if one.dashed else "border-top: 3px solid"} {one.colour}"></i>{escape(one.name)}</span>'
        for one in series
    )
    return f'<span class="fv-legend">{names}</span>'


def _x(x: float, x_max: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * x / max(x_max, 1e-9)


def _y(y: float, ticks: Sequence[float]) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - ticks[0]) / (ticks[-1] - ticks[0])
