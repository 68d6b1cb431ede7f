"""A file of weights is read without running anything in it, within the memory of its own size, or refused by name."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fruitvision.errors import CheckpointError
from fruitvision.models.imported.file import read_weights
from fruitvision.models.weights_header import MAX_HEADER_BYTES
from tests.sentences import is_worded

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap-has-sprung",)


def saved(path: Path, content, **options) -> Path:
    torch.save(content, path, **options)
    return path


def code_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    assert is_worded(caught.value), caught.value.facts
    return caught.value.code


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model", "my_net"])
def test_the_weights_are_found_in_a_state_dict_or_in_what_wraps_it(tmp_path, key, zipped):
    optimizer = {"state": {}, "other": {"m": torch.ones(3)}}
    content = {key: OrderedDict(WEIGHTS), "epoch": 3, "optimizer_state_dict": optimizer} if key else WEIGHTS
    found = read_weights(saved(tmp_path / "x.pth", content, _use_new_zipfile_serialization=zipped))
    assert set(found.tensors) == set(WEIGHTS) and torch.equal(found.tensors["a.weight"], WEIGHTS["a.weight"])
    assert len(found.sha256) == 64


def test_a_safetensors_file_is_read_under_any_name(tmp_path):
    for name in ("x.safetensors", "x.bin"):
        save_file(WEIGHTS, tmp_path / name)
        assert torch.equal(read_weights(tmp_path / name).tensors["a.weight"], WEIGHTS["a.weight"])


def test_a_safetensors_file_of_countless_empty_tensors_is_refused(tmp_path):
    """Each of 60 bytes takes a kilobyte: 17 MB took 410 MB."""
    header = json.dumps({f"{n:x}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(80_000)}).encode()
    assert len(header) > MAX_HEADER_BYTES
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    start = time.process_time()
    assert code_of(path) == "import-damaged"
    assert time.process_time() - start < 0.2
    save_file(WEIGHTS, path, {"note": "x" * 2**20})
    assert read_weights(path).tensors.keys() == WEIGHTS.keys()


def test_classes_that_a_tutorial_saved_beside_its_weights_are_kept(tmp_path):
    found = read_weights(saved(tmp_path / "x.pth", {"state_dict": WEIGHTS, "class_to_idx": {"Apple": 0, "Banana": 1}}))
    assert found.classes == {"Apple": 0, "Banana": 1}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_model_is_refused_with_how_to_save_its_weights(tmp_path, zipped):
    path = saved(tmp_path / "fruits.pth", nn.Sequential(nn.Linear(2, 2)), _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r'any code.*torch\.save\(model\.state_dict\(\), "fruits-weights\.pth"\)') as caught:
        read_weights(path)
    assert caught.value.code == "import-whole-model" and is_worded(caught.value)
    assert caught.value.facts["name"] == "torch.nn.modules.container.Sequential"


def torchscript(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr("x/data.pkl", b"\x80\x02}.")
        parts.writestr("x/constants.pkl", b"\x80\x02).")
    return path


def compressed(path: Path) -> Path:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1_000_000)}, buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as parts:
        for member in whole.infolist():
            parts.writestr(member.filename, whole.read(member))
    return path


def with_pickle(path: Path, content: bytes) -> Path:
    """A torch file whose pickle is another one."""
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(path, "w") as parts:
        for member in whole.infolist():
            parts.writestr(member.filename, content if member.filename.endswith("data.pkl") else whole.read(member))
    return path


def test_nothing_in_any_of_these_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Trap()))
    traps = [plain, saved(tmp_path / "trap.pth", {"a": Trap()}), saved(tmp_path / "old.pth", Trap(), _use_new_zipfile_serialization=False)]
    assert [code_of(path) for path in traps] == ["import-objects"] * 3
    # A name put together on the stack may be any: what stands beside it proves nothing.
    assert code_of(with_pickle(tmp_path / "stack.pth", b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R.")) == "import-objects"
    # torch's weights_only alone would fill 100 GB with zeros here.
    zeros = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\xe8\x76\x48\x17\x85R."
    assert code_of(with_pickle(tmp_path / "zeros.pth", zeros)) == "import-objects"
    assert not (tmp_path / "trap-has-sprung").exists()


def two_directories(path: Path, hidden: bytes, *, zip64: bool) -> Path:
    """A zip whose end names the place of one directory, behind which another stands; ``hidden``: the pickle in the first."""
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer)
    with zipfile.ZipFile(buffer) as parts:
        good = {one.filename.rpartition("/")[2]: parts.read(one) for one in parts.infolist() if "/." not in one.filename}
        good = {f"x/data/{name}" if name.isdecimal() else f"x/{name}": content for name, content in good.items()}
    data, places, table = b"", [], b""
    for contents in ({**good, "x/data.pkl": hidden}, good):
        entries = []
        for name, content in contents.items():
            values = (20, 0, 0, 0, 0x21, zlib.crc32(content), len(content), len(content), len(name), 0)
            entries.append((name, values, len(data)))
            data += struct.pack("<4sHHHHHIIIHH", b"PK\3\4", *values) + name.encode() + content
        data += bytes(0 if places else 8000)  # room by which the places in the second directory are moved back
        moved = len(data) - places[0] if places else 0
        rows = [
            struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, *own, 0, 0, 0, 0, at - moved) + name.encode() for name, own, at in entries
        ]
        table = b"".join(rows)
        places.append(len(data))
        data += table
    count, end = len(good), len(data)
    if zip64:
        data += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(table), places[0])
        data += struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    path.write_bytes(data + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(table), places[0], 0))
    return path


BYTEARRAY = b"\x80\x02cbuiltins\nbytearray\nK\5\x85R."


@pytest.mark.parametrize("zip64", [False, True])
def test_the_pickle_that_is_checked_is_the_one_that_torch_reads(tmp_path, zip64):
    """10 KB with another directory for torch's reader, or a second name that it takes for the same, took any amount of memory."""
    path = two_directories(tmp_path / "x.pth", BYTEARRAY, zip64=zip64)
    assert torch.load(path, weights_only=True) == bytearray(5)
    assert code_of(path) == "import-damaged"


