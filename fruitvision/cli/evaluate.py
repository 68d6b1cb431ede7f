"""``evaluate`` and ``predict``: score a folder of pictures, or classify single ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fruitvision.cli.console import give, progress
from fruitvision.cli.options import Boxes, Checkpoint, Depth, Json, Views
from fruitvision.errors import PictureError, UsageError

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

        lines.append(f"Written: {write_report(report, examination, lang)}")
        lines += [f"Written: {path}" for path in _write_tables(report, result)]
    if record:
        assert classifier.path is not None  # it was loaded from there
        figures = {key: value for key, value in result.items() if isinstance(value, int | float | None)}
        record_metrics(classifier.path, record, figures)
        lines.append(f"Recorded as '{record}' in {classifier.path}")
    give(result, lines, as_json)


def _write_tables(folder: Path, result: dict[str, Any]) -> list[Path]:
    """The result as JSON, and its table of classes as CSV."""
    from fruitvision.files import csv_text, write_text

    names = list(dict.fromkeys(name for own in result["per_class"].values() for name in own))
    rows = ([name, *(own.get(one) for one in names)] for name, own in result["per_class"].items())
    write_text(folder / "evaluation.json", json.dumps(result, indent=2, ensure_ascii=False))
    write_text(folder / "per_class.csv", csv_text(["class", *names], rows))
    return [folder / "evaluation.json", folder / "per_class.csv"]


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...")],
    checkpoint: Checkpoint = None,
    views: Views = None,
    as_json: Json = False,
) -> None:
    """Classify pictures. One that cannot be read is named; the others are still classified."""
    classifier = load_classifier(checkpoint, views)
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


def _answer_line(answer: dict[str, Any]) -> str:
    if answer["verdict"] == "not-fruit":
        return f"{answer['image']}: not a known fruit"
    doubt = "perhaps " if answer["verdict"] == "unsure" else ""
    return f"{answer['image']}: {doubt}{answer['fruit_type']} ({answer['label']}), {answer['confidence']:.0%}"


def load_classifier(checkpoint: str | None, views: Literal["one", "mirror", "middle"] | None = None) -> Classifier:
    """The classifier of a checkpoint, with the checkpoint's own views if none are named."""
    import fruitvision

    classifier = fruitvision.load(checkpoint)
    return classifier.with_views(views) if views else classifier
