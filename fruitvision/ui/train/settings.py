"""A form field for every setting, generated from TrainConfig."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from fruitvision.errors import ConfigError, Fault
from fruitvision.models import ARCHITECTURES, OWN, RESNET18
from fruitvision.models.norms import NORMS
from fruitvision.report.markup import tag
from fruitvision.training import DEFAULT_PRESET
from fruitvision.training.config import TrainConfig, preset_settings
from fruitvision.training.settings import GROUPS
from fruitvision.ui.page.components import ListedDropdown
from fruitvision.ui.page.context import Page
from fruitvision.wording.text import say, sentences, setting

COMMON = (
    "architecture",
    "norm",
    "start",
    "image_size",
    "augmentation",
    "epochs",
    "batch_size",
    "max_train_images",
    "val_fraction",
    "optimizer",
    "learning_rate",
    "weight_decay",
)
"""The settings that are always shown; the others are collapsed under "All settings"."""
CHOICES = {"architecture": tuple(ARCHITECTURES), "norm": (*NORMS, OWN), "start": ("imagenet", "shipped", "scratch")}
FIELDS: tuple[str, ...] = tuple(name for names in GROUPS.values() for name in names)


def build_fields(page: Page) -> tuple[dict[str, Any], gr.Accordion]:
    """Build one component per setting, by group. Returns them by name, and the collapsed section with the less common ones."""
    fields = _build_groups(page, lambda name: name in COMMON)
    with page.bind(gr.Accordion(open=False, elem_id="train-all-settings"), label="train.settings_all") as fold:
        fields |= _build_groups(page, lambda name: name not in COMMON)
    return fields, fold


def _build_groups(page: Page, wanted: Callable[[str], bool]) -> dict[str, Any]:
    values = preset_settings(DEFAULT_PRESET)
    schemas, fields = TrainConfig.model_json_schema()["properties"], {}
    for group, names in GROUPS.items():
        chosen = [name for name in names if wanted(name)]
        if not chosen:
            continue
        page.bind(gr.HTML(), value=partial(_group_heading, group))
        with gr.Row(equal_height=False):
            for name in chosen:
                fields[name] = _field(page, name, values[name], schemas[name])
    return fields


def _field(page: Page, name: str, value: Any, schema: dict[str, Any]) -> Any:
    options = CHOICES.get(name) or schema.get("enum")
    elem_id = f"setting-{name.replace('_', '-')}"
    common: dict[str, Any] = {"value": value, "elem_id": elem_id, "interactive": True, "min_width": 200}
    words: dict[str, Any] = {"label": partial(_name, name), "info": partial(_meaning, name)}
    if options:
        choices = partial(_options, name, options)
        if name == "start":  # whose imported checkpoints setup_panel.py adds
            start = ListedDropdown(choices=choices(page.context.language), filterable=False, **common)
            return page.bind_initial(page.bind(start, **words), choices=choices)
        return page.bind(gr.Dropdown(choices=[(o, o) for o in options], filterable=False, **common), choices=choices, **words)
    if schema["type"] == "boolean":
        return page.bind(gr.Checkbox(**common), **words)
    if schema["type"] == "string":
        return page.bind(gr.Textbox(max_lines=1, **common), **words)
    if schema["type"] == "integer":
        return page.bind(gr.Number(precision=0, step=1, **common), **words)
    return page.bind(gr.Number(**common), **words)


def heading(page: Page, key: str) -> None:
    """Build the heading of a part of the panel."""
    page.bind(gr.HTML(), value=lambda language: tag("h2", say(key, language), class_="fv-step"))


def _group_heading(group: str, language: str) -> Markup:
    return tag("h3", say(f"train.group_{group}", language), class_="fv-group")


def _name(field: str, language: str) -> str:
    return setting(field, language)[0]


def _meaning(field: str, language: str) -> str:
    return setting(field, language)[1]


def _options(field: str, options: tuple[str, ...], language: str) -> list[tuple[str, str]]:
    return [(option_name(field, option, language), option) for option in options]


def start_choices(checkpoints: Sequence[Path], language: str) -> list[tuple[str, str]]:
    """(name, value) of the initial weights to choose from: weights by name, and imported checkpoint folders by path."""
    imported = [(say("header.imported", language, name=path.name), str(path.absolute())) for path in checkpoints]
    return _options("start", CHOICES["start"], language) + imported


def option_name(field: str, option: str, language: str) -> str:
    """The display name of one choice of a setting."""
    key = f"settings.{field}.choices.{option}"
    return say(key, language) if key in sentences() else option


def preset_values(preset: str) -> list[Any]:
    """The preset's values, in the order of ``FIELDS``."""
    values = preset_settings(preset)
    return [values[name] for name in FIELDS]


def configuration(preset: str, values: Sequence[Any]) -> TrainConfig:
    """The configuration with the fields' values. Raises ConfigError, which names all invalid or empty fields."""
    given = dict(zip(FIELDS, values, strict=True))
    empty = [name for name, value in given.items() if value is None]
    if empty:
        raise ConfigError("settings-empty", names=[Fault("setting", name=name) for name in empty])
    if (
        given["architecture"] != RESNET18 and given["norm"] == preset_settings(preset)["norm"]
    ):  # not chosen by the user: the architecture's own norm
        given["norm"] = OWN
    return TrainConfig.parse({**preset_settings(preset), **given})