def test_a_name_in_capitals_is_the_same_to_torch(tmp_path):
    saved(tmp_path / "x.pth", WEIGHTS)
    with zipfile.ZipFile(tmp_path / "x.pth", "a") as parts:
        parts.writestr("x/DATA.PKL", BYTEARRAY)
    assert code_of(tmp_path / "x.pth") == "import-not-weights"


def test_other_files_are_named_for_what_they_are(tmp_path):
    text, cut = tmp_path / "a.pth", tmp_path / "cut.pth"
    text.write_text("no weights", encoding="utf-8")
    cut.write_bytes(saved(tmp_path / "whole.pth", WEIGHTS).read_bytes()[:-300])
    assert code_of(text) == "import-not-weights"
    assert code_of(cut) == "import-damaged"
    assert code_of(torchscript(tmp_path / "script.pt")) == "import-torchscript"
    assert code_of(compressed(tmp_path / "bomb.pth")) == "import-damaged"
    assert code_of(saved(tmp_path / "optimizer.pth", {"epoch": 3, "lr": 0.1})) == "import-no-weights"
    assert code_of(tmp_path / "nothing.pth") == "import-missing"
    (tmp_path / "empty").mkdir()
    assert code_of(tmp_path / "empty") == "import-folder"
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 64)
    assert code_of(tmp_path / "x.safetensors") == "import-damaged"


@pytest.mark.parametrize(
    ("tensor", "code"),
    [
        (torch.zeros(1).expand(10**9, 1000), "import-size"),
        (torch.zeros(1).expand(*[2] * 12), "import-size"),
        (torch.tensor([1.0, float("nan")]), "import-not-finite"),
        (torch.tensor([float("inf")], dtype=torch.float16), "import-not-finite"),
        (torch.zeros(2, dtype=torch.complex64), "import-layout"),
    ],
)
def test_a_tensor_that_is_none_of_a_network_is_refused(tmp_path, tensor, code):
    assert code_of(saved(tmp_path / "x.pth", {**WEIGHTS, "b": tensor})) == code


def test_sparse_tensors_are_refused(tmp_path):
    sparse = torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.long), torch.ones(1), (10**12,), check_invariants=True)
    assert code_of(saved(tmp_path / "x.pth", {"a": sparse})) == "import-objects"


def test_a_file_that_is_a_tar_as_well_is_refused_before_torch_reads_it(tmp_path):
    """torch opens old files as a tar first, whose headers may take hours (CVE-2024-6232)."""
    path = saved(tmp_path / "x.pth", {"a": torch.zeros(2)}, _use_new_zipfile_serialization=False)
    start = path.read_bytes()[:15] + b"N." * 4
    header = bytearray(512)
    header[: len(start)] = start
    header[100:148] = b"0000644\0" + b"0000000\0" * 2 + b"00000000012\0" + b"00000000000\0"
    header[156:157], header[257:265], header[148:156] = b"x", b"ustar\x0000", b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    path.write_bytes(bytes(header) + b"1" * 10 + bytes(502 + 1024))
    assert code_of(path) == "import-not-weights"


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc; the peak that getrusage gives is a parent's, where that is higher")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_storage_that_claims_more_than_the_file_holds_takes_no_memory(tmp_path, zipped):
    """A storage of 40 GB in a file of some kilobytes: the process may take 3 GB of memory at most."""
    path = saved(tmp_path / "x.pth", {"a": torch.zeros(77_777)}, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    claimed = content.replace(b"J" + (77_777).to_bytes(4, "little"), b"J" + (2_000_000_000).to_bytes(4, "little"))
    assert claimed != content
    path.write_bytes(claimed)
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom fruitvision.models.imported.file import read_weights\n"
        "from fruitvision.errors import CheckpointError\n"
        "try:\n    read_weights(Path(sys.argv[1]))\nexcept CheckpointError as error:\n    print(error.code)\n"
        r"print(int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1]) < 3e6)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "True" and done.stdout.startswith("import-"), done.stdout + done.stderr
