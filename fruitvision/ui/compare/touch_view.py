"""One norm layer at work on a person's picture, as they read it: numbers, spreads and feature maps. HTML, without gradio."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from fruitvision.comparison.touch import EPS, OVER, Touch, hardly_varying, over_axes
from fruitvision.models.norms import get_norm
from fruitvision.report.charts import histogram
from fruitvision.ui.compare.norm_words import norm_html
from fruitvision.wording.text import say

BEFORE, AFTER = "#8c8c8c", "#2474bb"
MOST_SETS = 6
MAPS = 8
REACH = 4.0  # deviations that a histogram and a map of the result show
NOTHING = 1e-4  # a smaller difference is rounding


def touch_view(seen: Touch, channel: int, language: str) -> str:
    """The layer's numbers: what shares, over which axes it is normalized, how it is spread, how it looks."""
    cards = [_sets_card(seen, channel, language), _axes_card(seen, language)]
    cards += [_spread_card(seen, channel, language), _maps_card(seen, channel, language)]
    if seen.running is not None:
        cards.append(_running_card(seen, channel, language))
    n, c, h, w = seen.before.shape
    network = say("touch.learned" if seen.learned else "touch.first_weights", language)
    if seen.learned and seen.norm != "batch":
        network += " " + say("touch.put_in", language, norm=norm_html(seen.norm, language))
    shape = say("touch.shape", language, n=n, c=c, h=h, w=w)
    return f'<p class="fv-note">{network}</p><p class="fv-note">{shape}</p><div class="fv-touch">{"".join(cards)}</div>'


