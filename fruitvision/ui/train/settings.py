"""Step two of Train: the preset, and every setting as a field with its meaning. All of it follows from TrainConfig."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import gradio as gr

from fruitvision.errors import ConfigError
from fruitvision.models.networks import ARCHITECTURES, OWN
from fruitvision.models.norms import NORMS
from fruitvision.runs.prepare.estimate import run_seconds, seconds_per_picture
from fruitvision.training.config import PRESETS, TrainConfig
from fruitvision.ui.page.context import Page
from fruitvision.wording.text import duration, say, sentences, setting

# In the order in which a person meets them; a field that is in no group stands in the last one.
GROUPS: dict[str, tuple[str, ...]] = {
    "network": ("architecture", "norm", "width", "start", "imagenet_head", "keep_imagenet"),
    "length": ("epochs", "batch_size", "accumulate", "patience", "max_train_images", "val_fraction"),
    "pictures": (
        "image_size",
        "first_image_size",
        "eval_resize",
        "eval_size",
        "views",
        "augmentation",
        "crop_scale_min",
        "flip",
        "rotation",
        "plain_share",
        "data_repeat",
        "photo_repeat",
        "type_balance",
        "source_balance",
        "photo_strength",
        "not_fruit_share",
        "kind_pictures",
        "kind_sources",
        "photo_validation",
        "heldout_of",
    ),
    "optimizer": (
        "optimizer",
        "learning_rate",
        "trunk_rate",
        "weight_decay",
        "decay",
        "clip_norm",
        "label_smoothing",
        "schedule",
        "step_size",
        "gamma",
        "warmup",
        "ema",
        "freeze_epochs",
        "freeze_stages",
        "balance",
        "norm_statistics",
        "refit",
        "start_share",
        "fit_last",
        "average_with",
        "teacher",
        "teacher_weight",
    ),
    "machine": ("device", "workers", "precision", "channels_last", "compile", "seed", "tensorboard"),
}
CHOICES = {"architecture": tuple(ARCHITECTURES), "norm": (*NORMS, OWN), "start": ("imagenet", "shipped", "scratch")}
FIELDS: tuple[str, ...] = tuple(name for names in GROUPS.values() for name in names)
DEFAULT_PRESET = "fast"


def build_fields(page: Page) -> dict[str, Any]:
    """One component for each setting, by its name."""
    values = TrainConfig.from_preset(DEFAULT_PRESET).model_dump()
    schemas, fields = TrainConfig.model_json_schema()["properties"], {}
    for group, names in GROUPS.items():
        page.bind(gr.HTML(), value=partial(_group_heading, group))
        with gr.Row(equal_height=False):
            for name in names:
                fields[name] = _field(page, name, values[name], schemas[name])
    return fields


def _field(page: Page, name: str, value: Any, schema: dict[str, Any]) -> Any:
    options = CHOICES.get(name) or schema.get("enum")
    elem_id = f"setting-{name.replace('_', '-')}"
    common: dict[str, Any] = {"value": value, "elem_id": elem_id, "interactive": True, "min_width": 200}
    words: dict[str, Any] = {"label": partial(_name, name), "info": partial(_meaning, name)}
    if options:
        words["choices"] = partial(_options, name, options)
        return page.bind(gr.Dropdown(choices=[(o, o) for o in options], filterable=False, **common), **words)
    if schema["type"] == "boolean":
        return page.bind(gr.Checkbox(**common), **words)
    if schema["type"] == "string":
        return page.bind(gr.Textbox(max_lines=1, **common), **words)
    whole = schema["type"] == "integer"
    return page.bind(gr.Number(precision=0 if whole else None, step=1 if whole else None, **common), **words)


def _group_heading(group: str, language: str) -> str:
    return f'<h3 class="fv-group">{say(f"train.group_{group}", language)}</h3>'


def _name(field: str, language: str) -> str:
    return setting(field, language)[0]


def _meaning(field: str, language: str) -> str:
    return setting(field, language)[1]


def _options(field: str, options: tuple[str, ...], language: str) -> list[tuple[str, str]]:
    return [(option_name(field, option, language), option) for option in options]


def option_name(field: str, option: str, language: str) -> str:
    """What a person calls one choice of a setting."""
    key = f"settings.{field}.choices.{option}"
    return say(key, language) if key in sentences() else option


def preset_values(preset: str) -> list[Any]:
    """What the preset puts into each of ``FIELDS``."""
    values = TrainConfig.from_preset(preset).model_dump()
    return [values[name] for name in FIELDS]


def configuration(preset: str, values: tuple[Any, ...] | list[Any]) -> TrainConfig:
    """The configuration that the fields ask for. Raises ConfigError that names every fault; an empty field is one."""
    given = dict(zip(FIELDS, values, strict=True))
    empty = [name for name, value in given.items() if value is None]
    if empty:
        listed = "; ".join(f"{name}: empty" for name in empty)
        raise ConfigError("bad-settings", f"These settings cannot be used: {listed}.", "Fill them in.", faults=listed)
    standard = TrainConfig.from_preset(preset).model_dump()
    changed = {name: value for name, value in given.items() if value != standard[name]}
    # What the form shows is what is meant: sizes that follow one another by themselves do so on the command line only.
    sizes = {name: given[name] for name in ("eval_resize", "first_image_size")} if "image_size" in changed else {}
    return TrainConfig.from_preset(preset, **{**sizes, **changed})


class Estimates:
    """How long each preset takes here: measured in the background, once, while nothing trains."""

    def __init__(self) -> None:
        self._per_picture: dict[str, float] = {}
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start measuring; nothing happens where that was done or is going on."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._measure, name="fruitvision-estimate", daemon=True)
            self._thread.start()

    def _measure(self) -> None:
        for preset in reversed(PRESETS):  # the quick ones first
            try:
                self._per_picture[preset] = seconds_per_picture(TrainConfig.from_preset(preset), num_classes=20)
            except Exception:  # an estimate is no more than that: without one the card says nothing about time
                self._per_picture[preset] = float("nan")

    @property
    def done(self) -> bool:
        """Whether every preset was measured."""
        return len(self._per_picture) == len(PRESETS)

    def seconds(self, preset: str, train_images: int, val_images: int) -> float | None:
        """The length of a run of that preset here; None where it is not known."""
        per_picture = self._per_picture.get(preset, float("nan"))
        if per_picture != per_picture:
            return None
        return run_seconds(TrainConfig.from_preset(preset), per_picture, train_images, val_images)

    def words(self, preset: str, train_images: int | None, val_images: int, language: str) -> str:
        """ "about 12 min here", or that it is not known yet."""
        if preset not in self._per_picture or train_images is None:
            return say("train.time_measuring", language)
        seconds = self.seconds(preset, train_images, val_images)
        return "" if seconds is None else say("train.time_about", language, time=duration(seconds, language))


def preset_choices(estimates: Estimates, train_images: int | None, val_images: int, language: str) -> list[tuple[str, str]]:
    """The cards: name, what it is, and the time it will take here."""
    cards = []
    for preset in PRESETS:
        lines = [say(f"train.preset_{preset}", language), say(f"train.preset_{preset}_meaning", language)]
        lines.append(estimates.words(preset, train_images, val_images, language))
        cards.append(("\n".join(line for line in lines if line), preset))
    return cards


def fitting_words(estimates: Estimates, minutes: float | None, train_images: int | None, val_images: int, language: str) -> str:
    """Which presets end within so many minutes here; where none does, with how many pictures the quickest would.

    Empty before a time is given and everything is measured.
    """
    if not minutes or minutes <= 0 or not estimates.done or train_images is None:
        return ""
    known = {preset: estimates.seconds(preset, train_images, val_images) for preset in PRESETS}
    times = {preset: seconds for preset, seconds in known.items() if seconds is not None}
    if not times:
        return ""
    fitting = [preset for preset, seconds in times.items() if seconds <= minutes * 60]
    if fitting:
        names = " · ".join(say(f"train.preset_{preset}", language) for preset in fitting)
        return say("train.time_fits", language, names=names)
    quickest = min(times, key=lambda preset: times[preset])
    pictures = int(train_images * minutes * 60 / times[quickest])
    name = say(f"train.preset_{quickest}", language)
    return say("train.time_fits_none", language, name=name, pictures=pictures, setting=setting("max_train_images", language)[0])
