"""What a normalization layer does: its drawing, its formula, and plain words. HTML, without gradio."""

from __future__ import annotations

import numpy as np

from fruitvision.comparison.anatomy import sharing_sets
from fruitvision.ui.norm_drawing import draw_tensor
from fruitvision.ui.text import say

SHAPE = (3, 4, 3, 3)  # of the drawing: samples, channels, height, width
AXES = {
    "batch": ("c", "n,h,w", "N·H·W"), "layer": ("n", "c,h,w", "C·H·W"), "instance": ("n,c", "h,w", "H·W"),
    "group": ("n,g", "c∈g,h,w", "C/G·H·W"), "group-ws": ("n,g", "c∈g,h,w", "C/G·H·W"),
}  # fmt: skip
ASPECTS = ("good", "bad", "when", "test")


def norm_page(norm: str, language: str) -> str:
    """Drawing and words, side by side where there is room."""
    sets = _drawn_sets(norm)
    drawing = draw_tensor(
        sets, lit=int(sets[0, -1, 0, 0]), description=say(f"compare.drawing_{_key(norm)}", language),
        sample=say("compare.sample", language), channels=say("compare.channels", language),
    )  # fmt: skip
    facts = "".join(
        f"<dt>{say(f'compare.{aspect}', language)}</dt><dd>{say(f'compare.{_key(norm)}_{aspect}', language)}</dd>"
        for aspect in ASPECTS
    )
    hint = say("compare.drawing_hint", language) if norm != "none" else say("compare.drawing_none", language)
    return (
        f'<div class="fv-norm"><div class="fv-norm-drawing">{drawing}<p class="fv-note">{hint}</p></div>'
        f'<div class="fv-norm-words"><h2>{say(f"settings.norm.choices.{norm}", language)}</h2>'
        f'<p class="fv-shares">{say(f"compare.{_key(norm)}_shares", language)}</p>'
        f'<p class="fv-question">{say("compare.question", language)}</p>'
        f'<p class="fv-reply">{say(f"compare.{_key(norm)}_reply", language)}</p>'
        f'<div class="fv-formula">{formula(norm)}</div><dl>{facts}</dl></div></div>'
    )


def formula(norm: str) -> str:
    """The norm's equations as MathML, which browsers set without any script."""
    scaled = _row(_sub("γ", "c"), _hat("x"), _o("+"), _sub("β", "c"))
    if norm not in AXES:
        return _math(_row(_sub("y", "nchw"), _o("="), _sub("γ", "c"), _sub("x", "nchw"), _o("+"), _sub("β", "c")))
    kept, summed, count = AXES[norm]
    mean = _row(_sub("μ", kept), _o("="), _frac("<mn>1</mn>", f"<mi>{count}</mi>"), _sum(summed), _sub("x", "nchw"))
    squared = f"<msup>{_row(_o('('), _sub('x', 'nchw'), _o('−'), _sub('μ', kept), _o(')'))}<mn>2</mn></msup>"
    variance = _row(_power("σ", kept), _o("="), _frac("<mn>1</mn>", f"<mi>{count}</mi>"), _sum(summed), squared)
    root = f"<msqrt>{_power('σ', kept)}{_o('+')}<mi>ε</mi></msqrt>"
    scale = _frac(_row(_sub("x", "nchw"), _o("−"), _sub("μ", kept)), root)
    result = _row(_hat("x"), _o("="), scale, _o(","), "<mi>y</mi>", _o("="), scaled)
    return "".join(_math(line) for line in (mean, variance, result))


def _drawn_sets(norm: str) -> np.ndarray:
    """As :func:`sharing_sets`; the drawing's four channels make two groups, as many as their rule would."""
    return sharing_sets(norm, *SHAPE)


def _key(norm: str) -> str:
    return norm.replace("-", "_")


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
