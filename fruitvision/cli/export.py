"""``export``: write a checkpoint as an ONNX file, or as a page that answers in the visitor's own browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fruitvision.cli.console import give, progress
from fruitvision.cli.options import Checkpoint, Json

Format = Literal["onnx", "onnx-int8", "web"]


def export(
    out: Annotated[Path, typer.Option(metavar="PATH", help="Where the file, or the page's folder, is written.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pictures on which the network is compared with torch; web draws its own without.")
    ] = None,
    checkpoint: Checkpoint = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="A file in float32, one of a quarter of its size, or a page of its own.")
    ] = "onnx",
    count: Annotated[int, typer.Option(min=1, help="How many of the pictures are used.")] = 64,
    weights: Annotated[Literal["int8", "float32"], typer.Option(help="web: how weights are stored.")] = "int8",
    webgpu: Annotated[bool, typer.Option("--webgpu", help="web: add the runtime for graphics cards, 6.6 MB.")] = False,
    runtime: Annotated[
        Path | None, typer.Option(metavar="PATH", help="web: onnxruntime-web as npm packs it.", show_default="the npm registry's")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the network as one ONNX file, or as a folder with a page that answers in the visitor's own browser.

    The file runs without torch; commands that classify take it as --checkpoint FILE. onnx-int8 is calibrated on training
    pictures, if the folder has some, and compared on the others. The page (web) is static files for any web server. Needs
    onnx, onnxscript and onnxruntime.
    """
    from fruitvision.data.read.listing import list_pictures
    from fruitvision.errors import UsageError
    from fruitvision.models.checkpoint import find_checkpoint, load_checkpoint

    if data is None and file_format != "web":
        raise UsageError("export-needs-data")
    listing = None if data is None else list_pictures(data, need_training=False)

    def some(training: bool) -> list[Path]:
        if listing is None:
            return []
        found = [file for file in listing.files if (file.split == "train") == training] or listing.files
        return [listing.root / file.path for file in found[:: max(1, len(found) // count)][:count]]

    if file_format == "web":
        from fruitvision.web.export import export_web

        shown = progress("onnxruntime-web")
        page = export_web(
            find_checkpoint(checkpoint), out, weights=weights, webgpu=webgpu, pictures=some(False), runtime=runtime, progress=shown
        )
        size, pictures, difference, agreement = page.bytes, page.pictures, page.largest_difference, page.agreement
        lines = [
            f"{out}: {page.files} files, {size / 1e6:.1f} MB; a first visit takes {page.compressed / 1e6:.1f} MB.",
            f"Try it: python -m http.server --directory {out}",
        ]
        more = {"files": page.files, "compressed": page.compressed, "weights": weights}
    else:
        from fruitvision.models.export import export_onnx

        network, config = load_checkpoint(find_checkpoint(checkpoint))
        check = export_onnx(network, config, some(False), out, calibration=some(True) if file_format == "onnx-int8" else ())
        size, pictures, difference, agreement = out.stat().st_size, check.pictures, check.largest_difference, check.agreement
        lines, more = [f"{out}: {size / 1e6:.1f} MB."], {}
    lines.insert(
        1, f"Compared on {pictures} pictures: logits differ by {difference:.1e} at most; the best class agrees in {agreement:.1%}."
    )
    result = {"out": str(out), "format": file_format, "bytes": size, "pictures": pictures}
    give(result | {"largest_difference": difference, "agreement": agreement} | more, lines, as_json)
