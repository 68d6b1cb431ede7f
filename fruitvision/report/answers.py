"""How an answer is presented in the app and on the standalone web page: the named fruits, the confidence in words, and the measured
accuracy."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.wording.text import say

if TYPE_CHECKING:
    from fruitvision.recognition.classifier import Guess, Prediction

VERY_SURE = 0.9
"""The confidence from which an answer is "very sure", if the checkpoint does not have one."""
NEVER = 2.0
"""A confidence that no answer reaches."""
MIN_BOTH, MIN_SECOND = 0.5, 0.25
"""An unsure answer names two fruits if their probabilities sum to ``MIN_BOTH`` and the second one's is at least ``MIN_SECOND`` times
the first one's."""
MIN_ALONE = 0.4
"""It names none if even the first one's is lower."""
MAX_CONFUSED, MIN_CONFUSED = 2, 3
"""The maximum number of confused types to name, and how often they must have been confused."""
MIN_SHOWN = 0.01
"""Guesses with a lower probability are not shown."""


def named_guesses(prediction: Prediction) -> tuple[Guess, ...]:
    """The fruits to name: one; two if both are likely; none if none is likely, or there is no fruit."""
    best, *others = prediction.top
    if prediction.verdict == "not-fruit":
        return ()
    if prediction.verdict == "sure":
        return (best,)
    if others and others[0].probability >= MIN_SECOND * best.probability and best.probability + others[0].probability >= MIN_BOTH:
        return (best, others[0])
    return (best,) if best.probability >= MIN_ALONE else ()


def names_a_variety(label: str, fruit_type: str) -> bool:
    """Whether a class name says more than its fruit type: "Potato Sweet" and "Limes" do not."""
    own, kind = (sorted(name.casefold().removesuffix("s").split()) for name in (label, fruit_type))
    return own != kind


def only_on_white(config: CheckpointConfig, label: str, fruit_type: str) -> bool:
    """Whether a network that was trained on photos of other fruits has seen this one only on white."""
    photographed = config.dataset.get("photographed")
    return dataset_on_white(config) and bool(photographed) and label in config.classes and fruit_type not in photographed


def dataset_on_white(config: CheckpointConfig) -> bool:
    """Whether the pictures of its dataset, and thus its test pictures, have a white background; known for Fruits-360 only."""
    return "360" in str(config.dataset.get("name", ""))


def confused_with(config: CheckpointConfig, fruit_type: str) -> tuple[str, ...]:
    """The types that are confused most with this one on photos of left-out sources, at most ``MAX_CONFUSED``."""
    per_kind = config.left_out.get("per_kind") or {}
    counts = Counter(per_kind.get(fruit_type, {}).get("taken_for", {}))
    for kind, own in per_kind.items():
        if kind != fruit_type:
            counts[kind] += own["taken_for"].get(fruit_type, 0)
    return tuple(kind for kind, count in counts.most_common(MAX_CONFUSED) if count >= MIN_CONFUSED)


def sureness(prediction: Prediction, config: CheckpointConfig | None = None) -> str:
    """The confidence in one word: "very_sure", "sure", "unsure" or "nothing", keys of the sentences.

    A taught name is never "very sure": that was measured on the network's own.
    """
    if prediction.verdict == "not-fruit":
        return "nothing"
    if prediction.verdict == "unsure":
        return "unsure"
    return "very_sure" if prediction.confidence >= very_sure_from(config) and not prediction.top[0].taught else "sure"


def very_sure_from(config: CheckpointConfig | None) -> float:
    """The confidence from which a "sure" answer is "very sure"; ``NEVER``, which no confidence reaches, if there is none."""
    least = config.left_out.get("very_sure_from", VERY_SURE) if config is not None else VERY_SURE
    return least if least is not None and least < 1 else NEVER


def accuracy_when_as_sure(prediction: Prediction, config: CheckpointConfig) -> float | None:
    """The accuracy of answers with this level of confidence on photos of left-out sources; None if not measured."""
    said = {"very_sure": "very_sure_right", "sure": "sure_right"}.get(sureness(prediction, config))
    return config.left_out.get(said) if said else None


def accuracy(config: CheckpointConfig, name: str, language: str) -> str:
    """The measured accuracy of a model on lab pictures and on photos, in words; empty if nothing was measured."""
    if config.dataset.get("synthetic"):
        return say("classify.synthetic", language)
    found = config.left_out
    if found and found.get("top1") is not None:
        facts = {"model": name, "share": f"{found['top1']:.0%}", "sources": found["sources"]}
        key = "classify.accuracy_itself" if found.get("itself") else "classify.accuracy"  # the network, or others made like it
        if found["sure_right"] is None or found["sure"] is None:
            return say(f"{key}_never_sure", language, **facts)
        facts |= {"said": f"{found['sure']:.0%}", "right": f"{found['sure_right']:.0%}"}
        if found.get("very_sure_right") is None or found.get("very_sure") is None:
            return say(f"{key}_sure", language, **facts)
        very = {"very_said": f"{found['very_sure']:.0%}", "very_right": f"{found['very_sure_right']:.0%}"}
        return say(f"{key}_very_sure", language, **facts, **very)
    lab = config.metrics.get("test", {}).get("top1")
    if lab is None:
        return ""
    facts, on_white = {"model": name, "lab": f"{lab:.1%}"}, dataset_on_white(config)
    seen = [figures for kind, figures in config.metrics.items() if kind.startswith("photos") and figures.get("top1") is not None]
    photos, images = sorted(figures["top1"] for figures in seen), sum(figures.get("images", 0) for figures in seen)
    if not photos:
        return say("classify.accuracy_lab" if on_white else "classify.accuracy_own", language, **facts)
    low, high = f"{photos[0]:.0%}", f"{photos[-1]:.0%}"  # a range over several sources
    both = low if low == high else say("classify.range", language, low=low, high=high)
    return say("classify.accuracy_both" if on_white else "classify.accuracy_own_both", language, **facts, photos=both, images=images)
