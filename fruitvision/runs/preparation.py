"""What a run needs before its first step: its pictures, split, its transforms, and its first weights."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fruitvision.data.augment.backgrounds import Backgrounds
from fruitvision.data.augment.recipes import BatchedRecipe, no_augmentation, torchvision_recipe
from fruitvision.data.augment.scene_recipes import PhotoRecipe, SceneRecipe
from fruitvision.data.augment.transforms import EvalTransform, TrainTransform, has_white_background
from fruitvision.data.fruits import fruit_type
from fruitvision.data.load.loader import EvalLoader, MixedEvalLoader, MixedLoader, Source, TrainLoader
from fruitvision.data.load.resident import ResidentLoader
from fruitvision.data.load.targets import NOT_FRUIT, Targets
from fruitvision.data.load.workers import Workers
from fruitvision.data.read.dataset import Dataset, Split, held_out, hold_out
from fruitvision.data.read.decoding import usable_cores
from fruitvision.data.read.sources import PhotoSource, balance, enough, left_out, negative_sources, photo_sources
from fruitvision.data.read.store import ImageStore, Progress, open_dataset, open_folder, open_loose
from fruitvision.errors import ConfigError, FruitVisionError
from fruitvision.models.checkpoint import find_checkpoint, load_checkpoint, read_config, shipped
from fruitvision.models.networks import Network, build_network
from fruitvision.models.pretrained import imagenet_applies, imagenet_weights, load_trunk, start_head
from fruitvision.recognition.evaluate.left_out import read_study
from fruitvision.runs.folder import RunConfig
from fruitvision.training.averaging import average_error, average_weights
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import Regularizer, Teacher, Training
from fruitvision.training.evaluation import Validation
from fruitvision.training.loss import distillation_loss

CPU = torch.device("cpu")
MOST_WORKERS = 8
SCENE_SIDE, MOST_SCENES = 192, 600
"""Of the composed validation pictures: their side, as a small photo, and how many are made at most."""
SOURCES_VALIDATION, PHOTO_VALIDATION = 0.12, 0.05
"""Of the photos and pictures without fruit that may train: kept for choosing the epoch and for calibration, as whole sources
or picture by picture."""
FEWEST_SOURCES = 4
"""From so many on whole sources are kept for that."""


@dataclass(frozen=True, eq=False)
class Beside:
    """A source given beside the data: photos labelled with a type, or pictures that hold no fruit.

    ``train`` and ``validation`` are (rows, names) of a store; the source's ``heldout`` fifth is in neither.
    """

    source: str
    store: ImageStore
    train: tuple[np.ndarray, tuple[str, ...]]
    validation: tuple[np.ndarray, tuple[str, ...]]


@dataclass
class Prepared:
    """A run's pictures: which train it, which choose its best epoch, and which only measure it."""

    dataset: Dataset
    store: ImageStore
    train: Split
    validation: Split
    test: Split | None
    targets: Targets
    photos: tuple[Beside, ...] = ()
    not_fruit: tuple[Beside, ...] = ()
    too_few: tuple[str, ...] = ()
    """Kinds of the photos that are left out, as "Okra (6 photos of 2 sources)"."""

    @property
    def fingerprint(self) -> str:
        """Of every picture used, those beside the data included."""
        beside = (*self.photos, *self.not_fruit)
        if not beside:
            return self.dataset.fingerprint
        hashes = sorted(beside_hash for one in beside for beside_hash in one.store.hashes)
        return hashlib.sha256("\n".join([self.dataset.fingerprint, *hashes]).encode()).hexdigest()


def check_beside(config: RunConfig) -> None:
    """Refuse folders beside the data that this run could not learn from. Raises DataError, ConfigError."""
    photos, negatives = all_sources(config)
    left_out((*photos, *negatives), config.leave_out)
    learnable(config, (*photos, *negatives))
    if config.study:
        read_study(Path(config.study))
    if config.training.augmentation != "scenes" and (config.photos or config.not_fruit):
        raise ConfigError(
            "photos-need-scenes",
            f"The preset {config.training.preset} cannot learn from photos beside the data.",
            "Choose --preset robust, or leave --photos and --not-fruit out.",
            preset=config.training.preset,
        )


def all_sources(config: RunConfig) -> tuple[tuple[PhotoSource, ...], tuple[PhotoSource, ...]]:
    """The sources of photos and of pictures without fruit, those to be left out among them."""
    photos = tuple(source for folder in config.photos for source in photo_sources(Path(folder)))
    return photos, tuple(source for folder in config.not_fruit for source in negative_sources(Path(folder)))


