"""Start a run with the panel's settings, all of which are validated before anything is written. Without gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fruitvision.data.read.dataset import refuse_classes
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import ConfigError, DataError
from fruitvision.files import clean_path
from fruitvision.recognition.taught.transfer import class_folders
from fruitvision.runs import launcher
from fruitvision.runs.config import MAX_PROCESSES
from fruitvision.runs.folder import RunConfig, RunFolder
from fruitvision.training.config import TrainConfig
from fruitvision.training.settings import GROUPS
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.datasets import SAMPLE
from fruitvision.ui.train.settings import FIELDS, configuration, preset_values

TAUGHT_PRESET = "robust"
MAX_PATH_LENGTH = 4096
"""Longer paths are truncated; file systems allow no longer ones."""


@dataclass(frozen=True)
class Form:
    """The values of the setup panel."""

    data: str
    """The id of a dataset, see :class:`Datasets`."""
    folder: str
    """The typed path, if ``data`` is ``TYPED``."""
    photos: str
    not_fruit: str
    """The typed paths of folders of photos, and of pictures without fruit; empty for none."""
    preset: str
    processes: float | None
    name: str
    values: Sequence[Any]
    """The values of the settings, in the order of ``FIELDS``."""

    @classmethod
    def of(
        cls, data: str, folder: str | None, photos: str | None, not_fruit: str | None, preset: str, processes: Any, name: str, *values: Any
    ) -> Form:
        """From the values of the components, in the order of ``SetupPanel.form``."""
        folder, photos, not_fruit = ((typed or "")[:MAX_PATH_LENGTH] for typed in (folder, photos, not_fruit))
        return cls(data, folder, photos, not_fruit, preset, processes, name, values)


def start_run(context: Context, form: Form, more_photos: tuple[str, ...] = ()) -> RunFolder:
    """Validate the form, and start the run's process, or processes. Raises FruitVisionError before anything is written.

    ``more_photos``: further folders of photos.
    """
    from fruitvision.runs.prepare.check import check_run

    launcher.refuse_if_busy(context.runs)
    processes = form.processes
    if processes is None or not 1 <= processes <= MAX_PROCESSES or processes != int(processes):
        raise ConfigError("bad-processes", given="–" if processes is None else processes, most=MAX_PROCESSES)
    path, training = data_and_config(context, form)
    config = RunConfig(
        name=" ".join((form.name or "").split()) or f"{'sample' if form.data == SAMPLE else path.name}-{form.preset}",
        data=str(path.absolute()),
        training=training,
        photos=_typed(form.photos) + more_photos,
        not_fruit=_typed(form.not_fruit),
        processes=int(processes),
    )
    check_run(config)
    return launcher.start(context.runs, config)


def start_with_taught(context: Context, form: Form) -> RunFolder:
    """Start a run of the preset robust on the chosen data, with the pictures taught in Classify as photos."""
    launcher.refuse_if_busy(context.runs)
    store = context.teaching.store
    if not store.index().pictures:
        raise DataError("nothing-taught")
    given, preset = (dict(zip(FIELDS, values, strict=True)) for values in (form.values, preset_values(TAUGHT_PRESET)))
    values = {**preset, **{name: given[name] for name in GROUPS["data"]}}  # how the data is understood is not the preset's
    form = replace(form, preset=TAUGHT_PRESET, values=list(values.values()), processes=1)
    return start_run(context, form, (str(class_folders(store, context.runs)),))


def data_and_config(context: Context, form: Form) -> tuple[Path, TrainConfig]:
    """The folder of pictures and the configuration. Raises FruitVisionError if either is invalid."""
    config = configuration(form.preset, form.values)
    if context.datasets.scan(form.data, form.folder, depth=config.class_depth, boxes=config.boxes).error:
        context.datasets.scan(form.data, form.folder, depth=config.class_depth, boxes=config.boxes, again=True)
    path = context.datasets.path(form.data, form.folder)
    if form.data != SAMPLE:
        # raises the errors that the run would raise, before its folder is created
        refuse_classes(list_pictures(path, depth=config.class_depth, boxes=config.boxes))
    return path, config


def _typed(folder: str) -> tuple[str, ...]:
    """A typed folder as an absolute path; empty if nothing was typed."""
    return (str(clean_path(folder).absolute()),) if folder.strip() else ()
