"""The weights that a run starts from: random, ImageNet's, or those of checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fruitvision.data.load.targets import Targets
from fruitvision.errors import FruitVisionError
from fruitvision.models.checkpoint import find_checkpoint, load_checkpoint, read_config, shipped
from fruitvision.models.networks import Network, build_network
from fruitvision.models.pretrained import imagenet_applies, imagenet_weights, load_trunk, start_head
from fruitvision.runs.config import split_names
from fruitvision.training.config import TrainConfig
from fruitvision.training.optim import average_error, average_weights

Log = Callable[[str], None]
NAMED_STARTS = ("scratch", "imagenet", "shipped")
"""The initial weights with a name; any other value names checkpoints."""


def build(config: TrainConfig, num_classes: int) -> Network:
    """The network of a configuration, with random weights that depend on its seed alone."""
    return build_network(config.architecture, num_classes=num_classes, norm=config.norm, width=config.width, seed=config.seed)


def load_initial_weights(
    network: Network,
    config: TrainConfig,
    targets: Targets,
    log: Log = lambda line: None,
    progress: Callable[[int, int | None], None] | None = None,
) -> str:
    """Load the initial weights into ``network``; returns which they are, and logs why if they are not the configured ones.

    If ImageNet weights are unavailable, the shipped model is used, and otherwise random weights, so that a machine without an
    internet connection can train. A checkpoint named by the user (or the mean of several) must fit; if it has the same classes its
    last layer is used too, and one that started from ImageNet counts as started from there.
    """
    if config.start == "scratch":
        return "scratch"
    if config.start not in NAMED_STARTS:
        return _load_checkpoints(network, config.start, targets)
    if _asks_for_imagenet(config):
        try:
            known = imagenet_weights(config.architecture, progress)
            load_trunk(network, known)
            if config.imagenet_head and (found := start_head(network, known, targets.fruit_types)):
                log(f"the last layer starts from ImageNet's weights for {', '.join(found)}")
            return "imagenet"
        except FruitVisionError as error:
            log(f"ImageNet weights are unavailable: {error}")
    matching = _matching_shipped(config)
    if matching is None:
        log(f"no pretrained weights exist for {config.architecture}, {config.norm} norm, width {config.width}: training from scratch")
        return "scratch"
    load_trunk(network, load_checkpoint(matching)[0].state_dict())
    log("training starts from the shipped model")
    return "shipped"


def keeps_statistics(config: TrainConfig, start: str) -> bool:
    """Whether batch norm keeps its initial running statistics: if that is configured, and they are ImageNet's."""
    return config.norm_statistics == "kept" and start == "imagenet"


def check_start(config: TrainConfig) -> None:
    """Load the checkpoints that a configuration names to start from, as its run will. Raises CheckpointError, ConfigError."""
    if config.start not in NAMED_STARTS:
        _load_checkpoints(build(config, 2), config.start, Targets.of(("first", "second")))


def learned_sources(dataset: Mapping[str, Any]) -> set[str]:
    """The sources of photos on which a checkpoint with this ``dataset`` entry, and those it builds on, were trained.

    Early checkpoints name the folders of photos instead of the sources.
    """
    keys = ("sources" if "sources" in dataset else "beside", "sources_before")
    return {name for key in keys if isinstance(found := dataset.get(key), list) for name in found if isinstance(name, str)}


def sources_learned_before(config: TrainConfig, start: str) -> set[str]:
    """The sources of photos on which the networks that a training builds on were trained, according to their configurations.

    These networks are those it starts from, its teacher, and those it is averaged with. start: the result of
    :func:`load_initial_weights`. Raises FruitVisionError for a network that cannot be found or fetched.
    """
    named = [config.teacher, *split_names(config.average_with), *(split_names(config.start) if config.start not in NAMED_STARTS else ())]
    places = [find_checkpoint(name) for name in named if name]
    if start == "shipped" and (path := _matching_shipped(config)):
        places.append(path)
    return {name for place in places for name in learned_sources(read_config(place).dataset)}


def planned_start(config: TrainConfig) -> str:
    """What a run of this configuration will start from: "imagenet", "shipped", "scratch", or the checkpoints that it names.

    There is no fallback here: missing ImageNet weights raise DownloadError or CheckpointError.
    """
    if config.start not in NAMED_STARTS or config.start == "scratch":
        return config.start
    if _asks_for_imagenet(config):
        imagenet_weights(config.architecture)
        return "imagenet"
    return "shipped" if _matching_shipped(config) else "scratch"


def _asks_for_imagenet(config: TrainConfig) -> bool:
    return config.start == "imagenet" and imagenet_applies(config.architecture, config.norm, config.width)


def _load_checkpoints(network: Network, names: str, targets: Targets) -> str:
    (weights, first), *others = (load_checkpoint(find_checkpoint(name)) for name in split_names(names))
    if any(other.classes != first.classes for _, other in others):
        raise average_error(names)
    average_weights(weights, [other for other, _ in others], names)
    load_trunk(network, weights.state_dict())
    if first.classes == targets.classes:
        network.head.load_state_dict(weights.head.state_dict())
    return "imagenet" if first.start == "imagenet" else names


def _matching_shipped(config: TrainConfig) -> Path | None:
    """The shipped model of the same architecture, norm and width."""
    for path in shipped():
        try:
            found = read_config(path)
        except FruitVisionError:
            continue
        if (found.architecture, found.norm, found.width) == (config.architecture, config.norm, config.width):
            return path
    return None


@torch.no_grad()
def reset_head(network: Network, config: TrainConfig, targets: Targets, start: str) -> None:
    """Set the last layer to zero, or to ImageNet's weights for these fruits if the trunk started from ImageNet.

    start: what :func:`load_initial_weights` returned.
    """
    network.head.weight.zero_()
    network.head.bias.zero_()
    if start == "imagenet" and config.imagenet_head:
        try:
            start_head(network, imagenet_weights(config.architecture), targets.fruit_types)
        except FruitVisionError:
            pass  # the weights are unavailable now: the layer is fitted without them
