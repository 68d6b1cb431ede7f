"""Recognize the network of a state dict by the names and shapes of its weights.

Supported layouts: torchvision's and timm's names, with any prefix (``model.``, ``module.``, ``_orig_mod.backbone.``); and a
``Sequential`` of a ResNet's children, as in ``nn.Sequential(*list(resnet.children())[:-1])``. Where timm's names for a torchvision
network differ, both have the same order; ``tests/models/imported`` checks that the outputs are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from fruitvision.compat import import_timm, import_torchvision
from fruitvision.errors import CheckpointError
from fruitvision.models import RESNET18
from fruitvision.models.networks import ResNet18, unknown_architecture
from fruitvision.models.norms import get_norm

RESNETS = (
    RESNET18,
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
)
DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")
TORCHVISION = {
    "mobilenet_v2": "mobilenetv2_100",
    **{f"efficientnet_b{n}": f"efficientnet_b{n}" for n in range(5)},  # from b5 on torchvision's batch norm has another eps
    "mnasnet0_5": "mnasnet_050",
    "mnasnet1_0": "mnasnet_100",
}
"""torchvision's networks with other parameter names in timm → timm's name."""
TIMM = (
    "mobilenetv2_100",
    *(f"{maker}efficientnet_b{n}" for n in range(5) for maker in ("", "tf_")),
    *(f"{maker}efficientnet_lite{n}" for n in range(3) for maker in ("", "tf_")),
    "mnasnet_050",
    "mnasnet_100",
)
ALIKE = "conv_stem.weight"
"""Only timm's networks with this layer include different networks with the same names and shapes."""
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("layer4.0.conv1.weight", RESNETS),
    ("7.0.conv1.weight", RESNETS),
    ("denseblock4.denselayer1.norm1.weight", DENSENETS),
    (ALIKE, TIMM),
    ("features.18.1.running_mean", ("mobilenet_v2",)),
    ("features.1.0.block.0.0.weight", tuple(name for name in TORCHVISION if name.startswith("efficientnet"))),
    ("layers.8.0.layers.0.weight", ("mnasnet0_5", "mnasnet1_0")),
)
"""(suffix of a parameter name, the networks that have it)."""
RECOGNISED = tuple(dict.fromkeys((*RESNETS, *DENSENETS, *TORCHVISION, *TIMM)))
_CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
"""The indices of a ResNet's children that have weights."""
_UNUSED = ".num_batches_tracked"
"""Missing in older files, and not used by a network with a fixed momentum."""


class Layout(NamedTuple):
    """The names of the weights of a network's trunk in one layout."""

    architecture: str
    """The name for :func:`fruitvision.models.networks.build_network`."""
    own: tuple[str, ...]
    """The network's names."""
    given: tuple[str, ...]
    """The names in the file, in the same order."""
    shapes: tuple[torch.Size, ...]
    features: int
    """The number of features for the head."""


@dataclass(frozen=True)
class Trunk:
    """The weights of a file, divided into those of the trunk and the rest."""

    architecture: str
    weights: dict[str, Tensor]
    """The weights by the network's names."""
    rest: dict[str, Tensor]
    """The others by their names in the file, without the common prefix."""
    features: int


def find_trunk(tensors: Mapping[str, Tensor], path: str, architecture: str | None = None) -> Trunk:
    """Find the trunk of a supported network in the weights, or that of ``architecture`` (a name in timm or torchvision).

    Raises CheckpointError: "import-unknown-network"; "import-other-shape" if the names fit but a shape does not; "import-ambiguous"
    if different networks have the same names and shapes. Raises ConfigError for an unknown architecture.
    """
    names = (architecture,) if architecture else _candidates(tensors)
    fitting: dict[str, Trunk] = {}
    near: CheckpointError | None = None
    alike = any(_ends(name, ALIKE) for name in tensors)
    for layout in (layout for name in names for layout in layouts(name)):
        for prefix in _prefixes(tensors, layout.given[0]):
            found = _matched(tensors, layout, prefix, path)
            if isinstance(found, Trunk):
                fitting[found.architecture] = found
            near = near or (found if isinstance(found, CheckpointError) else None)
        if fitting and not alike:
            break
    if len(fitting) > 1:
        raise CheckpointError("import-ambiguous", path=path, names=", ".join(fitting))
    if fitting:
        return next(iter(fitting.values()))
    if near:
        raise near
    if architecture:
        raise CheckpointError("import-other-network", path=path, architecture=architecture, first=next(iter(tensors)))
    raise CheckpointError("import-unknown-network", path=path, first=", ".join(list(tensors)[:3]), names=", ".join(RECOGNISED[:3]))


