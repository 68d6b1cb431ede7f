"""Leave-one-group-out cross-validation by source: predictions for photos of sources that a network was not trained on.

A network is more accurate on photos of its training sources (a kitchen, a camera) than on any others. The sources are therefore
split into groups; for each group a network is trained on all others and evaluated on the group's pictures. The predictions of
all groups together estimate the accuracy on new sources; the choice of settings, the temperature and the thresholds depend on
them (:func:`fruitvision.recognition.evaluate.left_out.calibrate_on_sources`). Each training is an ordinary run in the study's
folder, so that an interrupted study can be continued.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fruitvision.comparison.study import source_run
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import NOT_FRUIT, fruit_type
from fruitvision.data.read.image_store import ImageStore
from fruitvision.errors import ConfigError, RunError
from fruitvision.files import csv_text, write_bytes, write_text
from fruitvision.models.card import percent
from fruitvision.models.checkpoint import load_checkpoint
from fruitvision.models.networks import Network, build_network
from fruitvision.recognition.evaluate.left_out import STUDY_NAME, Answers, concatenate, read_answers, to_bytes
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.features import evaluation_features, labels_and_weights
from fruitvision.runs.job.loop import execute
from fruitvision.runs.prepare.data import prepare, subsample_evenly
from fruitvision.runs.prepare.sources import find_sources, open_source, trainable_pictures
from fruitvision.runs.prepare.transforms import evaluation_transform
from fruitvision.runs.prepare.weights import learned_sources, load_initial_weights, planned_start, reset_head, sources_learned_before
from fruitvision.training.evaluation import consume
from fruitvision.training.last_layer import Features, refit

BATCH_SIZE = 64
FROZEN_PICTURES, FROZEN_PENALTY = 3_000, 1e-4
"""With a frozen trunk: the number of pictures of the dataset, and the default L2 penalty for the last layer."""
TABLE_NAME = "sources.csv"

Log = Callable[[str], None]


def study_sources(
    config: RunConfig, out: Path, *, groups: int = 4, together: Sequence[Sequence[str]] = (), frozen: bool = False, log: Log = print
) -> Answers:
    """Predict the pictures of each source by a network that was not trained on it; finished groups in ``out`` are reused.

    Args:
        config: the run on all sources; those in its ``leave_out`` are not used.
        groups: the number of groups; 0 makes each source a group.
        together: sets of sources that must be in the same group.
        frozen: fit only the last layer, on features of the first weights: minutes instead of a training.

    Raises:
        ConfigError: ``out`` holds another study, there are fewer than two groups, or the networks would start from, or learn
            from, one that was trained on the sources ("study-not-new").
        RunError: one of its runs was stopped ("study-stopped").
        DownloadError: they would start from ImageNet's weights, which are not here.
        FruitVisionError: as a run.
    """
    pictures = _pictures(config)
    sizes = {own.source: sum(len(one.rows) for one in pictures if one.source == own.source) for own in pictures}
    parts = split_sources(sizes, groups, together)
    files = [out / f"answers-{number}.npz" for number in range(len(parts))]
    if not all(file.is_file() for file in files):
        _check_new(config, sizes, planned_start(config.training))
    _check_study(
        out,
        {
            "config": config.model_dump(mode="json", exclude={"name", "created", "processes"}),
            "groups": parts,
            "frozen": frozen,
        },
    )
    predict: Predict | None = None
    answers = []
    for number, (group, file) in enumerate(zip(parts, files, strict=True)):
        if (run := source_run(out, number)).exists:  # a run of an earlier version may have started from the shipped network
            _check_new(config, group, run.status().start)
        if not file.is_file():
            log(f"without {', '.join(group)} ({number + 1} of {len(parts)})")
            predict = predict or (_frozen(config) if frozen else _trained(config))
            left_out = [one for one in pictures if one.source in group and len(one.rows)]
            write_bytes(file, to_bytes(predict(group, left_out, run.path)))
        answers.append(read_answers(file))
    return concatenate(answers)


def answers_of_checkpoint(checkpoint: Path, config: RunConfig, log: Log = print) -> Answers:
    """A checkpoint's predictions for the sources of ``config`` that it was not trained on, according to its configuration.

    Raises CheckpointError, and ConfigError "no-unseen-sources" if it was trained on all of them.
    """
    network, known = load_checkpoint(checkpoint)
    trained_on = {*learned_sources(known.dataset), *config.leave_out}
    found = [one for one in _pictures(config) if len(one.rows)]
    unseen = [one for one in found if one.source not in trained_on]
    if not any(kind != NOT_FRUIT for one in unseen for kind in one.kinds):
        raise ConfigError("no-unseen-sources", path=str(checkpoint))
    if skipped := sorted({one.source for one in found if one.source in trained_on}):
        log(f"skipped, trained on: {', '.join(skipped)}")
    return _predict(network, known.transform, known.classes, known.fruit_types, unseen)


def split_sources(sizes: Mapping[str, int], groups: int, together: Sequence[Sequence[str]] = ()) -> list[list[str]]:
    """Split the sources into groups with about equal numbers of pictures; 0: a group for each, except those ``together``.

    Raises ConfigError "too-few-sources" for fewer than two groups, "unknown-photo-source" for an unknown name in ``together``.
    """
    bundles: dict[str, list[str]] = {name: [name] for name in sorted(sizes)}
    for names in together:
        for name in names:
            if name not in sizes:
                raise ConfigError("unknown-photo-source", name=name, known=", ".join(sorted(sizes)))
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
        raise ConfigError("too-few-sources", sources=len(sizes), groups=len(distinct))
    return distinct


def _check_new(config: RunConfig, sources: Collection[str], start: str) -> None:
    """Raise ConfigError if a network that the study builds on was trained on the sources used for evaluation."""
    known = sorted(sources_learned_before(config.training, start) & set(sources))
    if known:
        raise ConfigError("study-not-new", count=len(known), first=known[0])


# The pictures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pictures:
    source: str
    store: ImageStore
    rows: np.ndarray
    kinds: tuple[str, ...]
    """(N,) the fruit type, or "not-fruit" """


def _pictures(config: RunConfig) -> list[_Pictures]:
    """The pictures of each source, photos first, without the ``heldout`` ones."""
    sources = find_sources(config)
    pictures_of = trainable_pictures(config.training, [source for own in sources for source in own])
    found = []
    for photo, own in zip((True, False), sources, strict=True):
        for source in own:
            if source.name not in config.leave_out:
                store, rows, _, names = pictures_of(source, open_source(source, photo))
                found.append(_Pictures(source.name, store, rows, tuple(map(fruit_type, names)) if photo else names))
    return found


# The networks ---------------------------------------------------------------------------------------------------------

Predict = Callable[[Sequence[str], Sequence[_Pictures], Path], Answers]
"""(group, its pictures, folder for a run) → predictions by a network that was not trained on the group."""


def _trained(config: RunConfig) -> Predict:
    """A run for each group."""

    def predict(group: Sequence[str], pictures: Sequence[_Pictures], folder: Path) -> Answers:
        run = RunFolder(folder)
        if not run.exists:
            run.create(config.model_copy(update={"name": run.path.name, "leave_out": (*config.leave_out, *group)}))
        if run.status().state != "finished":
            execute(run.path)
        if (state := run.status().state) != "finished":
            raise RunError("study-stopped", run=str(run.path), state=state)
        network, found = load_checkpoint(run.best)
        return _predict(network, found.transform, found.classes, found.fruit_types, pictures)

    return predict


def _frozen(config: RunConfig) -> Predict:
    """A last layer for each group, on features of the first weights, which are computed once."""
    training = config.training.model_copy(update={"photo_validation": "pictures"})
    data = prepare(config.model_copy(update={"training": training}))
    data.train = subsample_evenly(data.train, FROZEN_PICTURES)
    targets, transform, device = data.targets, evaluation_transform(training), torch.device("cpu")
    network = build_network(
        training.architecture, num_classes=len(targets.classes), norm=training.norm, width=training.width, seed=training.seed
    )
    start = load_initial_weights(network, training, targets, lambda line: None)
    steps = evaluation_features(network, data, training, transform, device)
    features = consume(steps)
    additional = [one for one in (*data.photos, *data.not_fruit) if len(one.train[0])]
    sources = [one.source for one in additional for _ in one.train[0]] + [""] * len(data.train.labels)

    def predict(group: Sequence[str], pictures: Sequence[_Pictures], folder: Path) -> Answers:
        kept = torch.tensor([source not in group for source in sources])
        _, weights = labels_and_weights(data, training, [one for one in additional if one.source not in group])
        rest = Features(features.features[kept], features.labels[kept], weights)
        reset_head(network, training, targets, start)
        for _ in refit(network.head, rest, targets.membership, training.fit_last or FROZEN_PENALTY):
            pass
        return _predict(network, transform, targets.classes, targets.fruit_types, pictures)

    return predict


@torch.inference_mode()
def _predict(
    network: Network, transform: EvalTransform, classes: tuple[str, ...], fruit_types: tuple[str, ...], pictures: Sequence[_Pictures]
) -> Answers:
    network.eval()
    logits = [
        _logits(network, transform, one.store, one.rows[start : start + BATCH_SIZE])
        for one in pictures
        for start in range(0, len(one.rows), BATCH_SIZE)
    ]
    return Answers(
        classes,
        fruit_types,
        torch.cat(logits) if logits else torch.zeros(0, transform.num_views, len(classes)),
        tuple(one.source for one in pictures for _ in one.rows),
        tuple(kind for one in pictures for kind in one.kinds),
    )


def _logits(network: Network, transform: EvalTransform, store: ImageStore, rows: np.ndarray) -> torch.Tensor:
    """(B, V, C): the logits for each of V views of a batch of pictures."""
    images = transform.batch([store[row] for row in rows.tolist()]).contiguous(memory_format=torch.channels_last)
    return network(images).logits.float().unflatten(0, (-1, transform.num_views))


def _check_study(out: Path, description: dict[str, Any]) -> None:
    """Write a new study's description, or compare it with that of the study in ``out``."""
    file = out / STUDY_NAME
    if not file.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(description, indent=2))
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != json.loads(json.dumps(description)):
        raise ConfigError("sources-study-differs", folder=str(out))


