"""How numbers are spread: a histogram as inline SVG that takes its colours from the page. No gradio."""

from __future__ import annotations

from html import escape

import numpy as np

BINS = 41
WIDTH, HEIGHT, BASE = 300.0, 120.0, 98.0
SIDES = 8.0


def histogram(values: np.ndarray, *, title: str, reach: float, colour: str, description: str) -> str:
    """HTML of the spread of ``values`` between −reach and reach; what lies beyond is counted in the outermost bars.

    A line marks 0 and a band the mean ± one standard deviation.
    """
    values = np.asarray(values, float).ravel()
    counts, _ = np.histogram(np.clip(values, -reach, reach), BINS, (-reach, reach))
    step = (WIDTH - 2 * SIDES) / BINS
    bars = [
        f'<rect x="{SIDES + place * step:.1f}" y="{BASE - 88 * count / max(counts.max(), 1):.1f}" width="{step - 0.8:.1f}" '
        f'height="{88 * count / max(counts.max(), 1):.1f}" fill="{colour}"/>'
        for place, count in enumerate(counts)
        if count
    ]
    mean, deviation = float(values.mean()), float(values.std())
    left, right = (_x(edge, reach) for edge in (mean - deviation, mean + deviation))
    ticks = "".join(
        f'<text class="fv-tick" x="{_x(place, reach):.1f}" y="{BASE + 15:.0f}" text-anchor="{anchor}">{place:.3g}</text>'
        for place, anchor in ((-reach, "start"), (0.0, "middle"), (reach, "end"))
    )
    return (
        f'<figure class="fv-chart fv-histogram"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(description, quote=True)}">'
        f'<rect class="fv-band" x="{left:.1f}" y="6" width="{max(right - left, 1):.1f}" height="{BASE - 6:.0f}"/>{"".join(bars)}'
        f'<path class="fv-grid" d="M{SIDES} {BASE}H{WIDTH - SIDES}"/><path class="fv-zero" d="M{_x(0, reach):.1f} 4V{BASE}"/>'
        f"{ticks}</svg></figure>"
    )


def _x(value: float, reach: float) -> float:
    share = min(max(value / reach, -1), 1)
    return SIDES + (WIDTH - 2 * SIDES) * (share + 1) / 2
