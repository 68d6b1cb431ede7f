"""What a normalization layer does: its drawing, its formula, and plain words. HTML, without gradio."""

from __future__ import annotations

from html import escape

import numpy as np

from fruitvision.comparison.anatomy import sharing_sets
from fruitvision.models.norms import Norm, get_norm
from fruitvision.ui.compare.norm_drawing import draw_tensor
from fruitvision.ui.compare.norm_facts import norm_facts, textbook_errors
from fruitvision.ui.compare.norm_words import described, norm_name, sentence_key
from fruitvision.wording.text import say

SHAPE = (3, 4, 3, 3)  # of the drawing: samples, channels, height, width


def norm_page(norm: str, language: str) -> str:
    """Drawing and words, side by side where there is room."""
    found, key = get_norm(norm), sentence_key(norm)
    sets = _drawn_sets(norm)
    description = say(f"compare.drawing_{key}", language) if described(norm) else norm_name(norm, language)
    drawing = draw_tensor(
        sets,
        lit=int(sets[0, -1, 0, 0]),
        description=description,
        sample=say("compare.sample", language),
        channels=say("compare.channels", language),
    )
    hint = say("compare.drawing_hint", language) if found.shares else say("compare.drawing_none", language)
    return (
        f'<div class="fv-norm"><div class="fv-norm-drawing">{drawing}<p class="fv-note">{hint}</p>{textbook_errors(language)}</div>'
        f'<div class="fv-norm-words"><h2>{escape(norm_name(norm, language))}</h2>'
        f"{_words(found, language)}{norm_facts(norm, language)}</div></div>"
    )


def _words(norm: Norm, language: str) -> str:
    """What it does, in words and as a formula; of a norm of one's own, what its author wrote of it."""
    if not described(norm.name):
        over = ", ".join(norm.shares) or "–"
        shares = say("compare.own_shares", language, over=over)
        return f'<p class="fv-shares">{shares}</p><p class="fv-reply">{escape(norm.summary)}</p>'
    key = sentence_key(norm.name)
    return (
        f'<p class="fv-shares">{say(f"compare.{key}_shares", language)}</p>'
        f'<p class="fv-question">{say("compare.question", language)}</p>'
        f'<p class="fv-reply">{say(f"compare.{key}_reply", language)}</p><div class="fv-formula">{formula(norm.name)}</div>'
    )


def formula(norm: str) -> str:
    """The norm's equations as MathML, which browsers set without any script."""
    scaled = _row(_sub("γ", "c"), _hat("x"), _o("+"), _sub("β", "c"))
    found = get_norm(norm)
    if not found.shares:
        return _math(_row(_sub("y", "nchw"), _o("="), _sub("γ", "c"), _sub("x", "nchw"), _o("+"), _sub("β", "c")))
    kept, summed, count = _axes(found)
    mean = _row(_sub("μ", kept), _o("="), _frac("<mn>1</mn>", f"<mi>{count}</mi>"), _sum(summed), _sub("x", "nchw"))
    squared = f"<msup>{_row(_o('('), _sub('x', 'nchw'), _o('−'), _sub('μ', kept), _o(')'))}<mn>2</mn></msup>"
    variance = _row(_power("σ", kept), _o("="), _frac("<mn>1</mn>", f"<mi>{count}</mi>"), _sum(summed), squared)
    root = f"<msqrt>{_power('σ', kept)}{_o('+')}<mi>ε</mi></msqrt>"
    scale = _frac(_row(_sub("x", "nchw"), _o("−"), _sub("μ", kept)), root)
    result = _row(_hat("x"), _o("="), scale, _o(","), "<mi>y</mi>", _o("="), scaled)
    return "".join(_math(line) for line in (mean, variance, result))


def _axes(norm: Norm) -> tuple[str, str, str]:
    """A formula's indices: those that a mean keeps, those that it is summed over, and how many numbers those are."""
    channels = ("g", "c∈g", "C/G") if norm.grouped else ("", "c", "C")
    kept = ["n"] * ("N" not in norm.shares) + ["c"] * ("C" not in norm.shares) + ["g"] * norm.grouped
    summed = [channels[1] if axis == "C" else axis.lower() for axis in norm.shares]
    return ",".join(kept), ",".join(summed), "·".join(channels[2] if axis == "C" else axis for axis in norm.shares)


def _drawn_sets(norm: str) -> np.ndarray:
    """As :func:`sharing_sets`; the drawing's four channels make two groups, as many as their rule would."""
    return sharing_sets(norm, *SHAPE)


def _math(content: str) -> str:
    return f'<math display="block">{content}</math>'


def _row(*parts: str) -> str:
    return f"<mrow>{''.join(parts)}</mrow>"


def _o(sign: str) -> str:
    return f"<mo>{sign}</mo>"


def _hat(letter: str) -> str:
    return f"<mover><mi>{letter}</mi><mo>^</mo></mover>"


def _sub(letter: str, index: str) -> str:
    return f"<msub><mi>{letter}</mi><mi>{index}</mi></msub>"


def _power(letter: str, index: str) -> str:
    return f"<msubsup><mi>{letter}</mi><mi>{index}</mi><mn>2</mn></msubsup>"


def _frac(top: str, bottom: str) -> str:
    return f"<mfrac>{top}{bottom}</mfrac>"


def _sum(index: str) -> str:
    return f"<munder><mo>∑</mo><mi>{index}</mi></munder>"
