"""``teach-benchmark``: what a few taught pictures of each class do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fruitvision.cli.console import print_result, progress
from fruitvision.cli.evaluate import load_classifier
from fruitvision.cli.options import Checkpoint, Json, split_values
from fruitvision.errors import UsageError


def teach_benchmark(
    data: Annotated[Path, typer.Option(metavar="DIR", help="A folder of class folders to teach from and to score.")],
    shots: Annotated[
        list[str] | None, typer.Option(help="How many pictures of each class are taught, such as 1,5,10.", show_default="1,5,10")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many times they are drawn.")] = 5,
    split: Annotated[
        str | None, typer.Option(help="heldout: score that fifth, and teach from the rest.", show_default="whatever is not taught")
    ] = None,
    untaught: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Class folders that the network knows: what teaching five other types costs them."),
    ] = None,
    unrelated: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Pictures of other things: how many become a name that alone is taught. May be repeated."),
    ] = None,
    checkpoint: Checkpoint = None,
    as_json: Json = False,
) -> None:
    """Measure what a few taught pictures of each class do.

    Under names that the network may know, and under new names; and what it costs classes that were not taught.
    """
    from fruitvision.recognition.taught.benchmark import teach_benchmark as measure

    counts = _counts(split_values(shots) or ["1", "5", "10"])
    result = measure(
        load_classifier(checkpoint),
        data,
        shots=counts,
        seeds=seeds,
        split=split,
        untaught=untaught,
        unrelated=unrelated or (),
        progress=progress("Classifying"),
    )
    lines = [f"{result['images']} pictures of {result['classes']} classes from {data}, {seeds} draws"]
    for way, words in (("known", "known names"), ("new", "new names")):
        for count, found in result[way].items():
            lines.append(f"  {count:>3} shots, {words:<20}{found['top1']:8.2%} ± {found['sd']:.2%}  ECE {found['ece']:.2%}")
    for way, words in (("others", "five taught: others here"), ("untaught", "five taught: elsewhere")):
        for count, found in result.get(way, {}).items():
            lines.append(f"  {count:>3} shots, {words:<26}{found['before']:8.2%} → {found['after']:.2%}  ({found['change']:+.2%})")
    for count, found in result.get("alone", {}).items():
        words = f"one taught: found {found['found']:.1%}, of {result['unrelated_images']} unrelated pictures taken"
        lines.append(f"  {count:>3} shots, {words} {found['taken']:.2%} (at most {found['most_taken']:.2%})")
    print_result(result, lines, as_json)


def _counts(words: list[str]) -> list[int]:
    if not all(word.isdecimal() and 0 < int(word) <= 1000 for word in words):
        given = ",".join(words)
        raise UsageError("bad-shots", given=given)
    return sorted({int(word) for word in words})
