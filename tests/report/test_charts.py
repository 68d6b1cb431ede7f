"""Charts are sound drawings: nothing but numbers is drawn, gaps stay gaps, names cannot break out."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from fruitvision.report.charts import COLOURS, Series, close_ticks, line_chart, round_ticks


def chart(*series: Series, **wanted) -> str:
    given = {"title": "Loss", "x_max": 6, "x_label": "epoch", "description": "Loss over the epochs"}
    return line_chart(series, **{**given, **wanted})


def curve(ys, **more) -> Series:
    return Series("one", range(1, len(ys) + 1), ys, COLOURS[0], **more)


def path_of(drawing: str) -> str:
    return re.search(r'class="fv-curve" d="([^"]*)"', drawing)[1]


def test_a_chart_is_well_formed_scales_with_the_page_and_says_what_it_shows():
    root = ElementTree.fromstring(chart(curve([3.0, 2.0, 1.0])))
    svg = root.find("svg")
    assert svg.get("viewBox") and svg.get("width") is None
    assert (svg.get("role"), svg.get("aria-label")) == ("img", "Loss over the epochs")


def test_names_are_escaped_wherever_they_stand():
    bad = "<script>\"&'"
    drawing = chart(Series(bad, [1], [2.0], COLOURS[0]), title=bad, description=bad, x_label=bad)
    assert "<script>" not in drawing
    ElementTree.fromstring(drawing)


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")])
def test_what_is_missing_leaves_a_gap(missing):
    drawing = chart(curve([1.0, 2.0, missing, 3.0, 4.0]))
    assert path_of(drawing).count("M") == 2
    assert "nan" not in drawing.lower() and "inf" not in path_of(drawing)


def test_one_point_is_a_dot_that_tells_its_value():
    drawing = chart(curve([0.512]), y_format="percent")
    assert drawing.count("<circle") == 1 and "51.2%" in drawing


def test_the_axes_do_not_move_while_a_curve_grows():
    def axes(drawing: str) -> list[str]:
        return re.findall(r'<text class="fv-tick".*?</text>', drawing)

    ys = [0.9, 0.8, 0.7, 0.6]
    assert axes(chart(curve(ys[:1]))) == axes(chart(curve(ys)))
    assert path_of(chart(curve(ys))).startswith(path_of(chart(curve(ys[:2]))))


def test_percent_has_one_scale_whatever_is_drawn():
    for ys in ([], [0.01], [0.99, 1.0]):
        drawing = chart(curve(ys), y_format="percent")
        assert all(f">{tick}%<" in drawing for tick in (0, 25, 50, 75, 100))


def test_an_empty_chart_says_so_and_a_drawn_one_does_not():
    assert "nothing yet" in chart(empty="nothing yet")
    assert "nothing yet" in chart(curve([None, None]), empty="nothing yet")
    assert "nothing yet" not in chart(curve([1.0]), empty="nothing yet")


@pytest.mark.parametrize("high", [1e-6, 3e-4, 0.007, 0.99, 1, 2.5, 7.1, 42, 9_999, 1e6])
def test_ticks_are_few_round_and_cover_the_highest_point(high):
    ticks = round_ticks([curve([high])])
    assert ticks[0] == 0 and 3 <= len(ticks) <= 7
    assert ticks[-1] >= high * (1 - 1e-9) and ticks[-2] < high


def test_a_rare_outlier_does_not_flatten_the_curve_and_stays_inside():
    ys = [1.0] * 99 + [1000.0]
    drawing = chart(curve(ys), x_max=100)
    assert round_ticks([curve(ys)])[-1] < 10
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path_of(drawing))]
    assert min(heights) >= 0


def test_several_curves_have_a_legend_and_a_dashed_one_is_dashed_in_both_places():
    drawing = chart(curve([1.0, 2.0]), Series("two", [1, 2], [2.0, 3.0], COLOURS[1], dashed=True))
    assert ">one<" in drawing and ">two<" in drawing
    assert drawing.count("stroke-dasharray") == 1 and drawing.count("3px dashed") == 1


def test_there_are_eight_colours_and_no_two_alike():
    assert len(set(COLOURS)) == 8


def test_a_band_lies_under_its_curve_and_stays_inside_the_chart():
    one = Series("one", [1, 2, 3], [0.5, 0.6, 0.7], COLOURS[0], band=[(0.4, 0.6), (float("nan"), 1), (-3, 9)])
    drawing = chart(one, y_format="percent")
    band = re.search(r'class="fv-curve-band" d="M([^"]*)Z"', drawing)[1]
    assert band.count(" ") == 4 and "nan" not in band
    assert all(10 <= float(point.split()[1]) <= 200 for point in band.split("L"))
    assert drawing.index("fv-curve-band") < drawing.index('class="fv-curve"')


def test_the_x_axis_may_carry_words():
    drawn = chart(curve([1.0, 2.0]), x_places=[(1, "batch 2"), (2, "batch 32")])
    assert ">batch 32<" in drawn and "· batch 32: 2<" in drawn, "on the axis and in the tooltip"


def test_small_differences_fill_the_chart_when_asked_for():
    near = [curve([0.76, 0.82], band=[(0.71, 0.81), (0.80, 0.84)])]
    assert close_ticks(near) == pytest.approx([0.7, 0.75, 0.8, 0.85])
    assert close_ticks([curve([0.0, 1.0])]) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert close_ticks([curve([0.75])]) == pytest.approx([0.75, 0.8]) and close_ticks([curve([1.0])]) == pytest.approx([0.95, 1])
    assert close_ticks([curve([None])])[-1] == 1
    drawing = chart(*near, y_format="percent", ticks=close_ticks(near))
    assert ">70%<" in drawing and ">0%<" not in drawing
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path_of(drawing))]
    assert heights[0] - heights[1] > 60 > 0, "six points of a hundred fill a third of the height"
