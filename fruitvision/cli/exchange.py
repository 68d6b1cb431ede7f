"""``export`` and ``import``: a checkpoint as an ONNX file or a page, and other programs' weights as a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fruitvision.cli.console import print_result, progress
from fruitvision.cli.options import Checkpoint, Json
from fruitvision.errors import quoted
from fruitvision.wording.text import abbreviate

if TYPE_CHECKING:
    from fruitvision.data.read.picture import PictureSource
    from fruitvision.recognition.imported.checkpoint import ImportResult
    from fruitvision.recognition.imported.pictures import PictureCheck

FEW = 5
DRAWN_PER_KIND = 6
"""Drawn pictures of each kind: half of them calibrate an int8 file, the others are what a file is compared on."""

Format = Literal["onnx", "onnx-int8", "web"]


def export(
    out: Annotated[Path, typer.Option(metavar="PATH", help="Where the file, or the page's folder, is written.")],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Pictures on which the network is compared with torch, labelled or not.", show_default="drawn ones"
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="A file in float32, one of a quarter of its size, or a standalone web page.")
    ] = "onnx",
    count: Annotated[int, typer.Option(min=1, help="How many of the pictures are used.")] = 64,
    weights: Annotated[Literal["int8", "float32"], typer.Option(help="web: how weights are stored.")] = "int8",
    webgpu: Annotated[bool, typer.Option("--webgpu", help="web: add the runtime for graphics cards, 6.6 MB.")] = False,
    runtime: Annotated[
        Path | None, typer.Option(metavar="PATH", help="web: onnxruntime-web as npm packs it.", show_default="the npm registry's")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write an ONNX file or a standalone web page.

    The file runs without torch; commands that classify take it as --checkpoint FILE. onnx-int8 is calibrated on training
    pictures, if the folder has some, and compared on the others; without --data, on drawn ones. The page (web) is a folder
    of static files for any web server; it answers in the visitor's own browser. Needs onnx, onnxscript and onnxruntime.
    """
    from fruitvision.data.synthetic.sample import draw_pictures
    from fruitvision.models.checkpoint import find_checkpoint

    training: Sequence[PictureSource]
    others: Sequence[PictureSource]
    training, others = ([], []) if data is None else _some_pictures(data, count)
    if file_format == "web":
        result, lines = _export_page(find_checkpoint(checkpoint), out, others, weights=weights, webgpu=webgpu, runtime=runtime)
    else:
        if data is None:
            drawn = draw_pictures(DRAWN_PER_KIND)
            training, others = drawn[::2], drawn[1::2]
        int8 = file_format == "onnx-int8"
        result, lines = _export_onnx(find_checkpoint(checkpoint), out, others, training if int8 else ())
        if int8 and data is None:
            lines.append("Calibrated on drawn pictures; --data DIR names pictures like those that it will see.")
    difference, agreement = result["largest_difference"], result["agreement"]
    compared = (
        f"Compared on {result['pictures']} pictures: logits differ by {difference:.1e} at most; the best class agrees in {agreement:.1%}."
    )
    print_result({"out": str(out), "format": file_format} | result, [lines[0], compared, *lines[1:]], as_json)


def _export_page(
    checkpoint: Path,
    out: Path,
    pictures: Sequence[PictureSource],
    *,
    weights: Literal["int8", "float32"],
    webgpu: bool,
    runtime: Path | None,
) -> tuple[dict[str, Any], list[str]]:
    """Write the web page; returns its figures, as JSON has them, and lines for a terminal."""
    from fruitvision.web.export import export_web

    shown = progress("onnxruntime-web")
    page = export_web(checkpoint, out, weights=weights, webgpu=webgpu, pictures=pictures, runtime=runtime, progress=shown)
    result = {
        "bytes": page.bytes,
        "pictures": page.pictures,
        "largest_difference": page.largest_difference,
        "agreement": page.agreement,
        "files": page.files,
        "compressed": page.compressed,
        "weights": weights,
    }
    size, first_visit = page.bytes / 1e6, page.compressed / 1e6
    return result, [
        f"{out}: {page.files} files, {size:.1f} MB; a first visit takes {first_visit:.1f} MB.",
        f"Try it: python -m http.server --directory {out}",
    ]


