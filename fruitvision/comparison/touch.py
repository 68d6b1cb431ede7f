"""A batch of pictures on its way through a real network's first layers: the numbers before and after one norm.

The network is a ResNet18. Its convolutions are those of the shipped fruits-360 model, the same under every norm. That
model was trained with batch norm, so under ``batch`` it is the whole real thing, its running statistics included; under
another norm it is the same convolutions with that norm's layers put in as they begin: γ = 1, β = 0. Without the shipped
model the convolutions are first weights, of seed 0.

What is called "after" is what the norm's real layer gives with γ = 1 and β = 0: the normalization and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from fruitvision.comparison.anatomy import axis_sets, moments, sharing_sets
from fruitvision.data.augment.transforms import EvalTransform, denormalize
from fruitvision.data.synthetic.fruit import KINDS
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import FruitVisionError
from fruitvision.models.checkpoint import load_checkpoint, read_config, shipped
from fruitvision.models.networks import RESNET18, ResNet18, build_network
from fruitvision.models.norms import EPS, NORMS, get_norm, groups_for

LAYERS = {"stem": "bn1", "first": "layer1.0.bn1", "second": "layer1.0.bn2", "fourth": "layer1.1.bn2"}
"""The norm layers that can be looked at: behind the first, second, third and fifth convolution. All have 64 channels."""
CHANNELS = 64
SIDE = 96
TRANSFORM = EvalTransform(resize=SIDE, crop=SIDE)
OVER = {
    "N,H,W": ("NHW", False),
    "H,W": ("HW", False),
    "C/G,H,W": ("CHW", True),
    "C,H,W": ("CHW", False),
    "C": ("C", False),
    "N,C,H,W": ("NCHW", False),
}
"""The axes over which the moments of a result are looked at: name → (axes, whether C is split into groups)."""
CLOSE = 0.01
"""How near to 0 a mean, and to 1 a deviation, must be to be called so."""


@dataclass(frozen=True)
class Running:
    """What batch norm keeps for inference, and what one batch makes of it. Arrays (C,); variances, not deviations."""

    mean: np.ndarray
    variance: np.ndarray
    next_mean: np.ndarray
    next_variance: np.ndarray
    momentum: float


@dataclass(frozen=True)
class Touch:
    """One norm layer at work on a batch of N pictures."""

    norm: str
    layer: str
    training: bool
    learned: bool
    """Whether the convolutions are the shipped model's."""
    pictures: np.ndarray
    """(N, S, S, 3) uint8: what went into the network."""
    before: np.ndarray
    """(N, C, H, W) float32: what came to the layer."""
    after: np.ndarray
    """(N, C, H, W) float32: what the layer made of it, with γ = 1 and β = 0."""
    sets: np.ndarray
    """(N, C, H, W): who shares a mean, as :func:`anatomy.sharing_sets`."""
    scale: np.ndarray
    shift: np.ndarray
    """(C,): γ and β as the network has them."""
    running: Running | None
    """Batch norm's alone."""

    def moments(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each sharing set; empty where nothing is shared."""
        if (self.sets < 0).all():
            return np.zeros(0), np.zeros(0)
        mean, variance = moments(values, self.sets)
        return mean, np.sqrt(variance)


@dataclass(frozen=True)
class Over:
    """The moments of a tensor over some axes: of how many sets, and how far from 0 and 1."""

    axes: str
    count: int
    furthest_mean: float
    least_deviation: float
    greatest_deviation: float
    normalized: int
    """How many of the sets have a mean of 0 and a deviation of 1, both within ``CLOSE``."""


def batch_of(mine: np.ndarray | None, count: int, makeup: int) -> list[np.ndarray]:
    """``count`` pictures (H, W, 3) uint8: mine first (a drawn banana where it is None), drawn fruit of the sample set beside it.

    ``makeup`` chooses which fruit: another number, other pictures.
    """
    return [_drawn("Banana", 0) if mine is None else mine, *(_companion(makeup, place) for place in range(1, count))]


def _companion(makeup: int, place: int) -> np.ndarray:
    rng = np.random.default_rng([makeup, place])
    return _drawn(KINDS[rng.integers(len(KINDS))], 1 + 64 * makeup + place)


@lru_cache(maxsize=256)
def _drawn(kind: str, seed: int) -> np.ndarray:
    return np.asarray(draw_fruit(kind, np.random.default_rng(seed), SIDE))


@torch.inference_mode()
def touch(norm: str, layer: str, pictures: Sequence[np.ndarray], *, training: bool = True) -> Touch:
    """Send pictures (H, W, 3) uint8 through the network up to ``layer``, one of ``LAYERS``. Raises ConfigError for an unknown norm.

    ``training`` says whether the norms use the batch's statistics or those they keep; it is all the same to those that
    keep none.
    """
    get_norm(norm)
    network, learned = _network(norm, training)
    images = TRANSFORM.batch(pictures)
    before = _input_of(network, LAYERS[layer], images)
    there = network.get_submodule(LAYERS[layer])
    after, running = _apply(norm, there, before, training)
    return Touch(
        norm,
        layer,
        training,
        learned,
        denormalize(images),
        before.numpy(),
        after.numpy(),
        _sets(norm, *before.shape),
        _per_channel(there, "weight", 1.0),
        _per_channel(there, "bias", 0.0),
        running,
    )


def over_axes(values: np.ndarray) -> list[Over]:
    """The moments of a tensor (N, C, H, W) over each of ``OVER``: where they are 0 and 1, and where they are not."""
    found = []
    for name, (shares, grouped) in OVER.items():
        groups = groups_for(values.shape[1]) if grouped else 1
        mean, variance = moments(values, _axis_sets(shares, *values.shape, groups))
        deviation = np.sqrt(variance)
        good = (np.abs(mean) < CLOSE) & (np.abs(deviation - 1) < CLOSE)
        furthest = float(mean[np.abs(mean).argmax()])
        found.append(Over(name, len(mean), furthest, float(deviation.min()), float(deviation.max()), int(good.sum())))
    return found


def makeup_effect(norm: str, layer: str, one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, training: bool = True) -> np.ndarray:
    """How far the first picture's result differs between two batches that begin with it: (C, H, W), in deviations of that result."""
    first, second = (touch(norm, layer, batch, training=training).after[0].astype(np.float64) for batch in (one, other))
    return (first - second) / max(float(first.std()), 1e-12)


def makeup_effects(layer: str, one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, training: bool = True) -> dict[str, float]:
    """For each norm, the root mean square of :func:`makeup_effect`: 0 where a picture's result is its own."""
    differences = {norm: makeup_effect(norm, layer, one, other, training=training) for norm in NORMS}
    return {norm: float(np.sqrt(np.mean(difference**2))) for norm, difference in differences.items()}


@torch.inference_mode()
def alone_as_instance(layer: str, picture: np.ndarray) -> float:
    """The greatest difference between batch norm in training on one picture alone and instance norm on the same numbers."""
    before = _input_of(_network("batch", True)[0], LAYERS[layer], TRANSFORM.batch([picture]))
    results = [get_norm(norm).build(before.shape[1]).train()(before) for norm in ("batch", "instance")]
    return float((results[0] - results[1]).abs().max())


def hardly_varying(touched: Touch) -> int:
    """The number of sharing sets whose variance is below 50 ε, so that their deviation stays visibly below 1."""
    _, deviation = touched.moments(touched.before)
    return int((deviation**2 < 50 * EPS).sum())


def _apply(norm: str, there: nn.Module, before: Tensor, training: bool) -> tuple[Tensor, Running | None]:
    """A layer as it begins, with the running statistics that the network's own has."""
    fresh = get_norm(norm).build(before.shape[1]).train(training)
    if not isinstance(fresh, nn.BatchNorm2d):
        return fresh(before), None
    fresh.running_mean.copy_(there.running_mean)
    fresh.running_var.copy_(there.running_var)
    after = fresh(before)
    if not training:  # what a training step with this batch would keep
        fresh.train()(before)
    kept = (there.running_mean, there.running_var, fresh.running_mean, fresh.running_var)
    return after, Running(*(value.numpy().copy() for value in kept), momentum=float(fresh.momentum))


def _input_of(network: ResNet18, path: str, images: Tensor) -> Tensor:
    return next(numbers for name, numbers in norm_inputs(network, images) if name == path)


def norm_inputs(network: ResNet18, images: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A forward pass through the stem and the first two blocks: each norm layer's name, and what comes to it."""
    x = network.conv1(images)
    yield "bn1", x
    x = network.maxpool(network.relu(network.bn1(x)))
    for number, block in enumerate(network.layer1):
        y = block.conv1(x)
        yield f"layer1.{number}.bn1", y
        y = block.conv2(block.relu(block.bn1(y)))
        yield f"layer1.{number}.bn2", y
        x = block.relu(block.bn2(y) + x)


@lru_cache(maxsize=16)
def _network(norm: str, training: bool) -> tuple[ResNet18, bool]:
    """The first layers under a norm, in training mode or not, and whether their convolutions are the shipped model's."""
    network = build_network(num_classes=2, norm=norm, seed=0)
    weights = _shipped_weights()
    if weights is not None:
        wanted = {name for name, value in network.state_dict().items() if norm == "batch" or value.ndim == 4}
        network.load_state_dict({n: v for n, v in weights.items() if n in wanted and not n.startswith("fc.")}, strict=False)
    network.layer2 = network.layer3 = network.layer4 = network.fc = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # what is only looked at leaves no trace in the running statistics
    return network.train(training).requires_grad_(False), weights is not None


@lru_cache(maxsize=1)
def _shipped_weights() -> dict[str, Tensor] | None:
    """Of the first shipped ResNet18 with batch norm in full width; None where there is none that can be read."""
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


def _per_channel(layer: nn.Module, name: str, otherwise: float) -> np.ndarray:
    """A layer's affine numbers, (C,); a norm of one's own may have none."""
    value = getattr(layer, name, None)
    return np.full(CHANNELS, otherwise) if value is None else value.detach().numpy()
