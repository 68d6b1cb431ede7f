"""``export``: write a checkpoint as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fruitvision.cli.console import give
from fruitvision.cli.options import Checkpoint, Json


def export(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Pictures on which the file is compared with torch.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the file is written.")],
    checkpoint: Checkpoint = None,
    file_format: Annotated[Literal["onnx", "onnx-int8"], typer.Option("--format", help="float32, or a quarter of its size.")] = "onnx",
    count: Annotated[int, typer.Option(min=1, help="How many of the pictures are used.")] = 64,
    as_json: Json = False,
) -> None:
    """Write the network as one ONNX file.

    It runs without torch; commands that classify take it as --checkpoint FILE. onnx-int8 is calibrated on training pictures,
    if the folder has some, and compared on the others. Needs onnx, onnxscript and onnxruntime.
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
        f"Compared on {check.pictures} pictures: logits differ by {check.largest_difference:.1e} at most; "
        f"the best class agrees in {check.agreement:.1%}.",
    ]
    result = {"out": str(out), "format": file_format, "bytes": size, "pictures": check.pictures}
    give(result | {"largest_difference": check.largest_difference, "agreement": check.agreement}, lines, as_json)
