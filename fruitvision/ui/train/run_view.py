"""A run as a person reads it: where it stands, its curves, and all runs as a table. HTML, without gradio."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from fruitvision.data.synthetic.sample import MARKER
from fruitvision.files import csv_text
from fruitvision.report.charts import COLOURS, Series, line_chart
from fruitvision.runs.folder import RunConfig, RunFolder, RunStatus
from fruitvision.runs.metrics import metrics_reader
from fruitvision.training.config import PRESETS, TrainConfig
from fruitvision.wording.text import duration, say, say_error, sentences, setting

MOST_POINTS = 300
MOST_DIFFERENCES = 4
TRAIN, VALIDATION = COLOURS[5], COLOURS[1]


def status_line(run: RunFolder | None, language: str, going: RunFolder | None = None) -> str:
    """One line of words, and a bar while it goes on.

    Args:
        going: the run at work, which is named where it is not the one in view.
    """
    other = "" if going is None or going == run else " " + say("train.status_other", language, name=escape(going.name))
    if run is None:
        return _line("idle", say("train.status_idle", language) if going is None else other.strip())
    status, name = run.status(), escape(run.name)
    epochs = status.epochs or run.config().training.epochs
    facts = {"name": name, "epoch": max(status.epoch, 1), "epochs": epochs, "step": status.step, "steps": status.steps or "?"}
    if not status.responding:
        return _line("unresponsive", say("train.status_unresponsive", language, **facts) + other)
    words = say(f"train.status_{status.state}", language, **facts)
    if status.state == "failed" and status.error:
        words += " " + escape(say_error(status.error, language))
    if skipped := run.summary(status).skipped:
        words += " " + say("train.skipped", language, count=skipped)
    if status.state == "finished":
        words += " " + results(run, status, language)
    if not status.active:
        return _line(status.state, words + other)
    if status.eta_s is not None:
        words += " " + say("train.time_left", language, time=duration(status.eta_s, language))
    return _line(status.state, words, progress(status, epochs))


def progress(status: RunStatus, epochs: int) -> float:
    """The share of the run that is done, 0..1."""
    if not status.steps or not status.epoch:
        return 0.0
    return min((status.epoch - 1 + status.step / status.steps) / epochs, 1.0)


def results(run: RunFolder, status: RunStatus, language: str) -> str:
    """What a finished run measured, in words."""
    parts = []
    found = run.summary(status)
    if found.test_top1 is not None:
        parts.append(say("train.result_test", language, top1=f"{found.test_top1:.1%}", images=found.test_images))
    if is_synthetic(run):
        parts.append(say("train.result_synthetic", language))
    if status.best_val_accuracy is not None:
        parts.append(say("train.result_validation", language, top1=f"{status.best_val_accuracy:.1%}"))
    parts.append(say("train.result_time", language, time=duration(status.seconds, language)))
    return " ".join(parts)


def is_synthetic(run: RunFolder) -> bool:
    """Whether it learns from drawn pictures."""
    return (Path(run.config().data) / MARKER).is_file()


def start_line(run: RunFolder, language: str) -> str:
    """What the run learns from and started with; synthetic pictures are called so."""
    status, config = run.status(), run.config()
    start = (status.start or "").split(":")[0]
    known = {"imagenet", "shipped", "scratch"}
    words = say(f"settings.start.choices.{start}", language) if start in known else start
    facts = say("train.run_facts", language, preset=preset_name(config.training.preset, language), start=words or "…")
    return facts + (say("train.run_synthetic", language) if is_synthetic(run) else "")


def preset_name(preset: str, language: str) -> str:
    """What a person calls a preset."""
    return say(f"train.preset_{preset}", language)


def main_charts(runs: Sequence[RunFolder], language: str) -> str:
    """Loss and accuracy; of one run both its curves, of several the validation curve and, dashed, the training one."""
    return _charts(
        runs,
        language,
        [
            ("loss", "number", ("train_loss", "val_loss")),
            ("accuracy", "percent", ("train_accuracy", "val_accuracy")),
        ],
    )


def more_charts(runs: Sequence[RunFolder], language: str) -> str:
    """Learning rate, gradient norm and images per second, step by step."""
    return _charts(
        runs,
        language,
        [
            ("lr", "number", ("lr",)),
            ("grad_norm", "number", ("grad_norm",)),
            ("images_per_s", "number", ("images_per_s",)),
        ],
    )


def _charts(runs: Sequence[RunFolder], language: str, wanted: Sequence[tuple[str, Any, tuple[str, ...]]]) -> str:
    read = [(run, *metrics_reader(run.metrics_file).read()) for run in runs]
    records = [(run, epochs, _thinned(steps)) for run, epochs, steps in read]
    x_max = max((run.config().training.epochs for run in runs), default=1)
    charts = []
    for name, y_format, keys in wanted:
        title = say(f"train.chart_{name}", language)
        series = [one for number, found in enumerate(records) for one in _curves(number, len(runs), *found, keys, language)]
        description = say("train.chart_description", language, title=title, runs=", ".join(run.name for run in runs))
        charts.append(
            line_chart(
                series,
                title=title,
                x_max=x_max,
                x_label=say("train.chart_epoch", language),
                description=description,
                y_format=y_format,
                empty=say("train.chart_empty", language),
            )
        )
    return f'<div class="fv-charts">{"".join(charts)}</div>'


def _curves(
    number: int, count: int, run: RunFolder, epochs: list[dict], steps: list[dict], keys: tuple[str, ...], language: str
) -> list[Series]:
    """One run's curves of one chart. What has no epoch of its own is drawn step by step, at fractions of an epoch."""
    if len(keys) == 1:
        xs = [s["epoch"] - 1 + s["step"] / s["steps"] for s in steps]
        return [Series(run.name, xs, [s.get(keys[0]) for s in steps], COLOURS[number % len(COLOURS)])]
    several = count > 1
    colours = [COLOURS[number % len(COLOURS)]] * 2 if several else [TRAIN, VALIDATION]
    names = [say(f"train.chart_{'train' if key.startswith('train') else 'val'}", language) for key in keys]
    curves = []
    for key, colour, name in zip(keys, colours, names, strict=True):
        training = key.startswith("train")
        title = f"{run.name} · {name}" if several else name
        if key == "train_loss" and steps and not several:
            xs, ys = [s["epoch"] - 1 + s["step"] / s["steps"] for s in steps], [s.get("loss") for s in steps]
        else:
            xs, ys = [e["epoch"] for e in epochs], [e.get(key) for e in epochs]
        curves.append(Series(title, xs, ys, colour, dashed=training and several))
    return curves


