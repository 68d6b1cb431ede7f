"""A normalization layer explained as HTML: its drawing, formula and description, and figures counted on a real layer."""

from __future__ import annotations

import math

from markupsafe import Markup

from fruitvision.comparison.layers.anatomy import count_sets, sharing_sets
from fruitvision.models.norms import Norm, get_norm, groups_for
from fruitvision.report.markup import join, say_html, tag
from fruitvision.ui.compare.norm_drawing import draw_tensor
from fruitvision.ui.page.elements import folded, note
from fruitvision.ui.page.norm_names import norm_name
from fruitvision.wording.text import say, sentences

SHAPE = (3, 4, 3, 3)
"""N, C, H, W of the drawing."""
LAYER_SHAPE = (32, 64, 24, 24)
"""N, C, H, W of the layer that the figures are for: a ResNet18's first block, 32 pictures of 96 pixels."""
ASPECTS = ("alone", "test", "good", "bad", "when", "used")
ERRORS = ("purpose", "layer", "momentum", "decay", "alone")


def norm_drawing(norm: str, language: str) -> Markup:
    """The tensor, with the elements that share a mean highlighted, and one sentence that says which they are."""
    layer, key = get_norm(norm), sentence_key(norm)
    sets = sharing_sets(norm, *SHAPE)
    drawing = draw_tensor(
        sets,
        lit=int(sets[0, -1, 0, 0]),
        description=say(f"compare.drawing_{key}", language) if described(norm) else norm_name(norm, language),
        sample=say("compare.sample", language),
        channels=say("compare.channels", language),
    )
    hint = say("compare.drawing_hint" if layer.shares else "compare.drawing_none", language)
    return tag("section", drawing, tag("p", _shares(layer, language), class_="fv-shares"), note(hint), class_="fv-card fv-norm-drawing")


def norm_page(norm: str, language: str) -> Markup:
    """The description with its formulas, and beside it the facts where there is room."""
    layer = get_norm(norm)
    words = [tag("h2", norm_name(norm, language)), _words(layer, language), textbook_errors(language)]
    facts = norm_facts(norm, language)
    return tag("div", tag("div", words, class_="fv-norm-words"), tag("div", facts, class_="fv-norm-facts"), class_="fv-norm")


def described(norm: str) -> bool:
    """Whether there are sentences about it: only about the six built-in norms."""
    return f"compare.{sentence_key(norm)}_shares" in sentences()


def sentence_key(norm: str) -> str:
    """The norm's name as part of a sentence's key."""
    return norm.replace("-", "_")


def _shares(norm: Norm, language: str) -> Markup:
    if described(norm.name):
        return say_html(f"compare.{sentence_key(norm.name)}_shares", language)
    return say_html("compare.own_shares", language, over=", ".join(norm.shares) or "–")


def _words(norm: Norm, language: str) -> Markup:
    """What it does, in words and as a formula; for a norm that the user registered, its docstring."""
    if not described(norm.name):
        return tag("p", norm.summary, class_="fv-reply")
    return join(
        [
            tag("p", say("compare.question", language), class_="fv-question"),
            tag("p", say(f"compare.{sentence_key(norm.name)}_reply", language), class_="fv-reply"),
            tag("div", formula(norm.name), class_="fv-formula", tabindex=0, role="region", aria_label=say("compare.formula", language)),
        ]
    )


# Facts -----------------------------------------------------------------------------------------------------------


def norm_facts(norm: str, language: str) -> Markup:
    """Counts, behaviour, strengths, weaknesses, use and source, as a list."""
    facts: list[tuple[str, str]] = [("means", _means(norm, language)), ("parameters", _parameters(norm, language))]
    if described(norm):
        facts += [(aspect, say_html(f"compare.{sentence_key(norm)}_{aspect}", language)) for aspect in ASPECTS]
    who, number = get_norm(norm).paper
    if number:
        words = f"{who}, arXiv:{number}"
        facts.append(("source", tag("a", words, href=f"https://arxiv.org/abs/{number}", target="_blank", rel="noopener")))
    return tag("dl", ([tag("dt", say(f"compare.{name}", language)), tag("dd", fact)] for name, fact in facts))


