"""Runs as HTML: the status and curves of a run, and the table of all runs. Without gradio."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from fruitvision.data.synthetic.sample import MARKER
from fruitvision.files import csv_text, is_network_path
from fruitvision.report.charts import COLOURS, Format, Series, line_chart
from fruitvision.report.figures import interval_words
from fruitvision.report.markup import join, say_html, tag
from fruitvision.runs.config import split_names
from fruitvision.runs.folder import RunConfig, RunFolder, RunStatus
from fruitvision.runs.metrics import metrics_reader
from fruitvision.training.config import PRESETS, TrainConfig
from fruitvision.ui.page.elements import folded, note, table, time_left
from fruitvision.ui.page.elements import status as status_box
from fruitvision.wording.text import SPACE, duration, say, say_error, sentences, setting

MAX_POINTS = 300
MAX_DIFFERENCES = 4
MAX_COLUMNS = 100
"""Limit on the columns of a CSV file, of which each record of a foreign run may bring others; a trained epoch has about ten values."""
CHECKPOINT_SETTINGS = ("start", "teacher", "average_with")
TRAIN, VALIDATION = COLOURS[5], COLOURS[1]


def status_line(run: RunFolder | None, language: str, training: RunFolder | None = None) -> Markup:
    """One line of text, and a progress bar while it trains.

    Args:
        training: the run that is training now, which is mentioned if it is not the displayed one.
    """
    other = Markup() if training is None or training == run else say_html("train.status_other", language, name=training.name)
    if run is None:
        return status_box(other or say("train.status_idle", language), "idle")
    status = run.status()
    epochs = status.epochs or run.config().training.epochs
    facts = {"name": run.name, "epoch": max(status.epoch, 1), "epochs": epochs, "step": status.step, "steps": status.steps or "?"}
    state = status.state if status.responding else "unresponsive"
    shown = "stopping" if state in ("waiting", "preparing", "running") and run.stop_file.exists() else state
    words = [say_html(f"train.status_{shown}", language, **facts)]
    if status.responding:
        if status.state == "failed" and status.error:
            words.append(escape(say_error(status.error, language)))
        if status.unvalidated:
            words.append(escape(say("train.unvalidated", language)))
        if skipped := run.summary(status).skipped:
            words.append(escape(say("train.skipped", language, count=skipped)))
        if status.state == "finished":
            words.append(escape(results(run, status, language)))
        if status.active:
            if status.eta_s is not None and shown != "stopping":
                words.append(escape(time_left(status.eta_s, language)))
            return status_box(Markup(SPACE[language]).join(words), state, status.progress(epochs), data_run=run.id)
    return status_box(Markup(SPACE[language]).join(filter(None, [*words, other])), state, data_run=run.id)


def results(run: RunFolder, status: RunStatus, language: str) -> str:
    """The measured results of a finished run, in words."""
    parts = []
    summary = run.summary(status)
    if summary.test_top1 is not None:
        parts.append(say("train.result_test", language, top1=f"{summary.test_top1:.1%}", images=summary.test_images))
        if few := interval_words(summary.test_top1, summary.test_images or 0):
            parts.append(say("report.few", language, **few))
    if is_synthetic(run):
        parts.append(say("train.result_synthetic", language))
    if status.best_val_accuracy is not None:
        parts.append(say("train.result_validation", language, top1=f"{status.best_val_accuracy:.1%}"))
    parts.append(say("train.result_time", language, time=duration(status.seconds, language)))
    return SPACE[language].join(parts)


def is_synthetic(run: RunFolder) -> bool:
    """Whether it is trained on the drawn sample set."""
    data = run.config().data
    # Windows would try to connect to a network path, in somebody else's run, each time the table is rendered.
    try:
        return not is_network_path(data) and (Path(data) / MARKER).is_file()
    except OSError:  # the path is too long
        return False


def start_line(run: RunFolder, language: str) -> str:
    """The run's preset and initial weights, and whether its pictures are synthetic."""
    status, config = run.status(), run.config()
    start = status.start or ""
    kind = start.partition(":")[0]
    known = {"imagenet", "shipped", "scratch"}
    words = say(f"settings.start.choices.{kind}", language) if kind in known else checkpoint_names(start)
    facts = say("train.run_facts", language, preset=preset_name(config.training.preset, language), start=words or "…")
    return facts + (say("train.run_synthetic", language) if is_synthetic(run) else "")


def preset_name(preset: str, language: str) -> str:
    """The display name of a preset."""
    return say(f"train.preset_{preset}", language)


def main_charts(runs: Sequence[RunFolder], language: str) -> Markup:
    """Charts of loss and accuracy. With several runs, their training curves are dashed."""
    return _charts(
        runs, language, {"loss": ("number", ("train_loss", "val_loss")), "accuracy": ("percent", ("train_accuracy", "val_accuracy"))}
    )


def more_charts(runs: Sequence[RunFolder], language: str) -> Markup:
    """Charts of learning rate, gradient norm and images per second, by step."""
    return _charts(runs, language, {name: ("number", (name,)) for name in ("lr", "grad_norm", "images_per_s")})


