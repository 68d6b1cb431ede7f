"""A Prediction as HTML. Without gradio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from fruitvision.data.fruits import NOT_FRUIT, display_name
from fruitvision.errors import FruitVisionError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.report.answers import (
    MIN_SHOWN,
    accuracy,
    accuracy_when_as_sure,
    confused_with,
    named_guesses,
    names_a_variety,
    only_on_white,
    sureness,
)
from fruitvision.report.markup import join, tag
from fruitvision.ui.classify.teaching.taught_view import shown_name
from fruitvision.ui.page.elements import bar, folded, note
from fruitvision.wording.text import SPACE, say, say_error

if TYPE_CHECKING:
    from fruitvision.recognition.classifier import Guess, Prediction

HINTS = ("help_nearer", "help_lighter", "help_plainer")
MAX_OFFERED = 4
"""Maximum names that are offered to correct an answer."""


def answer_card(
    prediction: Prediction, language: str, config: CheckpointConfig | None = None, *, owner: bool = False, live: bool = False
) -> Markup:
    """The fruit's name in large type, its variety, the confidence in words and as a bar, the next guesses, and hints.

    With the network's ``config`` also how reliable such an answer is: whether the network was trained on photographs of the fruit, how
    often such answers are right, and which fruit it is confused with. The ``owner`` gets a form to correct the answer. A ``live``
    answer, one of several per second, is no live region for screen readers.
    """
    no_fruit, named = prediction.verdict == "not-fruit", named_guesses(prediction)
    single = named[0] if len(named) == 1 else None
    drawn = is_of_drawings(prediction, config)
    parts = [_name(prediction, named, language, drawn)]
    refused_as_taught = no_fruit and prediction.untaught not in ("", NOT_FRUIT)
    if any(guess.taught for guess in named) or refused_as_taught:
        mark = "taught_mark" if prediction.verdict == "sure" or no_fruit else "taught_mark_unsure"
        parts.append(tag("p", say(f"classify.{mark}", language), class_="fv-taught-mark"))
    if single and not single.taught and names_a_variety(single.label, single.fruit_type):
        parts.append(tag("p", say("classify.variety", language, name=display_name(single.label, language)), class_="fv-variety"))
    if single and not single.taught and config is not None and only_on_white(config, single.label, single.fruit_type):
        parts.append(tag("p", say("classify.only_on_white", language), class_="fv-variety"))
    if not no_fruit:
        if single and (prediction.verdict == "sure" or not single.taught):  # of few pictures taught the probability says little
            parts.append(_confidence(prediction, language, config))
        if drawn:
            parts.append(tag("p", say("classify.synthetic", language), class_="fv-synthetic"))
        guesses = [guess for guess in (prediction.top[1:] if single else prediction.top) if guess.probability >= MIN_SHOWN]
        if guesses:
            parts.append(tag("h3", say("classify.others" if single else "classify.candidates", language)))
            parts.append(tag("ol", (_guess(guess, language) for guess in guesses[:4]), class_="fv-guesses"))
    if prediction.verdict != "sure" and not (single and single.taught):
        hints = (tag("li", say(f"classify.{hint}", language)) for hint in HINTS)
        heading = say("classify.help_if_fruit" if no_fruit else "classify.help", language)
        parts += [tag("h3", heading), tag("ul", hints, class_="fv-hints")]
    if prediction.note:
        parts.append(note(say(f"picture_notes.{prediction.note}", language)))
    if single and not single.taught and config is not None and not drawn:
        parts.append(_reliability(prediction, single.fruit_type, config, language))
    if owner and not live:
        parts.append(folded(say("classify.fix", language), correction_form(prediction, language, config), class_="fv-fix"))
    answer = announcement(prediction, language, config)
    alts = {f"data_{key}": say(f"classify.{key}", language, answer=answer) for key in ("picture_alt", "heat_alt")}
    return _card(prediction.verdict, *parts, live=live, **alts)


def is_of_drawings(prediction: Prediction, config: CheckpointConfig | None) -> bool:
    """Whether a fruit is named by a network that has seen drawn fruit alone, whose confidence says nothing about photos."""
    named = prediction.verdict != "not-fruit" and not prediction.top[0].taught
    return named and config is not None and bool(config.dataset.get("synthetic"))


def announcement(prediction: Prediction, language: str, config: CheckpointConfig | None = None) -> str:
    """The answer in a few words, for screen readers in the live view, and as the picture's ``alt``."""
    said = "unsure" if is_of_drawings(prediction, config) else sureness(prediction, config)
    name, words = title_of(prediction, named_guesses(prediction), language), say(f"classify.{said}", language)
    return name if prediction.verdict == "not-fruit" else say("classify.announced", language, name=name, sureness=words)


