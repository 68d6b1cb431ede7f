"""Read a file of weights, in PyTorch's or the safetensors format, without executing anything and within the memory of its size."""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from fruitvision.errors import CheckpointError
from fruitvision.files import sha256_of
from fruitvision.models.checkpoint import WEIGHTS_SUFFIXES
from fruitvision.models.imported.pickle_check import check_pickles
from fruitvision.models.weights_header import check_header

MAX_BYTES = 4 * 2**30
"""Limit on a file: ten times the largest supported network."""
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 8
SAFETENSORS = ".safetensors"
IN_FOLDER = ("model.safetensors", "pytorch_model.bin")
"""The names of weights in a folder of the Hugging Face Hub."""
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "ema",
    "state_dict_ema",
)
_CLASSES = ("class_to_idx", "idx_to_class", "classes", "class_names", "label_names", "labels")
_DTYPES = {
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
}
_DEPTH = 4


@dataclass(frozen=True)
class WeightsFile:
    """The content of a file of weights."""

    path: Path
    sha256: str
    tensors: dict[str, Tensor]
    """The tensors by name, in the file's order; all finite."""
    classes: Any = None
    """The class names in the file, for :func:`fruitvision.models.imported.names.class_names`."""


def find_weights(path: Path) -> Path:
    """The file of weights: ``path`` itself, or the one in a folder in the Hub's layout. Raises CheckpointError."""
    if path.is_dir():
        found = [path / name for name in IN_FOLDER if (path / name).is_file()]
        found = found or sorted(own for own in path.iterdir() if own.suffix.lower() in WEIGHTS_SUFFIXES and own.is_file())
        if len(found) != 1 and found[:1] != [path / IN_FOLDER[0]]:
            raise CheckpointError("import-folder", path=str(path), count=len(found))
        return found[0]
    try:
        info = path.stat()
    except (OSError, ValueError):
        raise CheckpointError("import-missing", path=str(path)) from None
    if not stat.S_ISREG(info.st_mode):
        raise CheckpointError("import-missing", path=str(path))
    if info.st_size > MAX_BYTES:
        raise CheckpointError("import-too-large", path=str(path), limit=MAX_BYTES >> 30)
    return path


def read_weights(path: Path) -> WeightsFile:
    """Read every tensor of a file. Only names, plain values and tensors are unpickled.

    Raises CheckpointError for a whole model ("import-whole-model") or other objects, for a file without weights
    ("import-no-weights"), and for tensors with more elements than the file has ("import-size"), sparse or quantized ones
    ("import-layout"), or non-finite ones ("import-not-finite").
    """
    path = find_weights(path)
    content = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    tensors, beside = _state_dict(content, path)
    _check(tensors, path)
    classes = next((beside[name] for name in _CLASSES if beside.get(name)), None)
    return WeightsFile(path, sha256_of(path), tensors, classes)


def _is_safetensors(path: Path) -> bool:
    if path.suffix == SAFETENSORS:
        return True
    with path.open("rb") as file:
        start = file.read(9)  # the header's length, then JSON
    return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < 100 * 2**20


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as start:
            check_header(start.read(8))
        with safetensors.safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:  # exceptions of the library, of torch and of Python
        raise CheckpointError("import-damaged", path=str(path)) from error


def _read_torch(path: Path) -> Any:
    mapped = check_pickles(path)
    try:
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file can cause any exception in torch's reader
        raise CheckpointError("import-damaged", path=str(path)) from error


def _state_dict(content: Any, path: Path) -> tuple[dict[str, Tensor], Mapping[Any, Any]]:
    """The tensors by name, and the outer dictionary that they were in, if any."""
    found = _unwrapped(content, _DEPTH, set())
    if not found:
        held = ", ".join(str(key) for key in list(content)[:5]) if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError("import-no-weights", path=str(path), held=held[:200] or "–")
    return found, content if isinstance(content, Mapping) else {}


def _unwrapped(content: Any, depth: int, seen: set[tuple[int, int]]) -> dict[str, Tensor]:
    """``seen``: the objects already searched, with their depth, since a pickle may nest one dictionary a thousand times in each other."""
    if not isinstance(content, Mapping) or not depth or (id(content), depth) in seen:
        return {}
    seen.add((id(content), depth))
    known = [content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)]
    own = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    others = [value for name, value in content.items() if "optim" not in str(name).lower()]
    return next((found for one in known if (found := _unwrapped(one, depth - 1, seen))), own) or next(
        (found for one in others if (found := _unwrapped(one, depth - 1, seen))), {}
    )


def _check(tensors: dict[str, Tensor], path: Path) -> None:
    if len(tensors) > MAX_TENSORS:
        raise CheckpointError("import-damaged", path=str(path))
    left = 2 * path.stat().st_size  # tied weights may occur twice
    for name, value in tensors.items():
        if value.layout != torch.strided or value.dtype not in _DTYPES or value.is_meta or value.is_nested:
            raise CheckpointError("import-layout", path=str(path), name=name, dtype=str(value.dtype).removeprefix("torch."))
        left -= value.numel() * value.element_size()
        if left < 0 or value.ndim > MAX_DIMENSIONS:  # a stride of 0 repeats one number any number of times
            raise CheckpointError("import-size", path=str(path), name=name, shape="×".join(map(str, value.shape)))
    for name, value in tensors.items():
        if value.is_floating_point() and not all(bool(part.isfinite().all()) for part in value.reshape(-1).split(2**24)):
            raise CheckpointError("import-not-finite", path=str(path), name=name)
