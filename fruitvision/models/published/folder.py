"""Write a checkpoint folder that FruitVision, timm (``hf-hub:user/name``) and the Hugging Face Hub can read.

``model.safetensors`` has timm's parameter names, ``config.json`` has timm's fields beside FruitVision's configuration
(:func:`fruitvision.models.checkpoint.read_config`), and ``README.md`` begins with the metadata for the Hub.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml

from fruitvision.errors import CheckpointError
from fruitvision.files import write_bytes, write_text
from fruitvision.models import OWN
from fruitvision.models.card import model_card
from fruitvision.models.checkpoint import CARD, CONFIG, EMBEDDED, TRUNK, WEIGHTS, CheckpointConfig, load_checkpoint, stored_tensor

TIMM_WIDTH = 64
"""The width of timm's ResNet18; timm has no narrower one."""


def write_published(checkpoint: Path, out: Path, *, half: bool = True) -> CheckpointConfig:
    """Write the three files into ``out``; ``half`` stores float16. Raises CheckpointError, DataError."""
    if checkpoint.is_file():
        raise CheckpointError("hub-needs-folder", path=str(checkpoint))
    network, config = load_checkpoint(checkpoint)
    weights = {name.removeprefix(TRUNK): stored_tensor(value, half) for name, value in network.state_dict().items()}
    content = safetensors.torch.save(weights, {"format": "pt"})
    config = config.model_copy(update={"weights_sha256": hashlib.sha256(content).hexdigest(), "config_sha256": ""})
    features = weights[f"{network.head_prefix.removeprefix(TRUNK)}weight"].shape[1]
    write_bytes(out / WEIGHTS, content)
    write_text(out / CONFIG, json.dumps(_configuration(config, features), indent=2, ensure_ascii=False))
    write_text(out / CARD, front_matter(config) + model_card(config.model_dump(mode="json")))
    return config


def loads_in_timm(config: CheckpointConfig) -> bool:
    """Whether timm can load the network: one of timm's own, or a ResNet18 of full width with batch norm."""
    return config.norm == OWN or (config.architecture == "resnet18" and config.norm == "batch" and config.width == TIMM_WIDTH)


def _configuration(config: CheckpointConfig, features: int) -> dict[str, Any]:
    own = config.model_dump(mode="json", exclude={"config_sha256"})
    if not loads_in_timm(config):
        return {EMBEDDED: own}
    transform = config.transform
    resnet = config.architecture == "resnet18"
    pretrained = {
        "num_classes": len(config.classes),
        "input_size": [3, transform.crop, transform.crop],
        "crop_pct": min(transform.crop / transform.resize, 1.0),
        "interpolation": transform.interpolation,
        "mean": list(transform.mean),
        "std": list(transform.std),
        "first_conv": "conv1" if resnet else "conv_stem",
        "classifier": "fc" if resnet else "classifier",
        "label_names": list(config.classes),
    }
    return {
        "architecture": config.architecture,
        "num_classes": len(config.classes),
        "num_features": features,
        "pretrained_cfg": pretrained,
        EMBEDDED: own,
    }


def front_matter(config: CheckpointConfig) -> str:
    """The metadata of a model card (huggingface.co/docs/hub/model-cards): licence, datasets, metrics and task."""
    dataset = str(config.dataset.get("name", ""))
    measured = [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": name, "type": name},
            "metrics": [{"type": "accuracy", "name": "top-1", "value": round(float(figures["top1"]), 4)}],
        }
        for name, figures in config.metrics.items()
        if isinstance(figures.get("top1"), int | float)
    ]
    values: dict[str, Any] = {
        "license": "cc-by-sa-4.0" if "360" in dataset else "other",
        "library_name": "timm" if loads_in_timm(config) else "fruitvision",
        "pipeline_tag": "image-classification",
        "tags": ["fruitvision", "fruit", "image-classification", *(["timm"] if loads_in_timm(config) else [])],
        "metrics": ["accuracy"],
        **({"datasets": [dataset]} if dataset else {}),
        **({"model-index": [{"name": config.architecture, "results": measured}]} if measured else {}),
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n\n"
