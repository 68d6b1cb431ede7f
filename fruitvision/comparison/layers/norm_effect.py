"""The effect of one normalization layer on a batch of pictures: its input and output in the first layers of a real network.

The network is a ResNet18 with the convolutions of the shipped fruits-360 model, the same for every norm. That model was trained
with batch norm, so with ``batch`` the network is complete, running statistics included; with another norm its layers have their
initial γ = 1 and β = 0. Without the shipped model the convolutions are randomly initialized with seed 0.

The output ("after") is always that of the norm's layer with γ = 1 and β = 0, to show the normalization alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from fruitvision.comparison.layers.anatomy import axis_sets, moments, sharing_sets
from fruitvision.comparison.layers.shown import CHANNELS, LAYERS
from fruitvision.data.augment.transforms import EvalTransform, denormalize
from fruitvision.data.synthetic.fruit import KINDS
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import FruitVisionError
from fruitvision.models import RESNET18
from fruitvision.models.checkpoint import load_checkpoint, read_config, shipped
from fruitvision.models.networks import BasicBlock, ResNet18, build_network
from fruitvision.models.norms import EPS, NORMS, get_norm, groups_for

SIDE = 96
TRANSFORM = EvalTransform(resize=SIDE, crop=SIDE)  # pyright: ignore[reportCallIssue]  # the other fields have defaults
AXES = {
    "N,H,W": ("NHW", False),
    "H,W": ("HW", False),
    "C/G,H,W": ("CHW", True),
    "C,H,W": ("CHW", False),
    "C": ("C", False),
    "N,C,H,W": ("NCHW", False),
}
"""The axes over which moments are computed: name → (axes, whether C is split into groups)."""
TOLERANCE = 0.01
"""A set counts as normalized if its mean is this close to 0, and its standard deviation to 1."""


@dataclass(frozen=True)
class Running:
    """Batch norm's running statistics before and after one training step. Arrays (C,)."""

    mean: np.ndarray
    variance: np.ndarray
    next_mean: np.ndarray
    next_variance: np.ndarray
    momentum: float


