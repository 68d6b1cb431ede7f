"""The effect of one norm layer on the user's picture, as HTML: numbers, distributions and feature maps. Without gradio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from fruitvision.comparison.layers.norm_effect import AXES, EPS, NormEffect, Running, low_variance_sets, moments_by_axes
from fruitvision.models.norms import get_norm
from fruitvision.report.charts import histogram
from fruitvision.report.markup import data_url, join, tag
from fruitvision.ui.page.elements import bar, note, table
from fruitvision.ui.page.norm_names import norm_name
from fruitvision.wording.text import LIST_SEPARATOR, number, say

BEFORE, AFTER = "#8c8c8c", "#2474bb"
MAX_SETS = 5
MAPS = 8
HISTOGRAM_REACH = 4.0
"""Standard deviations on either side of 0 that the histogram of the output covers."""
NEGLIGIBLE = 1e-4
"""Smaller differences, in standard deviations, count as none."""


def details_view(effect: NormEffect, channel: int, language: str) -> Markup:
    """The layer's output: the axes over which it is normalized, its distribution, and its feature maps."""
    cards = [_axes_card(effect, language), _histogram_card(effect, channel, language), _maps_card(effect, channel, language)]
    if effect.running is not None:
        cards.append(_running_card(effect, effect.running, channel, language))
    n, c, h, w = effect.before.shape
    network = say("touch.learned" if effect.learned else "touch.first_weights", language)
    if effect.learned and effect.norm != "batch":
        network += " " + say("touch.put_in", language, norm=norm_name(effect.norm, language))
    shape = say("touch.shape", language, n=n, c=c, h=h, w=w)
    return join([note(network), note(shape), tag("div", cards, class_="fv-norm-effect")])


