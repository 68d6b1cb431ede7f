"""A tensor (N, C, H, W) drawn as feature maps, with the elements that share one mean and variance highlighted.

Each stack is a sample, each sheet in it a channel, and each cell of a sheet a position. Every shape carries the number of
its sharing set, so that hovering over it highlights the set without asking the server.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from fruitvision.report.markup import tag

_CELL = 11.0  # side of a cell, in the drawing's units
_ACROSS = (_CELL * 0.87, _CELL * 0.42)  # one step along W
_DOWN = (-_CELL * 0.87, _CELL * 0.42)  # one step along H
_LIFT = 26.0  # from one channel's sheet to the next
_THICK = 3.0
_GAP = 20.0  # between samples
_LEFT, _TOP, _BOTTOM = 30.0, 12.0, 30.0

# Run by gr.HTML once; the element outlives each change of the drawing inside it.
SCRIPT = """
element.addEventListener('pointerover', (event) => {
  const part = event.target.closest('.fv-tensor [data-set]');
  if (!part) return;
  const drawing = part.closest('.fv-tensor');
  drawing.querySelectorAll('[data-set]').forEach((other) =>
    other.classList.toggle('lit', part.dataset.set !== '-1' && other.dataset.set === part.dataset.set));
});
"""


def draw_tensor(sets: np.ndarray, lit: int, *, description: str, sample: str, channels: str) -> Markup:
    """SVG of a tensor.

    Args:
        sets: (N, C, H, W) integers: elements with the same number share a mean and a variance; −1 shares nothing.
        lit: the number of the set that is highlighted initially.
        description: the drawing's accessible name.
        sample, channels: the labels of the axes N and C, in the user's language.
    """
    n, c, h, w = sets.shape
    half_width = h * -_DOWN[0]
    stack_width = half_width + w * _ACROSS[0]
    depth = h * _DOWN[1] + w * _ACROSS[1]
    width = _LEFT + n * stack_width + (n - 1) * _GAP + 34
    height = _TOP + (c - 1) * _LIFT + depth + _THICK + _BOTTOM
    content, x = [], 0.0
    for sample_index in range(n):
        x = _LEFT + sample_index * (stack_width + _GAP) + half_width
        for channel in range(c):  # the lowest sheet first: the later one lies over it
            y = _TOP + (c - 1 - channel) * _LIFT
            content.append(list(_sheet(sets[sample_index, channel], x, y, lit)))
        content.append(_text(x + (w - h) * _ACROSS[0] / 2, height - 8, f"{sample} {sample_index + 1}"))
    content.append(list(_axes(x_last=x, h=h, w=w, c=c, depth=depth, channels=channels)))
    view = f"0 0 {width:.0f} {height:.0f}"
    return tag("svg", content, class_="fv-tensor", viewBox=view, role="img", aria_label=description, xmlns="http://www.w3.org/2000/svg")


def _sheet(sets: np.ndarray, x: float, y: float, lit: int) -> Iterator[Markup]:
    h, w = sets.shape
    front = [_corner(x, y, h, 0), _corner(x, y, h, w), _corner(x, y, 0, w)]
    below = [(px, py + _THICK) for px, py in reversed(front)]
    yield _polygon(front + below, "edge", int(sets[h - 1, w - 1]), lit)
    if (sets == sets[0, 0]).all():
        yield _polygon([_corner(x, y, 0, 0), _corner(x, y, 0, w), _corner(x, y, h, w), _corner(x, y, h, 0)], "sheet", int(sets[0, 0]), lit)
        yield _grid(x, y, h, w)
        return
    for row in range(h):
        for column in range(w):
            corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
            yield _polygon([_corner(x, y, r, k) for r, k in corners], "sheet", int(sets[row, column]), lit)


def _grid(x: float, y: float, h: int, w: int) -> Markup:
    lines = [(_corner(x, y, row, 0), _corner(x, y, row, w)) for row in range(1, h)]
    lines += [(_corner(x, y, 0, column), _corner(x, y, h, column)) for column in range(1, w)]
    return tag("path", class_="grid", d="".join(f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" for a, b in lines))


def _axes(*, x_last: float, h: int, w: int, c: int, depth: float, channels: str) -> Iterator[Markup]:
    """C up the left side; H and W along the two lower edges of the last stack's lowest sheet."""
    low, high = _TOP + (c - 1) * _LIFT + depth / 2, _TOP + depth / 2
    y, middle = _TOP + (c - 1) * _LIFT, (low + high) / 2
    along_w, along_h = _corner(x_last, y, h, w / 2), _corner(x_last, y, h / 2, w)
    yield tag("path", class_="axis", d=f"M22 {low:.0f}V{high:.0f}m-3 5l3 -5l3 5")
    yield tag("text", channels, x=12, y=middle, text_anchor="middle", transform=f"rotate(-90 12 {middle:.0f})")
    yield _text(along_w[0] - 6, along_w[1] + _THICK + 11, "W")
    yield _text(along_h[0] + 7, along_h[1] + _THICK + 11, "H")


def _corner(x: float, y: float, row: float, column: float) -> tuple[float, float]:
    return x + row * _DOWN[0] + column * _ACROSS[0], y + row * _DOWN[1] + column * _ACROSS[1]


def _polygon(points: list[tuple[float, float]], kind: str, number: int, lit: int) -> Markup:
    corners = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    return tag("polygon", class_=f"{kind} lit" if number == lit and number >= 0 else kind, data_set=number, points=corners)


def _text(x: float, y: float, words: str) -> Markup:
    return tag("text", words, x=x, y=y, text_anchor="middle")
