"""Merge a head into one linear layer, if it is equivalent to one.

A state dict shows neither dropout, which does nothing in evaluation, nor activations, which do. So two layers are merged only if
nothing can be between them (neighbours in one ``Sequential``), or if the user states that there is no activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fruitvision.errors import CheckpointError

MAX_JOINED = 2**25
"""Limit on the elements of the product of two linear layers, if it is larger than both: they may have 1 feature between millions."""
_EPS = 1e-5
"""The default eps of torch's batch norm; a state dict does not have it."""


@dataclass(frozen=True)
class Head:
    """features (N, F) → logits (N, C)."""

    weight: Tensor
    """(C, F) float32"""
    bias: Tensor
    """(C,) float32"""
    joined: tuple[str, ...]
    """The names of the merged layers."""


def linear_head(rest: Mapping[str, Tensor], features: int, path: str, *, no_activation: bool = False) -> Head:
    """The linear layer that is equivalent to the layers in ``rest``: linear layers and batch norms.

    Raises CheckpointError: "import-no-head", "import-head-layer" for another type of layer, "import-head-deep" if there may be an
    activation between two layers, "import-head-features" for another number of features, "import-one-output".
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in rest.items():
        layer, _, own = name.rpartition(".")
        layers.setdefault(layer, {})[own] = value
    if not layers:
        raise CheckpointError("import-no-head", path=path)
    names = tuple(layers)
    for before, behind in zip(names, names[1:], strict=False):
        if not no_activation and not _neighbours(before, behind):
            sizes = "→".join(map(str, _sizes(layers)))
            raise CheckpointError("import-head-deep", path=path, layers=", ".join(names), sizes=sizes)
    weight, bias = torch.eye(features, dtype=torch.float64), torch.zeros(features, dtype=torch.float64)
    for name, values in layers.items():
        own_weight, own_bias = _affine(values, len(bias), name, path)
        if own_weight.ndim == 1:
            weight, bias = own_weight[:, None] * weight, own_weight * bias + own_bias
        elif len(own_weight) * features > max(MAX_JOINED, own_weight.numel()):
            raise CheckpointError("import-head-layer", path=path, name=name)
        else:
            weight, bias = own_weight @ weight, own_weight @ bias + own_bias
    if len(bias) < 2:
        raise CheckpointError("import-one-output", path=path)
    return Head(weight.float(), bias.float(), names)


def _neighbours(before: str, behind: str) -> bool:
    """Whether ``behind`` directly follows ``before`` in a Sequential."""
    (parent, _, first), (other, _, second) = before.rpartition("."), behind.rpartition(".")
    numbers = all(own.isdecimal() and len(own) < 10 for own in (first, second))
    return parent == other and numbers and int(second) == int(first) + 1


def _sizes(layers: Mapping[str, Mapping[str, Tensor]]) -> list[int]:
    matrices = [values["weight"] for values in layers.values() if "weight" in values and values["weight"].ndim == 2]
    return [*(own.shape[1] for own in matrices[:1]), *(own.shape[0] for own in matrices)]


def _affine(values: Mapping[str, Tensor], features: int, name: str, path: str) -> tuple[Tensor, Tensor]:
    """A layer as (weight, bias): (out, in) for a linear one, (features,) for a batch norm in evaluation; float64."""
    values = {own: value.double() for own, value in values.items() if own != "num_batches_tracked"}
    weight, names = values.get("weight"), set(values)
    if weight is not None and weight.ndim == 2 and names <= {"weight", "bias"}:
        bias = values.get("bias", weight.new_zeros(len(weight)))
        if weight.shape[1] != features:
            raise CheckpointError("import-head-features", path=path, name=name, found=weight.shape[1], expected=features)
        if bias.shape == weight.shape[:1]:
            return weight, bias
    if {"running_mean", "running_var"} <= names <= {"weight", "bias", "running_mean", "running_var"}:
        ones = torch.ones(features, dtype=torch.float64)
        scale, shift = values.get("weight", ones), values.get("bias", 0 * ones)
        if all(value.shape == ones.shape for value in values.values()):
            scale = scale / torch.sqrt(values["running_var"] + _EPS)
            return scale, shift - scale * values["running_mean"]
    raise CheckpointError("import-head-layer", path=path, name=name or next(iter(values), ""))