def numbers_view(effect: NormEffect, channel: int, language: str) -> Markup:
    """Means and standard deviations of a few sharing sets, among them that of the user's picture in the chosen channel."""
    before, after = effect.moments(effect.before), effect.moments(effect.after)
    title = say("touch.sets", language)
    if not len(before[0]):
        return _card(title, tag("p", say("touch.nothing_shared", language)))
    mine = int(effect.sets[0, channel, 0, 0])
    step = max(len(before[0]) // MAX_SETS, 1)
    chosen = sorted({mine, *range(0, len(before[0]), step)})[: MAX_SETS + 1]
    rows = []
    for one in chosen:
        figures = [number(values[one], ".3f") for values in (*before, *after)]
        rows.append(_row([_set_name(effect, one, language), *figures], one == mine))
    facts = {"count": f"{len(before[0]):,}", "size": f"{effect.sets.size // len(before[0]):,}", "norm": norm_name(effect.norm, language)}
    words = say("touch.sets_count", language, **facts)
    if few := low_variance_sets(effect):
        words += " " + say("touch.eps_few", language, count=few)
    if effect.running is not None and not effect.training:
        words += " " + say("touch.sets_in_use", language)
    heads = _heads(("set", "mean", "deviation", "mean_after", "deviation_after"), language)
    return _card(title, tag("p", words), table(heads, rows, title))


def _set_name(effect: NormEffect, place: int, language: str) -> str:
    """The coordinates that all elements of a set have in common, such as "picture 2, group 5"."""
    n, c, h, w = (int(axis[0]) for axis in np.nonzero(effect.sets == place))
    norm = get_norm(effect.norm)
    parts = []
    if "N" not in norm.shares:
        parts.append(say("touch.picture_number", language, number=n + 1))
    if "C" not in norm.shares:
        parts.append(say("touch.channel_number", language, number=c))
    elif norm.grouped:
        size = (effect.sets[n, :, 0, 0] == place).sum()
        parts.append(say("touch.channels_from", language, first=c, last=c + size - 1))
    if "H" not in norm.shares:
        parts.append(say("touch.position", language, row=h, column=w))
    return LIST_SEPARATOR[language].join(parts) or say("touch.everything", language)


def _axes_card(effect: NormEffect, language: str) -> Markup:
    """The output's mean and standard deviation over each choice of axes, and whether these are 0 and 1."""
    own = _own_axes(effect.norm)
    rows = []
    for row in moments_by_axes(effect.after):
        whole = row.normalized == row.count
        share = say("touch.of", language, some=f"{row.normalized:,}", all=f"{row.count:,}")
        spread = f"{row.least_deviation:.3f} … {row.greatest_deviation:.3f}" if row.count > 1 else f"{row.greatest_deviation:.3f}"
        mark = tag("span", "✓" if whole else "–", class_="fv-yes" if whole else "fv-no")
        rows.append(_row([tag("b", row.axes), number(row.furthest_mean, ".3f"), spread, join([mark, " ", share])], row.axes == own))
    title = say("touch.axes", language)
    shown = table(_heads(("over", "furthest", "spread", "normalized"), language), rows, title)
    return _card(title, tag("p", say("touch.axes_meaning", language)), shown)


def _heads(names: Sequence[str], language: str) -> list[Markup]:
    return [tag("th", say(f"touch.{name}", language)) for name in names]


def _row(cells: Sequence[Any], mine: bool = False) -> Markup:
    return tag("tr", [tag("td", cell) for cell in cells], class_="fv-mine" if mine else None)


def _own_axes(norm: str) -> str:
    layer = get_norm(norm)
    return next((name for name, (shares, grouped) in AXES.items() if (shares, grouped) == (layer.shares, layer.grouped)), "")


def _histogram_card(effect: NormEffect, channel: int, language: str) -> Markup:
    before, after = effect.before[:, channel], effect.after[:, channel]
    reach = _ceil_two_digits(float(np.abs(before).max()))
    charts = [
        histogram(
            values,
            title=say(f"touch.histogram_{when}", language, mean=number(float(values.mean()), ".3f"), deviation=f"{values.std():.2f}"),
            reach=limit,
            colour=colour,
            description=say("touch.histogram_description", language, channel=channel),
        )
        for when, values, limit, colour in (("before", before, reach, BEFORE), ("after", after, HISTOGRAM_REACH, AFTER))
    ]
    words = say("touch.spread_meaning", language, channel=channel)
    return _card(say("touch.spread_title", language), tag("p", words), tag("div", charts, class_="fv-pair"))


def _maps_card(effect: NormEffect, channel: int, language: str) -> Markup:
    """Feature maps of the user's picture in a few channels; all maps of a row have the same scale."""
    first = min(channel, effect.before.shape[1] - MAPS)
    limit = 3 * float(np.sqrt(np.mean(effect.before[0].astype(np.float64) ** 2))) or 1.0
    rows = []
    for when, values, reach in (("before", effect.before, limit), ("after", effect.after, 3.0)):
        words = say(f"touch.maps_{when}", language)
        rows += [tag("figcaption", words), feature_maps_image(values[0, first : first + MAPS], reach, words)]
    words = say("touch.maps_meaning", language, first=first, last=first + MAPS - 1)
    return _card(say("touch.maps", language), tag("p", words), tag("figure", rows, class_="fv-maps"))


def _running_card(effect: NormEffect, running: Running, channel: int, language: str) -> Markup:
    """Training and evaluation compared: the running statistics, their momentum, and the role of ε."""
    values = effect.before[:, channel].astype(np.float64)
    moments = {
        "batch_now": (values.mean(), values.var(ddof=1) if values.size > 1 else 0.0),
        "kept": (running.mean[channel], running.variance[channel]),
        "kept_next": (running.next_mean[channel], running.next_variance[channel]),
    }
    rows = [
        _row([say(f"touch.{name}", language), number(mean, ".4f"), number(variance, ".4f")]) for name, (mean, variance) in moments.items()
    ]
    facts = {"momentum": f"{running.momentum:g}", "rest": f"{1 - running.momentum:g}", "eps": f"{EPS:g}"}
    affine = {"channel": channel, "scale": number(effect.scale[channel], ".3f"), "shift": number(effect.shift[channel], ".3f")}
    title = say("touch.running", language, channel=channel)
    return _card(
        title,
        tag("p", say(f"touch.running_{'training' if effect.training else 'use'}", language)),
        table([tag("th"), *_heads(("mean", "variance"), language)], rows, title),
        tag("p", say("touch.running_rule", language, **facts)),
        tag("p", say("touch.affine" if effect.learned else "touch.affine_first", language, **affine)),
    )


# The batch's composition -------------------------------------------------------------------------------------------


def composition_view(
    batch: Sequence[np.ndarray],
    previous: Sequence[np.ndarray],
    effects: dict[str, float],
    difference: np.ndarray,
    single: float | None,
    norm: str,
    *,
    training: bool,
    language: str,
) -> Markup:
    """How the batch's other pictures change the output for the user's: both batches, the change by norm, and where it occurs.

    Args:
        batch, previous: the two batches, which have the user's picture in common.
        effects: the change by norm, in standard deviations of the output.
        difference: (C, H, W), the chosen norm's change.
        single: for a batch of one picture, the difference between batch norm and instance norm; otherwise None.
    """
    title = say("touch.composition", language)
    if single is not None:
        words = say("touch.alone", language, difference=f"{single:.1g}" if single else "0")
        return _card(title, _strip(batch, "touch.batch_alone", language), tag("p", words), kind="fv-composition")
    rows = [
        tag("li", tag("span", norm_name(name, language)), bar(min(effect, 1)), tag("span", _effect_percent(effect)), class_=mine)
        for name, effect in effects.items()
        for mine in ["fv-mine" if name == norm else None]
    ]
    chosen = effects[norm]
    key = "changed" if chosen > NEGLIGIBLE else "unchanged_in_use" if norm == "batch" and not training else "unchanged"
    return _card(
        title,
        tag("p", say("touch.composition_meaning", language)),
        _strip(previous, "touch.batch_before", language),
        _strip(batch, "touch.batch_now_strip", language),
        tag("p", say(f"touch.{key}", language, norm=norm_name(norm, language), percent=_effect_percent(chosen)), class_="fv-reply"),
        tag("ul", rows, class_="fv-effects"),
        _differences(difference, language) if chosen > NEGLIGIBLE else None,
        kind="fv-composition",
    )


def _differences(difference: np.ndarray, language: str) -> Markup:
    """Maps of the change, in the channels in which it is largest."""
    busiest = np.argsort(-np.abs(difference).mean((1, 2)), kind="stable")[:MAPS]
    words = say("touch.difference", language)
    return tag("figure", tag("figcaption", words), feature_maps_image(difference[np.sort(busiest)], 1.5, words), class_="fv-maps")


def _strip(pictures: Sequence[np.ndarray], key: str, language: str) -> Markup:
    """The batch's pictures in a row, the user's marked."""
    images = []
    for place, pixels in enumerate(pictures):
        alt = say("touch.beside" if place else "touch.mine", language)
        source = data_url(Image.fromarray(pixels).resize((64, 64)), quality=75)
        images.append(tag("img", class_=None if place else "fv-mine", alt=alt, src=source))
    return tag("div", tag("span", say(key, language)), images, class_="fv-strip")


def feature_maps_image(maps: np.ndarray, reach: float, words: str) -> Markup:
    """An <img> of the maps (M, H, W) side by side: orange above 0, blue below, white at 0, full colour at ±``reach``."""
    count, height, width = maps.shape
    level = np.clip(maps / reach, -1, 1)[..., None]
    above, below = np.array([213, 94, 0.0]), np.array([36, 116, 187.0])
    coloured = 255 + np.where(level > 0, level * (above - 255), -level * (below - 255))
    sheet = np.zeros((height, count * (width + 1) - 1, 4), np.uint8)
    for place in range(count):
        left = place * (width + 1)
        sheet[:, left : left + width, :3] = np.round(coloured[place])
        sheet[:, left : left + width, 3] = 255
    return tag("img", alt=words, src=data_url(Image.fromarray(sheet), "PNG"))


def _card(title: str, *content: Markup | None, kind: str = "") -> Markup:
    return tag("section", tag("h3", title), content, class_=f"fv-card {kind}".strip())


def _effect_percent(share: float) -> str:
    return "0" if share < NEGLIGIBLE else f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _ceil_two_digits(value: float) -> float:
    """Rounded up to two significant digits."""
    if value <= 0:
        return 1.0
    digit = 10 ** np.floor(np.log10(value) - 1)
    return float(np.ceil(value / digit) * digit)