def prepare(config: RunConfig, progress: Progress | None = None) -> Prepared:
    """Open the data and decide which pictures train, validate and test. Raises DataError, ConfigError.

    progress: called with (files done, files) of each folder while it is read.
    """
    check_beside(config)
    dataset, store = open_dataset(Path(config.data), seed=config.training.seed, progress=progress)
    train, test = dataset.splits["train"], dataset.splits.get("test")
    validation = dataset.splits.get("val")
    if validation is None and config.training.val_fraction > 0:
        train, validation = hold_out(train, config.training.val_fraction, config.training.seed)
    if validation is None:
        validation = test
    if validation is None or not len(validation.labels):
        train, validation = hold_out(train, 0.1, config.training.seed)
    if config.training.max_train_images:
        train = evenly(train, config.training.max_train_images)
    photos, negatives = all_sources(config)
    without = left_out((*photos, *negatives), config.leave_out)
    opened = {source: open_source(source, photo=True, progress=progress) for source in photos}
    kinds, too_few = _known_kinds(dataset.classes, opened, config.training)
    learned = learnable(config, (*photos, *negatives))
    nothing = {source: open_source(source, photo=False, progress=progress) for source in negatives}
    parts = [(source, opened[source]) for source in photos], [(source, nothing[source]) for source in negatives]
    photo_parts, negative_parts = ([(source, learned(source, part)) for source, part in own if source.name not in without] for own in parts)
    photo_parts = [(source, _select(part, lambda path, name: name in kinds)) for source, part in photo_parts]
    kept = _validation_sources([*photo_parts, *negative_parts], config.training)
    beside = [_divided(source, part, kept, config.training.seed) for source, part in photo_parts]
    empty = [_divided(source, part, kept, config.training.seed) for source, part in negative_parts]
    targets = Targets.of(dataset.classes, sorted(kinds), not_fruit=bool(negatives) or NOT_FRUIT in kinds)
    return Prepared(dataset, store, train, validation, test, targets, tuple(beside), tuple(empty), too_few)


Part = tuple[ImageStore, np.ndarray, tuple[str, ...], tuple[str, ...]]
"""A store, and of pictures in it: rows, paths and the names of their kinds."""


def open_source(source: PhotoSource, photo: bool, progress: Progress | None = None) -> Part:
    """All pictures of a source of photos, or of one of pictures without fruit."""
    if photo:
        names, split, store, _ = open_folder(source.root, progress=progress)
        return store, split.rows, tuple(split.paths), tuple(names[label] for label in split.labels)
    store = open_loose(source.root, progress=progress)
    rows = np.arange(len(store.paths))
    return store, rows, tuple(store.paths), (NOT_FRUIT,) * len(rows)


def learnable(config: RunConfig, sources: Sequence[PhotoSource]) -> Callable[[PhotoSource, Part], Part]:
    """Those pictures of a source that may be learned: not its ``heldout`` fifth, where that is to be kept.

    Raises ConfigError where the fifth of a source is to be kept that is not among ``sources``.
    """
    of = left_out(sources, _names(config.training.heldout_of)) or {source.name for source in sources}
    return lambda source, part: _select(part, lambda path, name: not held_out(path)) if source.name in of else part


def _select(part: Part, wanted: Callable[[str, str], bool]) -> Part:
    """The pictures whose path and kind are ``wanted``."""
    store, rows, paths, names = part
    chosen = [i for i, (path, name) in enumerate(zip(paths, names, strict=True)) if wanted(path, name)]
    return store, rows[chosen], tuple(paths[i] for i in chosen), tuple(names[i] for i in chosen)


def _known_kinds(classes: Sequence[str], opened: dict[PhotoSource, Part], config: TrainConfig) -> tuple[set[str], tuple[str, ...]]:
    """The folder names of photos that the network learns: what the data has anyway, and of what it lacks those with photos
    enough, sources to be left out counted too, so that a network without a source still knows the same kinds."""
    labelled = [(name, source.name) for source, (_, _, _, names) in opened.items() for name in names]
    types, sources = [fruit_type(name) for name, _ in labelled], [source for _, source in labelled]
    known = {*classes, *map(fruit_type, classes), NOT_FRUIT} | enough(types, sources, config.kind_pictures, config.kind_sources)
    kinds = {name for name, _ in labelled if name in known or fruit_type(name) in known}
    lacking = sorted({kind for kind in types if kind not in known})
    return kinds, tuple(
        f"{kind} ({types.count(kind)} photos of {len({s for t, s in zip(types, sources, strict=True) if t == kind})} sources)"
        for kind in lacking
    )


