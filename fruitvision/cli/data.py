"""``data scan``, ``data download``, ``data sample``: look at, fetch or draw a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fruitvision.cli.console import print_result, progress
from fruitvision.cli.options import Boxes, Command, Depth, Json
from fruitvision.errors import quoted

app = typer.Typer(help="Look at, fetch or draw a folder of pictures.", rich_markup_mode=None)


@app.command(cls=Command)
def scan(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of class folders, or an archive of one.")],
    depth: Depth = None,
    boxes: Boxes = False,
    as_json: Json = False,
) -> None:
    """Report classes, counts and problems.

    Every picture is decoded once; each file that cannot be used is named.
    """
    from fruitvision.data.read.listing import MARGIN, list_pictures
    from fruitvision.data.read.store import open_dataset
    from fruitvision.wording.text import say

    listing = list_pictures(data, depth=depth, boxes=MARGIN if boxes else None, progress=progress("Cutting out boxes"))
    dataset, _ = open_dataset(listing, progress=progress("Reading pictures"))
    notes = [(note, say(f"notes.{note.code}", "en", **note.facts)) for note in dataset.notes]
    counts = dataset.counts()
    lines = [f"{dataset.name}: {len(dataset.classes)} classes, layout {dataset.layout}"]
    lines += ["Synthetic: these pictures were drawn, not photographed."] if dataset.synthetic else []
    lines += [f"  {split}: {sum(by_class.values())} pictures" for split, by_class in counts.items()]
    lines += [f"  Note: {sentence}" for _, sentence in notes]
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
        "notes": [{"code": note.code, "facts": note.facts, "message": sentence} for note, sentence in notes],
        "problems": [{"path": p.path, "kind": p.kind, "detail": p.detail} for p in dataset.problems],
    }
    print_result(result, lines, as_json)


@app.command(cls=Command)
def download(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    source: Annotated[str, typer.Option(help="github, or kaggle (needs a Kaggle key).")] = "github",
    url: Annotated[str | None, typer.Option(help="Another address of the archive.")] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="Unpack only an archive with this checksum. A download.json has the last one's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch Fruits-360 into DIR.

    From its public mirror; an interrupted download continues where it stopped.
    """
    from fruitvision.data.fetch.download import archive_sha256, download_fruits360

    path = download_fruits360(folder, source=source, url=url, sha256=sha256, progress=progress("Downloading"))
    found = archive_sha256(path)
    lines = [f"Fruits-360 is in {path}", f"The archive's SHA-256: {found or 'unknown'}"]
    lines += [f"Next: python -m fruitvision data scan {quoted([str(path)])}"]
    print_result({"root": str(path), "sha256": found or None}, lines, as_json)


@app.command(cls=Command)
def sample(
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
    print_result({"root": str(path), "classes": classes, "synthetic": True, "seed": seed}, lines, as_json)
