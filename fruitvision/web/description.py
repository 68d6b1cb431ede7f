"""``model.json``: everything that the page needs beside the network, taken from the checkpoint's ``config.json`` and from the Python
modules that it mirrors. onnxruntime-web does not read the metadata of ONNX files.
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
from fruitvision.wording.text import LANGUAGES, SPACE, sentences

PARTS = ("header.title", "header.purpose", "header.language", "classify.", "teach.", "web.")
"""The keys, or prefixes of keys, of the sentences that the page uses."""
ERRORS = ("picture-empty", "picture-damaged", "picture-too-large", "taught-no-export", "taught-full", "taught-name-empty")
MAX_TAUGHT = 1_000
"""Maximum taught pictures in one browser."""
MAX_TAUGHT_ROWS = 2_000
"""Maximum views on which its ridge classifier is fitted: with more, it takes seconds in JavaScript."""


def describe(config: CheckpointConfig, name: str, network: WebNetwork, weights: Weights, files: dict[str, Any]) -> dict[str, Any]:
    """The description of a network called ``name``. ``files``: the paths of the network and of the runtime."""
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
    """The page's sentences by key; those of an error are joined into one."""
    by_key = {key: translations[language] for key, translations in sentences().items() if key.startswith(PARTS)}
    for code in ERRORS:
        parts = [sentences().get(f"errors.{code}.{part}", {}).get(language, "") for part in ("found", "page", "next")]
        by_key[f"errors.{code}"] = SPACE[language].join(part for part in parts if part)
    return by_key


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
        "sure_count": taught_head.SURE_COUNT,
        "sharpness": taught_head.SHARPNESS,
        "max_rows": MAX_TAUGHT_ROWS,
        "center": embeddings.CENTER,
        "darker": embeddings.DARKER,
        "brighter": embeddings.BRIGHTER,
        "no_fruit_names": NO_FRUIT_NAMES,
        "quality": store.QUALITY / 100,
        "max_name_length": store.MAX_NAME_LENGTH,
        "max_pictures": MAX_TAUGHT,
    }