def correction_form(prediction: Prediction, language: str, config: CheckpointConfig | None = None) -> Markup:
    """A form to correct an answer: the most likely other names as buttons, and a field for any name. Handled by ``teach.js``.

    What the network answers without taught names comes first. If the verdict is "not-fruit", the names are the most likely fruits.
    """
    named = [guess.fruit_type for guess in named_guesses(prediction)]
    fruit = sum(guess.probability for guess in prediction.top) if prediction.verdict == "not-fruit" else 1.0
    guesses = [guess.fruit_type for guess in prediction.top if guess.probability >= MIN_SHOWN * fruit > 0]
    likely = confused_with(config, named[0]) if config is not None and named else ()
    wrong = [NOT_FRUIT] if prediction.verdict == "not-fruit" else named if len(named) == 1 else []
    names = [name for name in dict.fromkeys((prediction.untaught, *guesses, *likely)) if name and name not in wrong][:MAX_OFFERED]
    names += [] if NOT_FRUIT in (*wrong, *names) else [NOT_FRUIT]
    buttons = [tag("button", shown_name(name, language), type="button", data_teach=name) for name in names]
    hint = say("classify.fix_other", language)
    field = tag("input", type="text", list="fv-teach-names", maxlength=100, autocomplete="off", placeholder=hint)
    label = tag("label", tag("span", hint, class_="fv-hidden"), field)
    other = tag("form", label, tag("button", say("classify.fix_teach", language), type="submit"), class_="fv-fix-other")
    status = tag("p", class_="fv-fix-said", role="status")
    return join([tag("p", say("classify.fix_lead", language)), tag("div", buttons, class_="fv-fix-names"), other, status])


def _name(prediction: Prediction, named: tuple[Guess, ...], language: str, drawn: bool) -> Markup:
    if prediction.verdict == "not-fruit":
        kicker = "no_fruit_kicker"
    elif not named:
        kicker = "unclear_kicker"
    else:
        kicker = "it_is" if prediction.verdict == "sure" and not drawn else "perhaps"
    name = title_of(prediction, named, language)
    return join([tag("p", say(f"classify.{kicker}", language), class_="fv-kicker"), tag("h2", name, class_="fv-name")])


def title_of(prediction: Prediction, named: tuple[Guess, ...], language: str) -> str:
    """The title of an answer that names these fruits: the one, "X or Y", that there is no fruit, or that it is unclear."""
    names = [display_name(guess.fruit_type, language) for guess in named]
    if prediction.verdict == "not-fruit":
        return say("classify.no_fruit", language)
    if not names:
        return say("classify.unclear", language)
    return names[0] if len(names) == 1 else say("classify.either", language, first=names[0], second=names[1])


def empty_card(language: str) -> Markup:
    """The card before the first picture."""
    return _card("empty", tag("h2", say("classify.empty", language)), tag("p", say("classify.empty_hint", language)))


def error_card(error: FruitVisionError | Mapping[str, Any], language: str) -> Markup:
    """The card for a picture that cannot be classified, with the error message."""
    words = tag("h2", say("classify.sorry", language)), tag("p", say_error(error, language))
    return _card("error", *words, data_picture_alt=say("classify.picture_unread", language))


def accuracy_note(config: CheckpointConfig, name: str, language: str) -> Markup:
    """The measured accuracy of a model, separately on lab pictures and on photographs; empty if none was measured."""
    return note(accuracy(config, name, language))


def _card(kind: str, *content: Any, live: bool = False, **attributes: Any) -> Markup:
    return tag("section", content, class_=f"fv-answer fv-{kind}", aria_live=None if live else "polite", **attributes)


def _confidence(prediction: Prediction, language: str, config: CheckpointConfig | None) -> Markup:
    """The probability; if the answer is sure, in words and as a bar too. The title of an unsure answer says that it is unsure."""
    percent = tag("span", _percent(prediction.confidence))
    if prediction.verdict != "sure" or is_of_drawings(prediction, config):
        return tag("p", percent, class_="fv-sureness")
    words = say(f"classify.{sureness(prediction, config)}", language)
    shown = tag("p", tag("strong", words), " ", percent, class_="fv-sureness")
    return join([shown, bar(prediction.confidence, role="meter", label=words)])


def _reliability(prediction: Prediction, fruit_type: str, config: CheckpointConfig, language: str) -> Markup:
    """How often answers of this confidence were right on photographs of left-out sources, and which fruit was confused most."""
    said, right = sureness(prediction, config), accuracy_when_as_sure(prediction, config)
    others = say("classify.confused_and", language).join(display_name(name, language) for name in confused_with(config, fruit_type))
    sentences = []
    if right is not None:
        sentences.append(say(f"classify.trust_{said}", language, right=_percent(right)))
    if others:
        key = "classify.confused_too" if sentences else "classify.confused"
        sentences.append(say(key, language, name=display_name(fruit_type, language), others=others))
    return note(SPACE[language].join(sentences))


def _guess(guess: Guess, language: str) -> Markup:
    name = display_name(guess.fruit_type, language)
    mark = join([" ", tag("small", say("classify.taught_short", language))]) if guess.taught else None
    return tag("li", tag("span", name, mark), bar(guess.probability, role="meter", label=name), tag("span", _percent(guess.probability)))


def _percent(share: float) -> str:
    """A rounded percentage, but never 0% or 100% for a share that is not exactly that."""
    return "<1%" if share < 0.005 else ">99%" if 0.995 <= share < 1 else f"{share:.0%}"
