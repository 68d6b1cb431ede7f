"""The types of what a checkpoint records about its origin and its measurements, which cards and answers format.

A checkpoint may come from somebody else: a text in the place of an accuracy is found when it is opened, not when a page shows it.
Entries that are not listed here may have any value.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, ValidationError

from fruitvision.data.fruits import MAX_CLASSES
from fruitvision.errors import faults_of

Number = StrictFloat  # whole numbers too
Count = Annotated[StrictInt, Field(ge=0)]
Texts = list[StrictStr] | tuple[StrictStr, ...]


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow")


class Metrics(_Record):
    """Metrics on one set of pictures. Accuracies are fractions."""

    images: Count = 0
    top1: Number | None = None
    top3: Number | None = None
    loss: Number | None = None
    macro_recall: Number | None = None
    ece: Number | None = None
    answered: Number | None = None
    answered_top1: Number | None = None
    not_fruit_accepted: Number | None = None


class SourceMetrics(_Record):
    """Metrics on one source that was left out of training."""

    images: Count
    top1: Number | None
    top3: Number | None
    sure: Number | None
    sure_right: Number | None


class TypeMetrics(_Record):
    """Metrics on the pictures of one fruit type, and how many of them were taken for which other types."""

    images: Count
    recall: Number
    taken_for: Annotated[dict[str, Count], Field(max_length=MAX_CLASSES)]


class LeftOut(_Record):
    """Metrics on sources that were left out of training, see :mod:`fruitvision.recognition.evaluate.left_out`."""

    top1: Number | None
    top3: Number | None
    ece: Number | None
    images: Count
    sources: Count
    sure: Number | None
    sure_right: Number | None
    unknown_kinds_sure: Number | None
    not_fruit_sure: Number | None
    very_sure: Number | None = None
    very_sure_right: Number | None = None
    very_sure_from: Number | None = None
    per_source: dict[str, SourceMetrics]
    per_kind: Annotated[dict[str, TypeMetrics], Field(max_length=MAX_CLASSES)]


class Credit(_Record):
    """The source of some of the pictures, its repository and its licence."""

    source: str
    repository: str
    licence: str


class Dataset(_Record):
    """The training pictures."""

    name: StrictStr = ""
    synthetic: bool = False
    photographed: dict[str, Count] = {}
    sources: Texts = []
    beside: Texts = []
    credits: list[Credit] | tuple[Credit, ...] = []


class Training(_Record):
    """The settings of the training; all of them in :class:`fruitvision.training.config.TrainConfig`."""

    command: StrictStr = ""
    seed: StrictInt = 0
    box_margin: Annotated[Number, Field(ge=0, le=1)] = 0


class Import(_Record):
    """The origin of an imported network."""

    file: StrictStr
    sha256: StrictStr
    head: Texts
    classes_from: StrictStr
    calibrated_on: StrictStr


class _Records(_Record):
    metrics: dict[str, Metrics] = {}
    left_out: LeftOut | None = None
    dataset: Dataset = Dataset()
    training: Training = Training()
    imported: Import | None = None


def check_records(config: BaseModel) -> None:
    """Check the types of all records of a checkpoint's configuration; each may be empty. Raises Fault, which names the first entry."""
    found: dict[str, Any] = {name: getattr(config, name) for name in _Records.model_fields}
    try:
        _Records.model_validate({name: value for name, value in found.items() if value})
    except ValidationError as error:
        raise faults_of(error)[0] from error
