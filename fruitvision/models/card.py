"""The model card: ``README.md`` of a checkpoint folder, generated from its configuration."""

from __future__ import annotations

import math
from typing import Any

LABELS = {
    "images": "pictures",
    "top1": "top-1",
    "top3": "top-3",
    "loss": "loss",
    "macro_recall": "mean recall",
    "ece": "calibration error (ECE)",
    "answered": "answered with confidence",
    "answered_top1": "accuracy of confident answers",
    "not_fruit_accepted": "pictures without fruit accepted as fruit",
}


def model_card(config: dict[str, Any]) -> str:
    """The card as Markdown: the network, its training data, its metrics and its limits."""
    dataset, training = config["dataset"], config["training"]
    name = dataset.get("name", "unknown data")
    synthetic = " (synthetic: drawn by a program, not photographed)" if dataset.get("synthetic") else ""
    lines = [
        f"# {config['architecture']}, {config['norm']} norm, {len(config['classes'])} classes",
        "",
        _origin(config)
        or f"Trained by FruitVision on {name}{synthetic}: {dataset.get('images', '?')} training pictures, started from {config['start']}.",
        "",
        "## Measured",
        "",
        *_left_out(config.get("left_out") or {}, dataset),
        *_table(config["metrics"]),
        "",
        "## Limits",
        "",
        *_limits(config),
        "",
        *(["## Experiments", "", config["notes"].strip(), ""] if config.get("notes") else []),
        *(
            []
            if config.get("imported")
            else ["## Training", "", "```", training.get("command", "(the command was not recorded)"), "```", ""]
        ),
        *_use(config),
        "",
        ("Imported with " if config.get("imported") else "Trained with ")
        + ", ".join(f"{k} {v}" for k, v in config["versions"].items())
        + ".",
        "",
        "## Data and licence",
        "",
        *_licence(name, config),
        "",
    ]
    return "\n".join(lines)


def _origin(config: dict[str, Any]) -> str:
    """The origin of an imported network; empty for one that was trained here."""
    found = config.get("imported")
    if not found:
        return ""
    joined = found["head"]
    layers = f" Its last layer is the product of {', '.join(joined)}." if len(joined) > 1 else ""
    return (
        f"Imported by FruitVision from {found['file']} (SHA-256 {found['sha256']}); it was trained elsewhere, on pictures that the file "
        f"does not name. The weights are unchanged.{layers} The names of the classes come from {found['classes_from']}."
    )


MAX_WORST_KINDS, MIN_PICTURES_OF_KIND = 12, 5


