"""Archives that somebody made to exhaust memory or time."""

from __future__ import annotations

import io
import lzma
import random
import shutil
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from fruitvision.data.fetch import archive as archives
from fruitvision.data.fetch.archive import unpack
from tests.data.fetch.test_archive import GOOD, names, refused


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path / "a" / "b" / "set"


def overlapping_zip(path: Path, count: int, content: bytes) -> Path:
    """A zip of entries whose deflate streams quote the headers of the entries behind them, and share what follows the last."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    shared = packer.compress(content) + packer.flush()
    data, plain, entries = shared, content, []
    for number in reversed(range(count)):
        name = b"Apple/%04d.png" % number
        values = (20, 0, 8, 0, 0x21, zlib.crc32(plain), len(data), len(plain), len(name), 0)
        header = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", *values) + name
        plain, data = header + plain, struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + header + data
        entries.append((name, values, len(data) - 5))
    data = data[5:]
    table = b""
    for name, values, rest in entries:
        table += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, *values, 0, 0, 0, 0, len(data) - rest) + name
    path.write_bytes(data + table + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(table), len(data), 0))
    return path


def test_entries_that_lie_upon_each_other_are_not_unpacked(tmp_path, folder):
    """4 MB that a hundred entries shared took 45 seconds; Python refuses it by itself since 3.11.8 and 3.12.2."""
    noise = random.Random(0).randbytes(1000)
    assert names(unpack(overlapping_zip(tmp_path / "one.zip", 1, noise), folder)) == {"0000.png"}
    shutil.rmtree(folder)
    found = refused(overlapping_zip(tmp_path / "two.zip", 2, noise), folder)
    assert found.code == "archive-damaged" and "upon each other" in str(found.__cause__)


def test_the_dictionary_of_lzma_is_bounded(tmp_path, folder, monkeypatch):
    """A tar.xz may declare one of 4 GB: 7 MB took 712 MB of memory, which are as much as is unpacked."""
    path = tmp_path / "x.tar.xz"
    with tarfile.open(path, "w:xz", preset=0) as made:
        for name, content in GOOD.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    assert len(names(unpack(path, folder))) == 2
    shutil.rmtree(folder)
    declared = bytearray(path.read_bytes())
    declared[declared.index(b"\x21\x01", 12) + 2] = 37  # 1.5 GB
    struct.pack_into("<I", declared, 20, zlib.crc32(declared[12:20]))
    path.write_bytes(declared)
    found = refused(path, folder)
    assert found.code == "archive-damaged" and "dictionary" in str(found.__cause__)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as made:
        for name, content in GOOD.items():
            made.writestr(name, content)
    assert len(names(unpack(path, folder))) == 2
    shutil.rmtree(folder)
    monkeypatch.setattr(archives, "MAX_LZMA_BYTES", 3)
    assert refused(path, folder).code == "archive-too-large"


@pytest.mark.parametrize("streams", [1, 3])
def test_a_tar_of_several_xz_streams_with_room_between_is_read_and_one_cut_off_is_not(tmp_path, folder, streams):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for n in range(40):
            entry = tarfile.TarInfo(f"Apple/{n}.jpg")
            entry.size = 30_000
            made.addfile(entry, io.BytesIO(random.Random(n).randbytes(30_000)))
    plain = buffer.getvalue()
    step = -(-len(plain) // streams)
    packed = [lzma.compress(plain[at : at + step]) for at in range(0, len(plain), step)]
    path = tmp_path / "x.tar.xz"
    path.write_bytes(bytes(8).join(packed) + bytes(4))
    assert len(names(unpack(path, folder))) == 40
    assert (folder / "39.jpg").read_bytes() == random.Random(39).randbytes(30_000)
    shutil.rmtree(folder)
    path.write_bytes(bytes(8).join(packed)[:-2000])
    assert refused(path, folder).code == "archive-damaged"
