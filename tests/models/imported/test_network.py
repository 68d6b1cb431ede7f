"""A network that was trained elsewhere answers here as it did there, to the rounding, or is refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fruitvision.compat import import_timm, import_torchvision
from fruitvision.errors import CheckpointError, ConfigError
from fruitvision.models.imported.network import Imported, import_network
from tests.sentences import is_worded

import_torchvision()
from torchvision import models  # noqa: E402

CLASSES = 5
X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


class FruitsClassifier(nn.Module):
    """As tutorials write it."""

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        self.model = models.resnet18()
        self.model.fc = head or nn.Linear(self.model.fc.in_features, CLASSES)

    def forward(self, x):
        return self.model(x)


class Cut(nn.Module):
    """As other tutorials write it: the children of a ResNet but the last, and a layer of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*list(models.resnet18().children())[:-1])
        self.classifier = nn.Linear(512, CLASSES)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def lived_in(network: nn.Module) -> nn.Module:
    """The network with statistics that are not those of a fresh one."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return network.eval()


def imported(network: nn.Module, tmp_path, prefix: str = "", **options) -> Imported:
    torch.save({f"{prefix}{name}": value for name, value in network.state_dict().items()}, tmp_path / "fruits.pth")
    return import_network(tmp_path / "fruits.pth", **options)


@torch.inference_mode()
def assert_same(found: Imported, network: nn.Module) -> None:
    torch.testing.assert_close(found.network(X).logits, network.eval()(X), atol=1e-5, rtol=1e-5)


def code_of(action) -> str:
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        action()
    assert is_worded(caught.value), caught.value.facts
    return caught.value.code


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.backbone."])
def test_a_tutorials_resnet_answers_as_it_did(tmp_path, prefix):
    network = lived_in(FruitsClassifier())
    found = imported(network, tmp_path, prefix)
    assert (found.architecture, found.norm, found.num_classes) == ("resnet18", "batch", CLASSES)
    assert_same(found, network)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("resnet34", "resnet34"), ("mobilenet_v2", "mobilenetv2_100"), ("efficientnet_b0", "efficientnet_b0"), ("mnasnet0_5", "mnasnet_050")],
)
def test_torchvisions_other_networks_are_recognised(tmp_path, name, architecture):
    network = lived_in(getattr(models, name)(num_classes=CLASSES))
    found = imported(network, tmp_path, "model.")
    assert found.architecture == architecture
    assert_same(found, network)


def test_a_sequence_of_a_resnets_children_is_recognised(tmp_path):
    network = lived_in(Cut())
    assert_same(imported(network, tmp_path), network)


def test_a_deeper_network_is_not_taken_for_a_shallower_one(tmp_path):
    assert imported(models.resnet34(num_classes=2), tmp_path).architecture == "resnet34"


def test_half_precision_and_old_files_without_counters_are_read(tmp_path):
    network = lived_in(FruitsClassifier()).half()
    weights = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    torch.save(weights, tmp_path / "fruits.pth")
    assert_same(import_network(tmp_path / "fruits.pth"), network.float())


@pytest.mark.parametrize(
    "head",
    [
        lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(512, CLASSES)),
        lambda: nn.Sequential(nn.Linear(512, CLASSES), nn.LogSoftmax(dim=1)),
        lambda: nn.Sequential(nn.Linear(512, 32), nn.Linear(32, CLASSES)),
        lambda: nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, CLASSES, bias=False)),
    ],
)
def test_a_head_that_is_one_linear_layer_is_made_one(tmp_path, head):
    network = lived_in(FruitsClassifier(head()))
    found = imported(network, tmp_path)
    with torch.inference_mode():
        here, there = found.network(X).logits.softmax(dim=1), network(X).softmax(dim=1)
    torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("between", [nn.ReLU, nn.Dropout])
def test_layers_with_something_unknown_between_are_refused_until_the_person_says_what_it_is(tmp_path, between):
    network = lived_in(FruitsClassifier(nn.Sequential(nn.Linear(512, 32), between(), nn.Linear(32, CLASSES))))
    assert code_of(lambda: imported(network, tmp_path)) == "import-head-deep"
    if between is nn.Dropout:
        assert_same(imported(network, tmp_path, no_activation=True), network)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda own: own.model.__setattr__("fc", nn.Identity()), "import-no-head"),
        (lambda own: own.model.__setattr__("fc", nn.Linear(512, 1)), "import-one-output"),
        (lambda own: own.model.__setattr__("fc", nn.Linear(1024, 4)), "import-head-features"),
        (lambda own: own.model.__setattr__("fc", nn.Conv2d(512, 4, 1)), "import-head-layer"),
        (lambda own: own.model.__setattr__("conv1", nn.Conv2d(3, 64, 3, bias=False)), "import-other-shape"),
        (lambda own: own.model.__setattr__("bn1", nn.GroupNorm(32, 64)), "import-unknown-network"),
        (lambda own: own.__setattr__("model", models.squeezenet1_1()), "import-unknown-network"),
    ],
)
def test_what_cannot_be_made_exactly_is_named(tmp_path, change, code):
    network = FruitsClassifier()
    change(network)
    assert code_of(lambda: imported(network, tmp_path)) == code


def test_weights_that_overflow_are_refused(tmp_path):
    network = FruitsClassifier()
    network.model.fc.weight.data.fill_(3e38)
    assert code_of(lambda: imported(network, tmp_path)) == "import-not-finite"


def test_networks_that_compute_differently_under_the_same_names_are_not_guessed(tmp_path):
    network = lived_in(import_timm().create_model("tf_efficientnet_lite0", num_classes=CLASSES))
    with pytest.raises(CheckpointError, match="efficientnet_lite0, tf_efficientnet_lite0"):
        imported(network, tmp_path)
    assert_same(imported(network, tmp_path, architecture="tf_efficientnet_lite0"), network)
    assert code_of(lambda: imported(network, tmp_path, architecture="resnet50")) == "import-other-network"
    assert code_of(lambda: imported(network, tmp_path, architecture="no_such")) == "unknown-architecture"


# The Hugging Face Hub -------------------------------------------------------------------------------------------------


def hub(tmp_path, network: nn.Module, config: dict, rename=lambda name: name):
    save_file({rename(name): value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


def test_timms_configuration_says_network_names_and_transform(tmp_path):
    network = lived_in(import_timm().create_model("tf_efficientnet_lite0", num_classes=3))
    given = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "input_size": [3, 128, 128], "crop_pct": 0.9, "interpolation": "bicubic"}
    labels = ["Apple", "Banana", "Kiwi"]
    folder = hub(tmp_path, network, {"architecture": "tf_efficientnet_lite0", "label_names": labels, "pretrained_cfg": given})
    found = import_network(folder)
    assert found.classes == (("Apple", "Banana", "Kiwi"), f"{tmp_path.name}/config.json")
    transform = found.hub.transform
    assert transform and (transform.resize, transform.crop, transform.interpolation) == (142, 128, "bicubic")
    assert transform.mean == (0.5, 0.5, 0.5)
    assert_same(found, network)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model_args": {"act_layer": "gelu"}}, "import-model-args"),
        ({"pretrained_cfg": {"input_size": [3, 128, 96]}}, "import-hub-config"),
        ({"pretrained_cfg": {"interpolation": "lanczos"}}, "import-hub-config"),
        ({"label_names": ["Apple", "Apple"]}, "import-names"),
        ({"architecture": "vit_tiny_patch16_224"}, "import-other-network"),
        ({"model_type": "vit"}, "import-transformers"),
    ],
)
def test_a_configuration_that_cannot_be_held_is_refused(tmp_path, change, code):
    folder = hub(tmp_path, models.resnet18(num_classes=2), {"architecture": "resnet18", **change})
    assert code_of(lambda: import_network(folder)) == code


def test_transformers_names_of_a_resnet_are_known(tmp_path):
    """Its names, as modeling_resnet.py composes them."""

    def theirs(name: str) -> str:
        parts = name.split(".")
        if parts[0] == "fc":
            return f"classifier.1.{parts[1]}"
        kinds = {"conv": "convolution", "bn": "normalization"}
        if not parts[0].startswith("layer"):
            return f"resnet.embedder.embedder.{kinds[parts[0][:-1]]}.{parts[1]}"
        start = f"resnet.encoder.stages.{int(parts[0][5:]) - 1}.layers.{parts[1]}"
        if parts[2] == "downsample":
            return f"{start}.shortcut.{('convolution', 'normalization')[int(parts[3])]}.{parts[4]}"
        return f"{start}.layer.{int(parts[2][-1]) - 1}.{kinds[parts[2][:-1]]}.{parts[3]}"

    network = lived_in(models.resnet50(num_classes=2))
    folder = hub(tmp_path, network, {"model_type": "resnet", "id2label": {"0": "Apple", "1": "Pear"}}, theirs)
    found = import_network(folder)
    assert found.architecture == "resnet50" and found.classes and found.classes[0] == ("Apple", "Pear")
    assert_same(found, network)
