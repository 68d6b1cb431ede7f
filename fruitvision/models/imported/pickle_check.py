"""Check the pickles of a PyTorch file without executing them.

A PyTorch file stores the names and shapes of its tensors in a pickle, which may call any function. torch's ``weights_only`` allows
only some, but a few of these can still allocate any amount of memory (``bytearray(10**11)``). So the opcodes are read first
(``pickletools``, which executes nothing), and everything that a state dict does not need is rejected; the size of the rest is
computed in :mod:`fruitvision.models.imported.pickle_size`.
"""

from __future__ import annotations

import os
import pickletools
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple

from fruitvision.errors import CheckpointError
from fruitvision.models.imported.pickle_size import UnpickledSize

MAX_OPCODES = 2_000_000
"""Limit for one pickle. A network of a thousand tensors has about fifty thousand."""
MAX_MEMBERS = 20_000
MAX_PICKLE_BYTES = 64 * 2**20
_END, _LOCATOR, _END_64 = struct.Struct("<4s4HIIH"), struct.Struct("<4sIQI"), struct.Struct("<4sQHHIIQQQQ")
"""The records at the end of a zip: number of entries, length and place of the directory (APPNOTE.TXT, 4.3.14 to 4.3.16)."""
_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first pickle of files written before torch 1.6: the magic number (torch/serialization.py)."""
_LEGACY_PICKLES = 5
_BUILDERS = {"_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter"}
_COLLECTIONS = {"OrderedDict", "defaultdict", "Counter"}
_VALUES = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "Size", "device"}
_MODEL_PACKAGES = ("__main__.", "torch.nn.", "torchvision.models", "timm.", "transformers.", "fastai.")


def check_pickles(path: Path) -> bool:
    """Raise CheckpointError if a PyTorch file holds anything but names, plain values and tensors.

    Returns whether it is a zip, whose tensors can be memory-mapped. Codes: "import-not-weights" for another format,
    "import-whole-model", "import-torchscript", "import-objects", "import-damaged", "import-unreadable".
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_LEGACY_START))
            file.seek(0)
            if start.startswith(b"PK\x03\x04"):
                found = _of_zip(file, path)
            elif start == _LEGACY_START:
                if _is_tar(file):
                    raise CheckpointError("import-not-weights", path=str(path))
                found = [one for _ in range(_LEGACY_PICKLES) for one in _names(file)]
            elif start[:1] == b"\x80":  # a pickle that torch did not write
                found = [_Name("pickle", plain=False), *_names(file)]
            else:
                raise CheckpointError("import-not-weights", path=str(path))
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OverflowError) as error:
        raise CheckpointError("import-damaged", path=str(path)) from error
    except OSError as error:
        raise CheckpointError("import-unreadable", path=str(path), reason=error.strerror or type(error).__name__) from error
    refused = [own.name for own in found if not _is_harmless(own)]  # in order: the outermost class first
    if any(name.startswith(_MODEL_PACKAGES) for name in refused):
        raise CheckpointError("import-whole-model", path=str(path), name=refused[0], out=f"{path.stem}-weights.pth")
    if refused:
        raise CheckpointError("import-objects", path=str(path), name=refused[0], out=f"{path.stem}-weights.pth")
    return start.startswith(b"PK")


def _is_tar(file: BinaryIO) -> bool:
    """Whether a file is a tar as well: torch would read it as one first, and a tar's headers can take any time."""
    head = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


class _Name(NamedTuple):
    """A global that a pickle would look up."""

    name: str
    plain: bool = True
    """Whether the name is part of the opcode, as in every file written by torch; otherwise it is a guess."""


def _of_zip(file: BinaryIO, path: Path) -> list[_Name]:
    with zipfile.ZipFile(file) as parts:
        members = parts.infolist()
        names = [PurePosixPath(member.filename).name.lower() for member in members]  # torch's reader ignores case
        if "constants.pkl" in names:
            raise CheckpointError("import-torchscript", path=str(path), out=f"{path.stem}-weights.pth")
        pickles = [member for member, name in zip(members, names, strict=True) if name == "data.pkl"]
        if len(pickles) != 1:
            raise CheckpointError("import-not-weights", path=str(path))
        (member,) = pickles
        size = file.seek(0, os.SEEK_END)
        if not _ends_plainly(file, size, parts.start_dir):
            raise ValueError("its directory is not where the file says")
        # torch never compresses: compressed or overlapping members could expand to any size.
        stored = all(member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size for member in members)
        if not stored or len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > size:
            raise ValueError("it is not stored as torch stores")
        if member.file_size > MAX_PICKLE_BYTES:
            raise ValueError("its pickle is too large")
        with parts.open(member) as stream:
            return list(_names(stream))


def _ends_plainly(file: BinaryIO, size: int, directory: int) -> bool:
    """Whether a zip ends with its directory and what belongs to it, and names ``directory`` as the directory's place.

    zipfile takes the directory that stands before the end, whatever the place that the file names; torch's reader takes the one in
    that place, which could list other files.
    """
    file.seek(max(size - _END_64.size - _LOCATOR.size - _END.size, 0))
    tail = file.read().rjust(_END_64.size + _LOCATOR.size + _END.size, b"\0")
    signature, *_, length, place, comment = _END.unpack(tail[-_END.size :])
    if signature != b"PK\5\6" or comment:
        return False
    locator, _, end_64, _ = _LOCATOR.unpack(tail[_END_64.size : -_END.size])
    if locator != b"PK\6\7":
        return place == directory and place + length == size - _END.size
    signature, *_, length_64, place_64 = _END_64.unpack(tail[: _END_64.size])
    known = (place, length) in ((place_64, length_64), (2**32 - 1, 2**32 - 1), (2**32 - 1, length_64))
    at = size - len(tail)
    return known and (signature, end_64) == (b"PK\6\6", at) and place_64 == directory and place_64 + length_64 == at


def _names(stream: IO[bytes]) -> Iterator[_Name]:
    """The globals that a pickle would look up. Raises ValueError if it cannot be parsed or is too large."""
    texts, size = ["", ""], UnpickledSize()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_OPCODES:
            raise ValueError("its pickle is too long")
        size.step(opcode, argument)
        if isinstance(argument, str):
            texts = [texts[1], argument]
        if opcode.name in ("GLOBAL", "INST"):
            yield _Name(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            yield _Name(".".join(texts), plain=False)
        elif opcode.name.startswith("EXT"):
            yield _Name("copyreg", plain=False)


def _is_harmless(found: _Name) -> bool:
    module, _, own = found.name.rpartition(".")
    match module:
        case "collections":
            known = own in _COLLECTIONS
        case "torch._utils":
            known = own in _BUILDERS
        case "torch":
            known = own.endswith("Storage") or own in _VALUES
        case _:
            known = found.name == "torch.storage.UntypedStorage"
    return found.plain and known