def _sets_card(seen: Touch, channel: int, language: str) -> str:
    """Mean and deviation of the sharing sets that the chosen channel of my picture lies among."""
    before, after = seen.moments(seen.before), seen.moments(seen.after)
    title = say("touch.sets", language)
    if not len(before[0]):
        return _card(title, f"<p>{say('touch.nothing_shared', language)}</p>")
    mine = int(seen.sets[0, channel, 0, 0])
    step = max(len(before[0]) // MOST_SETS, 1)
    chosen = sorted({mine, *range(0, len(before[0]), step)})[: MOST_SETS + 1]
    rows = "".join(
        f"<tr{' class=fv-mine' if number == mine else ''}><td>{_set_name(seen, number, language)}</td>"
        f"<td>{_small(before[0][number])}</td><td>{before[1][number]:.3f}</td>"
        f"<td>{_small(after[0][number])}</td><td>{after[1][number]:.3f}</td></tr>"
        for number in chosen
    )
    heads = "".join(f"<th>{say(f'touch.{name}', language)}</th>" for name in ("set", "mean", "deviation", "mean_after", "deviation_after"))
    size = seen.sets.size // len(before[0])
    facts = {"count": f"{len(before[0]):,}", "size": f"{size:,}", "norm": norm_html(seen.norm, language)}
    table = f'<div class="fv-table"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    words = say("touch.sets_count", language, **facts)
    if few := hardly_varying(seen):
        words += " " + say("touch.eps_few", language, count=few)
    if seen.running is not None and not seen.training:
        words += " " + say("touch.sets_in_use", language)
    return _card(title, f"<p>{words}</p>{table}")


def _set_name(seen: Touch, number: int, language: str) -> str:
    """Such as "picture 2, group 5": the coordinates that all elements of a set have in common."""
    n, c, h, w = (int(axis[0]) for axis in np.nonzero(seen.sets == number))
    norm = get_norm(seen.norm)
    parts = []
    if "N" not in norm.shares:
        parts.append(say("touch.picture_number", language, number=n + 1))
    if "C" not in norm.shares:
        parts.append(say("touch.channel_number", language, number=c))
    elif norm.grouped:
        size = (seen.sets[n, :, 0, 0] == number).sum()
        parts.append(say("touch.channels_from", language, first=c, last=c + size - 1))
    if "H" not in norm.shares:
        parts.append(say("touch.position", language, row=h, column=w))
    return ", ".join(parts) or say("touch.everything", language)


def _axes_card(seen: Touch, language: str) -> str:
    """The moments of the result over each choice of axes: where they are 0 and 1, and where not."""
    own = _own_axes(seen.norm)
    rows = []
    for row in over_axes(seen.after):
        whole = row.normalized == row.count
        mark = "✓" if whole else "–"
        share = say("touch.of", language, some=f"{row.normalized:,}", all=f"{row.count:,}")
        spread = f"{row.least_deviation:.3f} … {row.greatest_deviation:.3f}" if row.count > 1 else f"{row.greatest_deviation:.3f}"
        rows.append(
            f"<tr{' class=fv-mine' if row.axes == own else ''}><td><b>{row.axes}</b></td><td>{_small(row.furthest_mean)}</td>"
            f'<td>{spread}</td><td><span class="{"fv-yes" if whole else "fv-no"}">{mark}</span> {share}</td></tr>'
        )
    heads = "".join(f"<th>{say(f'touch.{name}', language)}</th>" for name in ("over", "furthest", "spread", "normalized"))
    words = say("touch.axes_meaning", language)
    table = f'<div class="fv-table"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    return _card(say("touch.axes", language), f"<p>{words}</p>{table}")


def _own_axes(norm: str) -> str:
    found = get_norm(norm)
    return next((name for name, (shares, grouped) in OVER.items() if (shares, grouped) == (found.shares, found.grouped)), "")


def _spread_card(seen: Touch, channel: int, language: str) -> str:
    before, after = seen.before[:, channel], seen.after[:, channel]
    reach = _round_up(float(np.abs(before).max()))
    charts = [
        histogram(
            values,
            title=say(f"touch.histogram_{when}", language, mean=_small(float(values.mean())), deviation=f"{values.std():.2f}"),
            reach=limit,
            colour=colour,
            description=say("touch.histogram_description", language, channel=channel),
        )
        for when, values, limit, colour in (("before", before, reach, BEFORE), ("after", after, REACH, AFTER))
    ]
    words = say("touch.spread_meaning", language, channel=channel)
    return _card(say("touch.spread_title", language), f'<p>{words}</p><div class="fv-pair">{"".join(charts)}</div>')


def _maps_card(seen: Touch, channel: int, language: str) -> str:
    """My picture's maps of a few channels, each row on one scale for all channels."""
    first = min(channel, seen.before.shape[1] - MAPS)
    rows = []
    limit = 3 * float(np.sqrt(np.mean(seen.before[0].astype(np.float64) ** 2))) or 1.0
    for when, values, reach in (("before", seen.before, limit), ("after", seen.after, 3.0)):
        words = say(f"touch.maps_{when}", language)
        rows.append(f"<figcaption>{words}</figcaption>{maps_picture(values[0, first : first + MAPS], reach, words)}")
    words = say("touch.maps_meaning", language, first=first, last=first + MAPS - 1)
    return _card(say("touch.maps", language), f'<p>{words}</p><figure class="fv-maps">{"".join(rows)}</figure>')


def _running_card(seen: Touch, channel: int, language: str) -> str:
    """Training against inference: what is kept of the batches, how fast it moves, what ε does."""
    kept = seen.running
    values = seen.before[:, channel].astype(np.float64)
    rows = [
        ("batch_now", values.mean(), values.var(ddof=1) if values.size > 1 else 0.0),
        ("kept", kept.mean[channel], kept.variance[channel]),
        ("kept_next", kept.next_mean[channel], kept.next_variance[channel]),
    ]
    body = "".join(
        f"<tr><td>{say(f'touch.{name}', language)}</td><td>{mean:.4f}</td><td>{variance:.4f}</td></tr>" for name, mean, variance in rows
    )
    heads = f"<th></th><th>{say('touch.mean', language)}</th><th>{say('touch.variance', language)}</th>"
    learned = {"scale": f"{seen.scale[channel]:.3f}", "shift": f"{seen.shift[channel]:.3f}"}
    affine = say("touch.affine" if seen.learned else "touch.affine_first", language, channel=channel, **learned)
    facts = {"momentum": f"{kept.momentum:g}", "rest": f"{1 - kept.momentum:g}", "eps": f"{EPS:g}"}
    table = f'<div class="fv-table"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    words = say(f"touch.running_{'training' if seen.training else 'use'}", language)
    rule = say("touch.running_rule", language, **facts)
    return _card(say("touch.running", language, channel=channel), f"<p>{words}</p>{table}<p>{rule}</p><p>{affine}</p>")


def makeup_view(
    now: Sequence[np.ndarray],
    before: Sequence[np.ndarray],
    effects: dict[str, float],
    difference: np.ndarray,
    alone: float | None,
    norm: str,
    *,
    training: bool,
    language: str,
) -> str:
    """What the pictures beside mine do to it: both batches, how far my result differs by norm, and where.

    ``effects`` are in deviations of the result; ``difference`` (C, H, W) is the chosen norm's; ``alone`` is how far batch
    norm on one picture is from instance norm, where there is but one.
    """
    title = say("touch.makeup", language)
    if alone is not None:
        words = say("touch.alone", language, difference=f"{alone:.1g}" if alone else "0")
        return _card(title, f"{_strip(now, 'touch.batch_alone', language)}<p>{words}</p>", "fv-makeup")
    most = max(max(effects.values()), 0.05)
    rows = "".join(
        f"<li{' class=fv-mine' if name == norm else ''}><span>{norm_html(name, language)}</span>"
        f'<span class="fv-bar"><i style="width:{min(effect / most, 1) * 100:.0f}%"></i></span>'
        f"<span>{_percent(effect)}</span></li>"
        for name, effect in effects.items()
    )
    chosen = effects[norm]
    key = "changed" if chosen > NOTHING else "unchanged_in_use" if norm == "batch" and not training else "unchanged"
    words = say(f"touch.{key}", language, norm=norm_html(norm, language), percent=_percent(chosen))
    maps = _differences(difference, language) if chosen > NOTHING else ""
    return _card(
        title,
        f"<p>{say('touch.makeup_meaning', language)}</p>{_strip(before, 'touch.batch_before', language)}"
        f'{_strip(now, "touch.batch_now_strip", language)}<p class="fv-reply">{words}</p><ul class="fv-effects">{rows}</ul>{maps}',
        "fv-makeup",
    )


def _differences(difference: np.ndarray, language: str) -> str:
    """Where the result differs, in the channels in which it differs most."""
    busiest = np.argsort(-np.abs(difference).mean((1, 2)), kind="stable")[:MAPS]
    pictured = say("touch.difference", language)
    picture = maps_picture(difference[np.sort(busiest)], 1.5, pictured)
    return f'<figure class="fv-maps"><figcaption>{pictured}</figcaption>{picture}</figure>'


def _strip(pictures: Sequence[np.ndarray], key: str, language: str) -> str:
    """The batch's pictures in a row, mine marked."""
    words = say(key, language)
    images = "".join(
        f'<img{" class=fv-mine" if place == 0 else ""} alt="{escape(say("touch.mine" if place == 0 else "touch.beside", language))}" '
        f'src="{_data_url(Image.fromarray(pixels).resize((64, 64)), "JPEG")}">'
        for place, pixels in enumerate(pictures)
    )
    return f'<div class="fv-strip"><span>{words}</span>{images}</div>'


def maps_picture(maps: np.ndarray, reach: float, words: str) -> str:
    """An <img> of maps (M, H, W) side by side: orange above 0, blue below, white 0, full colour at ±``reach``."""
    count, height, width = maps.shape
    level = np.clip(maps / reach, -1, 1)[..., None]
    above, below = np.array([213, 94, 0.0]), np.array([36, 116, 187.0])
    coloured = 255 + np.where(level > 0, level * (above - 255), -level * (below - 255))
    sheet = np.zeros((height, count * (width + 1) - 1, 4), np.uint8)
    for place in range(count):
        left = place * (width + 1)
        sheet[:, left : left + width, :3] = np.round(coloured[place])
        sheet[:, left : left + width, 3] = 255
    return f'<img alt="{escape(words, quote=True)}" src="{_data_url(Image.fromarray(sheet), "PNG")}">'


def _data_url(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _card(title: str, content: str, kind: str = "") -> str:
    return f'<section class="fv-card {kind}"><h3>{title}</h3>{content}</section>'


def _percent(share: float) -> str:
    return "0" if share < NOTHING else f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _small(value: float) -> str:
    """A number beside which 0 stands out: 0.000 for what is rounding."""
    return "0.000" if abs(value) < 5e-4 else f"{value:.3f}".replace("-", "−")


def _round_up(value: float) -> float:
    """To two digits, upwards."""
    if value <= 0:
        return 1.0
    digit = 10 ** np.floor(np.log10(value) - 1)
    return float(np.ceil(value / digit) * digit)
