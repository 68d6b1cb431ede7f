"""Sources left out in turn: what a network says of the photographs of people that it never learned from.

A network that learned from somebody's kitchen flatters itself in that kitchen. So the sources of photographs are parted
into groups; for each group a network is trained on all the others and asked about the pictures of that group. The answers
together are what a stranger's photographs would get, and every choice of a recipe, the temperature and the thresholds are
made on them (:func:`calibrate_by`). Each training is an ordinary run in the study's folder, so that a study that was broken off goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import fruit_type
from fruitvision.data.load.targets import NOT_FRUIT
from fruitvision.data.read.store import ImageStore
from fruitvision.errors import ConfigError
from fruitvision.files import csv_text, write_bytes, write_text
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.models.networks import Network, build_network
from fruitvision.recognition.evaluate.strangers import STUDY_NAME, Answers, joined, packed, read_answers
from fruitvision.runs.folder import RunConfig, RunFolder
from fruitvision.runs.job.features import evaluation_features, labels_and_weights
from fruitvision.runs.job.loop import execute
from fruitvision.runs.prepare.data import evenly, prepare
from fruitvision.runs.prepare.sources import find_sources, open_source, trainable_pictures
from fruitvision.runs.prepare.transforms import evaluation_transform
from fruitvision.runs.prepare.weights import load_initial_weights, reset_head
from fruitvision.training.last_layer import Seen, refit

BATCH = 64
LAB_PICTURES, HOLD = 3_000, 1e-4
"""Where only a last layer is fitted: how many pictures of the data take part, and how strongly its weights are held to zero."""
TABLE_NAME = "sources.csv"

Say = Callable[[str], None]


def study_sources(
    config: RunConfig, out: Path, *, groups: int = 4, together: Sequence[Sequence[str]] = (), frozen: bool = False, say: Say = print
) -> Answers:
    """Leave every source out once and return all answers; what is finished in ``out`` is not done again.

    Args:
        config: what would be trained with all sources; its ``leave_out`` takes no part at all.
        groups: into how many groups the sources are parted; 0 leaves each out alone.
        together: sources that must be left out together, beside those of one name.
        frozen: fit only a last layer to features of the first weights, in minutes, in place of training the network.

    Raises:
        ConfigError: ``out`` holds another study, or there are fewer than two sources.
        Whatever a run raises.
    """
    pictures = _pictures(config)
    sizes = {own.source: sum(len(one.rows) for one in pictures if one.source == own.source) for own in pictures}
    parts = part_sources(sizes, groups, together)
    about = {
        "config": config.model_dump(mode="json", exclude={"name", "created", "processes"}),
        "groups": parts,
        "frozen": frozen,
    }
    _claim(out, about)
    ask: Ask | None = None
    found = []
    for number, group in enumerate(parts):
        place = out / f"answers-{number}.npz"
        if not place.is_file():
            say(f"without {', '.join(group)} ({number + 1} of {len(parts)})")
            ask = ask or (_frozen(config) if frozen else _trained(config))
            asked = [one for one in pictures if one.source in group and len(one.rows)]
            write_bytes(place, packed(ask(group, asked, out / f"run-{number}")))
        found.append(read_answers(place))
    return joined(found)


def ask_checkpoint(checkpoint: Path, config: RunConfig, say: Say = print) -> Answers:
    """What a finished network says of the sources in ``config`` that it has not learned from, as its card names them.

    Raises CheckpointError, and ConfigError where it has learned from all of them.
    """
    network, known = load_checkpoint(checkpoint)
    learned = {*known.dataset.get("sources", ()), *known.dataset.get("beside", ()), *config.leave_out}
    found = [one for one in _pictures(config) if len(one.rows)]
    strangers = [one for one in found if one.source not in learned]
    if not any(kind != NOT_FRUIT for one in strangers for kind in one.kinds):
        raise ConfigError(
            "no-strangers",
            f"{checkpoint} has learned from all of these sources.",
            "Give photos that it does not know.",
            path=str(checkpoint),
        )
    if passed_over := sorted({one.source for one in found if one.source in learned}):
        say(f"not asked about: {', '.join(passed_over)}")
    return _asked(network, known.transform, known.classes, known.fruit_types, strangers)


def part_sources(sizes: Mapping[str, int], groups: int, together: Sequence[Sequence[str]] = ()) -> list[list[str]]:
    """The sources' names in groups of about as many pictures each; 0 groups: each alone, but for those ``together``.

    Raises ConfigError where that leaves fewer than two groups, or names a source that is not there.
    """
    bundles: dict[str, list[str]] = {name: [name] for name in sorted(sizes)}
    for names in together:
        for name in names:
            if name not in sizes:
                raise ConfigError(
                    "unknown-photo-source",
                    f"No source is called '{name}'.",
                    f"Choose of: {', '.join(sorted(sizes))}.",
                    name=name,
                    known=", ".join(sorted(sizes)),
                )
        first, *others = (bundles[name] for name in names)
        for other in others:
            if other is not first:
                first += other
                bundles |= dict.fromkeys(other, first)
    distinct = list({id(bundle): sorted(set(bundle)) for bundle in bundles.values()}.values())
    if groups:
        parts: list[list[str]] = [[] for _ in range(min(groups, len(distinct)))]
        for bundle in sorted(distinct, key=lambda names: (-sum(sizes[name] for name in names), names)):
            min(parts, key=lambda part: sum(sizes[name] for name in part)).extend(bundle)
        distinct = [sorted(part) for part in parts]
    if len(distinct) < 2:
        raise ConfigError(
            "too-few-sources",
            f"There must be two groups of sources or more (sources: {len(sizes)}, groups: {len(distinct)}).",
            "Give two or more sources of photos, and two or more groups.",
            sources=len(sizes),
            groups=len(distinct),
        )
    return distinct


# The pictures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pictures:
    source: str
    store: ImageStore
    rows: np.ndarray
    kinds: tuple[str, ...]
    """(N,) the fruit type, or "not-fruit" """


def _pictures(config: RunConfig) -> list[_Pictures]:
    """What may be asked about of each source that takes part, photos first; what is kept as ``heldout`` is not."""
    sources = find_sources(config)
    asked = trainable_pictures(config.training, [source for own in sources for source in own])
    found = []
    for photo, own in zip((True, False), sources, strict=True):
        for source in own:
            if source.name not in config.leave_out:
                store, rows, _, names = asked(source, open_source(source, photo))
                found.append(_Pictures(source.name, store, rows, tuple(map(fruit_type, names)) if photo else names))
    return found


# The networks ---------------------------------------------------------------------------------------------------------

Ask = Callable[[Sequence[str], Sequence[_Pictures], Path], Answers]
"""(a group, its pictures, the folder for a run) → what a network that has not learned the group says of them."""


def _trained(config: RunConfig) -> Ask:
    """A run a group."""

    def ask(group: Sequence[str], pictures: Sequence[_Pictures], place: Path) -> Answers:
        folder = RunFolder(place)
        if not folder.exists:
            folder.create(config.model_copy(update={"name": folder.path.name, "leave_out": (*config.leave_out, *group)}))
        if folder.status().state != "finished":
            execute(folder.path)
        if (state := folder.status().state) != "finished":
            raise ConfigError(
                "study-stopped",
                f"The run {folder.path} is {state}.",
                "Give the same command again to go on.",
                run=str(folder.path),
                state=state,
            )
        network, found = load_checkpoint(folder.best)
        return _asked(network, found.transform, found.classes, found.fruit_types, pictures)

    return ask


def _frozen(config: RunConfig) -> Ask:
    """A last layer a group, over features that the first weights make of all pictures once."""
    training = config.training.model_copy(update={"photo_validation": "pictures"})
    data = prepare(config.model_copy(update={"training": training}))
    data.train = evenly(data.train, LAB_PICTURES)
    targets, transform, device = data.targets, evaluation_transform(training), torch.device("cpu")
    network = build_network(
        training.architecture, num_classes=len(targets.classes), norm=training.norm, width=training.width, seed=training.seed
    )
    start = load_initial_weights(network, training, targets, lambda line: None)
    steps = evaluation_features(network, data, training, transform, device)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            seen: Seen = end.value
            break
    beside = [one for one in (*data.photos, *data.not_fruit) if len(one.train[0])]
    sources = [one.source for one in beside for _ in one.train[0]] + [""] * len(data.train.labels)

    def ask(group: Sequence[str], pictures: Sequence[_Pictures], place: Path) -> Answers:
        kept = torch.tensor([source not in group for source in sources])
        _, weights = labels_and_weights(data, training, [one for one in beside if one.source not in group])
        known = Seen(seen.features[kept], seen.labels[kept], weights)
        reset_head(network, training, targets, start)
        for _ in refit(network.head, known, targets.membership, training.fit_last or HOLD):
            pass
        return _asked(network, transform, targets.classes, targets.fruit_types, pictures)

    return ask


@torch.inference_mode()
def _asked(
    network: Network, transform: EvalTransform, classes: tuple[str, ...], fruit_types: tuple[str, ...], pictures: Sequence[_Pictures]
) -> Answers:
    logits = [_seen(network, transform, one.store, one.rows, start).logits for one in pictures for start in range(0, len(one.rows), BATCH)]
    return Answers(
        classes,
        fruit_types,
        torch.cat(logits) if logits else torch.zeros(0, transform.looks, len(classes)),
        tuple(one.source for one in pictures for _ in one.rows),
        tuple(kind for one in pictures for kind in one.kinds),
    )


def _seen(network: Network, transform: EvalTransform, store: ImageStore, rows: np.ndarray, start: int) -> Any:
    """The network's output for a batch of pictures, each entry (B, V, ...) of V looks."""
    batch = transform.batch([store[row] for row in rows[start : start + BATCH]]).contiguous(memory_format=torch.channels_last)
    output = network.eval()(batch)
    return type(output)(*(value.float().unflatten(0, (-1, transform.looks)) for value in output))


