"""``train`` and ``stop``: begin, resume and stop a run."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fruitvision.cli.console import log_follower, print_result, progress, synthetic_note
from fruitvision.cli.options import Boxes, Depth, Json, LeaveOut, NotFruit, Photos, Settings, absolute
from fruitvision.errors import ConfigError, quoted
from fruitvision.training import DEFAULT_PRESET
from fruitvision.wording.text import plain

if TYPE_CHECKING:
    from fruitvision.data.read.layouts.found import Listing
    from fruitvision.runs.config import RunConfig
    from fruitvision.runs.folder import RunFolder

STOP_SECONDS = 60.0


def _list_settings(wanted: bool) -> None:
    if wanted:
        from fruitvision.training.config import TrainConfig
        from fruitvision.wording.text import setting

        for name, field in TrainConfig.model_fields.items():
            typer.echo(f"{name} = {field.default}\n    {setting(name, 'en')[1]}")
        raise typer.Exit()


def train(
    run: Annotated[Path, typer.Option(metavar="DIR", help="The run's folder; created if it does not exist.")],
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of class folders; without it, a drawn sample set.")] = None,
    photos: Photos = None,
    not_fruit: NotFruit = None,
    leave_out: LeaveOut = None,
    study: Annotated[Path | None, typer.Option(metavar="DIR", help="A study of `evaluate-sources` to calibrate on.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="plain, fast or robust.", show_default=DEFAULT_PRESET)] = None,
    settings: Settings = None,
    depth: Depth = None,
    boxes: Boxes = False,
    name: Annotated[str | None, typer.Option(help="The run's name in the app.", show_default="the folder's name")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in DIR exactly where it stopped.")] = False,
    list_settings: Annotated[
        bool, typer.Option("--settings", is_eager=True, callback=_list_settings, help="List every setting with its meaning.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a network, or resume training one.

    Ctrl-C stops after the current step and keeps everything.
    """
    from fruitvision.data.synthetic.sample import MARKER, sample_set
    from fruitvision.runs.config import RunConfig
    from fruitvision.runs.folder import RunFolder
    from fruitvision.runs.job.resume import use_moved_data
    from fruitvision.runs.names import free_name
    from fruitvision.runs.prepare.check import check_run
    from fruitvision.training.config import TrainConfig, parse_settings
    from fruitvision.training.distributed import torchrun_shard

    folder = RunFolder(run)
    if torchrun_shard().rank > 0:  # under torchrun only the first process prints
        _execute_in_terminal(folder, None, quiet=True)
        return
    given, listing = parse_settings(settings or []), None
    given |= {**({"class_depth": str(depth)} if depth else {}), **({"crop_boxes": "true"} if boxes else {})}
    place = run.absolute()
    name = free_name(place.parent, name, own=place.name) if name else None
    options = {"name": name, "data": data, "photos": photos, "not-fruit": not_fruit, "leave-out": leave_out, "study": study}
    if resume:
        if data and _moved(folder, data):
            use_moved_data(folder, data.absolute(), progress("Reading pictures"))
        _refuse_other_settings(folder, options, {**given, **({"preset": preset} if preset else {})})
    elif any([*options.values(), preset, given, name]) or not folder.unstarted:
        config = RunConfig(
            name=name or free_name(place.parent, place.name, own=place.name),
            data=str(data.absolute() if data else sample_set()),
            training=TrainConfig.from_preset(preset or DEFAULT_PRESET, **given),
            photos=absolute(photos),
            not_fruit=absolute(not_fruit),
            leave_out=tuple(leave_out or []),
            study=str(study.absolute()) if study else "",
        )
        listing = check_run(config)  # before the run is created
        folder.create(config)
    if not as_json:
        config = folder.config()
        drawn = " (a drawn, synthetic sample set)" if (Path(config.data) / MARKER).is_file() else ""
        print(plain(f"{folder.name}: preset {config.training.preset}, pictures from {config.data}{drawn}"), flush=True)
    finished = folder.status().state == "finished" and torchrun_shard().num_shards == 1  # other processes would wait for this one
    interrupted = not finished and _execute_in_terminal(folder, listing, quiet=as_json)
    print_result(*_result(run, folder), as_json)
    if interrupted and folder.status().state == "stopped":
        sys.exit(130)