def _means(norm: str, language: str) -> str:
    count = count_sets(norm, *LAYER_SHAPE)
    shape = " × ".join(map(str, LAYER_SHAPE))
    if not count:
        return say("compare.means_none", language, shape=shape)
    size = f"{math.prod(LAYER_SHAPE) // count:,}"
    words = say("compare.means_count", language, shape=shape, pictures=LAYER_SHAPE[0], count=f"{count:,}", size=size)
    if get_norm(norm).grouped:
        groups = groups_for(LAYER_SHAPE[1])
        words += " " + say("compare.means_groups", language, groups=groups, size=LAYER_SHAPE[1] // groups)
    return words


def _parameters(norm: str, language: str) -> str:
    parameters, buffers = _count_values(norm)
    words = say("compare.parameters_count", language, learned=f"{parameters:,}", channels=LAYER_SHAPE[1])
    return words + " " + say("compare.parameters_kept" if buffers else "compare.parameters_no_kept", language, kept=f"{buffers:,}")


def _count_values(norm: str) -> tuple[int, int]:
    """The number of values in the layer's parameters, a weight and a bias for each channel, and in its running statistics."""
    return 2 * LAYER_SHAPE[1], 2 * LAYER_SHAPE[1] if get_norm(norm).running else 0


def textbook_errors(language: str) -> Markup:
    """Common misconceptions about norms with their corrections, collapsed."""
    items = ([tag("dt", say(f"compare.error_{name}", language)), tag("dd", say_html(f"compare.truth_{name}", language))] for name in ERRORS)
    return folded(say("compare.errors", language), tag("dl", items), class_="fv-errors")


# Formula ---------------------------------------------------------------------------------------------------------


def formula(norm: str) -> Markup:
    """The norm's equations as MathML, which browsers render without a script."""
    layer = get_norm(norm)
    scaled = [_sub("γ", "c"), _hat("x"), _o("+"), _sub("β", "c")]
    if not layer.shares:
        return _math(_sub("y", "nchw"), _o("="), _sub("γ", "c"), _sub("x", "nchw"), _o("+"), _sub("β", "c"))
    kept, summed, count = _axes(layer)
    one_over = tag("mfrac", tag("mn", 1), tag("mi", count))
    total = tag("munder", _o("∑"), tag("mi", summed))
    mean = _math(_sub("μ", kept), _o("="), one_over, total, _sub("x", "nchw"))
    centered = tag("mrow", _o("("), _sub("x", "nchw"), _o("−"), _sub("μ", kept), _o(")"))
    variance = _math(_square("σ", kept), _o("="), one_over, total, tag("msup", centered, tag("mn", 2)))
    root = tag("msqrt", _square("σ", kept), _o("+"), tag("mi", "ε"))
    normalized = tag("mfrac", tag("mrow", _sub("x", "nchw"), _o("−"), _sub("μ", kept)), root)
    return join([mean, variance, _math(_hat("x"), _o("="), normalized), _math(_sub("y", "nchw"), _o("="), *scaled)])


def _axes(norm: Norm) -> tuple[str, str, str]:
    """The formula's indices: those of a mean, those it is summed over, and the number of summands."""
    channels = ("g", "c∈g", "C/G") if norm.grouped else ("", "c", "C")
    kept = ["n"] * ("N" not in norm.shares) + ["c"] * ("C" not in norm.shares) + ["g"] * norm.grouped
    summed = [channels[1] if axis == "C" else axis.lower() for axis in norm.shares]
    return ",".join(kept), ",".join(summed), "·".join(channels[2] if axis == "C" else axis for axis in norm.shares)


def _math(*parts: Markup) -> Markup:
    return tag("math", tag("mrow", parts), display="block")


def _o(sign: str) -> Markup:
    return tag("mo", sign)


def _hat(letter: str) -> Markup:
    return tag("mover", tag("mi", letter), _o("^"))


def _sub(letter: str, index: str) -> Markup:
    return tag("msub", tag("mi", letter), tag("mi", index))


def _square(letter: str, index: str) -> Markup:
    return tag("msubsup", tag("mi", letter), tag("mi", index), tag("mn", 2))
