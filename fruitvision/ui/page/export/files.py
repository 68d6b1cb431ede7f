"""A network as a single file for download, exported by a separate process, so that its memory and files are released."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from fruitvision.data.synthetic.sample import draw_pictures
from fruitvision.errors import DataError
from fruitvision.files import named_write_errors
from fruitvision.runs.subprocess_call import call_in_subprocess
from fruitvision.ui.page.downloads import download_path

Kind = Literal["onnx", "page"]
MAX_BYTES = 2**30
"""Largest file that may be downloaded: a ResNet18 has 45 MB, a standalone web page about 15."""


def export_file(checkpoint: Path, name: str, kind: Kind, *, fallback: str) -> Path:
    """Export a network to a temporary file, ``NAME.onnx`` or ``NAME-web-page.zip``, see :func:`download_path`.

    Leaves nothing behind if it fails.

    Raises:
        DataError: "download-over-limit", or if it cannot be written.
        FruitVisionError: as :func:`export_onnx` and :func:`export_web`; RunError "work-ended".
    """
    suffix, what = ("onnx", "") if kind == "onnx" else ("zip", "web-page")
    path = download_path(name, suffix, fallback=fallback, what=what)
    with _remove_on_error(path):
        call_in_subprocess(_onnx if kind == "onnx" else _page, checkpoint, path, name)
        refuse_too_large(path.name, path.stat().st_size)
    return path


def zip_folder(folder: Path, name: str, *, fallback: str) -> Path:
    """Pack a checkpoint folder into a temporary ZIP file, ``NAME-checkpoint.zip``, see :func:`download_path`. Raises DataError."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    path = download_path(name, "zip", fallback=fallback, what="checkpoint")
    with _remove_on_error(path), named_write_errors(path):
        refuse_too_large(path.name, sum(file.stat().st_size for file in files))
        _zip(path, {f"{path.stem}/{file.name}": file for file in files})
    return path


def refuse_too_large(file: str, size: int) -> None:
    """Raise DataError "download-over-limit" if ``size`` exceeds ``MAX_BYTES``."""
    if size > MAX_BYTES:
        raise DataError("download-over-limit", file=file, size=size / 2**20, limit=MAX_BYTES >> 20)


@contextmanager
def _remove_on_error(path: Path) -> Iterator[None]:
    """Delete the file's folder if the block raises."""
    try:
        yield
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise


def _zip(path: Path, files: dict[str, Path]) -> None:
    with zipfile.ZipFile(path, "w") as archive:  # not compressed: large files are compressed already, or do not compress
        for name, file in files.items():
            archive.write(file, name)


# Run in a separate process -------------------------------------------------------------------------------------------


def _onnx(checkpoint: Path, out: Path, name: str, report: Callable[..., Any]) -> None:
    """Export to ONNX. It is compared with torch on drawn fruit: for that the pictures' content does not matter."""
    from fruitvision.models.checkpoint import load_checkpoint
    from fruitvision.models.onnx.export import export_onnx

    network, config = load_checkpoint(checkpoint)
    export_onnx(network, config, draw_pictures(), out)


def _page(checkpoint: Path, out: Path, name: str, report: Callable[..., Any]) -> None:
    from fruitvision.web.export import export_web

    work = out.parent / out.stem
    try:
        export_web(checkpoint, work, name=name)
        with named_write_errors(out):
            _zip(out, {f"{out.stem}/{file.relative_to(work).as_posix()}": file for file in sorted(work.rglob("*")) if file.is_file()})
    finally:
        shutil.rmtree(work, ignore_errors=True)