def _thinned(records: list[dict]) -> list[dict]:
    """At most ``MOST_POINTS`` of them, evenly, the last one always."""
    stride = -(-len(records) // MOST_POINTS)
    return records[::-1][::stride][::-1] if stride > 1 else records


def run_table(runs: Sequence[RunFolder], shown: Sequence[str], language: str, *, owner: bool) -> str:
    """All runs, newest first, each with what can be done with it."""
    if not runs:
        return f'<p class="fv-note">{say("train.no_runs", language)}</p>'
    differing = differences([run.config() for run in runs])
    heads = "".join(f"<th>{say(f'train.column_{name}', language)}</th>" for name in ("name", "state", "accuracy", "when", "do"))
    rows = "".join(_row(run, run.id in shown, language, owner, changes) for run, changes in zip(runs, differing, strict=True))
    return f'<div class="fv-table"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def differences(configs: Sequence[RunConfig]) -> list[dict[str, Any]]:
    """What sets each run apart from the others: the settings that it changed from its preset, but for those that all of
    them changed alike, and the pictures where not all learn from the same."""
    changes = [_changes(config) for config in configs]
    alike = {name for name, value in (changes[0] if changes else {}).items() if all(one.get(name, None) == value for one in changes)}
    return [{name: value for name, value in one.items() if name not in alike} for one in changes]


def _changes(config: RunConfig) -> dict[str, Any]:
    preset = PRESETS.get(config.training.preset, {})
    values = config.training.model_dump()
    standard = {**{name: field.default for name, field in TrainConfig.model_fields.items()}, **preset}
    changed = {name: value for name, value in values.items() if name != "preset" and value != standard[name]}
    return {"data": Path(config.data).name, **({"processes": config.processes} if config.processes > 1 else {}), **changed}


def _difference(name: str, value: Any, language: str) -> str:
    if name in ("data", "processes"):
        return f"{say(f'train.column_{name}', language)} {value}"
    choice = f"settings.{name}.choices.{value}"
    if isinstance(value, bool):
        choice = "train.on" if value else "train.off"
    return f"{setting(name, language)[0]} {say(choice, language) if choice in sentences() else value}"


def _differing(changes: dict[str, Any], language: str) -> str:
    """The first few in one line, all of very many behind a fold."""
    words = [_difference(name, value, language) for name, value in changes.items()]
    if len(words) <= MOST_DIFFERENCES:
        return f"<small>{escape(' · '.join(words))}</small>" if words else ""
    first, rest = words[:MOST_DIFFERENCES], words[MOST_DIFFERENCES:]
    more = say("train.differs_more", language, count=len(rest))
    return f"<small>{escape(' · '.join(first))}<details><summary>{more}</summary>{escape(' · '.join(rest))}</details></small>"


def epochs_csv(run: RunFolder) -> str:
    """A run's figures as a table, one epoch a row; numbers as they were measured, empty where there is none."""
    epochs = [{name: value for name, value in record.items() if name != "kind"} for record in run.metrics()]
    names = list(dict.fromkeys(name for record in epochs for name in record)) or ["epoch"]
    return csv_text(names, ([record.get(name) for name in names] for record in epochs))


def _row(run: RunFolder, shown: bool, language: str, owner: bool, changes: dict[str, Any]) -> str:
    status, config = run.status(), run.config()
    tested = run.summary(status).test_top1
    accuracy = status.best_val_accuracy if tested is None else tested
    actions = ["hide" if shown else "overlay", "open"]
    if run.has_checkpoint and status.state == "finished":
        actions.append("classify")
    if owner:
        actions += ["rename"] + ([] if status.active else ["delete"])
    buttons = "".join(
        f'<button type="button" data-action="{action}" data-run="{escape(run.id, quote=True)}">'
        f"{say(f'train.do_{action}', language)}</button>"
        for action in actions
    )
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(config.created))
    state = say(f"train.state_{status.state if status.responding else 'unresponsive'}", language)
    return (
        f'<tr class="{"fv-shown" if shown else ""}"><td>{escape(run.name)}<small>{escape(start_line(run, language))}</small>'
        f"{_differing(changes, language)}</td>"
        f"<td>{state}</td><td>{'–' if accuracy is None else f'{accuracy:.1%}'}</td><td>{when}</td><td>{buttons}</td></tr>"
    )


def _line(state: str, words: str, share: float | None = None) -> str:
    bar = (
        ""
        if share is None
        else (
            f'<span class="fv-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share * 100:.0f}">'
            f'<i style="width:{share * 100:.1f}%"></i></span>'
        )
    )
    # A screen reader hears of what has ended by itself; of what changes every second, when it is asked.
    role = "status" if share is None else "group"
    return f'<div class="fv-status fv-run-{state}" role="{role}"><p>{words}</p>{bar}</div>'
