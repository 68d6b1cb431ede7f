"""``model.json``: what the page must know beside the network, all of it taken from the checkpoint's ``config.json`` and from the
modules that answer in Python. onnxruntime-web does not read an ONNX file's metadata.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fruitvision.data.fruits import NO_FRUIT_NAMES, NOT_FRUIT, chinese_name
from fruitvision.data.read.picture import MAX_BYTES, MAX_PIXELS, draft_side
from fruitvision.data.read.rgb import SHORT_SIDE
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.recognition import classifier, heatmap, taught_head
from fruitvision.recognition.taught import embeddings, store
from fruitvision.report import answers
from fruitvision.web.network import WebNetwork, Weights
from fruitvision.wording.text import LANGUAGES, sentences

PARTS = ("header.title", "header.purpose", "header.language", "classify.", "teach.", "web.")
"""The sentences that the page may say: these, and those that begin so."""
ERRORS = ("picture-empty", "picture-damaged", "picture-too-large", "taught-no-export", "taught-full", "taught-name-empty")
MOST_TAUGHT = 1_000
"""Pictures in one browser."""
MOST_TAUGHT_ROWS = 2_000
"""Views that its ridge classifier is fitted on: in JavaScript a fit on more takes seconds."""


def describe(config: CheckpointConfig, name: str, network: WebNetwork, weights: Weights, files: dict[str, Any]) -> dict[str, Any]:
    """The description of a network called ``name``; ``files`` says where the page finds it and the runtime."""
    digest = hashlib.sha256(network.content + config.transform.model_dump_json().encode()).hexdigest()
    return {
        "name": name,
        "fingerprint": f"{digest[:32]}-{config.temperature}",
        "network": {
            "file": files["network"],
            "weights": weights,
            "features": network.features,
            "zoom": network.zoom,
            "reference": network.reference,
        },
        "runtime": files["runtime"],
        "webgpu": files["webgpu"],
        "classes": config.classes,
        "fruit_types": config.fruit_types,
        "varieties": [answers.names_a_variety(*pair) for pair in zip(config.classes, config.fruit_types, strict=True)],
        "only_on_white": [answers.only_on_white(config, *pair) for pair in zip(config.classes, config.fruit_types, strict=True)],
        "chinese": {one: own for one in dict.fromkeys(config.classes + config.fruit_types) if (own := chinese_name(one))},
        "not_fruit": NOT_FRUIT,
        "transform": config.transform.model_dump(mode="json"),
        "temperature": config.temperature,
        "thresholds": config.thresholds.model_dump(mode="json"),
        "short_side": SHORT_SIDE,
        "draft_side": draft_side(SHORT_SIDE),
        "guesses": classifier.GUESSES,
        "smoothing": classifier.SMOOTHING,
        "card": {
            "very_sure": answers.very_sure_from(config),
            "min_both": answers.MIN_BOTH,
            "min_second": answers.MIN_SECOND,
            "min_alone": answers.MIN_ALONE,
            "min_shown": answers.MIN_SHOWN,
        },
        "heatmap": {"stops": heatmap.INFERNO, "opacity": heatmap.OPACITY},
        "taught": _taught(),
        "max_pixels": MAX_PIXELS,
        "max_bytes": MAX_BYTES,
        "words": {language: words(language) for language in LANGUAGES},
        "accuracy": {language: answers.accuracy(config, name, language) for language in LANGUAGES},
    }


def words(language: str) -> dict[str, str]:
    """The page's sentences by key; of an error, what was found and what to do next in one."""
    found = {key: own[language] for key, own in sentences().items() if key.startswith(PARTS)}
    for code in ERRORS:
        both = [sentences().get(f"errors.{code}.{part}", {}).get(language, "") for part in ("found", "page", "next")]
        found[f"errors.{code}"] = (" " if language == "en" else "").join(part for part in both if part)
    return found


def _taught() -> dict[str, Any]:
    """The constants of teaching."""
    return {
        "gate": taught_head.GATE,
        "gate_bias": taught_head.GATE_BIAS,
        "shut": taught_head.SHUT,
        "alone": taught_head.ALONE,
        "min_count": taught_head.MIN_COUNT,
        "max_count": taught_head.MAX_COUNT,
        "ridge": taught_head.RIDGE,
        "sure": taught_head.SURE,
        "sharpness": taught_head.SHARPNESS,
        "max_rows": MOST_TAUGHT_ROWS,
        "center": embeddings.CENTER,
        "darker": embeddings.DARKER,
        "brighter": embeddings.BRIGHTER,
        "no_fruit_names": NO_FRUIT_NAMES,
        "quality": store.QUALITY / 100,
        "max_name_length": store.MAX_NAME_LENGTH,
        "max_pictures": MOST_TAUGHT,
    }
