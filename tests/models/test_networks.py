"""torchvision's ResNet18, name for name, and weights that go where they belong or nowhere."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest
import torch

from fruitvision.compat import import_torchvision
from fruitvision.errors import CheckpointError, DownloadError
from fruitvision.models import networks
from fruitvision.models.networks import build_network, imagenet_applies, imagenet_weights, load_trunk

torchvision = import_torchvision()


def test_full_width_with_batch_norm_is_torchvisions_resnet18():
    theirs, ours = torchvision.models.resnet18(num_classes=10).eval(), build_network(num_classes=10).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x).logits, theirs(x))


def test_a_network_gives_logits_features_and_maps_that_belong_together():
    network = build_network(num_classes=7, width=16).eval()
    with torch.inference_mode():
        logits, features, maps = network(torch.randn(3, 3, 96, 64))
        assert (logits.shape, features.shape, maps.shape) == ((3, 7), (3, 128), (3, 128, 3, 2))
        torch.testing.assert_close(maps.mean(dim=(2, 3)), features)
        torch.testing.assert_close(network.head(features), logits)


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
    monkeypatch.setattr(networks, "IMAGENET_URL", f"http://127.0.0.1:{server.server_port}/resnet18.pth")
    monkeypatch.setattr(networks, "IMAGENET_SHA256_PREFIX", prefix)
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
