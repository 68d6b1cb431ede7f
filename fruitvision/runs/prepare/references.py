"""Other networks that a training uses: a teacher, the original ImageNet network, networks to average with."""

from __future__ import annotations

import torch
from torch import Tensor

from fruitvision.data.augment.transforms import IMAGENET_MEAN, IMAGENET_STD, EvalTransform
from fruitvision.errors import ConfigError
from fruitvision.models.checkpoint import find_checkpoint, load_checkpoint
from fruitvision.models.networks import Network, build_network
from fruitvision.models.pretrained import imagenet_weights
from fruitvision.runs.config import split_names
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import Regularizer, Teacher
from fruitvision.training.loss import distillation_loss
from fruitvision.training.optim import average_error


def open_teacher(config: TrainConfig, classes: tuple[str, ...], device: torch.device) -> Teacher | None:
    """The teacher's logits over ``classes``, for pictures that are normalized as for training; None without a teacher.

    Raises ConfigError "teacher-classes" if it lacks some of them, CheckpointError.
    """
    if not config.teacher:
        return None
    network, known = load_checkpoint(find_checkpoint(config.teacher))
    lacking = [name for name in classes if name not in known.classes]
    if lacking:
        raise ConfigError("teacher-classes", teacher=config.teacher, count=len(lacking), first=lacking[0])
    order = torch.tensor([known.classes.index(name) for name in classes], device=device)
    network = network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in torch's stubs
    scale, shift = (torch.tensor(values, device=device)[:, None, None] for values in renormalization(known.transform))
    same = bool((scale == 1).all() and (shift == 0).all())

    def teacher(images: Tensor) -> Tensor:
        with torch.inference_mode():
            images = images if same else torch.addcmul(shift, images, scale)
            return network(images).logits.float()[:, order].clone()

    return teacher


def renormalization(transform: EvalTransform) -> tuple[list[float], list[float]]:
    """The scale and shift per channel from the training's normalization, which is ImageNet's, to that of ``transform``."""
    channels = list(zip(IMAGENET_MEAN, IMAGENET_STD, transform.mean, transform.std, strict=True))
    return [std / own for _, std, _, own in channels], [(mean - own_mean) / own for mean, _, own_mean, own in channels]


def open_regularizer(config: TrainConfig, start: str, device: torch.device) -> Regularizer | None:
    """A loss that keeps the features close to ImageNet's, measured through its frozen last layer; None if not configured.

    Learning without forgetting (Li and Hoiem 2016, arXiv:1606.09282): on every training picture the network has to predict ImageNet's
    thousand classes as the original does. Raises DownloadError, CheckpointError.
    """
    if not config.keep_imagenet or start != "imagenet":
        return None
    original = build_network(config.architecture, num_classes=1000, norm=config.norm)
    original.load_state_dict(imagenet_weights(config.architecture))
    original = original.eval().requires_grad_(False)
    original = original.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in torch's stubs

    def regularizer(images: Tensor, features: Tensor) -> Tensor:
        with torch.no_grad():
            expected = original(images).logits.float()
        predicted = torch.nn.functional.linear(features, original.head.weight, original.head.bias)
        return distillation_loss(predicted, expected, temperature=1.0)

    return regularizer


def open_average(config: TrainConfig, classes: tuple[str, ...] | None = None) -> list[Network]:
    """The networks with which the run's weights are averaged. Raises ConfigError if one differs from it, CheckpointError.

    classes: those of the run; None if not known yet.
    """
    networks = []
    for name in split_names(config.average_with):
        network, known = load_checkpoint(find_checkpoint(name))
        if (known.architecture, known.norm, known.width, known.classes) != (
            config.architecture,
            config.norm,
            config.width,
            classes or known.classes,
        ):
            raise average_error(name)
        networks.append(network)
    return networks