def _export_onnx(
    checkpoint: Path, out: Path, pictures: Sequence[PictureSource], calibration: Sequence[PictureSource]
) -> tuple[dict[str, Any], list[str]]:
    """Write the ONNX file; returns as :func:`_export_page`."""
    from fruitvision.models.checkpoint import load_checkpoint
    from fruitvision.models.onnx.export import export_onnx

    network, config = load_checkpoint(checkpoint)
    check = export_onnx(network, config, pictures, out, calibration=calibration)
    size = out.stat().st_size
    result = {
        "bytes": size,
        "pictures": check.pictures,
        "largest_difference": check.largest_difference,
        "agreement": check.agreement,
    }
    return result, [f"{out}: {size / 1e6:.1f} MB."]


def _some_pictures(data: Path, count: int) -> tuple[list[Path], list[Path]]:
    """Training pictures and other pictures of a folder, at most ``count`` of each; the same for both if the folder has no labels.

    Raises DataError if there is no picture.
    """
    from fruitvision.data.read.layouts.names import looks_like_picture
    from fruitvision.data.read.listing import list_pictures, list_tree
    from fruitvision.errors import DataError

    try:
        listing = list_pictures(data, need_training=False)
        files = listing.files
    except DataError as error:
        listing = list_tree(data, "")
        files = tuple(file for file in listing.files if looks_like_picture(file.path))
        if not files:
            raise error from None

    def some(training: bool) -> list[Path]:
        found = [file for file in files if (file.split == "train") == training] or files
        return [listing.root / file.path for file in found[:: max(1, len(found) // count)][:count]]

    return some(True), some(False)


def import_weights(
    weights: Annotated[Path, typer.Argument(metavar="FILE", help="A .pth or .safetensors file, or a folder of the Hugging Face Hub.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Class folders: names of the classes, and pictures to check the network on.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names of the classes: one a line, or JSON (a list, class_to_idx, id2label).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The checkpoint folder.", show_default="runs/ and the file's name")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(metavar="NAME", help="torchvision's or timm's name.", show_default="recognised by its layers")
    ] = None,
    linear_head: Annotated[
        bool, typer.Option("--linear-head", help="There is nothing but dropout between the linear layers at the end.")
    ] = False,
    resize: Annotated[int | None, typer.Option(help="Short side of a picture.", show_default="config.json's, or 256")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of the center crop.", show_default="config.json's, or 224")] = None,
    mean: Annotated[str | None, typer.Option(metavar="R,G,B", help="Mean of each channel.", show_default="ImageNet's")] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="Deviation of each channel.", show_default="ImageNet's")] = None,
    interpolation: Annotated[
        Literal["bilinear", "bicubic"] | None, typer.Option(help="How pictures are resized.", show_default="config.json's, or bilinear")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a checkpoint of weights trained elsewhere.

    It takes a state dict of torchvision's or timm's networks, as tutorials save it, and answers as it did there. Nothing in the file
    is run. By default its pictures are prepared as in the textbook: Resize(256), CenterCrop(224), ImageNet's mean and deviation.
    """
    from fruitvision.recognition.imported.checkpoint import Preparation, import_checkpoint

    given = {
        "resize": resize,
        "crop": crop,
        "mean": mean and mean.split(","),
        "std": std and std.split(","),
        "interpolation": interpolation,
    }
    result = import_checkpoint(
        weights,
        out or Path("runs") / (weights.stem or "imported"),
        data=data,
        classes=classes,
        preparation=Preparation(architecture, linear_head, {name: value for name, value in given.items() if value is not None}),
        progress=progress("Checking"),
    )
    print_result(*_told(result), as_json)


def _told(result: ImportResult) -> tuple[dict[str, Any], list[str]]:
    """The output of ``import`` as JSON and as lines."""
    config, check = result.config, result.check
    transform = config.transform
    warnings = _warnings(check) if check else []
    lines = [
        f"{result.folder}: {config.architecture}, {len(config.classes)} classes, from {config.imported['file']}",
        f"  classes from {config.imported['classes_from']}: {_few(config.classes)}",
        f"  pictures: short side {transform.resize}, center {transform.crop}, {transform.interpolation}",
    ]
    if len(config.imported["head"]) > 1:
        lines.append(f"  {' and '.join(config.imported['head'])} became one linear layer")
    if check:
        lines.append(f"  {check.right} of {check.pictures} pictures are named correctly ({check.accuracy:.0%})")
    if result.calibrated:
        lines.append(f"  confidence {config.imported['calibrated_on']}: temperature {config.temperature:.2f}")
    else:
        lines.append("  confidence is not calibrated: give --data with 100 pictures or more")
    lines += [f"Warning: {warning}" for warning in warnings]
    lines.append(f"Classify with it: python -m fruitvision predict IMAGE --checkpoint {quoted([str(result.folder)])}")
    told = {
        "out": str(result.folder),
        "architecture": config.architecture,
        "classes": list(config.classes),
        "classes_from": config.imported["classes_from"],
        "sha256": config.imported["sha256"],
        "head": config.imported["head"],
        "transform": transform.model_dump(),
        "calibrated": result.calibrated,
        "temperature": config.temperature,
        "thresholds": config.thresholds.model_dump(),
        "checked": _checked(check) if check else None,
        "warnings": warnings,
    }
    return told, lines


def _checked(check: PictureCheck) -> dict[str, Any]:
    return {
        "pictures": check.pictures,
        "right": check.right,
        "share": check.accuracy,
        "unreadable": check.unreadable,
        "order_fits": check.order_fits,
        "answered_as": dict(check.swapped),
        "unknown_folders": list(check.unknown),
        "classes_without_pictures": list(check.without),
    }


def _warnings(check: PictureCheck) -> list[str]:
    found = []
    if check.swapped:
        pairs = ", ".join(f"{folder} is answered as {answer}" for folder, answer in check.swapped[:FEW])
        found.append(f"the classes seem to be in another order ({pairs}). Import again with --classes in the order of training.")
    elif check.accuracy < 0.5:
        found.append("few pictures are named correctly. Check the order of the classes, and how pictures were prepared (--mean, --resize).")
    if check.unknown:
        found.append(f"no class of the network is called as these folders are: {_few(check.unknown)}.")
    if check.without:
        found.append(f"there are no pictures of: {_few(check.without)}.")
    if check.unreadable:
        found.append(f"{check.unreadable} pictures could not be read.")
    return found


def _few(names: Sequence[str]) -> str:
    return abbreviate(names, FEW, more="{} more")


def push(
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="A repository of the Hugging Face Hub.")],
    checkpoint: Checkpoint = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private where it is new.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Only write the files there, and upload nothing.")] = None,
    as_json: Json = False,
) -> None:
    """Upload a checkpoint to the Hugging Face Hub.

    FruitVision loads it as --checkpoint hf://USER/NAME, and timm as hf-hub:USER/NAME, where timm has the network. The token is
    the one of `hf auth login`, or HF_TOKEN.
    """
    import fruitvision
    from fruitvision.models.checkpoint import find_checkpoint
    from fruitvision.models.published.folder import write_published

    folder = find_checkpoint(checkpoint)
    if out is None:
        address = fruitvision.push(folder, repository, private=private)
        print_result({"repository": repository, "address": address}, [f"Uploaded: {address}"], as_json)
        return
    write_published(folder, out)
    print_result({"repository": repository, "out": str(out)}, [f"Written: {out}; nothing was uploaded."], as_json)
