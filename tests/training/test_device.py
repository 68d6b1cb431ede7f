"""The precision and the memory format that a configuration asks for, where the device supports them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time

import pytest
import torch

from fruitvision.models.networks import build_network
from fruitvision.training import device as module
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import bfloat16_is_faster, compute_dtype, memory_format
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
def test_torch_reports_the_instructions_for_bfloat16():
    assert {"avx512_bf16", "amx_tile"} <= torch.cpu.get_capabilities().keys()


@pytest.fixture
def measured_anew():
    bfloat16_is_faster.cache_clear()
    yield
    bfloat16_is_faster.cache_clear()


@pytest.mark.parametrize(
    ("able", "slower", "precision"),
    [
        (True, torch.float32, torch.bfloat16),
        (True, torch.bfloat16, torch.float32),
        (True, None, torch.float32),
        (False, torch.float32, torch.float32),
    ],
)
def test_a_cpu_trains_in_bfloat16_only_where_that_is_faster(able, slower, precision, measured_anew, monkeypatch):
    monkeypatch.setattr(module, "cpu_has_bfloat16", lambda: able)
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda x, *_, padding: time.sleep(0.004 if x.dtype == slower else 0.002))
    before = torch.get_rng_state()
    assert compute_dtype(TrainConfig.from_preset("fast", precision="auto"), torch.device("cpu")) == precision
    assert torch.equal(torch.get_rng_state(), before), "a run's random numbers do not depend on it"


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_card_that_only_emulates_bfloat16_trains_in_float16(native, dtype, monkeypatch):
    """As T4 and V100 do, of which torch says that they support it unless it is asked about emulation."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert compute_dtype(TrainConfig.from_preset("fast", precision="auto"), torch.device("cuda")) == dtype