def _claim(out: Path, about: dict[str, Any]) -> None:
    """Write down what the study is, or find that it is the one that began here."""
    place = out / STUDY_NAME
    if not place.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_text(place, json.dumps(about, indent=2))
        return
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != json.loads(json.dumps(about)):
        raise ConfigError(
            "sources-study-differs",
            f"The study in {out} is another one: its pictures, settings or groups differ.",
            "Choose another folder, or give the command that began it.",
            folder=str(out),
        )


def write_table(out: Path, summary: dict[str, Any]) -> Path:
    """The figures of every source as a table in ``out``, which is made where it is not there."""
    out.mkdir(parents=True, exist_ok=True)
    columns = ("images", "top1", "top3", "sure", "sure_right", "not_fruit_images", "not_fruit_sure")
    rows = ([name, *(own[key] for key in columns)] for name, own in summary["per_source"].items())
    write_text(out / TABLE_NAME, csv_text(["source", *columns], rows, digits=4))
    return out / TABLE_NAME


def table_lines(summary: dict[str, Any]) -> list[str]:
    """The same for a terminal, with the means beneath."""
    lines = [f"{'source':<24}{'photos':>8}{'top-1':>8}{'top-3':>8}{'sure':>8}{'right':>8}{'no fruit':>10}{'sure':>8}"]
    for name, own in summary["per_source"].items():
        shares = "".join(f"{_shown(own[key]):>8}" for key in ("top1", "top3", "sure", "sure_right"))
        lines.append(f"{name:<24}{own['images']:>8}{shares}{own['not_fruit_images']:>10}{_shown(own['not_fruit_sure']):>8}")
    for key in ("top1", "top3", "ece", "sure", "sure_right", "unknown_kinds_sure", "not_fruit_sure"):
        if summary[key] is not None:
            lines.append(f"  {key:<20}{summary[key]:8.2%}")
    return lines


def _shown(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
