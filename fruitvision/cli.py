"""The commands of ``python -m fruitvision``: each a few lines over the rooms below.

Every command gives its result once: with ``--json`` as one JSON object, otherwise as a few lines to read. What it
imports, it imports when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fruitvision.console import ManyValues, give, progress, run_to_its_end, say_time, write_report
from fruitvision.errors import ConfigError, PictureError, UsageError, quoted

if TYPE_CHECKING:
    from fruitvision.runs.folder import RunFolder

DEFAULT_PRESET = "fast"
STOP_SECONDS = 60.0

app = typer.Typer(
    help="FruitVision: train a network that recognises fruit, measure it, ask it. The browser app is `python app.py`.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Look at, fetch or draw a folder of pictures.", rich_markup_mode=None)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Checkpoint = Annotated[
    str | None,
    typer.Option(help="A checkpoint folder (a run's best/), or the name of a shipped one.", show_default="the app's own"),
]
Views = Annotated[
    Literal["one", "mirror", "middle"] | None,
    typer.Option(help="Look at each picture once, at its mirror image too, or at its middle too.", show_default="the checkpoint's own"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated. `--settings` lists them."),
]

Photos = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Photos beside the data: a folder of fruit types, or of sources that each hold such folders."),
]
NotFruit = Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Pictures that hold no fruit: a folder of them, or of sources.")]
LeaveOut = Annotated[
    list[str] | None, typer.Option(metavar="SOURCE", help="A source of photos, by its folder's name, that is not learned.")
]


# data ----------------------------------------------------------------------------------------------------------


@data_app.command("scan")
def data_scan(folder: Annotated[Path, typer.Argument(metavar="DIR")], as_json: Json = False) -> None:
    """Report classes, counts and problems.

    Every picture is decoded once; each file that cannot be used is named.
    """
    from fruitvision.data.read.store import open_dataset

    dataset, _ = open_dataset(folder, progress=progress("Reading pictures"))
    counts = dataset.counts()
    lines = [f"{dataset.name}: {len(dataset.classes)} classes, layout {dataset.layout}"]
    lines += ["Synthetic: these pictures were drawn, not photographed."] if dataset.synthetic else []
    lines += [f"  {split}: {sum(by_class.values())} pictures" for split, by_class in counts.items()]
    lines += [f"  {problem.kind}: {problem.path} {problem.detail}".rstrip() for problem in dataset.problems]
    lines += [f"{len(dataset.problems)} problems found." if dataset.problems else "No problems found."]
    result = {
        "root": str(dataset.root),
        "name": dataset.name,
        "layout": dataset.layout,
        "synthetic": dataset.synthetic,
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "images": {split: sum(by_class.values()) for split, by_class in counts.items()},
        "counts": counts,
        "problems": [{"path": p.path, "kind": p.kind, "detail": p.detail} for p in dataset.problems],
    }
    give(result, lines, as_json)


@data_app.command("download")
def data_download(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    source: Annotated[str, typer.Option(help="github, or kaggle (needs a Kaggle key).")] = "github",
    url: Annotated[str | None, typer.Option(help="Another address of the archive.")] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="Unpack no other archive than this. A download.json says which one it was.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch Fruits-360 into DIR.

    From its public mirror; a download that was broken off goes on where it stopped.
    """
    from fruitvision.data.fetch.download import archive_sha256, download_fruits360

    path = download_fruits360(folder, source=source, url=url, sha256=sha256, progress=progress("Downloading"))
    found = archive_sha256(path)
    lines = [f"Fruits-360 lies in {path}", f"The archive's SHA-256: {found or 'not known'}"]
    lines += [f"Next: python -m fruitvision data scan {quoted([str(path)])}"]
    give({"root": str(path), "sha256": found or None}, lines, as_json)


@data_app.command("sample")
def data_sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    train_per_class: Annotated[int, typer.Option(min=1, max=10_000)] = 40,
    test_per_class: Annotated[int, typer.Option(min=1, max=10_000)] = 10,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Pixels on a side.")] = 100,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Draw a small synthetic fruit set into DIR."""
    from fruitvision.data.synthetic.sample import draw_sample

    path = draw_sample(folder, train_per_class=train_per_class, test_per_class=test_per_class, size=size, seed=seed)
    classes = sorted(entry.name for entry in (path / "Training").iterdir())
    lines = [f"Drew {len(classes)} kinds of synthetic fruit into {path}"]
    give({"root": str(path), "classes": classes, "synthetic": True, "seed": seed}, lines, as_json)


