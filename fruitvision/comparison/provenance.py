"""The provenance of a study's results: command, pictures, machine, date and versions."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fruitvision.data.read.layouts.found import Listing
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import DataError, quoted
from fruitvision.models.checkpoint import versions
from fruitvision.runs.counts import PictureCounts

if TYPE_CHECKING:
    import torch

    from fruitvision.comparison.study import StudyPlan


def provenance(plan: StudyPlan) -> dict[str, Any]:
    """The content of ``about.json``: command, machine, date, versions, pictures, and the split each epoch is evaluated on.

    Raises TrainingError "device-missing", and DataError if the pictures are missing.
    """
    from fruitvision.training.device import choose_device

    counts, classes = picture_counts(plan)
    device = choose_device(plan.trials()[0].training.device)
    return {
        "command": command(plan),
        "data": Path(plan.data).name,
        "classes": classes,
        "train_images": counts["train"],
        "measured_images": counts["measured"],
        "measured_on": measured_on(plan),
        "machine": machine(device),
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions(),
        "rate_rule": plan.rate_rule,
        "settings": plan.settings(),
    }


def command(plan: StudyPlan) -> str:
    """The command line that repeats the study."""
    listed = {"norms": plan.norms, "batch-sizes": plan.batch_sizes, "seeds": plan.seeds}
    words = ["--data", Path(plan.data).name, "--out", "DIR"]
    words += [word for name, values in listed.items() for word in (f"--{name}", ",".join(map(str, values)))]
    words += ["--rate-rule", plan.rate_rule] if plan.rate_rule != "same" else []
    words += [word for name, value in plan.training.items() for word in ("--set", f"{name}={value}")]
    return f"python -m fruitvision compare {quoted(words)}"


def machine(device: torch.device) -> str:
    """For example "Linux x86_64, AMD EPYC 7B13, 2 cores", and the GPU where it is used."""
    parts = [f"{platform.system()} {platform.machine()}", _processor(), f"{os.cpu_count()} cores"]
    if device.type == "cuda":
        import torch

        parts.append(torch.cuda.get_device_name(device))
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    """The name of the processor: from /proc on Linux, elsewhere from Python, which may not know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def study_pictures(plan: StudyPlan) -> Listing:
    """The listing of a study's pictures. Raises DataError, "study-unvalidated" if none can be spared to compare the networks on."""
    training = plan.trials()[0].training
    listing = list_pictures(plan.data, depth=training.class_depth, boxes=training.boxes)
    splits = {file.split for file in listing.files}
    counts = Counter(file.folder for file in listing.files if file.split == "train")
    tested = {"val", "test"} & splits if not training.val_fraction else {"val"} & splits
    spare = max(counts.values(), default=0) - (splits == {"train"})
    if not tested and spare < 2:
        raise DataError("study-unvalidated", folder=plan.data)
    return listing


def picture_counts(plan: StudyPlan) -> tuple[dict[str, int], int]:
    """({"train": …, "measured": …}, number of classes): the numbers of pictures for training and for the evaluation of each epoch.

    Raises DataError.
    """
    training, files = plan.trials()[0].training, study_pictures(plan).files
    counts = PictureCounts.of(Counter(file.split for file in files), training)
    return {"train": counts.train, "measured": counts.validation}, len({file.folder for file in files})


def measured_on(plan: StudyPlan) -> str:
    """The split that each epoch is evaluated on, "test" or "validation"; the latter if the data no longer exists."""
    try:
        splits = {file.split for file in study_pictures(plan).files}
    except DataError:
        return "validation"
    return "test" if "val" not in splits and plan.trials()[0].training.val_fraction == 0 else "validation"