def _candidates(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    found = (name for end, names in _FAMILIES if any(_ends(given, end) for given in tensors) for name in names)
    return tuple(dict.fromkeys(found))


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _prefixes(tensors: Mapping[str, Tensor], first: str) -> Iterator[str]:
    """The possible prefixes of all names, from the occurrences of the first one."""
    return (name[: -len(first)] for name in tensors if _ends(name, first))


def _matched(tensors: Mapping[str, Tensor], layout: Layout, prefix: str, path: str) -> Trunk | CheckpointError | None:
    """The trunk, or None if it is another network. Raises CheckpointError if all names fit but a shape does not."""
    if any(prefix + name not in tensors and not name.endswith(_UNUSED) for name in layout.given):
        return None  # usually false at the second name; a file may have thousands of prefixes
    names = [prefix + name for name in layout.given]
    inside = {f"{prefix}{name.split('.')[0]}." for name in layout.given}
    used = set(names)
    rest = {name: value for name, value in tensors.items() if name not in used}
    if any(name.startswith(tuple(inside)) for name in rest):
        return None  # a deeper network of the same family
    for name, shape in zip(names, layout.shapes, strict=True):
        if name in tensors and tensors[name].shape != shape:
            found, expected = ("×".join(map(str, own)) for own in (tensors[name].shape, shape))
            return CheckpointError(
                "import-other-shape", path=path, architecture=layout.architecture, name=name, found=found, expected=expected
            )
    weights = {own: tensors[name] for own, name in zip(layout.own, names, strict=True) if name in tensors}
    return Trunk(layout.architecture, weights, {name.removeprefix(prefix): value for name, value in rest.items()}, layout.features)


@cache
def layouts(name: str) -> tuple[Layout, ...]:
    """The layouts of a network, by its name in timm or torchvision. Raises ConfigError if neither has it."""
    if name == RESNET18:
        with torch.device("meta"):
            found = _shapes(ResNet18(2, get_norm("batch").build), "fc")
        own = _layout(name, found, found)
        return own, _as_children(own)
    timm = import_timm()
    timms = TORCHVISION.get(name, name)
    if not timm.is_model(timms):
        raise unknown_architecture(name)
    with torch.device("meta"):  # only names and shapes are needed
        network = timm.create_model(timms, num_classes=2)
    own = _shapes(network, str(network.pretrained_cfg.get("classifier") or "head"))
    prefixed = {f"trunk.{name}": shape for name, shape in own.items()}
    features = int(network.num_features)
    found = [_layout(timms, prefixed, own, features)]
    if timms in RESNETS:
        found.append(_as_children(found[0]))
    if name in TORCHVISION:
        found.append(_layout(timms, prefixed, _torchvision_shapes(name), features))
    return tuple(found)


def _torchvision_shapes(name: str) -> dict[str, torch.Size]:
    import_torchvision()
    from torchvision import models

    with torch.device("meta"):
        return _shapes(getattr(models, name)(), "classifier")


def _shapes(network: torch.nn.Module, head: str) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items() if not name.startswith(f"{head}.")}


def _layout(architecture: str, own: dict[str, torch.Size], given: dict[str, torch.Size], features: int = 512) -> Layout:
    assert list(own.values()) == list(given.values()), f"{architecture}: the layers are in another order"
    return Layout(architecture, tuple(own), tuple(given), tuple(own.values()), features)


def _as_children(layout: Layout) -> Layout:
    parts = [name.partition(".") for name in layout.given]
    return layout._replace(given=tuple(f"{_CHILDREN[child]}.{rest}" for child, _, rest in parts))