def _validation_sources(parts: Sequence[tuple[PhotoSource, Part]], config: TrainConfig) -> set[str] | None:
    """The sources that validate, about ``SOURCES_VALIDATION`` of all pictures; None where single pictures of each do."""
    sizes: dict[str, int] = {}
    for source, (_, rows, _, _) in parts:
        sizes[source.name] = sizes.get(source.name, 0) + len(rows)
    if config.photo_validation == "pictures" or len(sizes) < FEWEST_SOURCES:
        return None
    wanted, kept = SOURCES_VALIDATION * sum(sizes.values()), set()
    for name in sorted(sizes, key=lambda name: hashlib.sha256(f"{config.seed}:{name}".encode()).digest()):
        if sizes[name] <= wanted:  # what a whole source of the rest would be too much for is made up by smaller ones
            kept.add(name)
            wanted -= sizes[name]
    return kept


def _divided(source: PhotoSource, part: Part, kept: set[str] | None, seed: int) -> Beside:
    store, rows, paths, names = part
    if kept is None:
        turn = sorted(range(len(rows)), key=lambda i: hashlib.sha256(f"{seed}:{paths[i]}".encode()).digest())
        # Of all pictures, not of each kind: most kinds have too few for one to be spared.
        taken = np.zeros(len(rows), bool)
        taken[turn[: round(PHOTO_VALIDATION * len(turn))]] = True
    else:
        taken = np.full(len(rows), source.name in kept)
    train, validation = np.flatnonzero(~taken), np.flatnonzero(taken)
    return Beside(source.name, store, *((rows[own], tuple(names[i] for i in own)) for own in (train, validation)))


def loaders(data: Prepared, config: TrainConfig, device: torch.device = CPU, workers: Workers | None = None) -> tuple[Training, Validation]:
    """What training and validation read: on a graphics card from there, where the pictures and the recipe allow it.

    ``workers`` make what is made of scenes; without them it is made in this process.
    """
    transform = evaluation_transform(config)
    if config.augmentation != "scenes":
        recipe, how = training_transform(config), {"seed": config.seed, "balanced": config.balance == "sampler"}
        if isinstance(recipe, BatchedRecipe) and ResidentLoader.fits(data.store, data.train, device):
            train = ResidentLoader(data.store, data.train, recipe, config.batch_size, device, **how)
        else:
            train = TrainLoader(data.store, data.train, recipe, config.batch_size, **how)
        return train, EvalLoader(data.store, data.validation, transform)
    pictures = [(one.store, one.train[0]) for one in data.not_fruit]
    recipe = scene_recipe(config, Rows(pictures), plain=0.0)
    photo = PhotoRecipe(recipe.backgrounds, flip=config.flip, strength=config.photo_strength)
    membership, rows, labels = data.targets.membership, data.train.rows, data.train.labels
    plain = config.plain_share * config.data_repeat
    in_scenes = (1 - config.plain_share) * config.data_repeat * _balanced(data.targets, labels, config.type_balance)
    train = [
        Source(data.store, rows, labels, scene_recipe(config, plain=1.0), plain, spans=data.targets.spans),
        Source(data.store, rows, labels, recipe, in_scenes, spans=data.targets.spans),
    ]
    often = _evened(data.photos, config.type_balance, config.source_balance)
    for one, repeat in zip(data.photos, often, strict=True):
        train += _by_kind(one.store, *one.train, data.targets, photo, recipe, config.photo_repeat * repeat)
    wanted = config.not_fruit_share * sum(source.shown for source in train)
    often = _evened(data.not_fruit, 0.0, config.source_balance)
    for one, repeat in zip(data.not_fruit, often, strict=True):
        train += _by_kind(one.store, *one.train, data.targets, photo, recipe, wanted / max(sum(map(len, often)), 1) * repeat)
    mixed = MixedLoader(train, membership, config.batch_size, seed=config.seed, workers=workers)
    return mixed, unseen(data, config, transform.with_views("one"), workers)