@dataclass(frozen=True)
class NormEffect:
    """The input and output of one norm layer for a batch of N pictures."""

    norm: str
    layer: str
    training: bool
    learned: bool
    """Whether the convolutions are the shipped model's."""
    pictures: np.ndarray
    """(N, S, S, 3) uint8: the network's input."""
    before: np.ndarray
    """(N, C, H, W) float32: the layer's input."""
    after: np.ndarray
    """(N, C, H, W) float32: the layer's output with γ = 1 and β = 0."""
    sets: np.ndarray
    """(N, C, H, W): the result of :func:`anatomy.sharing_sets`."""
    scale: np.ndarray
    shift: np.ndarray
    """(C,): the network's γ and β."""
    running: Running | None
    """For batch norm only."""

    def moments(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each sharing set; empty if there is none."""
        if (self.sets < 0).all():
            return np.zeros(0), np.zeros(0)
        mean, variance = moments(values, self.sets)
        return mean, np.sqrt(variance)


@dataclass(frozen=True)
class AxisMoments:
    """The moments of a tensor over some axes: the number of sets, and how far they are from 0 and 1."""

    axes: str
    count: int
    furthest_mean: float
    least_deviation: float
    greatest_deviation: float
    normalized: int
    """The number of sets with mean 0 and standard deviation 1, within ``TOLERANCE``."""


def compose_batch(first: np.ndarray | None, count: int, seed: int) -> list[np.ndarray]:
    """``count`` pictures (H, W, 3) uint8: ``first`` (a synthetic banana if None), then drawn fruit chosen by ``seed``."""
    return [_drawn("Banana", 0) if first is None else first, *(_random_fruit(seed, place) for place in range(1, count))]


def _random_fruit(seed: int, place: int) -> np.ndarray:
    rng = np.random.default_rng([seed, place])
    return _drawn(KINDS[rng.integers(len(KINDS))], 1 + 64 * seed + place)


@lru_cache(maxsize=256)
def _drawn(kind: str, seed: int) -> np.ndarray:
    return np.asarray(draw_fruit(kind, np.random.default_rng(seed), SIDE))


@torch.inference_mode()
def norm_effect(norm: str, layer: str, pictures: Sequence[np.ndarray], *, training: bool = True) -> NormEffect:
    """Pass pictures (H, W, 3) uint8 through the network up to ``layer``, one of ``LAYERS``. Raises ConfigError for an unknown norm.

    With ``training``, norms use the statistics of the batch, otherwise running statistics, if they have any.
    """
    get_norm(norm)
    network, learned = _network(norm, training)
    images = TRANSFORM.batch(pictures)
    before = _input_of(network, LAYERS[layer], images)
    module = network.get_submodule(LAYERS[layer])
    after, running = _apply(norm, module, before, training)
    return NormEffect(
        norm,
        layer,
        training,
        learned,
        denormalize(images),
        before.numpy(),
        after.numpy(),
        _sets(norm, *before.shape),
        _per_channel(module, "weight", 1.0),
        _per_channel(module, "bias", 0.0),
        running,
    )


def moments_by_axes(values: np.ndarray) -> list[AxisMoments]:
    """The moments of a tensor (N, C, H, W) over each of ``AXES``."""
    found = []
    for name, (shares, grouped) in AXES.items():
        groups = groups_for(values.shape[1]) if grouped else 1
        mean, variance = moments(values, _axis_sets(shares, *values.shape, groups))
        deviation = np.sqrt(variance)
        normalized = (np.abs(mean) < TOLERANCE) & (np.abs(deviation - 1) < TOLERANCE)
        furthest = float(mean[np.abs(mean).argmax()])
        found.append(AxisMoments(name, len(mean), furthest, float(deviation.min()), float(deviation.max()), int(normalized.sum())))
    return found


def composition_effect(
    norm: str, layer: str, one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, training: bool = True
) -> np.ndarray:
    """The difference of the first picture's output between two batches that start with it.

    (C, H, W), in standard deviations of that output.
    """
    first, second = (norm_effect(norm, layer, batch, training=training).after[0].astype(np.float64) for batch in (one, other))
    return (first - second) / max(float(first.std()), 1e-12)


def composition_effects(layer: str, one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, training: bool = True) -> dict[str, float]:
    """For each norm, the root mean square of :func:`composition_effect`: 0 where outputs do not depend on the batch."""
    differences = {norm: composition_effect(norm, layer, one, other, training=training) for norm in NORMS}
    return {norm: float(np.sqrt(np.mean(difference**2))) for norm, difference in differences.items()}


@torch.inference_mode()
def single_picture_difference(layer: str, picture: np.ndarray) -> float:
    """The largest difference between batch norm in training on a batch of one picture and instance norm on it: about 0."""
    before = _input_of(_network("batch", True)[0], LAYERS[layer], TRANSFORM.batch([picture]))
    results = [get_norm(norm).build(before.shape[1]).train()(before) for norm in ("batch", "instance")]
    return float((results[0] - results[1]).abs().max())


def low_variance_sets(effect: NormEffect) -> int:
    """The number of sharing sets whose variance is below 50 ε, so that their standard deviation stays visibly below 1."""
    _, deviation = effect.moments(effect.before)
    return int((deviation**2 < 50 * EPS).sum())


def _apply(norm: str, module: nn.Module, before: Tensor, training: bool) -> tuple[Tensor, Running | None]:
    """The output of a new layer, with the running statistics of the network's own."""
    layer = get_norm(norm).build(before.shape[1]).train(training)
    if not isinstance(layer, nn.BatchNorm2d):
        return layer(before), None
    assert isinstance(module, nn.BatchNorm2d)
    layer.load_state_dict({**layer.state_dict(), "running_mean": module.running_mean, "running_var": module.running_var})
    after = layer(before)
    if not training:  # for the running statistics after a training step with this batch
        layer.train()(before)
    statistics = [cast(Tensor, one).numpy().copy() for norm in (module, layer) for one in (norm.running_mean, norm.running_var)]
    return after, Running(*statistics, momentum=float(layer.momentum or 0))


def _input_of(network: ResNet18, path: str, images: Tensor) -> Tensor:
    return next(numbers for name, numbers in norm_inputs(network, images) if name == path)


def norm_inputs(network: ResNet18, images: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A forward pass through the stem and the first two blocks: each norm layer's name and input."""
    x = network.conv1(images)
    yield "bn1", x
    x = network.maxpool(network.relu(network.bn1(x)))
    for number, block in enumerate(cast(Iterable[BasicBlock], network.layer1)):
        y = block.conv1(x)
        yield f"layer1.{number}.bn1", y
        y = block.conv2(block.relu(block.bn1(y)))
        yield f"layer1.{number}.bn2", y
        x = block.relu(block.bn2(y) + x)


@lru_cache(maxsize=16)
def _network(norm: str, training: bool) -> tuple[ResNet18, bool]:
    """The first layers with the norm, in training or evaluation mode, and whether their convolutions are the shipped model's."""
    network = cast(ResNet18, build_network(num_classes=2, norm=norm, seed=0))
    weights = _shipped_weights()
    if weights is not None:
        wanted = {name for name, value in network.state_dict().items() if norm == "batch" or value.ndim == 4}
        network.load_state_dict({n: v for n, v in weights.items() if n in wanted and not n.startswith("fc.")}, strict=False)
    for name in ("layer2", "layer3", "layer4", "fc"):
        setattr(network, name, nn.Identity())
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # keep the running statistics
    return network.train(training).requires_grad_(False), weights is not None


@lru_cache(maxsize=1)
def _shipped_weights() -> dict[str, Tensor] | None:
    """The weights of the first shipped ResNet18 with batch norm and full width; None if there is none."""
    for path in shipped():
        try:
            config = read_config(path)
            if (config.architecture, config.norm, config.width) == (RESNET18, "batch", CHANNELS):
                weights = load_checkpoint(path)[0].state_dict()
                return {name: value for name, value in weights.items() if not name.startswith(("layer2", "layer3", "layer4"))}
        except FruitVisionError:
            continue
    return None


@lru_cache(maxsize=32)
def _sets(norm: str, n: int, c: int, h: int, w: int) -> np.ndarray:
    return sharing_sets(norm, n, c, h, w)


@lru_cache(maxsize=32)
def _axis_sets(shares: str, n: int, c: int, h: int, w: int, groups: int) -> np.ndarray:
    return axis_sets(shares, n, c, h, w, groups)


def _per_channel(layer: nn.Module, name: str, default: float) -> np.ndarray:
    """A layer's affine parameter, (C,); a user-defined norm may have none."""
    value = getattr(layer, name, None)
    return np.full(CHANNELS, default) if value is None else value.detach().numpy()
