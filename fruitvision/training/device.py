"""Where and in what a network is computed: the device, the precision of the forward pass, the memory format."""

from __future__ import annotations

import contextlib
from functools import cache

import torch
from torch import nn

from fruitvision.errors import TrainingError
from fruitvision.training.config import TrainConfig


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes CUDA, then Apple's MPS, then the CPU. Raises TrainingError "device-missing"."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        raise TrainingError("device-missing", device=name)
    return torch.device(name)


def autocast(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager:
    """Mixed precision, where the configuration asks for less than float32."""
    dtype = compute_dtype(config, device)
    mixed = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if mixed else None, enabled=mixed)


def compute_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """The precision of the forward pass.

    "auto" is bfloat16 where the device has it, else float16; on a CPU without instructions for bfloat16, which would be
    slower with either, float32.
    """
    if config.precision != "auto":
        return getattr(torch, config.precision)
    if device.type == "cpu":
        return torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16


@cache
def cpu_has_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16: Intel's servers since 2020, AMD's since Zen 4."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile"))


def memory_format(network: nn.Module, config: TrainConfig, device: torch.device) -> torch.memory_format:
    """The memory format that the configuration asks for, but never one that crashes the process.

    On several CPU threads, channels last, the backward pass of a strided 1 × 1 convolution of fewer than 16 channels writes
    out of bounds where the threads cannot divide the batch evenly (torch 2.13, oneDNN 3.12). Of the networks here only a
    ResNet18 of width 8 has such layers, and it loses nothing by the other format.
    """
    if not config.channels_last:
        return torch.contiguous_format
    affected = any(
        isinstance(module, nn.Conv2d) and module.in_channels < 16 and module.kernel_size == (1, 1) and module.stride != (1, 1)
        for module in network.modules()
    )
    return torch.contiguous_format if affected and device.type == "cpu" else torch.channels_last
