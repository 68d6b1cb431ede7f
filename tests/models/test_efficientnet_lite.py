"""EfficientNet-Lite is timm's, weight for weight and output for output, without timm being imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from fruitvision.compat import import_timm
from fruitvision.models.efficientnet_lite import SCALES, EfficientNetLite
from fruitvision.models.networks import build_network


@pytest.mark.parametrize("name", sorted(SCALES))
def test_fresh_weights_have_timms_names_shapes_and_spread(name):
    ours, theirs = EfficientNetLite(name, 7).state_dict(), import_timm().create_model(name, num_classes=7).state_dict()
    assert [(key, value.shape) for key, value in ours.items()] == [(key, value.shape) for key, value in theirs.items()]
    for key, value in theirs.items():
        if value.numel() > 4000:
            assert float(ours[key].std()) == pytest.approx(float(value.std()), rel=0.1), key
        elif value.ndim < 2:
            assert torch.equal(ours[key], value), key


@pytest.mark.parametrize("size", [(96, 64), (97, 130), (33, 224)])
def test_outputs_and_gradients_are_timms(size):
    torch.manual_seed(0)
    theirs, ours = import_timm().create_model("tf_efficientnet_lite0", num_classes=5), EfficientNetLite("tf_efficientnet_lite0", 5)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(4, 3, *size)
    for network in (ours, theirs):
        network.train()(x).square().sum().backward()
    gradients = [[parameter.grad for parameter in network.parameters()] for network in (ours, theirs)]
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
    assert all(torch.equal(ours.state_dict()[name], value) for name, value in theirs.state_dict().items()), "running statistics"
    with torch.inference_mode():
        assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_the_default_network_answers_without_timm_and_torchvision(project):
    code = """
import sys
import numpy as np
import fruitvision
print(fruitvision.load().predict(np.zeros((64, 64, 3), np.uint8)).verdict)
print([name for name in ("timm", "torchvision", "torch._dynamo", "sympy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "[]"


def test_a_stage_less_or_more_wide_has_its_channels_in_eights():
    network = build_network("tf_efficientnet_lite2", num_classes=3, norm="own")
    channels = [stage[-1][-1].bn3.num_features for stage in network.stages[2:]]
    assert channels == [24, 48, 88, 120, 208, 352]
    assert [len(stage[0]) for stage in network.stages[1:]] == [1, 3, 3, 4, 4, 5, 1]
