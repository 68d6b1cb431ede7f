"""The configuration of a training run: one frozen value, validated once, written beside the weights as JSON.

It is the source of the command line's ``--set`` and of the panel's fields: name, type, bounds, default and one
sentence of meaning all stand here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fruitvision.compat import import_timm
from fruitvision.data.augment.transforms import Views
from fruitvision.errors import ConfigError
from fruitvision.models.networks import ARCHITECTURES, OWN, RESNET18
from fruitvision.models.norms import NORMS, check_norm

# The settings that differ from TrainConfig's defaults, which are the textbook recipe.
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


class TrainConfig(BaseModel):
    """Everything that decides how a network learns; the defaults are the preset ``plain``.

    Raises ConfigError (never pydantic's own) through :meth:`from_preset` and :meth:`parse`, with every fault in one
    sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: str = Field("plain", description="The recipe that these settings started from.")
    architecture: str = Field("resnet18", description="The network.")
    norm: str = Field("batch", description="The normalization layer.")
    width: int = Field(64, ge=8, le=128, multiple_of=8, description="Channels behind the stem; 64 is the full network.")
    start: str = Field(
        "imagenet",
        description="The first weights: 'imagenet', 'shipped' (this project's own model), 'scratch', or a checkpoint folder; "
        "of several, separated by commas, their mean.",
    )
    imagenet_head: bool = Field(
        False, description="Begin the last layer with what ImageNet knows of fruit, where training starts from there."
    )
    image_size: int = Field(224, ge=32, le=512, multiple_of=8, description="Side of the training pictures, in pixels.")
    first_image_size: int = Field(
        0,
        ge=0,
        le=512,
        multiple_of=8,
        description="Side in the first epoch, growing to image_size; 0 keeps it the same throughout.",
    )
    eval_resize: int = Field(256, ge=32, le=640, description="Short side before the middle square of image_size is cut out, in evaluation.")
    eval_size: int = Field(
        0, ge=0, le=512, multiple_of=8, description="Side of the middle square that is seen in evaluation; 0 is image_size."
    )
    views: Views = Field(
        "one", description="What is averaged in evaluation: the picture; it and its mirror image; it and its middle, nearer."
    )
    augmentation: Literal["torchvision", "batched", "scenes", "none"] = Field(
        "torchvision",
        description="Random crop, flip and rotation, picture by picture or as one batch; fruit set into other scenes; or nothing.",
    )
    plain_share: float = Field(0.25, ge=0, le=1, description="With 'scenes': the share of fruit pictures that keep their white ground.")
    photo_repeat: float = Field(3.0, ge=0, le=100, description="How often an epoch shows each photo given beside the data.")
    data_repeat: float = Field(
        1.0, ge=0.01, le=100, description="With 'scenes': how often an epoch shows each picture of the data; 0.2 shows a fifth."
    )
    type_balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="With 'scenes': how far rare fruit types are shown more often; 0 every picture alike, 1 every type alike.",
    )
    source_balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Of photos: how far those of small sources are shown more often; 0 every picture alike, 1 every source alike.",
    )
    photo_validation: Literal["sources", "pictures"] = Field(
        "sources",
        description="What is kept of the photos to choose the epoch and to calibrate: whole sources, where there are four or more, "
        "or a few pictures of each.",
    )
    heldout_of: str = Field(
        "",
        description="The sources, separated by commas, of which the heldout fifth is not learned; empty: of every source.",
    )
    kind_pictures: int = Field(
        12, ge=1, le=10_000, description="So many photos must there be of a fruit type that the data does not have, or it is left out."
    )
    kind_sources: int = Field(3, ge=1, le=1000, description="So many sources must they come from, where so many are given.")
    photo_strength: float = Field(
        0.8, ge=0, le=1, description="How far the light, colours and sharpness of photos are varied: 0 not at all."
    )
    not_fruit_share: float = Field(
        0.15, ge=0, le=1, description="Pictures without fruit in an epoch, as a share of those with; 0 where none are given."
    )
    crop_scale_min: float = Field(0.08, ge=0.05, le=1, description="The smallest share of the picture that a random crop keeps.")
    flip: float = Field(0.5, ge=0, le=1, description="The probability of a left-right flip.")
    rotation: float = Field(20, ge=0, le=180, description="The largest random rotation, in degrees either way.")
    epochs: int = Field(10, ge=1, le=1000, description="How often the network sees every training picture.")
    batch_size: int = Field(32, ge=1, le=1024, description="Pictures in one step.")
    accumulate: int = Field(
        1, ge=1, le=64, description="Batches whose gradients are added up before the weights move; batch norm sees each by itself."
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="Adam, or AdamW with decoupled weight decay.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="The highest step size.")
    trunk_rate: float = Field(1.0, ge=0, le=1, description="The learning rate below the last layer, as a share of its own.")
    weight_decay: float = Field(1e-5, ge=0, le=1, description="How strongly weights are pulled towards zero.")
    decay: Literal["all", "matrices"] = Field("all", description="Which parameters decay: all, or only those with two or more dimensions.")
    clip_norm: float = Field(5.0, ge=0, le=1000, description="The largest norm of the gradient; 0 does not clip.")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="The share of certainty taken from the right answer.")
    teacher: str = Field("", description="A checkpoint whose answers are learned too; empty is none.")
    teacher_weight: float = Field(0.5, ge=0, le=1, description="The teacher's share of the loss.")
    keep_imagenet: float = Field(
        0.0,
        ge=0,
        le=10,
        description="How strongly the trunk is held to what ImageNet made it answer, where training starts from there.",
    )
    norm_statistics: Literal["batch", "kept"] = Field(
        "batch",
        description="What batch norm normalizes with in training: each batch's own, or, where training starts from ImageNet, ImageNet's.",
    )
    refit: float = Field(
        0.0,
        ge=0,
        le=10,
        description="After the last epoch and any averaging, fit the last layer to the end, held to what it was by so much; 0 does not.",
    )
    start_share: float = Field(
        0.0,
        ge=0,
        le=0.95,
        description="After the last epoch, so much of the trunk's weights is what they were at the start; fit_last must follow.",
    )
    fit_last: float = Field(
        0.0,
        ge=0,
        le=10,
        description="In the end, fit the last layer anew to all pictures as evaluation shows them, its weights held by so much to zero, "
        "or to what ImageNet's own last layer knows; 0 does not.",
    )
    average_with: str = Field(
        "",
        description="Checkpoints, separated by commas, whose weights are averaged with this run's at its end, where all began alike.",
    )
    schedule: Literal["step", "cosine", "one-cycle", "constant"] = Field("step", description="How the learning rate falls over the run.")
    step_size: int = Field(7, ge=1, le=1000, description="Epochs between two falls of the schedule 'step'.")
    gamma: float = Field(0.1, gt=0, le=1, description="The factor of each fall of the schedule 'step'.")
    warmup: float = Field(0.3, ge=0.01, le=0.9, description="The share of the run in which 'one-cycle' rises.")
    ema: float = Field(0.0, ge=0, lt=1, description="Decay of the averaged weights that are evaluated and kept; 0 is off.")
    patience: int = Field(0, ge=0, le=1000, description="Epochs without improvement after which training ends; 0 is off.")
    val_fraction: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the training pictures held out where the data has no validation split; 0 validates on its test split.",
    )
    max_train_images: int = Field(0, ge=0, description="Use at most so many training pictures, evenly by class; 0 uses all.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="One seed, one machine: the same figures.")
    precision: Literal["float32", "bfloat16", "float16", "auto"] = Field(
        "float32", description="The arithmetic of the forward pass; 'auto' takes the shortest that the device is quick with."
    )
    balance: Literal["none", "loss", "sampler"] = Field(
        "none", description="What makes up for classes with fewer pictures: nothing, a weight in the loss, or showing them more often."
    )
    freeze_stages: int = Field(
        0, ge=0, le=100, description="Stages of the trunk, from the picture on, that keep their first weights throughout."
    )
    freeze_epochs: int = Field(0, ge=0, le=1000, description="Epochs at the beginning in which the last layer alone learns.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to compute.")
    workers: int = Field(
        -1,
        ge=-1,
        le=64,
        description="With 'scenes': processes that make them while the network learns; -1 is none on a CPU, and with a graphics card "
        "one a core but one, eight at most; each process that trains has its own.",
    )
    tensorboard: bool = Field(False, description="Write the curves for TensorBoard too, where it is installed.")
    channels_last: bool = Field(False, description="The memory layout that convolutions on most processors prefer.")
    compile: bool = Field(False, description="Generate code for the network with torch.compile: slow to begin with, quicker afterwards.")

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, value: str) -> str:
        if value not in ARCHITECTURES:
            if not import_timm().is_model(value):
                raise ValueError(f"choose one of {', '.join(ARCHITECTURES)}, or another name that timm knows")
        return value

    @field_validator("norm")
    @classmethod
    def _known_norm(cls, value: str) -> str:
        if value not in NORMS and value != OWN:
            raise ValueError(f"choose one of {', '.join(NORMS)}")
        return value

    @model_validator(mode="after")
    def _norm_is_offered(self) -> TrainConfig:
        if self.architecture == RESNET18 and self.norm == OWN:
            raise ValueError(f"norm: {RESNET18} has none of its own; choose one of {', '.join(NORMS)}")
        if self.architecture != RESNET18 and self.norm != OWN:
            raise ValueError(f"norm: {self.architecture} comes with its own and offers no '{self.norm}'; leave norm out")
        if self.architecture != RESNET18 and self.width != 64:
            raise ValueError(f"width: {self.architecture} has one width only; leave it out")
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> TrainConfig:
        seen = self.eval_size or self.image_size
        if self.eval_resize < seen:
            name = "eval_size" if self.eval_size else "image_size"
            raise ValueError(f"eval_resize ({self.eval_resize}) must be at least {name} ({seen})")
        if self.first_image_size > self.image_size:
            raise ValueError(f"first_image_size ({self.first_image_size}) must not exceed image_size ({self.image_size})")
        if 0 < self.first_image_size < 32:
            raise ValueError("first_image_size must be 0 or at least 32")
        return self

    @model_validator(mode="after")
    def _last_layer_follows(self) -> TrainConfig:
        if self.start_share and not self.fit_last:
            raise ValueError("start_share: the last layer no longer fits such a trunk; set fit_last too, such as 0.0001")
        if self.fit_last and self.refit:
            raise ValueError("fit_last: the last layer is fitted anew or from where it was; set refit to 0")
        return self

    @model_validator(mode="after")
    def _balance_is_offered(self) -> TrainConfig:
        if self.balance == "sampler" and self.augmentation == "scenes":
            raise ValueError("balance: 'scenes' is balanced by type_balance; choose 'loss' or 'none'")
        return self

    def check(self) -> TrainConfig:
        """Refuse combinations in which the chosen norm cannot work. Raises ConfigError. Returns itself."""
        smallest = self.first_image_size or self.image_size
        if self.norm != OWN:
            check_norm(self.norm, batch_size=self.batch_size, image_size=smallest)
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Validate ``values``; raises ConfigError that names every fault at once."""
        try:
            return cls.model_validate(dict(values)).check()
        except ValidationError as error:
            raise settings_error(error) from None

    @classmethod
    def from_preset(cls, preset: str = "plain", **settings: Any) -> TrainConfig:
        """The preset's settings with ``settings`` laid over them. Raises ConfigError."""
        if preset not in PRESETS:
            names = ", ".join(PRESETS)
            raise ConfigError("unknown-preset", name=preset, names=names)
        values = {**PRESETS[preset], **settings, "preset": preset}
        if values.get("architecture", RESNET18) != RESNET18:
            values.setdefault("norm", OWN)
        if (size := _whole(settings.get("image_size"))) is not None:  # sizes that the person did not name follow the one that they did
            if "eval_resize" not in settings:
                base = {**_defaults(), **PRESETS[preset]}
                values["eval_resize"] = min(round(size * base["eval_resize"] / base["image_size"]), _most("eval_resize"))
                if base["eval_size"] and "eval_size" not in settings:
                    seen = round(size * base["eval_size"] / base["image_size"] / 8) * 8
                    values["eval_size"] = values["eval_resize"] = min(seen, _most("eval_size"))
            if "first_image_size" not in settings:
                values["first_image_size"] = min(values.get("first_image_size", 0), size)
        return cls.parse(values)

    def differences(self, other: TrainConfig) -> dict[str, tuple[Any, Any]]:
        """The settings in which the two differ: name → (own value, the other's)."""
        mine, theirs = self.model_dump(), other.model_dump()
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