def write_table(out: Path, summary: dict[str, Any]) -> Path:
    """Write the metrics of each source as a table in ``out``, which is created if it does not exist."""
    out.mkdir(parents=True, exist_ok=True)
    columns = ("images", "top1", "top3", "sure", "sure_right", "not_fruit_images", "not_fruit_sure")
    rows = ([name, *(own[key] for key in columns)] for name, own in summary["per_source"].items())
    write_text(out / TABLE_NAME, csv_text(["source", *columns], rows, digits=4))
    return out / TABLE_NAME


def table_lines(summary: dict[str, Any]) -> list[str]:
    """The same table as lines for a terminal, with the means below."""
    lines = [f"{'source':<24}{'photos':>8}{'top-1':>8}{'top-3':>8}{'sure':>8}{'right':>8}{'no fruit':>10}{'sure':>8}"]
    for name, own in summary["per_source"].items():
        shares = "".join(f"{percent(own[key]):>8}" for key in ("top1", "top3", "sure", "sure_right"))
        lines.append(f"{name:<24}{own['images']:>8}{shares}{own['not_fruit_images']:>10}{percent(own['not_fruit_sure']):>8}")
    for key in ("top1", "top3", "ece", "sure", "sure_right", "unknown_kinds_sure", "not_fruit_sure"):
        if summary[key] is not None:
            lines.append(f"  {key:<20}{summary[key]:8.2%}")
    return lines
