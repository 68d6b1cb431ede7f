"""The studio view: what lies on a plain ground, on white."""

from __future__ import annotations

import numpy as np
import pytest

from fruitvision.recognition.white_background import on_white_background


def table(kind: str, side=160) -> np.ndarray:
    """(side, side, 3) uint8: a sheet of paper, a coloured cloth, two stripes, or noise."""
    rng = np.random.default_rng(3)
    ground = np.full((side, side, 3), {"paper": 190, "dim": 120}.get(kind, 150), np.float64)
    if kind == "cloth":
        ground[:] = (90, 130, 160)
    if kind == "stripes":
        ground[:, : side // 2] = (200, 180, 150)
    if kind == "noise":
        ground = rng.uniform(0, 255, ground.shape)
    return np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255).astype(np.uint8)


def with_fruit(ground: np.ndarray, colour=(200, 40, 30), at=(80, 80), radius=30) -> np.ndarray:
    y, x = np.mgrid[: len(ground), : len(ground)]
    inside = np.hypot(y - at[0], x - at[1]) < radius
    return np.where(inside[..., None], np.array(colour, np.uint8), ground)


def is_on_white(view: np.ndarray, colour=(200, 40, 30)) -> bool:
    corners = view[[0, 0, -1, -1], [0, -1, 0, -1]]
    middle = view[len(view) // 2, view.shape[1] // 2].astype(int)
    return bool((corners > 240).all()) and bool((abs(middle - colour) < 90).all())


@pytest.mark.parametrize("kind", ["paper", "dim", "cloth"])
def test_a_fruit_on_a_plain_ground_comes_out_on_white_and_fills_the_view(kind):
    view = on_white_background(with_fruit(table(kind)))
    assert view is not None and is_on_white(view)
    red = (view[..., 0].astype(int) - view[..., 2] > 60).mean()
    assert 0.45 < red < 0.85, "a disc that fills a square covers 0.785 of it"


def test_paper_takes_the_colour_of_the_light_away():
    yellow = np.array([1.0, 0.9, 0.72])
    lit = (with_fruit(table("paper"), (80, 80, 80)) * yellow).astype(np.uint8)
    middle = on_white_background(lit)
    centre = middle[len(middle) // 2, len(middle) // 2].astype(int)
    assert np.ptp(centre) < 0.5 * np.ptp(lit[80, 80].astype(int))


@pytest.mark.parametrize(
    "picture",
    [table("noise"), table("paper"), with_fruit(table("paper"), radius=4), with_fruit(table("paper"), radius=110)],
    ids=["no plain ground", "no fruit", "a crumb", "nothing but fruit"],
)
def test_no_view_where_the_ground_is_not_plain_or_nothing_lies_there(picture):
    assert on_white_background(picture) is None


def test_an_empty_shot_tells_the_ground_where_it_is_not_plain_and_the_light_has_changed():
    empty = table("stripes")
    now = (with_fruit(empty, (150, 30, 90)) * 0.85).astype(np.uint8)
    view = on_white_background(now, empty)
    assert view is not None and is_on_white(view, (150, 30, 90))
    assert on_white_background((empty * 0.85).astype(np.uint8), empty) is None