def _left_out(found: dict[str, Any], dataset: dict[str, Any]) -> list[str]:
    """The accuracy on left-out sources of photos, the first section."""
    if not found:
        return []
    asked = (
        "It was trained on none of these sources."
        if found.get("itself")
        else "Each was left out in turn with others, and a network trained on the rest with nearly the same recipe was evaluated on it; no "
        "network was evaluated on a source that it was trained on."
    )
    said = (
        'No answer is "sure": at no confidence were enough answers right.'
        if found["sure_right"] is None
        else f'{percent(found["sure"])} of its answers are "sure", of which {percent(found["sure_right"])} are right. Of fruit of '
        f"unknown types {percent(found['unknown_kinds_sure'])}, and of pictures without fruit {percent(found['not_fruit_sure'])}, "
        'are answered "sure".'
    )
    if found.get("very_sure_right") is not None:
        said += (
            f' From a confidence of {percent(found.get("very_sure_from"))} on an answer is "very sure": '
            f"{percent(found.get('very_sure'))} of them, of which {percent(found['very_sure_right'])} are right."
        )
    lines = [
        f"**On photos from sources that were left out of training**: top-1 {percent(found['top1'])}, top-3 "
        f"{percent(found['top3'])}, the mean over the {found['sources']} sources with at least 40 photos; {found['images']} photos "
        f"in all. {asked}",
        "",
        f"{said} Calibration error {percent(found['ece'])}.",
        "",
        "| source left out | photos | top-1 | top-3 | sure | right when sure |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, own in found["per_source"].items():
        if own["images"]:
            shares = " | ".join(percent(own[key]) for key in ("top1", "top3", "sure", "sure_right"))
            lines.append(f"| {name} | {own['images']} | {shares} |")
    worst = sorted(
        ((own["recall"], kind, own) for kind, own in found["per_kind"].items() if own["images"] >= MIN_PICTURES_OF_KIND),
        key=lambda entry: entry[:2],
    )[:MAX_WORST_KINDS]
    if worst:
        lines += [
            "",
            "The fruit types with the lowest recall, for which photos from more sources would help most:",
            "",
            "| fruit type | photos | recall | confused with | training photos |",
            "| --- | --- | --- | --- | --- |",
        ]
        trained = dataset.get("photographed", {})
        for recall, kind, own in worst:
            taken = ", ".join(f"{name} {count}" for name, count in own["taken_for"].items())
            lines.append(f"| {kind} | {own['images']} | {percent(recall)} | {taken} | {trained.get(kind, 0)} |")
    return [*lines, "", "On single sets, parts of which it may have been trained on:", ""]


def percent(share: float | None) -> str:
    """A fraction as a percentage; "–" for None."""
    return "–" if share is None else f"{share:.1%}"


def _table(metrics: dict[str, dict[str, Any]]) -> list[str]:
    if not metrics:
        return ["Nothing was measured."]
    columns = [key for key in LABELS if any(isinstance(row.get(key), int | float) for row in metrics.values())]
    head = "| on | " + " | ".join(LABELS[key] for key in columns) + " |"
    rows = ["| " + " | ".join([name, *(_figure(key, row.get(key)) for key in columns)]) + " |" for name, row in metrics.items()]
    return [head, "|" + " --- |" * (len(columns) + 1), *rows]


def _figure(key: str, value: Any) -> str:
    if value is None:
        return "–"
    return str(value) if key == "images" else f"{value:.4f}"


def _use(config: dict[str, Any]) -> list[str]:
    transform, thresholds = config["transform"], config["thresholds"]
    scales = [f"{scale:.0%}" for scale in transform.get("scales", [1.0])[1:]]
    enlarged = f", averaged with center crops of {' and '.join(scales)} of its side" if scales else ""
    unsure = thresholds["unsure"]
    sure = "no answer is sure" if unsure >= 1 else f"an answer below {unsure:{'.0%' if unsure < 0.995 else '.2%'}} is unsure"
    refused = (
        f"; from a probability of {thresholds['not_fruit']:.0%} for no fruit, the answer is that there is none"
        if thresholds["not_fruit"] < 1
        else ""
    )
    return [
        f"Input: the short side resized to {transform['resize']} px and the center {transform['crop']} px square cropped"
        f"{enlarged}. Temperature {config['temperature']:.3f}, {_fitted_on(config)}; {sure}{refused}.",
    ]


def _alike(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows have the same metrics, except for rounding of the loss, which depends on the batch size."""
    same = row.get("images") == other.get("images") and row.get("top1") == other.get("top1")
    return row is other or (same and math.isclose(row.get("loss") or 0, other.get("loss") or 0, rel_tol=1e-4))


def _fitted_on(config: dict[str, Any]) -> str:
    if config.get("left_out"):
        return "fitted on left-out sources"
    if config.get("imported"):
        return config["imported"]["calibrated_on"] or "not calibrated"
    if config["temperature"] == 1:  # never the result of a fit
        return "not calibrated"
    validation = config["metrics"].get("validation")
    # A run may validate on its test pictures: equal metrics of equally many pictures are then those of the same pictures.
    same = [name for name, row in config["metrics"].items() if validation and _alike(row, validation)]
    measured = f", and which {' and '.join(same)} above measured, too" if same else ""
    return f"fitted on validation pictures, on which it was not trained{measured}"


def _limits(config: dict[str, Any]) -> list[str]:
    dataset, training = config["dataset"], config["training"]
    # A fit to left-out sources is described with their metrics; the calibration of an import with its temperature.
    fitted = config["temperature"] != 1 and not config.get("left_out") and not config.get("imported")
    limits = [
        "It knows the classes of its training pictures alone and answers one of them for any picture"
        + ("; its confidence was calibrated on pictures like those it was trained on." if fitted else "."),
    ]
    if "360" in str(dataset.get("name", "")):
        limits.append(
            "Fruits-360 was filmed on a turntable in front of white, and its test pictures are other frames of the same films: "
            "the test accuracy is interpolation and says little about photos from a kitchen."
        )
    if training.get("augmentation") == "scenes":
        limits.append(
            "Photos show other specimens, in other light, on other backgrounds, near and far. It was trained for that with "
            "composed scenes, but on one or two specimens of most varieties: on a photo the variety is a guess, and only the "
            "fruit type can be relied on."
        )
    return limits


SOURCES = {
    "grocery": "Photos: Klasson, Zhang and Kjellström, A Hierarchical Grocery Store Image Dataset (MIT).",
    "fruits-360-3-body": "More apples, cherries and tomatoes: the 3-body release of Fruits-360 by Mihai Oltean (CC BY-SA 4.0).",
    "clothing": "Pictures without fruit: Alexey Grigorev's clothing dataset (CC0).",
    "grocery-packages": "Pictures without fruit: packages from the grocery photos (MIT).",
    "not-fruit": "Pictures without fruit: Alexey Grigorev's clothing dataset (CC0), and packages from the grocery photos (MIT).",
}
"""The credits of datasets by folder name."""


def _licence(name: str, config: dict[str, Any]) -> list[str]:
    if "360" in name:
        lines = [
            "Fruits-360 by Mihai Oltean and Horea Mureșan, CC BY-SA 4.0 (earlier releases MIT); these weights are shared "
            "under CC BY-SA 4.0."
        ]
    elif config.get("imported"):
        lines = ["The licence of the weights is that of the file they come from, which does not say it."]
    else:
        lines = ["The licence of the weights follows that of the training pictures."]
    named = dict.fromkeys([*config["dataset"].get("beside", []), *config["dataset"].get("sources", [])])
    if "not-fruit" in named:  # names the other two
        named.pop("clothing", None)
        named.pop("grocery-packages", None)
    beside = [SOURCES[folder] for folder in named if folder in SOURCES]
    if config["start"] == "imagenet" and config["architecture"].startswith("tf_efficientnet_lite"):
        beside.append("Pretrained weights: EfficientNet-Lite, trained on ImageNet by Google (Apache-2.0).")
    lines += [line for text in dict.fromkeys(beside) for line in ("", text)]
    if credits := config["dataset"].get("credits", []):
        lines += ["", "Pictures beside the data, by the folder of their source:", ""]
        lines += ["| source | repository | licence as stated there |", "| --- | --- | --- |"]
        lines += [f"| {own['source']} | {own['repository']} | {own['licence']} |" for own in credits]
    return lines