# train, stop -----------------------------------------------------------------------------------------------------


def _list_settings(wanted: bool) -> None:
    if wanted:
        from fruitvision.training.config import TrainConfig
        from fruitvision.wording.text import setting

        for name, field in TrainConfig.model_fields.items():
            typer.echo(f"{name} = {field.default}\n    {setting(name, 'en')[1]}")
        raise typer.Exit()


@app.command(cls=ManyValues)
def train(
    run: Annotated[Path, typer.Option(metavar="DIR", help="The run's folder; made when it is not there.")],
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of class folders; without it, a drawn sample set.")] = None,
    photos: Photos = None,
    not_fruit: NotFruit = None,
    leave_out: LeaveOut = None,
    study: Annotated[Path | None, typer.Option(metavar="DIR", help="A study of `evaluate-sources`, by which it is calibrated.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="plain, fast or robust.", show_default=DEFAULT_PRESET)] = None,
    settings: Settings = None,
    name: Annotated[str | None, typer.Option(help="What the app calls the run.", show_default="the folder's name")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR exactly where it stopped.")] = False,
    list_settings: Annotated[
        bool, typer.Option("--settings", is_eager=True, callback=_list_settings, help="List every setting with its meaning.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a network, or go on training one.

    Ctrl-C stops after the current step and keeps everything.
    """
    from fruitvision.data.read.listing import list_pictures
    from fruitvision.data.synthetic.sample import MARKER, sample_set
    from fruitvision.runs.folder import RunConfig, RunFolder
    from fruitvision.runs.preparation import check_beside
    from fruitvision.training.config import TrainConfig, parse_settings
    from fruitvision.training.distributed import torchrun_share

    folder, given = RunFolder(run), parse_settings(settings or [])
    if torchrun_share().rank > 0:  # one of several that torchrun started: the first one reads, writes and speaks
        run_to_its_end(folder, quiet=True)
        return
    if resume:
        _refuse_other_settings(folder, data, photos, not_fruit, leave_out, study, preset, given)
    else:
        training = TrainConfig.from_preset(preset or DEFAULT_PRESET, **given)
        source = data.absolute() if data else sample_set()
        config = RunConfig(
            name=name or run.absolute().name,
            data=str(source),
            training=training,
            photos=tuple(str(place.absolute()) for place in photos or []),
            not_fruit=tuple(str(place.absolute()) for place in not_fruit or []),
            leave_out=tuple(leave_out or []),
            study=str(study.absolute()) if study else "",
        )
        list_pictures(source)  # what is wrong with them is said before there is a run
        check_beside(config)
        folder.create(config)
    if not as_json:
        config = folder.config()
        drawn = " (a drawn, synthetic sample set)" if (Path(config.data) / MARKER).is_file() else ""
        print(f"{folder.name}: preset {config.training.preset}, pictures from {config.data}{drawn}", flush=True)
    finished = folder.status().state == "finished" and torchrun_share().of == 1  # others would wait for this one
    stopped_by_hand = not finished and run_to_its_end(folder, quiet=as_json)
    status, tests = folder.status(), folder.metrics("test")
    result = {
        "run": str(run),
        "state": status.state,
        "epoch": status.epoch,
        "epochs": status.epochs,
        "best_val_accuracy": status.best_val_accuracy,
        "test": tests[-1] if tests else None,
        "checkpoint": str(folder.best) if folder.has_checkpoint else None,
    }
    if status.state == "finished":
        line = f"Finished. Classify with it: python -m fruitvision predict IMAGE --checkpoint {quoted([str(folder.best)])}"
    else:
        line = f"Stopped; everything is kept. Go on with: python -m fruitvision train --run {quoted([str(run)])} --resume"
    give(result, [line], as_json)
    if stopped_by_hand and status.state == "stopped":
        sys.exit(130)


@app.command("lr-find", cls=ManyValues)
def lr_find(
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of class folders; else a drawn sample set.")] = None,
    preset: Annotated[str, typer.Option(metavar="NAME", help="plain, fast or robust.")] = DEFAULT_PRESET,
    settings: Settings = None,
    steps: Annotated[int, typer.Option(min=20, max=2000, help="Steps of the test.")] = 100,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the curve there: a table, and a drawing.")] = None,
    as_json: Json = False,
) -> None:
    """Find a learning rate: it grows until the loss breaks.

    Nothing is kept of what the network learned meanwhile.
    """
    from fruitvision.runs.rate import find_rate, save_curve
    from fruitvision.training.config import TrainConfig, parse_settings

    training = TrainConfig.from_preset(preset, **parse_settings(settings or []))
    found = find_rate(data, training, steps=steps, progress=progress("Trying rates"))
    written = save_curve(out, found) if out else []
    lines = [f"Suggested: --set learning_rate={found.suggested:g}  (the preset has {training.learning_rate:g})"]
    lines += [f"Written: {path}" for path in written]
    result = {"suggested": found.suggested, "preset": training.learning_rate, "rates": found.rates, "losses": found.losses}
    give(result, lines, as_json)


def _refuse_other_settings(
    folder: RunFolder,
    data: Path | None,
    photos: list[Path] | None,
    not_fruit: list[Path] | None,
    leave_out: list[str] | None,
    study: Path | None,
    preset: str | None,
    given: dict[str, str],
) -> None:
    """On resume the folder's configuration stands: what was given beside it must agree with it."""
    from fruitvision.training.config import TrainConfig

    config = folder.config()
    wanted = TrainConfig.parse({**config.training.model_dump(), **given, "preset": preset or config.training.preset})
    changes = {name: (theirs, mine) for name, (mine, theirs) in wanted.differences(config.training).items()}
    if data and data.absolute() != Path(config.data):
        changes["data"] = (config.data, data.absolute())
    for option, places, stands in (("photos", photos, config.photos), ("not-fruit", not_fruit, config.not_fruit)):
        if places and tuple(str(place.absolute()) for place in places) != stands:
            changes[option] = (", ".join(stands) or "none", ", ".join(map(str, places)))
    if study and str(study.absolute()) != config.study:
        changes["study"] = (config.study or "none", study)
    if leave_out and tuple(leave_out) != config.leave_out:
        changes["leave-out"] = (", ".join(config.leave_out) or "none", ", ".join(leave_out))
    if changes:
        listed = ", ".join(f"{name} is {there}, not {asked}" for name, (there, asked) in changes.items())
        raise ConfigError(
            "resume-differs",
            f"The run in {folder.path} goes on as it began: {listed}.",
            "Leave these out, or start a new run.",
            changes=listed,
            path=str(folder.path),
        )


@app.command()
def stop(
    run: Annotated[Path, typer.Option(metavar="DIR", help="The folder of a run, or of a comparison.")],
    force: Annotated[bool, typer.Option("--force", help="End its process at once: for one that is not responding.")] = False,
    as_json: Json = False,
) -> None:
    """Stop a run after its current step.

    It keeps everything and can go on later; what --force ends goes on from its last save.
    """
    from fruitvision.comparison.study import StudyFolder
    from fruitvision.runs import launcher
    from fruitvision.runs.folder import RunFolder

    folder, study = RunFolder(run), StudyFolder(run)
    name = study.plan().name or study.id if study.exists else folder.name
    active = folder.status().active
    if force:
        folder.end()
    else:
        launcher.stop(folder, wait=STOP_SECONDS)
    status = folder.status()
    if not active:
        line = f"{name} is not going on: it is {status.state}."
    elif not status.responding:
        again = quoted(["stop", "--run", str(run), "--force"])
        line = f"{name} is not responding. End it with: python -m fruitvision {again}"
    elif status.active:
        line = f"{name} will stop after its current step."
    else:
        again = quoted(["compare", "--out", str(run)] if study.exists else ["train", "--run", str(run), "--resume"])
        line = f"{name} has {'been ended' if force else 'stopped'}. Go on with: python -m fruitvision {again}"
    result = {"run": str(run), "state": status.state, "was_active": active, "responding": status.responding}
    give(result, [line], as_json)


# evaluate, predict -------------------------------------------------------------------------------------------------


def _classifier(checkpoint: str | None, views: str | None) -> Any:
    import fruitvision

    classifier = fruitvision.load(checkpoint)
    return classifier.with_views(views) if views else classifier


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(metavar="DIR", help="A folder of class folders, or of fruit-type folders.")],
    checkpoint: Checkpoint = None,
    split: Annotated[str | None, typer.Option(help="train, val, test or heldout.", show_default="every picture")] = None,
    by: Annotated[str, typer.Option(help="class, or type (Apple, Banana, ...).")] = "class",
    not_fruit: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures that must be refused.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write it there too: a page to read in a browser, and tables.")] = None,
    lang: Annotated[Literal["en", "zh"], typer.Option(help="The language in which the page opens.")] = "en",
    record: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep the figures in the checkpoint and its card, as measured on NAME.")
    ] = None,
    views: Views = None,
    as_json: Json = False,
) -> None:
    """Score a labelled folder of pictures.

    Accuracy, what was refused, and how far confidence can be believed.
    """
    from fruitvision.models.checkpoint import record_metrics
    from fruitvision.recognition.evaluate.evaluation import evaluate_in_detail

    if record and views:
        raise UsageError("record-views", "Figures are kept of a checkpoint as it answers by itself.", "Leave --views or --record out.")
    classifier = _classifier(checkpoint, views)
    examination = evaluate_in_detail(
        classifier,
        data,
        split=split,
        by=by,
        not_fruit=not_fruit,
        progress=progress("Asking the network"),
    )
    result = examination.summary
    lines = [f"{result['images']} pictures from {data}, by {by}"]
    for key in ("top1", "top3", "macro_recall", "ece", "answered", "answered_top1", "not_fruit_accepted"):
        if result.get(key) is not None:
            lines.append(f"  {key:<20}{result[key]:8.2%}")
    if result["unknown_folders"]:
        lines.append(f"  left out, names not known: {', '.join(result['unknown_folders'])}")
    if report:
        from fruitvision.report.page import write_report as write_page

        lines.append(f"Written: {write_page(report, examination, lang)}")
        lines += [f"Written: {path}" for path in write_report(report, result)]
    if record:
        figures = {key: value for key, value in result.items() if isinstance(value, int | float | None)}
        record_metrics(classifier.path, record, figures)
        lines.append(f"Recorded as '{record}' in {classifier.path}")
    give(result, lines, as_json)


@app.command("evaluate-sources", cls=ManyValues)
def evaluate_sources(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The study's folder; it goes on where it was broken off.")],
    photos: Photos = None,
    not_fruit: NotFruit = None,
    leave_out: LeaveOut = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of class folders; without it, a drawn sample set.")] = None,
    groups: Annotated[int, typer.Option(min=0, max=1000, help="Into how many groups the sources are parted; 0: each alone.")] = 4,
    together: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Sources that are left out together; may be repeated.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Fit a last layer alone, in minutes, to what the first weights see.")] = False,
    checkpoint: Annotated[str | None, typer.Option(help="Train nothing: ask this network about sources it never learned.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Keep temperature, thresholds and figures in that checkpoint.")] = False,
    preset: Annotated[str, typer.Option(metavar="NAME", help="plain, fast or robust.")] = "robust",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Leave sources of photos out, and score them.

    They are left out in turn: for each group of sources a network is trained on all
    the others, as `train` would. The table is by fruit type.
    """
    from fruitvision.comparison.left_out import answers_of_checkpoint, study_sources, table_lines, write_table
    from fruitvision.data.synthetic.sample import sample_set
    from fruitvision.models.checkpoint import find_checkpoint, record_calibration
    from fruitvision.recognition.evaluate.left_out import calibrate_on_sources, summarize_sources
    from fruitvision.runs.folder import RunConfig
    from fruitvision.runs.preparation import check_beside
    from fruitvision.training.config import TrainConfig, parse_settings

    if record and not checkpoint:
        raise UsageError("record-nothing", "There is no checkpoint to keep the figures in.", "Name one with --checkpoint.")
    given = {"photo_validation": "pictures", **parse_settings(settings or [])}
    config = RunConfig(
        name="sources",
        data=str(data.absolute() if data else sample_set()),
        training=TrainConfig.from_preset(preset, **given),
        photos=tuple(str(place.absolute()) for place in photos or []),
        not_fruit=tuple(str(place.absolute()) for place in not_fruit or []),
        leave_out=tuple(leave_out or []),
    )
    check_beside(config)
    say = (lambda line: None) if as_json else (lambda line: print(line, flush=True))
    if checkpoint:
        place = find_checkpoint(checkpoint)
        answers = answers_of_checkpoint(place, config, log=say)
    else:
        bundles = [names.split(",") for names in together or []]
        answers = study_sources(config, out, groups=groups, together=bundles, frozen=frozen, log=say)
    temperature, thresholds = calibrate_on_sources(answers)
    result = summarize_sources(answers, temperature, thresholds)
    lines = [*table_lines(result), f"Written: {write_table(out, result)}"]
    if record and checkpoint:
        result["itself"] = True
        record_calibration(place, temperature, thresholds, result)
        lines.append(f"Recorded in {place}")
    give(result, lines, as_json)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...")],
    checkpoint: Checkpoint = None,
    views: Views = None,
    as_json: Json = False,
) -> None:
    """Say what is in each picture. One that cannot be read is named; the others are answered all the same."""
    classifier = _classifier(checkpoint, views)
    answers, failed = [], 0
    for image in images:
        try:
            answer = classifier.predict(image)
        except PictureError as error:
            failed += 1
            print(f"Error: {error}", file=sys.stderr)
            answers.append({"image": str(image), "error": error.as_dict()})
            continue
        top = [{"label": g.label, "fruit_type": g.fruit_type, "probability": g.probability} for g in answer.top]
        answers.append(
            {
                "image": str(image),
                "label": answer.label,
                "fruit_type": answer.fruit_type,
                "confidence": answer.confidence,
                "verdict": answer.verdict,
                "top": top,
            }
        )
    lines = [_answer_line(answer) for answer in answers if "error" not in answer]
    give({"predictions": answers}, lines, as_json)
    if failed:
        raise typer.Exit(1)


@app.command()
def export(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Pictures on which the file is checked against torch.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the file is written.")],
    checkpoint: Checkpoint = None,
    file_format: Annotated[Literal["onnx", "onnx-int8"], typer.Option("--format", help="float32, or a quarter of its size.")] = "onnx",
    count: Annotated[int, typer.Option(min=1, help="How many of the pictures are looked at.")] = 64,
    as_json: Json = False,
) -> None:
    """Write the network as one ONNX file.

    It answers without torch; --checkpoint FILE takes it wherever a checkpoint is asked for pictures. onnx-int8 takes the
    ranges of its numbers from training pictures, where the folder has them, and is checked on the others. Needs onnx,
    onnxscript and onnxruntime.
    """
    from fruitvision.data.read.listing import list_pictures
    from fruitvision.models.checkpoint import find_checkpoint, load_checkpoint
    from fruitvision.models.export import export_onnx

    network, config = load_checkpoint(find_checkpoint(checkpoint))
    listing = list_pictures(data, need_training=False)

    def some(training: bool) -> list[Path]:
        found = [file for file in listing.files if (file.split == "train") == training] or listing.files
        return [listing.root / file.path for file in found[:: max(1, len(found) // count)][:count]]

    check = export_onnx(network, config, some(False), out, calibration=some(True) if file_format == "onnx-int8" else ())
    size = out.stat().st_size
    lines = [
        f"{out}: {size / 1e6:.1f} MB.",
        f"Checked on {check.pictures} pictures: logits differ by {check.largest_difference:.1e} at most; "
        f"the best class agrees in {check.agreement:.1%}.",
    ]
    result = {"out": str(out), "format": file_format, "bytes": size, "pictures": check.pictures}
    give(result | {"largest_difference": check.largest_difference, "agreement": check.agreement}, lines, as_json)


def _answer_line(answer: dict[str, Any]) -> str:
    if answer["verdict"] == "not-fruit":
        return f"{answer['image']}: not a fruit that I know"
    doubt = "perhaps " if answer["verdict"] == "unsure" else ""
    return f"{answer['image']}: {doubt}{answer['fruit_type']} ({answer['label']}), {answer['confidence']:.0%}"


@app.command("teach-benchmark", cls=ManyValues)
def teach_benchmark(
    data: Annotated[Path, typer.Option(metavar="DIR", help="A folder of class folders, to be taught and asked about.")],
    shots: Annotated[
        list[str] | None, typer.Option(help="How many pictures of each class are taught, such as 1,5,10.", show_default="1,5,10")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many times they are drawn.")] = 5,
    split: Annotated[
        str | None, typer.Option(help="heldout: score that fifth, and teach from the rest.", show_default="whatever is not taught")
    ] = None,
    untaught: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Class folders that the network knows: what teaching five other types costs them.")
    ] = None,
    checkpoint: Checkpoint = None,
    as_json: Json = False,
) -> None:
    """Measure what a few taught pictures of each class do.

    Under names that the network may know, and under names that nobody knows; and what it costs kinds that were not taught.
    """
    from fruitvision.recognition.taught.benchmark import teach_benchmark as measure

    counts = _counts(_listed(shots) or ["1", "5", "10"])
    result = measure(
        _classifier(checkpoint, None),
        data,
        shots=counts,
        seeds=seeds,
        split=split,
        untaught=untaught,
        progress=progress("Asking the network"),
    )
    lines = [f"{result['images']} pictures of {result['classes']} classes from {data}, {seeds} draws"]
    for way, words in (("known", "names it may know"), ("new", "names nobody knows")):
        for count, found in result[way].items():
            lines.append(f"  {count:>3} shots, {words:<20}{found['top1']:8.2%} ± {found['sd']:.2%}  ECE {found['ece']:.2%}")
    for way, words in (("others", "five taught: others here"), ("untaught", "five taught: elsewhere")):
        for count, found in result.get(way, {}).items():
            lines.append(f"  {count:>3} shots, {words:<26}{found['before']:8.2%} → {found['after']:.2%}  ({found['change']:+.2%})")
    give(result, lines, as_json)


def _counts(words: list[str]) -> list[int]:
    if not all(word.isdecimal() and 0 < int(word) <= 1000 for word in words):
        given = ",".join(words)
        raise UsageError("bad-shots", f"'{given}' are no numbers of pictures.", "Give --shots such as 1,5,10.", given=given)
    return sorted({int(word) for word in words})


# compare ---------------------------------------------------------------------------------------------------------


@app.command(cls=ManyValues)
def compare(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the runs and the table go; unfinished ones go on.")],
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of class folders; not needed to go on.")] = None,
    norms: Annotated[
        list[str] | None, typer.Option(help="batch, layer, instance, group, none, group-ws.", show_default="the first four")
    ] = None,
    batch_sizes: Annotated[list[str] | None, typer.Option(help="Such as 32 or 2,8,32.", show_default="32")] = None,
    seeds: Annotated[list[str] | None, typer.Option(help="Such as 0 or 0,1,2.", show_default="0")] = None,
    settings: Settings = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Train the runs on a Ray cluster: its address, or 'local'. OUT must be a folder that all machines share.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train one network under several norms.

    Everything else is the same: data, order, first weights and schedule. Runs that are finished are not repeated.
    """
    from fruitvision.comparison.results import save_results, table
    from fruitvision.comparison.runner import run_study
    from fruitvision.comparison.study import StudyFolder, StudyPlan
    from fruitvision.data.read.listing import list_pictures
    from fruitvision.training.config import parse_settings

    given = {
        "norms": _listed(norms),
        "batch_sizes": _listed(batch_sizes),
        "seeds": _listed(seeds),
        "training": parse_settings(settings or []),
    }
    plan, chosen = None, {key: value for key, value in given.items() if value}
    if data or chosen or not StudyFolder(out).exists:
        if data is None:
            raise ConfigError("study-needs-data", "A new study needs pictures.", "Name a folder with --data.")
        list_pictures(data.absolute())
        plan = StudyPlan.parse({"data": str(data.absolute()), **chosen})
    study = StudyFolder(out)
    if ray is None:
        say_time(plan or study.plan(), study)
        status = run_study(plan, out)
    else:
        from fruitvision.comparison.cluster import on_ray

        status = run_study(plan, out, runner=on_ray(ray))
    save_results(out)
    rows = table(out)
    result = {"out": str(out), "state": status.state, "rows": rows.to_dict("records")}
    give(result, [rows.to_string(index=False), f"{status.state}; the table: {out / 'table.csv'}"], as_json)


def _listed(words: list[str] | None) -> list[str]:
    """``--norms batch,layer`` and ``--norms batch layer`` alike."""
    return [part.strip() for word in words or [] for part in word.split(",") if part.strip()]
