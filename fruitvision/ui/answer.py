"""An answer as a person reads it: HTML from a Prediction, without gradio."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from fruitvision.data.fruits import display_name
from fruitvision.errors import FruitVisionError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.recognition.classifier import Guess, Prediction
from fruitvision.ui.text import say, say_error

VERY_SURE = 0.9
HINTS = ("help_nearer", "help_lighter", "help_plainer")


def answer_card(prediction: Prediction, language: str) -> str:
    """The fruit's name large, its variety, how sure in words and as a bar, the next guesses, and what would help."""
    nothing = prediction.verdict == "not-fruit"
    best = prediction.top[0]
    kicker = {"sure": "it_is", "unsure": "perhaps", "not-fruit": "no_fruit_kicker"}[prediction.verdict]
    name = say("classify.no_fruit", language) if nothing else display_name(best.fruit_type, language)
    parts = [f'<p class="fv-kicker">{say(f"classify.{kicker}", language)}</p>', f'<h2 class="fv-name">{escape(name)}</h2>']
    if not nothing:
        if best.label != best.fruit_type:
            variety = say("classify.variety", language, name=display_name(best.label, language))
            parts.append(f'<p class="fv-variety">{escape(variety)}</p>')
        parts.append(_sureness(prediction, language))
    guesses = prediction.top if nothing else prediction.top[1:]
    rows = "".join(_guess(guess, language) for guess in guesses[:4])
    parts.append(f'<h3>{say("classify.others", language)}</h3><ol class="fv-guesses">{rows}</ol>')
    if prediction.verdict != "sure":
        hints = "".join(f"<li>{say(f'classify.{hint}', language)}</li>" for hint in HINTS)
        parts.append(f'<h3>{say("classify.help", language)}</h3><ul class="fv-hints">{hints}</ul>')
    return _card(prediction.verdict, "".join(parts))


def sureness(prediction: Prediction) -> str:
    """How sure in one word: "very_sure", "sure", "unsure" or "nothing", keys of the sentences."""
    if prediction.verdict == "not-fruit":
        return "nothing"
    if prediction.verdict == "unsure":
        return "unsure"
    return "very_sure" if prediction.confidence >= VERY_SURE else "sure"


def empty_card(language: str) -> str:
    """Before the first picture."""
    return _card("empty", f"<h2>{say('classify.empty', language)}</h2><p>{say('classify.empty_hint', language)}</p>")


def error_card(error: FruitVisionError | Mapping[str, Any], language: str) -> str:
    """What went wrong with a picture, as a sentence."""
    return _card("error", f"<h2>{say('classify.sorry', language)}</h2><p>{escape(say_error(error, language))}</p>")


def honest_note(config: CheckpointConfig, name: str, language: str) -> str:
    """What is known of how well a model answers, lab and photographs apart; empty where nothing was measured."""
    if config.dataset.get("synthetic"):
        return f'<p class="fv-note">{say("classify.synthetic", language)}</p>'
    lab = config.metrics.get("test", {}).get("top1")
    if lab is None:
        return ""
    facts = {"model": name, "lab": f"{lab:.1%}"}
    key = "classify.honest"
    known = (figures.get("top1") for kind, figures in config.metrics.items() if kind.startswith("photos"))
    photos = sorted(share for share in known if share is not None)
    if photos:  # of several sources the range: its own shops flatter a network that learned there
        low, high = f"{photos[0]:.0%}", f"{photos[-1]:.0%}"
        facts["photos"] = low if low == high else say("classify.range", language, low=low, high=high)
        key = "classify.honest_both"
    return f'<p class="fv-note">{escape(say(key, language, **facts))}</p>'


def _card(kind: str, content: str) -> str:
    return f'<section class="fv-answer fv-{kind}" aria-live="polite">{content}</section>'


def _sureness(prediction: Prediction, language: str) -> str:
    percent = _percent(prediction.confidence)
    words = say(f"classify.{sureness(prediction)}", language)
    return f'<p class="fv-sureness"><strong>{words}</strong> <span>{percent}</span></p>{_bar(prediction.confidence, words)}'


def _guess(guess: Guess, language: str) -> str:
    name = escape(display_name(guess.fruit_type, language))
    return f"<li><span>{name}</span>{_bar(guess.probability, name)}<span>{_percent(guess.probability)}</span></li>"


def _percent(share: float) -> str:
    """Rounded, and never the certainty that rounding makes of a little less or a little more."""
    return "&lt;1%" if share < 0.005 else "&gt;99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _bar(share: float, label: str) -> str:
    return (
        f'<span class="fv-bar" role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share * 100:.0f}" '
        f'aria-label="{label}"><i style="width:{share * 100:.1f}%"></i></span>'
    )