def _execute_in_terminal(folder: RunFolder, listing: Listing | None, *, quiet: bool) -> bool:
    """Execute the run in this process, printing its log; returns whether Ctrl-C ended it.

    The first Ctrl-C (or SIGTERM) requests a stop after the current step, the second one ends the process.
    """
    from fruitvision.runs.job.loop import execute

    asked = threading.Event()

    def ask_to_stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        asked.set()
        print("Stopping after this step. Press Ctrl-C again to leave at once.", file=sys.stderr, flush=True)

    show_log = (lambda: None) if quiet else log_follower(folder.path / "log.txt")

    def on_progress() -> None:
        if asked.is_set() and folder.exists and not folder.stop_file.exists():  # on another machine the folder may not exist
            folder.request_stop()
        show_log()

    before = [signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        execute(folder.path, listing=listing, on_progress=on_progress)
    finally:
        show_log()
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    return asked.is_set()


def _result(run: Path, folder: RunFolder) -> tuple[dict[str, Any], list[str]]:
    """The final output of ``train`` as JSON and as lines."""
    from fruitvision.models.checkpoint import read_config

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
        last = f"Finished. Classify with it: python -m fruitvision predict IMAGE --checkpoint {quoted([str(folder.best)])}"
        return result, [*synthetic_note(read_config(folder.best).dataset), last]
    return result, [f"Stopped; everything is kept. Resume with: python -m fruitvision train --run {quoted([str(run)])} --resume"]


def _moved(folder: RunFolder, data: Path) -> bool:
    """Whether a resumed run has to read its pictures from another folder than before."""
    if not folder.exists or str(data.absolute()) == folder.config().data:
        return False
    return folder.status().state != "finished" or not Path(folder.config().data).exists()


def _refuse_other_settings(folder: RunFolder, options: dict[str, Any], given: dict[str, str]) -> None:
    """On resume the folder's configuration is used. Raises ConfigError "resume-differs" for options that differ from it."""
    from fruitvision.training.config import TrainConfig

    config = folder.config()
    wanted = TrainConfig.parse({**config.training.model_dump(), **given})
    changes = {name: (theirs, mine) for name, (mine, theirs) in wanted.differences(config.training).items()}
    for name, stands in _folders(config).items():
        asked = options[name]
        if isinstance(asked, Path):
            asked = str(asked.absolute())
        elif isinstance(asked, list):
            asked = tuple(str(one.absolute()) if isinstance(one, Path) else one for one in asked)
        if asked and asked != stands:
            changes[name] = stands, asked
    if changes:
        before, after = (", ".join(f"{name}={_listed(pair[side])}" for name, pair in changes.items()) for side in (0, 1))
        raise ConfigError("resume-differs", path=str(folder.path), stands=before, given=after)


def _folders(config: RunConfig) -> dict[str, str | tuple[str, ...]]:
    """The options of ``train`` that are not training settings, as they are in a configuration."""
    return {
        "name": config.name,
        "data": config.data,
        "photos": config.photos,
        "not-fruit": config.not_fruit,
        "leave-out": config.leave_out,
        "study": config.study,
    }


def _listed(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def stop(
    run: Annotated[Path, typer.Option(metavar="DIR", help="The folder of a run, or of a study.")],
    force: Annotated[bool, typer.Option("--force", help="Kill its process at once, if it is not responding.")] = False,
    as_json: Json = False,
) -> None:
    """Stop a run after its current step.

    It keeps everything and can be resumed; after --force, from its last save.
    """
    from fruitvision.comparison.study import StudyFolder, run_of_source_study
    from fruitvision.runs import launcher
    from fruitvision.runs.folder import RunFolder

    of_sources = run_of_source_study(run)
    folder, study = of_sources or RunFolder(run), StudyFolder(run)
    is_study = study.exists and of_sources is None
    name = study.plan().name or study.id if is_study else folder.name
    active = folder.status().active
    if force:
        folder.end()
    else:
        launcher.stop(folder, wait=STOP_SECONDS)
    status = folder.status()
    if not active:
        line = f"{name} is not running: it is {status.state}."
    elif not status.responding:
        again = quoted(["stop", "--run", str(run), "--force"])
        line = f"{name} is not responding. Kill its process with: python -m fruitvision {again}"
    elif status.active:
        line = f"{name} will stop after its current step."
    else:
        again = quoted(["compare", "--out", str(run)] if is_study else ["train", "--run", str(run), "--resume"])
        done = "been killed" if force else "stopped"
        line = f"{name} has {done}. Resume with: python -m fruitvision {again}"
        if of_sources:
            line = f"{name} has {done}, and its study with it. Repeat the command evaluate-sources to continue."
    result = {"run": str(run), "state": status.state, "was_active": active, "responding": status.responding}
    print_result(result, [line], as_json)
    if active and not status.responding:
        raise typer.Exit(1)