def worker_processes(config: TrainConfig, device: torch.device) -> int:
    """How many processes make scenes: as many as the person said; else none beside a processor that trains, which they would
    only slow down, and beside a graphics card one a core that is left, of this process's part of the machine."""
    if config.workers >= 0:
        return config.workers
    cores = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's own name
    return 0 if device.type == "cpu" else min(max(cores - 1, 0), MOST_WORKERS)


def unseen(data: Prepared, config: TrainConfig, transform: EvalTransform, workers: Workers | None = None) -> MixedEvalLoader:
    """What training does not see, and what is not reported either, as ``transform`` shows it: fruit of the validation
    split in scenes, a quarter of it on white; photos, and pictures without fruit, each as it is and by a poor camera;
    and what was filmed on white among the photos, as it is.

    Those of the data are often too like the ones that were learned. Judged by them alone, a network would believe
    itself more than it may before other people's photos.
    """
    recipe = scene_recipe(config, Rows([(one.store, one.validation[0]) for one in data.not_fruit]), plain=0.25)
    shown = _Unseen(recipe, PhotoRecipe(recipe.backgrounds, flip=config.flip, strength=1.0), transform)
    lab = evenly(data.validation, MOST_SCENES)
    sources = [Source(data.store, lab.rows, lab.labels, shown.scenes, spans=data.targets.spans)]
    for one in (*data.photos, *data.not_fruit):
        rows, names = one.validation
        labels = np.array([data.targets.label(name) for name in names], np.int64)
        white = np.array([_on_white(one.store[row]) for row in rows], bool)
        sources.append(Source(one.store, rows[~white], labels[~white], shown.as_it_is, as_taken=True))
        sources.append(Source(one.store, rows[~white], labels[~white], shown.poorly))
        sources.append(Source(one.store, rows[white], labels[white], shown.as_it_is))
    return MixedEvalLoader(sources, data.targets.membership, transform.crop, workers=workers)


@dataclass(frozen=True)
class _Unseen:
    """How the pictures of :func:`unseen` come to the network: each a transform, (pictures, seeds, size) → images."""

    recipe: SceneRecipe
    poor: PhotoRecipe
    transform: EvalTransform

    def scenes(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int, others: Any, spans: Any) -> Tensor:
        return self._seen(self.recipe.scenes(pictures, seeds, self._side, others, spans)[0])

    def as_it_is(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        return self.transform.batch(pictures)

    def poorly(self, pictures: Sequence[np.ndarray], seeds: Sequence[tuple[int, ...]], size: int) -> Tensor:
        return self._seen(self.poor.shots(pictures, seeds, self._side))

    @property
    def _side(self) -> int:
        return max(self.transform.resize, SCENE_SIDE)

    def _seen(self, images: Tensor) -> Tensor:
        return self.transform.batch(images.round().byte().permute(0, 2, 3, 1).numpy())


def photo_weights(config: TrainConfig, named: Sequence[tuple[str, tuple[str, ...]]]) -> np.ndarray:
    """What each picture of several sources weighs where their features are fitted at once; the sum is 1.

    named: of each source its name and the names of its pictures' kinds. Pictures without fruit weigh ``not_fruit_share`` as
    much together as those with fruit.
    """
    kinds = [fruit_type(name) for _, names in named for name in names]
    sources = [source for source, names in named for _ in names]
    nothing = np.array([kind == NOT_FRUIT for kind in kinds], bool)
    weights = np.zeros(len(kinds))
    for part, by_type, whole in ((~nothing, config.type_balance, 1.0), (nothing, 0.0, config.not_fruit_share)):
        own = np.flatnonzero(part)
        if len(own):
            often = balance([kinds[i] for i in own], [sources[i] for i in own], by_type, config.source_balance)
            weights[own] = whole * often / often.sum()
    return weights / weights.sum() if weights.any() else weights


def _evened(beside: Sequence[Beside], by_type: float, by_source: float) -> list[np.ndarray]:
    """For each source, how often each of its N pictures should be shown, 1 on average over all sources."""
    kinds = [fruit_type(name) for one in beside for name in one.train[1]]
    sources = [one.source for one in beside for _ in one.train[1]]
    often = balance(kinds, sources, by_type, by_source)
    return np.split(often, np.cumsum([len(one.train[1]) for one in beside])[:-1]) if beside else []


def _by_kind(
    store: ImageStore,
    rows: np.ndarray,
    names: tuple[str, ...],
    targets: Targets,
    photo: PhotoRecipe,
    scenes: SceneRecipe,
    often: np.ndarray,
) -> list[Source]:
    """Photos, pictures filmed on white and pictures without fruit among them, each with its own transform.

    What was filmed on white, as the lab's frames are, is set into scenes half of the time.
    """
    labels = np.array([targets.label(name) for name in names], np.int64)
    nothing = np.array([name == NOT_FRUIT for name in names], bool)
    white = np.array([_on_white(store[row]) for row in rows], bool) & ~nothing
    photos = ~nothing & ~white
    sources = [
        Source(store, rows[photos], labels[photos], photo, often[photos]),
        Source(store, rows[nothing], labels[nothing], scenes.without_fruit, often[nothing]),
        Source(store, rows[white], labels[white], photo, often[white] / 2),
        Source(store, rows[white], labels[white], scenes, often[white] / 2, targets.spans),
    ]
    return [source for source in sources if len(source.rows)]


def _on_white(picture: np.ndarray) -> bool:
    return bool(has_white_background(torch.tensor(picture[None]).permute(0, 3, 1, 2))[0])


def _balanced(targets: Targets, labels: np.ndarray, balance: float) -> np.ndarray:
    """How often each of N pictures should be shown, 1 on average: the rarer its fruit type among them, the oftener.

    A type with n pictures has a share of n ** (1 - balance). Fruits-360 has thirteen kinds of apples and one of oranges;
    a network that learned from it as it comes believes in apples thirteen times as readily.
    """
    types = np.unique(np.array([targets.type_of(label) for label in labels]), return_inverse=True)[1]
    often = np.bincount(types).astype(float)[types] ** -balance
    return often / often.mean() if len(often) else often


class Rows:
    """Some rows of several image stores, as one sequence of pictures."""

    def __init__(self, parts: list[tuple[ImageStore, np.ndarray]]) -> None:
        self._places = [(store, int(row)) for store, rows in parts for row in rows]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: int) -> np.ndarray:
        store, row = self._places[i]
        return store[row]


