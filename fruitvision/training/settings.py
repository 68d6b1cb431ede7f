"""The settings of a training run in groups, with type, bounds and default.

``wording/sentences/settings.toml`` has the meaning of each for the user.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from fruitvision.data.augment.transforms import Views


class PresetName(BaseModel):
    """The preset that the settings started from."""

    preset: str = Field(default="plain", pattern="^(plain|fast|robust)$")


class NetworkSettings(BaseModel):
    """The network and its first weights."""

    architecture: str = "resnet18"
    norm: str = "batch"
    width: int = Field(default=64, ge=8, le=128, multiple_of=8)  # channels after the stem; 64 is the full network
    start: str = "imagenet"  # or "shipped", "scratch", a checkpoint folder; the mean of several, separated by commas
    imagenet_head: bool = False  # initialize the last layer from ImageNet's fruit classes


class DataSettings(BaseModel):
    """How a folder of pictures is interpreted."""

    class_depth: int = Field(default=0, ge=0, le=8)  # level of the class folders below their split's; 0 is the deepest
    crop_boxes: bool = False  # take the boxes that labels draw in the pictures, each as a picture of its class
    box_margin: float = Field(default=0.1, ge=0, le=1)  # kept around a box on each side, as a share of its size

    @property
    def boxes(self) -> float | None:
        """The margin of the boxes to crop; None for whole pictures."""
        return self.box_margin if self.crop_boxes else None


class InputSettings(BaseModel):
    """The sizes of the network's input, in pixels."""

    image_size: int = Field(default=224, ge=32, le=512, multiple_of=8)
    first_image_size: int = Field(default=0, ge=0, le=512, multiple_of=8)  # in the first epoch; 0 is image_size
    eval_resize: int = Field(default=256, ge=32, le=640)  # short side, before the center crop
    eval_size: int = Field(default=0, ge=0, le=512, multiple_of=8)  # side of the center crop; 0 is image_size
    views: Views = "one"  # averaged in evaluation (test-time augmentation)


class AugmentationSettings(BaseModel):
    """The augmentation of training pictures."""

    augmentation: Literal["torchvision", "batched", "scenes", "none"] = "torchvision"
    crop_scale_min: float = Field(default=0.08, ge=0.05, le=1)  # smallest area of a random crop, as a share of the picture
    flip: float = Field(default=0.5, ge=0, le=1)  # probability
    rotation: float = Field(default=20, ge=0, le=180)  # degrees either way
    plain_share: float = Field(default=0.25, ge=0, le=1)  # "scenes": share of pictures that keep their white background
    photo_strength: float = Field(default=0.8, ge=0, le=1)  # color jitter, blur and noise of photos


class MixSettings(BaseModel):
    """Photos and pictures without fruit in addition to the dataset, and how often each is used."""

    data_repeat: float = Field(default=1.0, ge=0.01, le=100)  # "scenes": times per epoch for each picture of the data
    photo_repeat: float = Field(default=3.0, ge=0, le=100)
    not_fruit_share: float = Field(default=0.15, ge=0, le=1)  # of the pictures with fruit
    type_balance: float = Field(default=0.0, ge=0, le=1)  # "scenes": 0 samples pictures uniformly, 1 fruit types
    source_balance: float = Field(default=0.5, ge=0, le=1)  # photos: 0 samples pictures uniformly, 1 sources
    kind_pictures: int = Field(default=12, ge=1, le=10_000)  # fewest photos of a fruit type that the data does not have
    kind_sources: int = Field(default=3, ge=1, le=1000)  # fewest sources of such a type
    photo_validation: Literal["sources", "pictures"] = "sources"  # validate on whole sources, or on pictures of each
    heldout_of: str = ""  # sources whose heldout fifth is not trained on; empty: all


class LengthSettings(BaseModel):
    """The length of training, and the number of pictures."""

    epochs: int = Field(default=10, ge=1, le=1000)
    batch_size: int = Field(default=32, ge=1, le=1024)
    accumulate: int = Field(default=1, ge=1, le=64)  # batches per optimizer step
    patience: int = Field(default=0, ge=0, le=1000)  # early stopping, in epochs; 0 is off
    max_train_images: int = Field(default=0, ge=0)  # 0 uses all
    val_fraction: float = Field(default=0.1, ge=0, le=0.5)  # where there is no validation split; 0 validates on the test split


class OptimizerSettings(BaseModel):
    """The optimizer and its learning rate."""

    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0, le=1)  # the peak
    trunk_rate: float = Field(default=1.0, ge=0, le=1)  # learning rate of all but the last layer, as a share
    weight_decay: float = Field(default=1e-5, ge=0, le=1)
    decay: Literal["all", "matrices"] = "all"  # which parameters decay: "matrices" have two dimensions or more
    clip_norm: float = Field(default=5.0, ge=0, le=1000)  # largest gradient norm; 0 is off
    schedule: Literal["step", "cosine", "one-cycle", "constant"] = "step"
    step_size: int = Field(default=7, ge=1, le=1000)  # "step": epochs
    gamma: float = Field(default=0.1, gt=0, le=1)  # "step": factor
    warmup: float = Field(default=0.3, ge=0.01, le=0.9)  # "one-cycle": share of the run
    ema: float = Field(default=0.0, ge=0, lt=1)  # decay of the averaged weights; 0 is off
    freeze_epochs: int = Field(default=0, ge=0, le=1000)  # epochs in which only the last layer is trained
    freeze_stages: int = Field(default=0, ge=0, le=100)  # first stages of the trunk that are never trained


class LossSettings(BaseModel):
    """The loss and its regularization."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    balance: Literal["none", "loss", "sampler"] = "none"  # what compensates for small classes
    teacher: str = ""  # a checkpoint to distill from
    teacher_weight: float = Field(default=0.5, ge=0, le=1)  # its share of the loss
    keep_imagenet: float = Field(default=0.0, ge=0, le=10)  # weight of the regularization towards ImageNet's outputs
    norm_statistics: Literal["batch", "kept"] = "batch"  # batch norm: those of the batch, or ImageNet's running statistics


class FinalSettings(BaseModel):
    """What is done after the last epoch."""

    start_share: float = Field(default=0.0, ge=0, le=0.95)  # weight interpolation (WiSE-FT): the share of the first weights
    average_with: str = ""  # checkpoints to average weights with, separated by commas
    refit: float = Field(default=0.0, ge=0, le=10)  # fit the last layer again, from where it is; L2 penalty, 0 is off
    fit_last: float = Field(default=0.0, ge=0, le=10)  # fit the last layer to all pictures; L2 penalty, 0 is off
    fit_last_start: Literal["zero", "trained"] = "zero"  # what it is fitted from: zero (or ImageNet's classes), or the trained one


class MachineSettings(BaseModel):
    """The device and how it is used."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: int = Field(default=-1, ge=-1, le=64)  # processes that make "scenes"; -1 chooses
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    channels_last: bool = False
    compile: bool = False
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    tensorboard: bool = False
    tracker: Literal["none", "trackio", "wandb", "mlflow"] = "none"


# Group → its settings, in the order in which they are shown.
GROUPS: dict[str, tuple[str, ...]] = {
    name: tuple(group.model_fields)
    for name, group in {
        "network": NetworkSettings,
        "data": DataSettings,
        "input": InputSettings,
        "augmentation": AugmentationSettings,
        "mix": MixSettings,
        "length": LengthSettings,
        "optimizer": OptimizerSettings,
        "loss": LossSettings,
        "final": FinalSettings,
        "machine": MachineSettings,
    }.items()
}
