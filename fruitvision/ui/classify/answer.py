"""An answer as HTML, from a Prediction. Without gradio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from fruitvision.data.fruits import display_name
from fruitvision.errors import FruitVisionError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.recognition.classifier import Guess, Prediction
from fruitvision.report.answers import MIN_SHOWN, accuracy, named_guesses, names_a_variety, only_on_white, sureness
from fruitvision.report.markup import join, tag
from fruitvision.ui.page.elements import bar, note
from fruitvision.wording.text import say, say_error

HINTS = ("help_nearer", "help_lighter", "help_plainer")


def answer_card(prediction: Prediction, language: str, config: CheckpointConfig | None = None) -> Markup:
    """The fruit's name large, its variety, the confidence in words and as a bar, the next guesses, and what would help.

    With the network's ``config`` also whether it learned photographs of such a fruit at all.
    """
    no_fruit, named = prediction.verdict == "not-fruit", named_guesses(prediction)
    alone = named[0] if len(named) == 1 else None
    parts = [_name(prediction, named, language)]
    if alone and names_a_variety(alone.label, alone.fruit_type):
        parts.append(tag("p", say("classify.variety", language, name=display_name(alone.label, language)), class_="fv-variety"))
    if alone and config is not None and only_on_white(config, alone.label, alone.fruit_type):
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


def empty_card(language: str) -> Markup:
    """Before the first picture."""
    return _card("empty", tag("h2", say("classify.empty", language)), tag("p", say("classify.empty_hint", language)))


def error_card(error: FruitVisionError | Mapping[str, Any], language: str) -> Markup:
    """What went wrong with a picture, as a sentence."""
    return _card("error", tag("h2", say("classify.sorry", language)), tag("p", say_error(error, language)))


def accuracy_note(config: CheckpointConfig, name: str, language: str) -> Markup:
    """The measured accuracy of a model, on lab pictures and on photographs apart; empty where nothing was measured."""
    return note(accuracy(config, name, language))


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
