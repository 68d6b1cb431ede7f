"""What is to be known of a norm beside its formula: counted from the real layer, or said. HTML, without gradio."""

from __future__ import annotations

import math
from functools import lru_cache
from html import escape

from fruitvision.comparison.anatomy import count_sets
from fruitvision.models.norms import get_norm, groups_for
from fruitvision.ui.compare.norm_words import described, sentence_key
from fruitvision.wording.text import say

REAL = (32, 64, 24, 24)
"""N, C, H, W of the layer that is counted: a ResNet18's first block, 32 pictures of 96 pixels."""
ASPECTS = ("alone", "test", "good", "bad", "when", "used")
ERRORS = ("purpose", "layer", "momentum", "decay", "alone")


def norm_facts(norm: str, language: str) -> str:
    """Counts, behaviour, strengths, weaknesses, use and source, as a list."""
    facts = [("means", _means(norm, language)), ("parameters", _parameters(norm, language))]
    if described(norm):
        key = sentence_key(norm)
        facts += [(aspect, say(f"compare.{key}_{aspect}", language)) for aspect in ASPECTS]
    who, number = get_norm(norm).paper
    if number:
        link = f'<a href="https://arxiv.org/abs/{number}" target="_blank" rel="noopener">{escape(who)}, arXiv:{number}</a>'
        facts.append(("source", link))
    items = "".join(f"<dt>{say(f'compare.{name}', language)}</dt><dd>{fact}</dd>" for name, fact in facts)
    return f"<dl>{items}</dl>"


def _means(norm: str, language: str) -> str:
    count = count_sets(norm, *REAL)
    shape = " × ".join(map(str, REAL))
    if not count:
        return say("compare.means_none", language, shape=shape)
    words = say("compare.means_count", language, shape=shape, count=f"{count:,}", size=f"{math.prod(REAL) // count:,}")
    if get_norm(norm).grouped:
        groups = groups_for(REAL[1])
        words += " " + say("compare.means_groups", language, groups=groups, size=REAL[1] // groups)
    return words


def _parameters(norm: str, language: str) -> str:
    learned, kept = _counted(norm)
    words = say("compare.parameters_count", language, learned=f"{learned:,}", channels=REAL[1])
    return words + " " + say("compare.parameters_kept" if kept else "compare.parameters_no_kept", language, kept=f"{kept:,}")


@lru_cache(maxsize=64)
def _counted(norm: str) -> tuple[int, int]:
    """Numbers that the real layer learns, and numbers that it keeps without learning them (a count of steps left out)."""
    layer = get_norm(norm).build(REAL[1])
    return sum(p.numel() for p in layer.parameters()), sum(b.numel() for b in layer.buffers() if b.ndim)


def textbook_errors(language: str) -> str:
    """What is often said of norms, and what is so; folded away."""
    items = "".join(
        f"<dt>{say(f'compare.error_{name}', language)}</dt><dd>{say(f'compare.truth_{name}', language)}</dd>" for name in ERRORS
    )
    return f'<details class="fv-errors"><summary>{say("compare.errors", language)}</summary><dl>{items}</dl></details>'
