"""Convert a file of weights that was trained elsewhere to a checkpoint folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import fruit_type
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import CheckpointError, FruitVisionError, UsageError
from fruitvision.models.checkpoint import CheckpointConfig, read_config, save_checkpoint, versions
from fruitvision.models.imported.hub import with_settings
from fruitvision.models.imported.names import read_class_names
from fruitvision.models.imported.network import Imported, import_network
from fruitvision.recognition.classifier import Classifier
from fruitvision.recognition.imported.pictures import PictureCheck, calibrated, check_on_pictures


@dataclass(frozen=True)
class Preparation:
    """What a file of weights does not contain: the architecture, whether its head is linear, and the preprocessing."""

    architecture: str | None = None
    no_activation: bool = False
    transform: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the evaluation transform."""


@dataclass(frozen=True)
class ImportResult:
    """The written checkpoint, and the result of the check on pictures."""

    folder: Path
    config: CheckpointConfig
    check: PictureCheck | None
    calibrated: bool


def import_checkpoint(
    weights: Path,
    folder: Path,
    *,
    data: Path | None = None,
    classes: Path | None = None,
    preparation: Preparation | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Write the network in ``weights`` as the checkpoint ``folder``, after checking it on the pictures of ``data``, if given.

    The class names come from the file ``classes``, the file of weights, the configuration beside it, or the folders of ``data``, in
    this order. If there are enough pictures, they also determine the temperature and thresholds; otherwise the temperature is 1.
    Raises CheckpointError, ConfigError, DataError, UsageError, before anything is written.
    """
    preparation = preparation or Preparation()
    _refuse_other_folder(folder)
    base = with_settings(EvalTransform(), preparation.transform)  # wrong settings are reported before a large file is read
    names = (read_class_names(classes), classes.name) if classes else None
    found = import_network(weights, preparation.architecture, no_activation=preparation.no_activation)
    transform = with_settings(found.hub.transform, preparation.transform) if found.hub.transform else base
    names, source = names or found.classes or _folder_names(data, weights)
    if len(names) != found.num_classes:
        raise CheckpointError("import-classes", path=str(found.file.path), head=found.num_classes, source=source, names=len(names))
    config = _config(found, names, source, transform)
    check, fitted = None, None
    if data is not None:
        check = check_on_pictures(Classifier(found.network, config), data, progress)
        fitted = calibrated(check, names)
        config = config.model_copy(update=_measured(config, check, data.name or str(data)))
    if check and fitted:
        pictures = f"{check.pictures} pictures" + (" that it may have been trained on" if check.seen else " of a test or validation split")
        origin = {**config.imported, "calibrated_on": f"fitted on {pictures}"}
        config = config.model_copy(update={"temperature": fitted[0], "thresholds": fitted[1], "imported": origin})
    save_checkpoint(folder, found.network, config)
    return ImportResult(folder, config, check, fitted is not None)


def _config(found: Imported, names: tuple[str, ...], source: str, transform: EvalTransform) -> CheckpointConfig:
    return CheckpointConfig(
        architecture=found.architecture,
        norm=found.norm,
        classes=names,
        fruit_types=tuple(fruit_type(name) for name in names),
        transform=transform,
        start="imported",
        versions=versions(),
        imported={
            "file": found.file.path.name,
            "sha256": found.file.sha256,
            "head": list(found.head.joined),
            "classes_from": source,
            "calibrated_on": "",
        },
    )


def _measured(config: CheckpointConfig, check: PictureCheck, name: str) -> dict[str, Any]:
    figures = {"images": check.pictures, "top1": check.accuracy}
    return {"metrics": {**config.metrics, f"{name}, a few of each class": figures}}


def _folder_names(data: Path | None, weights: Path) -> tuple[tuple[str, ...], str]:
    """The class folders of ``data`` in the order of torchvision's ImageFolder and of FruitVision."""
    if data is None:
        raise UsageError("import-no-names", path=str(weights))
    listing = list_pictures(data, need_training=False)
    first = "train" if "train" in listing.split_folders else next(iter(listing.split_folders))
    return tuple(sorted({file.folder for file in listing.files if file.split == first})), str(data)


def _refuse_other_folder(folder: Path) -> None:
    """Raise CheckpointError "import-out-exists" if the folder holds anything but an imported checkpoint."""
    if not os.path.lexists(folder):
        return
    try:
        if folder.is_dir() and (not any(folder.iterdir()) or read_config(folder).imported):
            return
    except (FruitVisionError, OSError):
        pass
    raise CheckpointError("import-out-exists", path=str(folder))
