"""A small file that would unfold to a large one costs neither time nor memory."""

from __future__ import annotations

import io
import pickle
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from fruitvision.errors import CheckpointError
from fruitvision.models.imported import heads, pickle_size
from fruitvision.models.imported.file import read_weights
from fruitvision.models.imported.layouts import find_trunk
from fruitvision.models.imported.names import class_names
from tests.sentences import is_worded


def code_of(action) -> str:
    began = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        action()
    assert time.process_time() - began < 5
    assert is_worded(caught.value), caught.value.facts
    return caught.value.code


def with_pickle(path: Path, content: bytes) -> Path:
    """A torch file whose pickle is another one."""
    buffer = io.BytesIO()
    torch.save({}, buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(path, "w") as parts:
        for member in whole.infolist():
            parts.writestr(member.filename, content if member.filename.endswith("data.pkl") else whole.read(member))
    return path


def body(value: object) -> bytes:
    """The opcodes that make it, without the first and the last."""
    return pickle.dumps(value, protocol=2)[2:-1]


def test_a_dictionary_that_is_in_many_places_is_looked_into_once(tmp_path):
    content: dict = {"epoch": 3}
    for _ in range(3):
        content = {f"{n}": content for n in range(400)}
    torch.save(content, tmp_path / "x.pth")
    assert code_of(lambda: read_weights(tmp_path / "x.pth")) == "import-no-weights"


def test_weights_that_are_in_two_places_are_found_where_they_are_not_too_deep(tmp_path):
    weights = {"a.weight": torch.zeros(2)}
    torch.save({"a": {"b": {"c": {"d": weights}}}, "e": {"d": weights}}, tmp_path / "x.pth")
    assert list(read_weights(tmp_path / "x.pth").tensors) == ["a.weight"]


def test_a_key_whose_hash_takes_hours_is_refused_before_it_is_made(tmp_path):
    key: tuple = (1,)
    for _ in range(5):
        key = (key,) * 200
    for made in (b"}" + body(key) + b"K\x01s", b"}(" + body(key) + b"K\x01u"):
        assert code_of(lambda made=made: read_weights(with_pickle(tmp_path / "x.pth", b"\x80\x02" + made + b"."))) == "import-damaged"


def test_keys_of_one_hash_are_counted_before_they_are_compared(tmp_path):
    """Python compares each with all before: a million took (hours)."""
    numbers, pairs = {n * (2**61 - 1): 0 for n in range(1, 5001)}, {(n, 0): 0 for n in range(10_000)}
    for keys in (numbers, pairs):
        path = with_pickle(tmp_path / "x.pth", pickle.dumps(keys, protocol=2))
        assert code_of(lambda path=path: read_weights(path)) == "import-damaged"
    ordinary = {"seed": 2**64 - 1, "seeds": [2**64 - 1] * 1000, "ids": {n: 2**80 for n in range(1000)}, (1, 2): 3, 2**70: 4}
    path = with_pickle(tmp_path / "x.pth", pickle.dumps(ordinary, protocol=2))
    assert code_of(lambda: read_weights(path)) == "import-no-weights"


def test_copies_of_one_list_are_counted_before_they_are_made(tmp_path, monkeypatch):
    pairs = body([(n, 0) for n in range(1000)])
    path = with_pickle(tmp_path / "x.pth", b"\x80\x02(" + pairs + b"ccollections\nOrderedDict\nh\x00\x85R" * 100 + b"t.")
    assert code_of(lambda: read_weights(path)) == "import-no-weights"
    monkeypatch.setattr(pickle_size, "MAX_WORK", 100_000)
    assert code_of(lambda: read_weights(path)) == "import-damaged"


@pytest.mark.parametrize("made", [b"t.", b"h\x05.", b"R.", b"q\x00.", b"(K\x01s.", b"u.", b"(q\x00."])
def test_a_pickle_that_takes_what_is_not_there_is_damaged(tmp_path, made):
    assert code_of(lambda: read_weights(with_pickle(tmp_path / "x.pth", b"\x80\x02" + made))) == "import-damaged"


def test_a_checkpoint_with_all_that_training_saves_is_far_from_the_limit(tmp_path, monkeypatch):
    network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(100)))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(1, 2)).sum().backward()
    optimizer.step()
    monkeypatch.setattr(pickle_size, "MAX_WORK", pickle_size.MAX_WORK // 100)
    content = {"state_dict": network.state_dict(), "ema": network.state_dict(), "optimizer": optimizer.state_dict()}
    for zipped in (True, False):
        torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        assert len(read_weights(tmp_path / "x.pth").tensors) == 200


def test_classes_that_are_in_themselves_name_nothing():
    classes: dict = {}
    classes["classes"] = classes
    assert code_of(lambda: class_names(classes, "x.pth")) == "import-names"


def test_a_long_prefix_is_not_put_before_every_name_of_a_network():
    tensors = {"p" * 2**20 + ".conv1.weight": torch.zeros(1)}
    tracemalloc.start()
    try:
        assert code_of(lambda: find_trunk(tensors, "x.pth", "resnet18")) == "import-other-network"
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_two_layers_that_are_larger_together_than_each_are_bounded(monkeypatch):
    rest = {"0.weight": torch.zeros(1, 512), "1.weight": torch.zeros(1000, 1)}
    assert heads.linear_head(rest, 512, "x.pth").weight.shape == (1000, 512)
    monkeypatch.setattr(heads, "MAX_JOINED", 100_000)
    assert code_of(lambda: heads.linear_head(rest, 512, "x.pth")) == "import-head-layer"
    assert heads.linear_head({"0.weight": torch.zeros(1000, 512)}, 512, "x.pth").weight.shape == (1000, 512)


def test_a_layer_of_a_number_that_python_does_not_read_is_no_neighbour():
    rest = {"1.weight": torch.zeros(4, 4), f"{'9' * 5000}.weight": torch.zeros(4, 4)}
    assert code_of(lambda: heads.linear_head(rest, 4, "x.pth")) == "import-head-deep"