def scene_recipe(config: TrainConfig, pictures: Rows | tuple[()] = (), plain: float | None = None) -> SceneRecipe:
    """Fruits set on these pictures, and on generated grounds."""
    plain = config.plain_share if plain is None else plain
    return SceneRecipe(Backgrounds(pictures), plain=plain, crop_scale_min=config.crop_scale_min, flip=config.flip)


def evenly(split: Split, count: int) -> Split:
    """At most ``count`` pictures of a split, as many of each class as it goes, spread over its order."""
    if count >= len(split.labels):
        return split
    places = np.zeros(len(split.labels))
    for label in np.unique(split.labels):
        rows = np.flatnonzero(split.labels == label)
        # The n-th picture of a class is taken when its turn, van der Corput's order by class, comes.
        turns = np.argsort([int(f"{i:020b}"[::-1], 2) for i in range(len(rows))])
        places[rows[turns]] = np.arange(len(rows))
    chosen = np.zeros(len(split.labels), dtype=bool)
    chosen[np.argsort(places, kind="stable")[:count]] = True
    return split.select(chosen)


def training_transform(config: TrainConfig) -> TrainTransform:
    """The augmentation that a configuration asks for."""
    if config.augmentation == "none":
        return no_augmentation(config.eval_resize, config.image_size)
    if config.augmentation == "scenes":
        return scene_recipe(config)
    recipe = {"torchvision": torchvision_recipe, "batched": BatchedRecipe}[config.augmentation]
    return recipe(config.crop_scale_min, config.flip, config.rotation)


def evaluation_transform(config: TrainConfig) -> EvalTransform:
    """The evaluation transform that belongs to a configuration, and goes into its checkpoints."""
    return EvalTransform(resize=config.eval_resize, crop=config.eval_size or config.image_size).with_views(config.views)


