"""A network as one file to download, made by a process of its own: what it holds in memory, and on disk, goes with it."""

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
from fruitvision.ui.page.downloads import to_download

Kind = Literal["onnx", "page"]
MAX_BYTES = 2**30
"""Largest file that is handed out: a ResNet18 is 45 MB, a standalone web page some 15."""


def exported(checkpoint: Path, name: str, kind: Kind, *, otherwise: str) -> Path:
    """The file, by the network's name. Where it fails nothing is left.

    Raises:
        DataError: "download-over-limit", and where it cannot be written.
        FruitVisionError: as :func:`export_onnx` and :func:`export_web`; RunError "work-ended".
    """
    path = to_download(name, "onnx" if kind == "onnx" else "zip", otherwise=otherwise)
    with _nothing_left(path):
        call_in_subprocess(_onnx if kind == "onnx" else _page, checkpoint, path, name)
        refuse_too_large(path.name, path.stat().st_size)
    return path


def zipped(folder: Path, name: str, *, otherwise: str) -> Path:
    """A checkpoint folder as one ZIP file, with its files in one folder. Raises DataError."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    path = to_download(name, "zip", otherwise=otherwise)
    with _nothing_left(path), named_write_errors(path):
        refuse_too_large(path.name, sum(file.stat().st_size for file in files))
        _zip(path, {f"{path.stem}/{file.name}": file for file in files})
    return path


def refuse_too_large(file: str, size: int) -> None:
    """Raise DataError "download-over-limit" for more than ``MAX_BYTES``."""
    if size > MAX_BYTES:
        raise DataError("download-over-limit", file=file, size=size / 2**20, limit=MAX_BYTES >> 20)


@contextmanager
def _nothing_left(path: Path) -> Iterator[None]:
    """Whatever stops the making of a file takes its folder away."""
    try:
        yield
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise


def _zip(path: Path, files: dict[str, Path]) -> None:
    with zipfile.ZipFile(path, "w") as archive:  # what is large is compressed already, or does not compress
        for name, file in files.items():
            archive.write(file, name)


# In a process of its own ---------------------------------------------------------------------------------------------


def _onnx(checkpoint: Path, out: Path, name: str, report: Callable[..., Any]) -> None:
    """Compared with torch on drawn fruit: whether both compute the same does not depend on what is in the pictures."""
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
