"""The configuration of a training run: a frozen model, validated once, saved beside the weights as JSON.

Its fields are those of ``settings.py``, and define the command line's ``--set`` and the fields of the panel.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, ValidationError, field_validator, model_validator

from fruitvision.compat import import_timm
from fruitvision.errors import ConfigError, Fault, faults_of
from fruitvision.models import ARCHITECTURES, OWN, RESNET18
from fruitvision.models.norms import NORMS, check_norm
from fruitvision.training.settings import (
    AugmentationSettings,
    DataSettings,
    FinalSettings,
    InputSettings,
    LengthSettings,
    LossSettings,
    MachineSettings,
    MixSettings,
    NetworkSettings,
    OptimizerSettings,
    PresetName,
)

# The settings that differ from TrainConfig's defaults, which are the preset "plain".
PRESETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "fast": {
        "start": "shipped",
        "image_size": 96,
        "first_image_size": 64,
        "eval_resize": 96,
        "augmentation": "batched",
        "crop_scale_min": 0.35,
        "batch_size": 64,
        "epochs": 6,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 0.02,
        "decay": "matrices",
        "label_smoothing": 0.1,
        "schedule": "one-cycle",
        "precision": "auto",
        "channels_last": True,
    },
    "robust": {
        "start": "imagenet",
        "imagenet_head": True,
        "keep_imagenet": 1.0,
        "norm_statistics": "kept",
        "refit": 0.01,
        "image_size": 128,
        "first_image_size": 96,
        "eval_resize": 160,
        "eval_size": 160,
        "views": "middle",
        "augmentation": "scenes",
        "crop_scale_min": 0.35,
        "batch_size": 64,
        "epochs": 8,
        "photo_repeat": 4.0,
        "type_balance": 0.5,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "trunk_rate": 0.2,
        "weight_decay": 0.02,
        "decay": "matrices",
        "label_smoothing": 0.05,
        "schedule": "one-cycle",
        "warmup": 0.15,
        "ema": 0.998,
        "channels_last": True,
    },
}


class TrainConfig(  # pydantic collects fields from the last base to the first
    MachineSettings,
    FinalSettings,
    LossSettings,
    OptimizerSettings,
    LengthSettings,
    MixSettings,
    AugmentationSettings,
    InputSettings,
    DataSettings,
    NetworkSettings,
    PresetName,
):
    """All settings of a training run, flat by name; the defaults are the preset ``plain``.

    Use :meth:`from_preset` or :meth:`parse`, which raise ConfigError with all faults instead of pydantic's error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, value: str) -> str:
        if value not in ARCHITECTURES:
            if not import_timm().is_model(value):
                raise Fault("architecture-unknown", known=", ".join(ARCHITECTURES))
        return value

    @field_validator("norm")
    @classmethod
    def _known_norm(cls, value: str) -> str:
        if value not in NORMS and value != OWN:
            raise Fault("norm-unknown", known=", ".join(NORMS))
        return value

    @model_validator(mode="after")
    def _norm_is_offered(self) -> TrainConfig:
        if self.architecture == RESNET18 and self.norm == OWN:
            raise Fault("norm-not-built-in", name="norm", architecture=RESNET18, known=", ".join(NORMS))
        if self.architecture != RESNET18 and self.norm != OWN:
            raise Fault("norm-built-in", name="norm", architecture=self.architecture, norm=self.norm)
        if self.architecture != RESNET18 and self.width != 64:
            raise Fault("width-fixed", name="width", architecture=self.architecture)
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> TrainConfig:
        crop = self.eval_size or self.image_size
        if self.eval_resize < crop:
            name = "eval_size" if self.eval_size else "image_size"
            raise Fault("below", name="eval_resize", value=self.eval_resize, other=name, least=crop)
        if self.first_image_size > self.image_size:
            raise Fault("above", name="first_image_size", value=self.first_image_size, other="image_size", most=self.image_size)
        if 0 < self.first_image_size < 32:
            raise Fault("first-image-size", name="first_image_size")
        return self

    @model_validator(mode="after")
    def _last_layer_fits(self) -> TrainConfig:
        if self.start_share and not self.fit_last:
            raise Fault("start-share-alone", name="start_share", other="fit_last")
        if self.fit_last and self.refit:
            raise Fault("fitted-twice", name="fit_last", other="refit")
        return self

    @model_validator(mode="after")
    def _balance_is_offered(self) -> TrainConfig:
        if self.balance == "sampler" and self.augmentation == "scenes":
            raise Fault("balance-of-scenes", name="balance", other="type_balance")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Validate ``values`` without deriving any. Raises ConfigError with all faults."""
        try:
            config = cls.model_validate(dict(values))
        except ValidationError as error:
            raise settings_error(error) from None
        if config.norm != OWN:
            check_norm(config.norm, batch_size=config.batch_size, image_size=config.first_image_size or config.image_size)
        return config

    @classmethod
    def from_preset(cls, preset: str = "plain", **settings: Any) -> TrainConfig:
        """A preset with some ``settings`` changed; sizes and a norm that are not given are derived from those that are.

        Raises ConfigError with all faults.
        """
        return cls.parse({**preset_settings(preset), **_derived(preset, settings), **settings, "preset": preset})

    def differences(self, other: TrainConfig) -> dict[str, tuple[Any, Any]]:
        """The settings that differ: name → (own value, other value)."""
        mine, theirs = self.model_dump(), other.model_dump()
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


def preset_settings(preset: str) -> dict[str, Any]:
    """The value of every setting in a preset, by name. Raises ConfigError "unknown-preset"."""
    if preset not in PRESETS:
        raise ConfigError("unknown-preset", name=preset, names=", ".join(PRESETS))
    defaults = {name: field.default for name, field in TrainConfig.model_fields.items()}
    return {**defaults, **PRESETS[preset], "preset": preset}


def _derived(preset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings derived from a given architecture and image size: the norm, and the other sizes in the preset's proportions.

    ``settings`` are not validated yet.
    """
    base, derived = preset_settings(preset), {}
    if settings.get("architecture", base["architecture"]) != RESNET18:
        derived["norm"] = OWN
    size = _pixels(settings.get("image_size"))
    if size is None:
        return derived
    derived["first_image_size"] = min(base["first_image_size"], size)
    resize, crop = _pixels(settings.get("eval_resize")), _pixels(settings.get("eval_size"))
    if base["eval_size"] and "eval_size" not in settings:
        scaled = round(size * base["eval_size"] / base["image_size"] / 8) * 8
        derived["eval_size"] = crop = min(scaled, maximum("eval_size"), resize or scaled)
    if "eval_resize" not in settings:
        scaled = min(round(size * base["eval_resize"] / base["image_size"]), maximum("eval_resize"))
        derived["eval_resize"] = crop if derived.get("eval_size") else max(scaled, crop or 0)
    return derived


@cache
def maximum(name: str) -> int:
    """The largest value that a setting may have."""
    return TrainConfig.model_json_schema()["properties"][name]["maximum"]


def _pixels(value: Any) -> int | None:
    """A size as an integer, also from text; None for other values, which validation rejects later."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**5 else None


def parse_settings(pairs: Iterable[str]) -> dict[str, str]:
    """Parse ``key=value`` arguments of ``--set``. Raises ConfigError with all faults."""
    settings, faults = {}, []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            faults.append(Fault("not-key-value", given=pair))
        elif key not in TrainConfig.model_fields:
            near = difflib.get_close_matches(key, TrainConfig.model_fields, n=1)
            faults.append(Fault("no-setting-but", name=key, near=near[0]) if near else Fault("no-setting", name=key))
        elif key == "preset":
            faults.append(Fault("preset-by-flag"))
        else:
            settings[key] = value.strip()
    if faults:
        raise ConfigError("bad-settings", faults=faults)
    return settings


def settings_error(error: ValidationError) -> ConfigError:
    """The ConfigError with all faults that pydantic found."""
    return ConfigError("bad-settings", faults=faults_of(error))
