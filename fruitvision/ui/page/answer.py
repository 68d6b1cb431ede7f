"""An answer as a person reads it: HTML from a Prediction, without gradio."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from fruitvision.data.fruits import display_name
from fruitvision.errors import FruitVisionError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.recognition.classifier import Guess, Prediction
from fruitvision.wording.text import say, say_error

VERY_SURE = 0.9
"""Where a network's card does not say from which confidence on it is nearly always right."""
BOTH, NEAR = 0.5, 0.25
"""Under doubt two fruits are named where they have ``BOTH`` of the probability together and the second at least ``NEAR`` of
the first's; where even the first has less than ``FAINT``, none is."""
FAINT = 0.4
LEAST_GUESS = 0.01
"""Less likely ones are not shown."""
HINTS = ("help_nearer", "help_lighter", "help_plainer")


def answer_card(prediction: Prediction, language: str, config: CheckpointConfig | None = None) -> str:
    """The fruit's name large, its variety, how sure in words and as a bar, the next guesses, and what would help.

    With the network's ``config`` also whether it has seen photographs of such a fruit at all.
    """
    nothing = prediction.verdict == "not-fruit"
    named = named_guesses(prediction)
    if nothing:
        kicker, name = "no_fruit_kicker", say("classify.no_fruit", language)
    elif not named:
        kicker, name = "unclear_kicker", say("classify.unclear", language)
    else:
        kicker = "it_is" if prediction.verdict == "sure" else "perhaps"
        names = [display_name(guess.fruit_type, language) for guess in named]
        name = names[0] if len(names) == 1 else say("classify.either", language, first=names[0], second=names[1])
    parts = [f'<p class="fv-kicker">{say(f"classify.{kicker}", language)}</p>', f'<h2 class="fv-name">{escape(name)}</h2>']
    if len(named) == 1:
        best = named[0]
        if names_a_variety(best):
            variety = say("classify.variety", language, name=display_name(best.label, language))
            parts.append(f'<p class="fv-variety">{escape(variety)}</p>')
        if config is not None and studio_alone(config, best):
            parts.append(f'<p class="fv-variety">{say("classify.studio_alone", language)}</p>')
    if not nothing:
        parts.append(_sureness(prediction, language, config, alone=len(named) == 1))
    guesses = [guess for guess in (prediction.top if len(named) != 1 else prediction.top[1:]) if guess.probability >= LEAST_GUESS]
    if guesses and not nothing:
        rows = "".join(_guess(guess, language) for guess in guesses[:4])
        title = "others" if len(named) == 1 else "candidates"
        parts.append(f'<h3>{say(f"classify.{title}", language)}</h3><ol class="fv-guesses">{rows}</ol>')
    if prediction.verdict != "sure":
        hints = "".join(f"<li>{say(f'classify.{hint}', language)}</li>" for hint in HINTS)
        parts.append(f'<h3>{say("classify.help", language)}</h3><ul class="fv-hints">{hints}</ul>')
    return _card(prediction.verdict, "".join(parts))


def named_guesses(prediction: Prediction) -> tuple[Guess, ...]:
    """The fruits that are named large: one; two where it may well be either; none of what is too faint, or holds no fruit."""
    best, *others = prediction.top
    if prediction.verdict == "not-fruit":
        return ()
    if prediction.verdict == "sure":
        return (best,)
    if others and others[0].probability >= NEAR * best.probability and best.probability + others[0].probability >= BOTH:
        return (best, others[0])
    return (best,) if best.probability >= FAINT else ()


def names_a_variety(guess: Guess) -> bool:
    """Whether the class says more than its fruit: "Potato Sweet" and "Limes" do not."""
    label, kind = (sorted(name.casefold().removesuffix("s").split()) for name in (guess.label, guess.fruit_type))
    return label != kind


def studio_alone(config: CheckpointConfig, guess: Guess) -> bool:
    """Whether a network that learned photographs of other fruits knows this one from pictures on white alone."""
    photographed = config.dataset.get("photographed")
    return bool(photographed) and guess.label in config.classes and guess.fruit_type not in photographed


def sureness(prediction: Prediction, config: CheckpointConfig | None = None) -> str:
    """How sure in one word: "very_sure", "sure", "unsure" or "nothing", keys of the sentences."""
    if prediction.verdict == "not-fruit":
        return "nothing"
    if prediction.verdict == "unsure":
        return "unsure"
    least = config.left_out.get("very_sure_from", VERY_SURE) if config is not None else VERY_SURE
    return "very_sure" if prediction.confidence >= least else "sure"


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
    if found := config.left_out:
        facts = {"model": name, "share": f"{found['top1']:.0%}", "sources": found["sources"]}
        if found.get("sure_right") is None:
            return f'<p class="fv-note">{escape(say("classify.honest_strangers", language, **facts))}</p>'
        facts |= {"said": f"{found['sure']:.0%}", "right": f"{found['sure_right']:.0%}"}
        return f'<p class="fv-note">{escape(say("classify.honest_sure", language, **facts))}</p>'
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


def _sureness(prediction: Prediction, language: str, config: CheckpointConfig | None, *, alone: bool) -> str:
    """In words, with the probability and its bar where one fruit alone is named."""
    words = say(f"classify.{sureness(prediction, config)}", language)
    if not alone:
        return f'<p class="fv-sureness"><strong>{words}</strong></p>'
    percent = _percent(prediction.confidence)
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
