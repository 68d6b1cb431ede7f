"""``compare``: train one network under several norms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fruitvision.cli.console import print_result
from fruitvision.cli.options import Json, Settings, split_values
from fruitvision.errors import ConfigError

if TYPE_CHECKING:
    from fruitvision.comparison.study import StudyFolder, StudyPlan


def compare(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the runs and the table go; an unfinished study is resumed.")],
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of class folders; not needed to resume.")] = None,
    norms: Annotated[
        list[str] | None, typer.Option(help="batch, layer, instance, group, none, group-ws.", show_default="the first four")
    ] = None,
    batch_sizes: Annotated[list[str] | None, typer.Option(help="Such as 32 or 2,8,32.", show_default="32")] = None,
    seeds: Annotated[list[str] | None, typer.Option(help="Such as 0 or 0,1,2.", show_default="0")] = None,
    rate_rule: Annotated[
        str,
        typer.Option(metavar="same|sqrt|linear", help="How the learning rate follows the batch size, from that of 32 pictures."),
    ] = "same",
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
    from fruitvision.comparison.provenance import study_pictures
    from fruitvision.comparison.results import save_results, table
    from fruitvision.comparison.runner import run_study
    from fruitvision.comparison.study import StudyFolder, StudyPlan
    from fruitvision.runs.config import RunConfig
    from fruitvision.runs.prepare.check import check_networks
    from fruitvision.training.config import parse_settings

    given = {
        "norms": split_values(norms),
        "batch_sizes": split_values(batch_sizes),
        "seeds": split_values(seeds),
        "rate_rule": "" if rate_rule == "same" else rate_rule,
        "training": parse_settings(settings or []),
    }
    plan, chosen = None, {key: value for key, value in given.items() if value}
    if data or chosen or not StudyFolder(out).exists:
        if data is None:
            raise ConfigError("study-needs-data")
        plan = StudyPlan.parse({"data": str(data.absolute()), **chosen})
        study_pictures(plan)
        for trial in plan.trials():
            check_networks(RunConfig(data=plan.data, training=trial.training))
    study = StudyFolder(out)
    if ray is None:
        _say_time(plan or study.plan(), study)
        status = run_study(plan, out)
    else:
        from fruitvision.comparison.cluster import on_ray

        status = run_study(plan, out, runner=on_ray(ray))
    save_results(out)
    rows = table(out)
    result = {"out": str(out), "state": status.state, "rows": rows.to_dict("records")}
    print_result(result, [rows.to_string(index=False), f"{status.state}; the table: {out / 'table.csv'}"], as_json)


def _say_time(plan: StudyPlan, study: StudyFolder) -> None:
    """Print the estimated time for the rest of a study to standard error."""
    from fruitvision.comparison.estimate import study_seconds

    seconds = study_seconds(plan, study)
    if seconds > 0:  # false for NaN, too
        minutes = f"{max(seconds / 60, 1):.0f} min"
        print(f"About {minutes} on this machine. Ctrl-C stops; the same command resumes.", file=sys.stderr, flush=True)
