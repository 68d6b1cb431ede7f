"""The precision and the memory format that a configuration asks for, where the device supports them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from fruitvision.models.networks import build_network
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import compute_dtype, cpu_has_amx, memory_format
from fruitvision.training.state import TrainState

STEPS = """
import torch
from fruitvision.models.networks import build_network
from fruitvision.training.config import TrainConfig
from fruitvision.training.engine import to_device
from fruitvision.training.state import TrainState
torch.set_num_threads(2)
state = TrainState(build_network(num_classes=4, width=8, seed=0), TrainConfig.from_preset("fast", width=8), torch.device("cpu"))
for _ in range(12):
    state.network(to_device(torch.randn(7, 3, 64, 64), state)).logits.sum().backward()
print("whole")
"""


def test_a_narrow_network_trains_on_two_threads_in_batches_of_seven(project):
    found = subprocess.run(
        [sys.executable, "-c", STEPS],
        cwd=project,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert (found.returncode, found.stdout.strip()) == (0, "whole"), found.stderr


@pytest.mark.parametrize(
    ("width", "device", "asked", "layout"),
    [
        (8, "cpu", True, torch.contiguous_format),
        (16, "cpu", True, torch.channels_last),
        (64, "cpu", True, torch.channels_last),
        (8, "cuda", True, torch.channels_last),
        (64, "cpu", False, torch.contiguous_format),
    ],
)
def test_the_memory_format_is_as_configured_except_for_narrow_networks_on_a_cpu(width, device, asked, layout):
    config = TrainConfig.from_preset("fast", width=width, channels_last=asked)
    network = build_network(num_classes=4, width=width, seed=0)
    assert memory_format(network, config, torch.device(device)) == layout
    if device == "cpu":
        assert TrainState(network, config, torch.device("cpu")).network.conv1.weight.is_contiguous(memory_format=layout)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="instructions of another processor")
def test_torch_reports_whether_there_is_amx():
    assert "amx_tile" in torch.cpu.get_capabilities()


@pytest.mark.parametrize(
    ("able", "precision"), [({"avx512_bf16": True, "amx_tile": False}, torch.float32), ({"amx_tile": True}, torch.bfloat16)]
)
def test_a_cpu_trains_in_bfloat16_only_where_that_is_faster(able, precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    cpu_has_amx.cache_clear()
    try:
        assert compute_dtype(TrainConfig.from_preset("fast", precision="auto"), torch.device("cpu")) == precision
    finally:
        cpu_has_amx.cache_clear()
