"""The model card: ``README.md`` of a checkpoint folder, written from its configuration alone."""

from __future__ import annotations

from typing import Any

LABELS = {
    "images": "pictures",
    "top1": "top-1",
    "top3": "top-3",
    "loss": "loss",
    "macro_recall": "mean recall",
    "ece": "calibration error (ECE)",
    "answered": "answered",
    "answered_top1": "top-1 of the answered",
    "not_fruit_accepted": "no-fruit accepted",
}


def model_card(config: dict[str, Any]) -> str:
    """Markdown that stands alone: what it is, what it learned from, what it measured, what it cannot do."""
    dataset, training = config["dataset"], config["training"]
    name = dataset.get("name", "unknown data")
    synthetic = " (synthetic: drawn by a program, not photographed)" if dataset.get("synthetic") else ""
    lines = [
        f"# {config['architecture']}, {config['norm']} norm, {len(config['classes'])} classes",
        "",
        f"Trained by FruitVision on {name}{synthetic}: {dataset.get('images', '?')} training pictures, started from {config['start']}.",
        "",
        "## Measured",
        "",
        *_left_out(config.get("left_out") or {}, dataset),
        *_table(config["metrics"]),
        "",
        "## What it cannot do",
        "",
        *_limits(dataset, training),
        "",
        *(["## What was tried", "", config["notes"].strip(), ""] if config.get("notes") else []),
        "## How it was made",
        "",
        "```",
        training.get("command", "(the command was not kept)"),
        "```",
        "",
        *_use(config),
        "",
        "Made with " + ", ".join(f"{k} {v}" for k, v in config["versions"].items()) + ".",
        "",
        "## Data and licence",
        "",
        *_licence(name, config),
        "",
    ]
    return "\n".join(lines)


WORST_KINDS, FEWEST_OF_KIND = 12, 5


def _left_out(found: dict[str, Any], dataset: dict[str, Any]) -> list[str]:
    """The figures that speak for strangers' photographs, which lead."""
    if not found:
        return []
    asked = (
        "It learned from none of these sources."
        if found.get("itself")
        else "Each was left out in turn with others, and a network made from the rest by the same recipe was asked; no network was "
        "asked about a source that it had learned from."
    )
    said = (
        'It never says "sure" of an answer: at no confidence were enough of its answers right.'
        if found["sure_right"] is None
        else f'It says "sure" in {_percent(found["sure"])} of its answers to them and is then right in '
        f"{_percent(found['sure_right'])}. Of fruit that it has no name for {_percent(found['unknown_kinds_sure'])}, of pictures "
        f'without fruit {_percent(found["not_fruit_sure"])} are called a fruit with "sure".'
    )
    lines = [
        f"**On photographs of people whom it never learned from**: {_percent(found['top1'])} named rightly "
        f"({_percent(found['top3'])} among the first three), the mean of {found['sources']} sources, {found['images']} "
        f"photographs in all. {asked}",
        "",
        f"{said} Calibration error {_percent(found['ece'])}.",
        "",
        "| source left out | photographs | top-1 | top-3 | sure | right when sure |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, own in found["per_source"].items():
        if own["images"]:
            shares = " | ".join(_percent(own[key]) for key in ("top1", "top3", "sure", "sure_right"))
            lines.append(f"| {name} | {own['images']} | {shares} |")
    worst = sorted(
        ((own["recall"], kind, own) for kind, own in found["per_kind"].items() if own["images"] >= FEWEST_OF_KIND),
        key=lambda entry: entry[:2],
    )[:WORST_KINDS]
    if worst:
        lines += [
            "",
            "The kinds that it names rightly least often among these, and what would help most, photographs of more sources:",
            "",
            "| kind | asked about | named rightly | taken for | photographs that trained |",
            "| --- | --- | --- | --- | --- |",
        ]
        trained = dataset.get("photographed", {})
        for recall, kind, own in worst:
            taken = ", ".join(f"{name} {count}" for name, count in own["taken_for"].items())
            lines.append(f"| {kind} | {own['images']} | {_percent(recall)} | {taken} | {trained.get(kind, 0)} |")
    return [*lines, "", "On single sets, which it may have learned from in part:", ""]


def _percent(share: float | None) -> str:
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
    nearer = f", and its middle {' and '.join(scales)} nearer, averaged" if scales else ""
    refused = (
        f"; from a probability of {thresholds['not_fruit']:.0%} of no fruit on, it is said that none is seen"
        if thresholds["not_fruit"] < 1
        else ""
    )
    return [
        f"Pictures enter with a short side of {transform['resize']} px, of which the middle {transform['crop']} px square "
        f"is seen{nearer}. Temperature {config['temperature']:.3f}, fitted on {_fitted_on(config)}; "
        f"an answer under {thresholds['unsure']:.0%} is given as unsure{refused}.",
    ]


def _fitted_on(config: dict[str, Any]) -> str:
    return "answers to sources left out" if config.get("left_out") else "pictures that neither trained nor are reported"


def _limits(dataset: dict[str, Any], training: dict[str, Any]) -> list[str]:
    limits = [
        "It knows the classes of its training pictures and nothing else; whatever it is shown, it answers one of them, "
        "and how sure it says it is was fitted on pictures like those it learned from.",
    ]
    if "360" in str(dataset.get("name", "")):
        limits.append(
            "Fruits-360 is filmed on a turntable before white, and its test pictures are other frames of the same film: "
            "the test accuracy is interpolation and says little about a photo from a kitchen table."
        )
    if training.get("augmentation") == "scenes":
        limits.append(
            "Photographs show other specimens, in other light, on other grounds, near and far. It was trained for that with "
            "fruit set into other scenes, and still knows one or two specimens of most varieties: a variety that it names "
            "on a photo is a guess, the fruit type is what it should be held to."
        )
    return limits


SOURCES = {
    "grocery": "Photos: Klasson, Zhang and Kjellström, A Hierarchical Grocery Store Image Dataset (MIT).",
    "fruits-360-3-body": "More apples, cherries and tomatoes: the 3-body release of Fruits-360 by Mihai Oltean (CC BY-SA 4.0).",
    "clothing": "Pictures without fruit: Alexey Grigorev's clothing dataset (CC0).",
    "grocery-packages": "Pictures without fruit: packages from the grocery photos (MIT).",
    "not-fruit": "Pictures without fruit: Alexey Grigorev's clothing dataset (CC0), and packages from the grocery photos (MIT).",
}
"""Of folders by these names, whom to credit."""


def _licence(name: str, config: dict[str, Any]) -> list[str]:
    if "360" in name:
        lines = [
            "Fruits-360 by Mihai Oltean and Horea Mureșan, CC BY-SA 4.0 (earlier releases MIT); these weights are shared "
            "under CC BY-SA 4.0."
        ]
    else:
        lines = ["The licence of the weights follows that of the training pictures."]
    named = dict.fromkeys([*config["dataset"].get("beside", []), *config["dataset"].get("sources", [])])
    beside = [SOURCES[folder] for folder in named if folder in SOURCES]
    if config["start"] == "imagenet" and config["architecture"].startswith("tf_efficientnet_lite"):
        beside.append("First weights: EfficientNet-Lite, trained on ImageNet by Google (Apache-2.0).")
    lines += [line for text in dict.fromkeys(beside) for line in ("", text)]
    if credits := config["dataset"].get("credits", []):
        lines += ["", "Pictures beside the data, by the folder of their source:", ""]
        lines += ["| source | repository | licence as stated there |", "| --- | --- | --- |"]
        lines += [f"| {own['source']} | {own['repository']} | {own['licence']} |" for own in credits]
    return lines
