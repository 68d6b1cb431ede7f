"""Read the ``config.json`` beside weights from the Hugging Face Hub: timm's, or that of a ResNet of transformers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.errors import CheckpointError, ConfigError, Fault, faults_of
from fruitvision.models.imported.names import class_names, read_small

CONFIG = "config.json"
_CROP_SHARE = 0.875
"""timm's default."""


@dataclass(frozen=True)
class HubConfig:
    """The configuration of weights from the Hub."""

    architecture: str | None = None
    """The name in timm."""
    classes: tuple[str, ...] | None = None
    transform: EvalTransform | None = None
    from_transformers: bool = False
    """Whether the weights have transformers' names, see :func:`torchvision_names`."""


def read_hub_config(weights: Path) -> HubConfig:
    """The configuration beside a file of weights; an empty one if there is none.

    Raises CheckpointError: "import-hub-config" for one that cannot be read or has unsupported preprocessing, "import-model-args" for
    a modified network, "import-transformers" for other networks of transformers.
    """
    path = weights.with_name(CONFIG)
    if not path.is_file():
        return HubConfig()
    try:
        values = json.loads(read_small(path))
        if not isinstance(values, Mapping):
            raise ValueError
        if "model_type" in values:
            return _of_transformers(values, path)
        if not isinstance(values.get("architecture"), str):
            return HubConfig()
        if values.get("model_args"):
            raise CheckpointError("import-model-args", path=str(path), given=str(values["model_args"])[:100])
        own = values.get("pretrained_cfg") or values
        labels = values.get("label_names") or own.get("label_names")
        return HubConfig(values["architecture"], class_names(labels, str(path)) if labels else None, _transform(own))
    except (OSError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError("import-hub-config", path=str(path)) from error


def _transform(values: Mapping[str, Any]) -> EvalTransform:
    """timm's evaluation transform (timm/data/transforms_factory.py). Raises ValueError."""
    _, height, width = values.get("input_size") or (3, 224, 224)
    mode = values.get("crop_mode") or "center"
    if height != width or mode != "center":
        raise ValueError("a square, cropped in the center")
    return EvalTransform.model_validate(
        {
            "resize": math.floor(height / (values.get("crop_pct") or _CROP_SHARE)),
            "crop": height,
            "interpolation": values.get("interpolation") or "bicubic",
            **{name: tuple(values[name]) for name in ("mean", "std") if values.get(name)},
        }
    )


def with_settings(transform: EvalTransform, settings: Mapping[str, Any]) -> EvalTransform:
    """The transform with some fields changed. Raises ConfigError "import-transform" that names every fault."""
    try:
        changed = EvalTransform.model_validate({**transform.model_dump(), **settings})
    except ValidationError as error:
        raise ConfigError("import-transform", faults=faults_of(error)) from error
    faults = []
    if changed.crop > changed.resize:
        faults.append(Fault("below", name="resize", value=changed.resize, other="crop", least=changed.crop))
    if not all(0 <= value <= 1 for value in changed.mean) or not all(0 < value <= 1 for value in changed.std):
        faults.append(Fault("mean-and-std"))
    if faults:
        raise ConfigError("import-transform", faults=faults)
    return changed


# transformers --------------------------------------------------------------------------------------------------------

_STAGE = r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\."
_RESNET = (
    (r"resnet\.embedder\.embedder\.convolution\.", "conv1."),
    (r"resnet\.embedder\.embedder\.normalization\.", "bn1."),
    (_STAGE + r"shortcut\.convolution\.", "layer{0}.{1}.downsample.0."),
    (_STAGE + r"shortcut\.normalization\.", "layer{0}.{1}.downsample.1."),
    (_STAGE + r"layer\.(\d+)\.convolution\.", "layer{0}.{1}.conv{2}."),
    (_STAGE + r"layer\.(\d+)\.normalization\.", "layer{0}.{1}.bn{2}."),
    (r"classifier\.1\.", "fc."),
)
"""transformers' names (models/resnet/modeling_resnet.py) → torchvision's."""


def torchvision_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a ResNet of transformers under torchvision's names; other weights unchanged."""
    return {_torchvision_name(name): value for name, value in tensors.items()}


def _torchvision_name(name: str) -> str:
    for pattern, theirs in _RESNET:
        if found := re.match(pattern, name):
            stage, block, layer = (int(own or 0) for own in (*found.groups(), 0, 0, 0)[:3])
            return theirs.format(stage + 1, block, layer + 1) + name[found.end() :]  # torchvision counts these two from 1
    return name


def _of_transformers(values: Mapping[str, Any], path: Path) -> HubConfig:
    kind = values["model_type"]
    if kind != "resnet" or values.get("downsample_in_bottleneck") or values.get("hidden_act", "relu") != "relu":
        raise CheckpointError("import-transformers", path=str(path), name=str(kind)[:60])
    labels = values.get("id2label")
    beside = path.with_name("preprocessor_config.json")
    transform = _preprocessor(json.loads(read_small(beside))) if beside.is_file() else None
    return HubConfig(None, class_names(labels, str(path)) if labels else None, transform, from_transformers=True)


def _preprocessor(values: Mapping[str, Any]) -> EvalTransform:
    """transformers' ConvNextImageProcessor, which its ResNets use: resized by ``crop_pct`` below 384 pixels. Raises ValueError."""
    size = values.get("size")
    side = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if not isinstance(side, int) or side >= 384:
        raise ValueError("a side below 384")
    interpolation = {2: "bilinear", 3: "bicubic"}[values.get("resample", 2)]
    resize = int(side / (values.get("crop_pct") or 224 / 256))
    normalization = {name: tuple(values[f"image_{name}"]) for name in ("mean", "std") if values.get(f"image_{name}")}
    return EvalTransform.model_validate({"resize": resize, "crop": side, "interpolation": interpolation, **normalization})
