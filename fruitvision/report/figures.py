"""What a report shows: pictures as data URLs, matrices as tables whose heads stay in sight, a curve as SVG. No gradio."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape

import numpy as np
from PIL import Image

from fruitvision.data.read.picture import cap_short_side
from fruitvision.recognition.evaluate.confusions import Confusions
from fruitvision.report.bilingual import both, hint, named
from fruitvision.training.metrics import Reliability
from fruitvision.wording.text import LANGUAGES, say

SIDE = 132
"""Short side of a picture in the report, in pixels."""
QUALITY = 82
MOST_ACROSS = 1.8
"""A longer picture is cut to its middle: cards stand in rows."""


def picture(pixels: np.ndarray | Image.Image, words: str) -> str:
    """An ``<img>`` that holds its picture. ``words``: what it shows, for those who do not see it; escaped here."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image = _middle(cap_short_side(image.convert("RGB"), SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    alt = escape(words, quote=True)
    return f'<img src="data:image/jpeg;base64,{data}" width="{image.width}" height="{image.height}" alt="{alt}" decoding="async">'


def _middle(image: Image.Image) -> Image.Image:
    short = min(image.size)
    width, height = (min(side, round(short * MOST_ACROSS)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def matrix(found: Confusions, *, links: Mapping[str, str] | None = None, small: bool = False) -> str:
    """A table, true names down and answers across. What is right is green, what is wrong orange, the more the stronger.

    Args:
        links: row name → the id of what a click on the row opens.
        small: narrow cells without numbers, for more than a hundred rows.
    """
    links = links or {}
    heads = "".join(f'<th scope="col"><span title="{hint(name)}">{named(name)}</span></th>' for name in found.columns)
    rows = []
    totals = found.counts.sum(axis=1)
    for i, name in enumerate(found.rows):
        words = f'<a href="#{links[name]}">{named(name)}</a>' if name in links else named(name)
        cells = "".join(_cell(found, i, j, totals[i], small) for j in range(len(found.columns)))
        rows.append(f'<tr{_opens(links.get(name))}><th scope="row" title="{hint(name)}">{words}</th>{cells}</tr>')
    kind = "matrix small" if small else "matrix"
    corner = f'<td class="corner">{both("report.matrix_corner")}</td>'
    return (
        f'<div class="wide" tabindex="0"><table class="{kind}"><thead><tr>{corner}{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _opens(target: str | None) -> str:
    return f' data-opens="{target}"' if target else ""


def _cell(found: Confusions, i: int, j: int, total: int, small: bool) -> str:
    count = int(found.counts[i, j])
    if not count:
        return "<td></td>"
    truth, answer = found.rows[i], found.columns[j]
    kind = "right" if truth == answer else "wrong"
    title = f"{hint(truth)} → {hint(answer)}: {count}"
    share = count / total
    return f'<td class="{kind}" style="--share:{share:.2f}" title="{title}">{"" if small else count}</td>'


def reliability_chart(found: Reliability) -> str:
    """Claimed confidence across, share of right answers up; the nearer the bars end to the diagonal, the better."""
    width, height, left, bottom, top, right = 440, 300, 58, 42, 12, 24
    across, up = width - left - right, height - top - bottom

    def place(x: float, y: float) -> tuple[float, float]:
        return left + across * x, height - bottom - up * y

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = place(share, share)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{width - right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
        parts.append(f'<text x="{x:.1f}" y="{height - bottom + 16}" text-anchor="middle">{share:.0%}</text>')
    bins, most = len(found.counts), float(found.counts.max())
    for i, (count, claimed, true) in enumerate(zip(found.counts.tolist(), found.confidence.tolist(), found.accuracy.tolist(), strict=True)):
        if not count:
            continue
        x, y = place(i / bins, true)
        # A few pictures say little: their bar is pale.
        pale = 0.25 + 0.75 * min((count / most) ** 0.25, 1)
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{y:.1f}" width="{across / bins - 2:.1f}" height="{height - bottom - y:.1f}" '
            f'opacity="{pale:.2f}"><title>{claimed:.1%} → {true:.1%} ({count:.0f})</title></rect>'
        )
    start, end = place(0, 0), place(1, 1)
    parts.append(f'<path class="ideal" d="M{start[0]} {start[1]}L{end[0]} {end[1]}"/>')
    middle = left + across / 2
    turned = f'x="12" y="{top + up / 2}" transform="rotate(-90 12 {top + up / 2})"'
    for language in LANGUAGES:
        claimed, true = (say(f"report.axis_{axis}", language) for axis in ("claimed", "right"))
        parts.append(f'<text lang="{language}" x="{middle}" y="{height - 4}" text-anchor="middle">{claimed}</text>')
        parts.append(f'<text lang="{language}" {turned} text-anchor="middle">{true}</text>')
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="ECE {found.error:.3f}">{"".join(parts)}</svg>'