def first_weights(
    network: Network,
    config: TrainConfig,
    targets: Targets,
    say: Callable[[str], None],
    progress: Callable[[int, int | None], None] | None = None,
) -> str:
    """Put the weights to start from into ``network``; return what they are, and say why where it is not what was asked.

    ImageNet weights fall back on the shipped model, and that on fresh weights: a machine without a network still
    trains. A checkpoint folder (of several, their mean) named by the person must fit, or it is an error; where it has
    the same classes its last layer is taken too, and one that itself began from ImageNet goes on as having begun there.
    """
    if config.start == "scratch":
        return "scratch"
    if config.start not in ("imagenet", "shipped"):
        (weights, before), *others = (load_checkpoint(find_checkpoint(name)) for name in _names(config.start))
        if any(other.classes != before.classes for _, other in others):
            raise average_error(config.start)
        average_weights(weights, [other for other, _ in others], config.start)
        load_trunk(network, weights.state_dict())
        if before.classes == targets.classes:
            network.head.load_state_dict(weights.head.state_dict())
        return "imagenet" if before.start == "imagenet" else str(config.start)
    if config.start == "imagenet" and imagenet_applies(config.architecture, config.norm, config.width):
        try:
            known = imagenet_weights(config.architecture, progress)
            load_trunk(network, known)
            if config.imagenet_head and (found := start_head(network, known, targets.fruit_types)):
                say(f"the last layer begins with what ImageNet knows of {', '.join(found)}")
            return "imagenet"
        except FruitVisionError as error:
            say(f"ImageNet weights cannot be had: {error}")
    alike = _shipped_alike(config)
    if alike is None:
        say(f"no ready weights exist for {config.architecture}, {config.norm} norm, width {config.width}: training starts from scratch")
        return "scratch"
    load_trunk(network, load_checkpoint(alike)[0].state_dict())
    say("training starts from the shipped model")
    return "shipped"


@torch.no_grad()
def clear_head(network: Network, config: TrainConfig, targets: Targets, start: str) -> None:
    """Let the last layer know nothing, or only what ImageNet knows of these fruits where the trunk began there.

    start: what :func:`first_weights` returned.
    """
    network.head.weight.zero_()
    network.head.bias.zero_()
    if start == "imagenet" and config.imagenet_head:
        try:
            start_head(network, imagenet_weights(config.architecture), targets.fruit_types)
        except FruitVisionError:
            pass  # the weights cannot be had now: the layer is fitted without them


def _shipped_alike(config: TrainConfig) -> Path | None:
    """The shipped model of the same architecture, norm and width."""
    for path in shipped():
        try:
            found = read_config(path)
        except FruitVisionError:
            continue
        if (found.architecture, found.norm, found.width) == (config.architecture, config.norm, config.width):
            return path
    return None


def open_regularizer(config: TrainConfig, start: str, device: torch.device) -> Regularizer | None:
    """How far features have strayed from ImageNet's, judged by what its own last layer makes of them; None if not asked.

    Learning without forgetting (Li and Hoiem 2016, arXiv:1606.09282), with that layer frozen: what the trunk knew of a
    thousand kinds of things in photographs is asked for again on every training picture. Raises DownloadError,
    CheckpointError.
    """
    if not config.keep_imagenet or start != "imagenet":
        return None
    known = build_network(config.architecture, num_classes=1000, norm=config.norm)
    known.load_state_dict(imagenet_weights(config.architecture))
    known = known.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)

    def strayed(images: Tensor, features: Tensor) -> Tensor:
        with torch.no_grad():
            kept = known(images).logits.float()
        own = torch.nn.functional.linear(features, known.head.weight, known.head.bias)
        return distillation_loss(own, kept, temperature=1.0)

    return strayed


def open_average(config: TrainConfig, classes: tuple[str, ...]) -> list[Network]:
    """The networks whose weights the run's are averaged with. Raises ConfigError where one is another, CheckpointError."""
    networks = []
    for name in _names(config.average_with):
        network, known = load_checkpoint(find_checkpoint(name))
        if (known.architecture, known.norm, known.width, known.classes) != (config.architecture, config.norm, config.width, classes):
            raise average_error(name)
        networks.append(network)
    return networks


def _names(words: str) -> list[str]:
    return [name for name in map(str.strip, words.split(",")) if name]


def open_teacher(config: TrainConfig, classes: tuple[str, ...], device: torch.device) -> Teacher | None:
    """The teacher's answers over ``classes``. Raises ConfigError where it does not know them all, CheckpointError."""
    if not config.teacher:
        return None
    network, known = load_checkpoint(find_checkpoint(config.teacher))
    lacking = [name for name in classes if name not in known.classes]
    if lacking:
        raise ConfigError(
            "teacher-classes",
            f"The teacher {config.teacher} does not know {len(lacking)} of the classes ({lacking[0]}).",
            "Choose a teacher that was trained on the same classes, photos and pictures without fruit.",
            teacher=config.teacher,
            count=len(lacking),
            first=lacking[0],
        )
    order = torch.tensor([known.classes.index(name) for name in classes], device=device)
    network = network.to(device, memory_format=torch.channels_last)

    def answer(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return network(images).logits.float()[:, order].clone()

    return answer
