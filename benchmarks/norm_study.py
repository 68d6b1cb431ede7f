"""The study that is shipped with the Compare panel: the effect of the batch size on each norm.

    python -m benchmarks.norm_study run --data fruits-360 --out DIR
    python -m benchmarks.norm_study ship --out DIR [--out DIR ...]

``run`` selects thirty classes of Fruits-360, as benchmarks/accuracy.py does, and trains every trial as ``fruitvision compare`` does; the
same command continues a stopped study. Several folders with different ``--seeds`` may be trained in parallel. ``ship`` writes their
results, and the networks of one seed, into the package, without times and memory, since several studies shared the machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import pandas as pd
import typer

from benchmarks.accuracy import MAX_CLASSES, link_into, sample_classes
from fruitvision.comparison.results import ABOUT, MEASURED, Results, results, write_tables
from fruitvision.comparison.runner import run_study
from fruitvision.comparison.study import PLAN, StudyFolder, StudyPlan
from fruitvision.data.read.listing import list_pictures
from fruitvision.files import write_text
from fruitvision.models.checkpoint import load_checkpoint, save_checkpoint

SETTINGS = {"max_train_images": 1500, "epochs": 5, "image_size": 40, "width": 8}
BATCH_SIZES = (2, 4, 8, 32)
SHOWN_SIZES, SHOWN_SEED = (2, 32), 0
"""The trials whose networks are part of the package."""
UNMEASURED = ["seconds_per_epoch", "images_per_s", "peak_memory_mb"]

app = typer.Typer(add_completion=False)


@app.command()
def run(data: Annotated[Path, typer.Option()], out: Annotated[Path, typer.Option()], seeds: str = "0,1,2,3,4,5,6,7,8,9,10,11") -> None:
    """Train the trials of some seeds."""
    chosen = out / f"fruits-360-{MAX_CLASSES}"
    listing = list_pictures(data)
    wanted = sample_classes(listing, MAX_CLASSES)
    for file in listing.files:
        if file.folder in wanted and not (chosen / file.path).exists():
            link_into(listing, file, chosen)
    values = {"batch_sizes": BATCH_SIZES, "seeds": [int(seed) for seed in seeds.split(",")], "rate_rule": "sqrt", "training": SETTINGS}
    run_study(StudyPlan.parse({"data": str(chosen.absolute()), **values}), out / "study")


@app.command()
def ship(out: Annotated[list[Path], typer.Option()]) -> None:
    """Write the results of the studies in ``out``, which differ in their seeds, into the package."""
    studies = [StudyFolder(path / "study") for path in out]
    found = _joined([results(study) for study in studies])
    first = studies[0].plan()
    seeds = sorted(set(found.table["seed"].tolist()))
    about = found.about | {
        "command": f"python -m benchmarks.norm_study run --data fruits-360 --out DIR --seeds {','.join(map(str, seeds))}"
    }
    shutil.rmtree(MEASURED, ignore_errors=True)
    write_tables(MEASURED, found)
    write_text(MEASURED / ABOUT, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    shown = first.model_copy(update={"data": Path(first.data).name, "batch_sizes": SHOWN_SIZES, "seeds": (SHOWN_SEED,)})
    write_text(MEASURED / PLAN, shown.model_dump_json(indent=1) + "\n")
    study = next(study for study in studies if SHOWN_SEED in study.plan().seeds)
    for trial in shown.trials():
        source, target = study.run(trial), StudyFolder(MEASURED).run(trial)
        network, config = load_checkpoint(source.best)
        save_checkpoint(target.best, network, config, half=True)
        write_text(target.metrics_file, json.dumps(source.metrics("epoch")[-1]) + "\n")
    size = sum(path.stat().st_size for path in MEASURED.rglob("*") if path.is_file())
    print(f"{len(found.table)} trials, {size / 1e6:.2f} MB")


def _joined(parts: Sequence[Results]) -> Results:
    """The results of all seeds whose trials are all done."""
    table, epochs = (pd.concat(frames, ignore_index=True) for frames in ([p.table for p in parts], [p.epochs for p in parts]))
    whole = Results(table.assign(**dict.fromkeys(UNMEASURED, float("nan"))), epochs, parts[0].about)
    missing = table.drop(index=whole.done.index)["seed"]
    table, epochs = (rows[~rows["seed"].isin(missing)] for rows in (whole.table, whole.epochs))
    return Results(cast(pd.DataFrame, table), cast(pd.DataFrame, epochs), whole.about)


if __name__ == "__main__":
    app()
