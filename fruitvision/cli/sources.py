"""``evaluate-sources``: leave sources of photos out of training, and score them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fruitvision.cli.console import print_result
from fruitvision.cli.options import Json, LeaveOut, NotFruit, Photos, Settings, absolute
from fruitvision.errors import UsageError
from fruitvision.wording.text import plain


def evaluate_sources(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The study's folder; an interrupted study is resumed.")],
    photos: Photos = None,
    not_fruit: NotFruit = None,
    leave_out: LeaveOut = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of class folders; without it, a drawn sample set.")] = None,
    groups: Annotated[int, typer.Option(min=0, max=1000, help="How many groups the sources are divided into; 0: one each.")] = 4,
    together: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Sources to leave out together; may be repeated.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Only fit a last layer to features of the initial weights: minutes.")] = False,
    checkpoint: Annotated[str | None, typer.Option(help="Train nothing: score this network on sources that it was not trained on.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Record temperature, thresholds and metrics in that checkpoint.")] = False,
    preset: Annotated[str, typer.Option(metavar="NAME", help="plain, fast or robust.")] = "robust",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Leave sources of photos out, and score them.

    They are left out in turn: for each group of sources a network is trained on all
    the others, as by `train`. The table is by fruit type.
    """
    from fruitvision.comparison.left_out import answers_of_checkpoint, study_sources, table_lines, write_table
    from fruitvision.data.synthetic.sample import sample_set
    from fruitvision.models.checkpoint import find_checkpoint, record_calibration
    from fruitvision.recognition.evaluate.left_out import calibrate_on_sources, summarize_sources
    from fruitvision.runs.config import RunConfig
    from fruitvision.runs.prepare.check import check_networks
    from fruitvision.runs.prepare.sources import find_sources
    from fruitvision.training.config import TrainConfig, parse_settings

    if record and not checkpoint:
        raise UsageError("record-nothing")
    given = {"photo_validation": "pictures", **parse_settings(settings or [])}
    config = RunConfig(
        name="sources",
        data=str(data.absolute() if data else sample_set()),
        training=TrainConfig.from_preset(preset, **given),
        photos=absolute(photos),
        not_fruit=absolute(not_fruit),
        leave_out=tuple(leave_out or []),
    )
    find_sources(config)
    check_networks(config)
    say = (lambda line: None) if as_json else (lambda line: print(plain(line), flush=True))
    if checkpoint:
        place = find_checkpoint(checkpoint)
        answers = answers_of_checkpoint(place, config, say)
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
    print_result(result, lines, as_json)