def _charts(runs: Sequence[RunFolder], language: str, wanted: dict[str, tuple[Format, tuple[str, ...]]]) -> Markup:
    """A chart for each name in ``wanted``, with a curve for each of its record keys."""
    read = [(run, *metrics_reader(run.metrics_file).read()) for run in runs]
    records = [(run, epochs, _thinned(steps)) for run, epochs, steps in read]
    charts = []
    for name, (y_format, keys) in wanted.items():
        title = say(f"train.chart_{name}", language)
        charts.append(
            line_chart(
                [one for number, found in enumerate(records) for one in _curves(number, len(runs), *found, keys, language)],
                title=title,
                x_max=max((run.config().training.epochs for run in runs), default=1),
                x_label=say("train.chart_epoch", language),
                description=say("train.chart_description", language, title=title, runs=", ".join(run.name for run in runs)),
                y_format=y_format,
                empty=say("train.chart_empty", language),
            )
        )
    return tag("div", charts, class_="fv-charts")


def _curves(
    number: int, count: int, run: RunFolder, epochs: list[dict], steps: list[dict], keys: tuple[str, ...], language: str
) -> list[Series]:
    """The curves of one run in one chart. Values that are recorded by step are drawn at fractions of an epoch."""
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
    """At most ``MAX_POINTS`` of the records, evenly spaced, the last one included."""
    stride = -(-len(records) // MAX_POINTS)
    return records[::-1][::stride][::-1] if stride > 1 else records


def checkpoint_names(value: str) -> str:
    """The last part of each path or address in a comma-separated setting, since visitors must not see this computer's folders."""
    return ", ".join(re.split(r"[\\/]", one.rstrip("\\/"))[-1] for one in split_names(value))


def run_table(runs: Sequence[RunFolder], shown: Sequence[str], language: str, *, owner: bool) -> Markup:
    """The table of all runs, newest first, with the actions on each. ``shown``: the ids of the overlaid runs."""
    if not runs:
        return note(say("train.no_runs", language))
    meanings = {"accuracy": say("train.column_accuracy_meaning", language)}
    columns = ("name", "state", "accuracy", "when", "do")
    heads = [tag("th", say(f"train.column_{name}", language), title=meanings.get(name)) for name in columns]
    differing = zip(runs, differences([run.config() for run in runs]), strict=True)
    return table(heads, [_row(run, run.id in shown, language, owner, changes) for run, changes in differing], say("train.runs", language))


def differences(configs: Sequence[RunConfig]) -> list[dict[str, Any]]:
    """The settings in which each run differs from its preset, and its dataset, without those that are the same in all runs."""
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
    elif name in CHECKPOINT_SETTINGS and choice not in sentences():
        value = checkpoint_names(str(value))
    return f"{setting(name, language)[0]} {say(choice, language) if choice in sentences() else value}"


def _differing(changes: dict[str, Any], language: str) -> Markup | None:
    """The first few differences in one line, and the others collapsed."""
    words = [_difference(name, value, language) for name, value in changes.items()]
    if not words:
        return None
    first, rest = words[:MAX_DIFFERENCES], words[MAX_DIFFERENCES:]
    more = folded(say("train.differs_more", language, count=len(rest)), " · ".join(rest)) if rest else None
    return tag("small", " · ".join(first), more)


def epochs_csv(run: RunFolder) -> str:
    """A run's metrics as CSV, one row per epoch, in full precision; missing values are empty."""
    epochs = [{name: value for name, value in record.items() if name != "kind"} for record in run.metrics()]
    names = list(dict.fromkeys(name for record in epochs for name in record))[:MAX_COLUMNS] or ["epoch"]
    return csv_text(names, ([record.get(name) for name in names] for record in epochs))


def started(run: RunFolder) -> str:
    """When the run was started, in local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(run.config().created))


def delete_question(run: RunFolder, language: str) -> Markup:
    """The confirmation question before a run is deleted, with its name, date and accuracy."""
    status = run.status()
    summary, validated = run.summary(status), status.best_val_accuracy
    if summary.test_top1 is not None:
        good = say("train.delete_test", language, top1=measured(summary.test_top1, summary.test_images))
    elif validated is not None:
        good = say("train.delete_validation", language, top1=f"{validated:.1%}")
    else:
        good = say("train.delete_nothing", language)
    return tag("p", say("train.delete_ask", language, name=run.name, when=started(run), good=good), role="alert")


def measured(accuracy: float, images: int | None) -> str:
    """A test accuracy, with the bounds of its 95% confidence interval if few pictures were tested: "96.4% (92–98%)"."""
    few = interval_words(accuracy, images or 0)
    return f"{accuracy:.1%} ({few['low'].removesuffix('%')}–{few['high']})" if few else f"{accuracy:.1%}"


def _accuracy(run: RunFolder, status: RunStatus, language: str) -> Any:
    """The test accuracy, or without one that of validation. On a phone, where the table has no heads, the interval has its own title."""
    summary = run.summary(status)
    if summary.test_top1 is not None:
        return tag("span", measured(summary.test_top1, summary.test_images), title=say("train.column_accuracy_meaning", language))
    return "–" if status.best_val_accuracy is None else f"{status.best_val_accuracy:.1%}"


def _row(run: RunFolder, shown: bool, language: str, owner: bool, changes: dict[str, Any]) -> Markup:
    status = run.status()
    actions = ["hide" if shown else "overlay", "open"]
    if run.has_checkpoint and status.state == "finished":
        actions.append("classify")
    if owner:
        actions += ["rename"] + ([] if status.active else ["delete"])
    buttons = [tag("button", say(f"train.do_{one}", language), type="button", data_action=one, data_run=run.id) for one in actions]
    named = join([run.name, tag("small", start_line(run, language)), _differing(changes, language)])
    state = say(f"train.state_{status.state if status.responding else 'unresponsive'}", language)
    cells = (named, state, _accuracy(run, status, language), started(run), join(buttons))
    return tag("tr", [tag("td", cell) for cell in cells], class_="fv-shown" if shown else "")