def parse_settings(pairs: Iterable[str]) -> dict[str, str]:
    """Split ``key=value`` words, as ``--set`` takes them. Raises ConfigError naming every wrong one."""
    settings, faults = {}, []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            faults.append(f"'{pair}' is not of the form key=value")
        elif key not in TrainConfig.model_fields:
            near = difflib.get_close_matches(key, TrainConfig.model_fields, n=1)
            faults.append(f"there is no setting '{key}'" + (f" (did you mean '{near[0]}'?)" if near else ""))
        elif key == "preset":
            faults.append("the preset is chosen with --preset")
        else:
            settings[key] = value.strip()
    if faults:
        raise _faults(faults)
    return settings


def _defaults() -> dict[str, Any]:
    return {name: field.default for name, field in TrainConfig.model_fields.items()}


def _most(name: str) -> int:
    """The largest value that a setting may have."""
    return next(bound.le for bound in TrainConfig.model_fields[name].metadata if hasattr(bound, "le"))


def _whole(value: Any) -> int | None:
    """A number of pixels, also as text; None for what is none, which validation then refuses."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**5 else None


def _shown(value: Any) -> str:
    try:
        return str(value)[:60]
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a very large number"


def settings_error(error: ValidationError) -> ConfigError:
    """Every fault that pydantic found, in one error."""
    faults = []
    for fault in error.errors(include_url=False):
        name = ".".join(str(part) for part in fault["loc"])
        reason = fault["msg"].removeprefix("Value error, ")
        reason = reason[:1].lower() + reason[1:]
        if fault["type"] == "extra_forbidden":
            reason = "there is no such setting"
        given = "" if not name or fault["type"] == "extra_forbidden" else f" (given: {_shown(fault['input'])})"
        faults.append(f"{name}: {reason}{given}" if name else reason)
    return _faults(faults)


def _faults(faults: list[str]) -> ConfigError:
    listed = "; ".join(faults)
    return ConfigError("bad-settings", faults=listed)
