"""An answer as HTML, from a Prediction. Without gradio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from fruitvision.data.fruits import display_name
from fruitvision.errors import FruitVisionError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.recognition.classifier import Guess, Prediction
from fruitvision.report.markup import join, tag
from fruitvision.ui.page.elements import bar, note
from fruitvision.wording.text import say, say_error

VERY_SURE = 0.9
"""The confidence from which on an answer is called very sure, where the network's card does not say."""
MIN_BOTH, MIN_SECOND = 0.5, 0.25
"""An unsure answer names two fruits where their probabilities add up to ``MIN_BOTH`` and the second has at least ``MIN_SECOND`` of
the first's."""
MIN_ALONE = 0.4
"""It names none where even the first has less."""
MIN_SHOWN = 0.01
"""Guesses with less are not shown."""
HINTS = ("help_nearer", "help_lighter", "help_plainer")


def answer_card(prediction: Prediction, language: str, config: CheckpointConfig | None = None) -> Markup:
    """The fruit's name large, its variety, the confidence in words and as a bar, the next guesses, and what would help.

    With the network's ``config`` also whether it learned photographs of such a fruit at all.
    """
    no_fruit, named = prediction.verdict == "not-fruit", named_guesses(prediction)
    alone = named[0] if len(named) == 1 else None
    parts = [_name(prediction, named, language)]
    if alone and names_a_variety(alone):
        parts.append(tag("p", say("classify.variety", language, name=display_name(alone.label, language)), class_="fv-variety"))
    if alone and config is not None and only_on_white(config, alone):
        parts.append(tag("p", say("classify.only_on_white", language), class_="fv-variety"))
    if not no_fruit:
        parts.append(_sureness(prediction, language, config, alone=alone is not None))
        guesses = [guess for guess in (prediction.top[1:] if alone else prediction.top) if guess.probability >= MIN_SHOWN]
        if guesses:
            parts.append(tag("h3", say("classify.others" if alone else "classify.candidates", language)))
            parts.append(tag("ol", (_guess(guess, language) for guess in guesses[:4]), class_="fv-guesses"))
    if prediction.verdict != "sure":
        hints = (tag("li", say(f"classify.{hint}", language)) for hint in HINTS)
        parts += [tag("h3", say("classify.help", language)), tag("ul", hints, class_="fv-hints")]
    if prediction.note:
        parts.append(note(say(f"picture_notes.{prediction.note}", language)))
    return _card(prediction.verdict, *parts)


def _name(prediction: Prediction, named: tuple[Guess, ...], language: str) -> Markup:
    names = [display_name(guess.fruit_type, language) for guess in named]
    if prediction.verdict == "not-fruit":
        kicker, name = "no_fruit_kicker", say("classify.no_fruit", language)
    elif not named:
        kicker, name = "unclear_kicker", say("classify.unclear", language)
    else:
        kicker = "it_is" if prediction.verdict == "sure" else "perhaps"
        name = names[0] if len(names) == 1 else say("classify.either", language, first=names[0], second=names[1])
    return join([tag("p", say(f"classify.{kicker}", language), class_="fv-kicker"), tag("h2", name, class_="fv-name")])


def named_guesses(prediction: Prediction) -> tuple[Guess, ...]:
    """The fruits of the answer's title: one; two where it may well be either; none where none is likely, or there is no fruit."""
    best, *others = prediction.top
    if prediction.verdict == "not-fruit":
        return ()
    if prediction.verdict == "sure":
        return (best,)
    if others and others[0].probability >= MIN_SECOND * best.probability and best.probability + others[0].probability >= MIN_BOTH:
        return (best, others[0])
    return (best,) if best.probability >= MIN_ALONE else ()


def names_a_variety(guess: Guess) -> bool:
    """Whether the class says more than its fruit: "Potato Sweet" and "Limes" do not."""
    label, kind = (sorted(name.casefold().removesuffix("s").split()) for name in (guess.label, guess.fruit_type))
    return label != kind


def only_on_white(config: CheckpointConfig, guess: Guess) -> bool:
    """Whether a network that learned photographs of other fruits learned this one only from pictures on white."""
    photographed = config.dataset.get("photographed")
    return bool(photographed) and guess.label in config.classes and guess.fruit_type not in photographed


def sureness(prediction: Prediction, config: CheckpointConfig | None = None) -> str:
    """The confidence in one word: "very_sure", "sure", "unsure" or "nothing", keys of the sentences."""
    if prediction.verdict == "not-fruit":
        return "nothing"
    if prediction.verdict == "unsure":
        return "unsure"
    least = config.left_out.get("very_sure_from", VERY_SURE) if config is not None else VERY_SURE
    return "very_sure" if prediction.confidence >= least else "sure"


def empty_card(language: str) -> Markup:
    """Before the first picture."""
    return _card("empty", tag("h2", say("classify.empty", language)), tag("p", say("classify.empty_hint", language)))


def error_card(error: FruitVisionError | Mapping[str, Any], language: str) -> Markup:
    """What went wrong with a picture, as a sentence."""
    return _card("error", tag("h2", say("classify.sorry", language)), tag("p", say_error(error, language)))


def accuracy_note(config: CheckpointConfig, name: str, language: str) -> Markup:
    """The measured accuracy of a model, on lab pictures and on photographs apart; empty where nothing was measured."""
    if config.dataset.get("synthetic"):
        return note(say("classify.synthetic", language))
    if found := config.left_out:
        facts = {"model": name, "share": f"{found['top1']:.0%}", "sources": found["sources"]}
        if found.get("sure_right") is None:
            return note(say("classify.accuracy_never_sure", language, **facts))
        return note(say("classify.accuracy_sure", language, **facts, said=f"{found['sure']:.0%}", right=f"{found['sure_right']:.0%}"))
    lab = config.metrics.get("test", {}).get("top1")
    if lab is None:
        return Markup()
    facts = {"model": name, "lab": f"{lab:.1%}"}
    known = (figures.get("top1") for kind, figures in config.metrics.items() if kind.startswith("photos"))
    photos = sorted(share for share in known if share is not None)
    if not photos:
        return note(say("classify.accuracy_lab", language, **facts))
    low, high = f"{photos[0]:.0%}", f"{photos[-1]:.0%}"  # of several sources the range: a network does best where it learned
    both = low if low == high else say("classify.range", language, low=low, high=high)
    return note(say("classify.accuracy_both", language, **facts, photos=both))


def _card(kind: str, *content: Any) -> Markup:
    return tag("section", content, class_=f"fv-answer fv-{kind}", aria_live="polite")


def _sureness(prediction: Prediction, language: str, config: CheckpointConfig | None, *, alone: bool) -> Markup:
    """In words, with the probability and its bar where one fruit alone is named."""
    words = say(f"classify.{sureness(prediction, config)}", language)
    if not alone:
        return tag("p", tag("strong", words), class_="fv-sureness")
    percent = tag("span", _percent(prediction.confidence))
    return join([tag("p", tag("strong", words), " ", percent, class_="fv-sureness"), bar(prediction.confidence, role="meter", label=words)])


def _guess(guess: Guess, language: str) -> Markup:
    name = display_name(guess.fruit_type, language)
    return tag("li", tag("span", name), bar(guess.probability, role="meter", label=name), tag("span", _percent(guess.probability)))


def _percent(share: float) -> str:
    """Rounded, but neither to 0 nor to 100%."""
    return "<1%" if share < 0.005 else ">99%" if 0.995 <= share < 1 else f"{share:.0%}"
