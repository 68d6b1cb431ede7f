"""``evaluate`` and ``predict``: score a folder of labelled pictures, or classify pictures."""

from __future__ import annotations

import json
import sys
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fruitvision.cli.console import print_result, progress, synthetic_note
from fruitvision.cli.options import Boxes, Checkpoint, Depth, Json, Views
from fruitvision.errors import DataError, PictureError, UsageError
from fruitvision.wording.text import plain

if TYPE_CHECKING:
    from fruitvision.recognition.classifier import Classifier


def evaluate(
    data: Annotated[Path, typer.Option(metavar="DIR", help="A folder of class folders, or of fruit-type folders.")],
    checkpoint: Checkpoint = None,
    split: Annotated[str | None, typer.Option(help="train, val, test or heldout.", show_default="every picture")] = None,
    by: Annotated[Literal["class", "type"], typer.Option(help="class, or type (Apple, Banana, ...).")] = "class",
    not_fruit: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures that must be refused.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write an HTML report and tables there.")] = None,
    lang: Annotated[Literal["en", "zh"], typer.Option(help="The language in which the report opens.")] = "en",
    record: Annotated[
        str | None, typer.Option(metavar="NAME", help="Record the metrics in the checkpoint and its card, as measured on NAME.")
    ] = None,
    depth: Depth = None,
    boxes: Boxes = False,
    views: Views = None,
    as_json: Json = False,
) -> None:
    """Score a labelled folder of pictures.

    Accuracy, refusals, and how well confidence is calibrated.
    """
    from fruitvision.data.read.listing import MARGIN
    from fruitvision.models.checkpoint import record_metrics
    from fruitvision.recognition.evaluate.evaluation import evaluate_in_detail

    if record and views:
        raise UsageError("record-views")
    classifier = load_classifier(checkpoint, views)
    examination = evaluate_in_detail(
        classifier,
        data,
        split=split,
        by=by,
        not_fruit=not_fruit,
        depth=depth,
        boxes=float(classifier.config.training.get("box_margin", MARGIN)) if boxes else None,
        progress=progress("Classifying"),
    )
    result = examination.summary
    lines = [f"{result['images']} pictures from {data}, by {by}"]
    for key in ("top1", "top3", "macro_recall", "ece", "answered", "answered_top1", "not_fruit_accepted"):
        if result.get(key) is not None:
            lines.append(f"  {key:<20}{result[key]:8.2%}")
    if result["unknown_folders"]:
        lines.append(f"  left out, unknown names: {', '.join(result['unknown_folders'])}")
    if report:
        from fruitvision.report.page import write_report
        from fruitvision.report.results import write_results

        lines += [f"Written: {path}" for path in (write_report(report, examination, lang), write_results(report, examination))]
        lines += [f"Written: {path}" for path in _write_tables(report, result)]
    if record:
        assert classifier.path is not None  # the classifier was loaded from this path
        figures = {key: value for key, value in result.items() if isinstance(value, int | float | None)}
        record_metrics(classifier.path, record, figures)
        lines.append(f"Recorded as '{record}' in {classifier.path}")
    print_result(result, lines, as_json)


def _write_tables(folder: Path, result: dict[str, Any]) -> list[Path]:
    """Write the result as JSON, and its table of classes as CSV."""
    from fruitvision.files import csv_text, write_text

    names = list(dict.fromkeys(name for own in result["per_class"].values() for name in own))
    rows = ([name, *(own.get(one) for one in names)] for name, own in result["per_class"].items())
    write_text(folder / "evaluation.json", json.dumps(result, indent=2, ensure_ascii=False))
    write_text(folder / "per_class.csv", csv_text(["class", *names], rows))
    return [folder / "evaluation.json", folder / "per_class.csv"]


def predict(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Pictures, folders of them, or patterns such as *.jpg.")],
    checkpoint: Checkpoint = None,
    views: Views = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write the answers as a table to FILE.")] = None,
    as_json: Json = False,
) -> None:
    """Classify pictures.

    One that cannot be read is named; the others are still classified. Of a folder every picture is, whatever its folders are called.
    """
    paths = _pictures(images)
    classifier = load_classifier(checkpoint, views)
    answers = []
    show = progress("Classifying") if len(paths) > 1 else None
    for number, path in enumerate(paths, 1):
        answers.append(_answer(classifier, path))
        if show:
            show(number, len(paths))
    for answer in answers:
        if "error" in answer:
            print(plain(f"Error: {answer['error']['message']}"), file=sys.stderr)
        elif "note" in answer:
            print(plain(f"Note: {answer['image']}: {answer['note']}"), file=sys.stderr)
    lines = [_answer_line(answer) for answer in answers if "error" not in answer] if len(answers) < 2 else _table(answers)
    lines += synthetic_note(classifier.config.dataset)
    if csv:
        _write_answers(csv, answers)
        lines.append(f"Written: {csv}")
    print_result({"predictions": answers}, lines, as_json)
    if any("error" in answer for answer in answers):
        raise typer.Exit(1)


def _pictures(words: list[str]) -> list[Path]:
    """The picture files for the arguments: a folder stands for its pictures, and a pattern that the shell did not expand for its matches.

    Raises DataError for a folder without pictures, and for a URL.
    """
    from fruitvision.data.read.layouts.names import looks_like_picture
    from fruitvision.data.read.listing import list_tree
    from fruitvision.files import clean_path

    found: list[Path] = []
    for word in words:
        given = clean_path(word)
        matching = sorted(glob(str(given), recursive=True)) if has_magic(word) and not given.exists() else []
        for path in map(Path, matching or [given]):
            if not path.is_dir():
                found.append(path)
                continue
            inside = [path / file.path for file in list_tree(path, "").files if looks_like_picture(file.path)]
            if not inside:
                raise DataError("no-pictures", folder=str(path))
            found += inside
    return found


def _answer(classifier: Classifier, path: Path) -> dict[str, Any]:
    """The answer to one picture as a JSON object; a problem with its file is its "note" or "error"."""
    try:
        return classifier.predict(path).as_dict(str(path))
    except PictureError as error:
        return {"image": str(path), "error": error.as_dict()}


def _answer_line(answer: dict[str, Any]) -> str:
    if answer["verdict"] == "not-fruit":
        return f"{answer['image']}: not a known fruit"
    doubt = "perhaps " if answer["verdict"] == "unsure" else ""
    return f"{answer['image']}: {doubt}{answer['fruit_type']} ({answer['label']}), {answer['confidence']:.0%}"


def _table(answers: list[dict[str, Any]]) -> list[str]:
    """The answers as lines with aligned columns."""
    rows = [["picture", "fruit", "variety", "confidence", "verdict"]]
    for answer in answers:
        if "error" in answer:
            rows.append([answer["image"], "-", "-", "-", answer["error"]["code"]])
        else:
            named = [answer["fruit_type"], answer["label"], f"{answer['confidence']:.0%}"]
            rows.append([answer["image"], *(named if answer["verdict"] != "not-fruit" else "---"), answer["verdict"]])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _write_answers(path: Path, answers: list[dict[str, Any]]) -> None:
    from fruitvision.files import csv_text, write_text

    names = ("image", "fruit_type", "label", "confidence", "verdict", "note", "error")
    rows = [{**answer, "error": answer["error"]["message"]} if "error" in answer else answer for answer in answers]
    write_text(path, csv_text(names, ([row.get(name) for name in names] for row in rows)))


def load_classifier(checkpoint: str | None, views: Literal["one", "mirror", "middle"] | None = None) -> Classifier:
    """The classifier of a checkpoint, with the checkpoint's own views if none are named."""
    import fruitvision

    classifier = fruitvision.load(checkpoint)
    return classifier.with_views(views) if views else classifier
