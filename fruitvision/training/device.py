"""The device, the precision of the forward pass, the memory format, and torch.compile.

Compilation changes only the forward call: the network, its parameter names and its checkpoints stay the same. Each input shape is
compiled separately: code for dynamic shapes would depend on which shape came first, and resuming would not be bit-exact.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor, nn

from fruitvision.errors import TrainingError
from fruitvision.models.compiled import shortest_seconds
from fruitvision.training.config import TrainConfig

NVIDIA_SMI_SECONDS = 5.0
"""The timeout for ``nvidia-smi``, which hangs if the GPU does."""
TRIES, FASTER = 9, 1.2
"""The number of timings of a convolution in float32 and in bfloat16, and the speedup from which bfloat16 is used."""


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" chooses CUDA, then Apple's MPS, then the CPU. Raises TrainingError "device-missing"."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        raise TrainingError("device-missing", device=name)
    return torch.device(name)


@dataclass(frozen=True)
class UnusedCard:
    """An NVIDIA card that torch does not use."""

    name: str
    torch: str
    """The version of torch."""
    reason: Literal["cpu_build", "old_driver"]
    """torch was built without CUDA, as for Windows on PyPI; or for a newer driver or GPU."""


def unused_card() -> UnusedCard | None:
    """The NVIDIA GPU of this computer, as reported by ``nvidia-smi``, if torch cannot use it; else None."""
    program = shutil.which("nvidia-smi")
    if program is None or torch.cuda.is_available() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        said = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=NVIDIA_SMI_SECONDS, creationflags=flags)
    except (OSError, subprocess.SubprocessError):
        return None
    name = said.stdout.partition("\n")[0].strip()
    if said.returncode or not name:
        return None
    return UnusedCard(name[:80], torch.__version__, "old_driver" if torch.version.cuda else "cpu_build")


def autocast(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager:
    """An autocast context, if the configuration asks for less than float32."""
    dtype = compute_dtype(config, device)
    mixed = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if mixed else None, enabled=mixed)


def compute_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """The precision of the forward pass.

    "auto" is bfloat16 if the device computes it faster than float32; otherwise float16 on a GPU, float32 on a CPU.
    """
    if config.precision != "auto":
        return getattr(torch, config.precision)
    if device.type == "cpu":
        return torch.bfloat16 if bfloat16_is_faster() else torch.float32
    return torch.bfloat16 if device.type == "cuda" and has_bfloat16(device) else torch.float16


def precision_name(config: TrainConfig, device: torch.device) -> str:
    """:func:`compute_dtype` as a value of the setting ``precision``."""
    return str(compute_dtype(config, device)).removeprefix("torch.")


@cache
def bfloat16_is_faster() -> bool:
    """Whether this CPU computes convolutions clearly faster in bfloat16 than in float32; measured once, in a tenth of a second.

    The instruction set does not determine it. With AMX bfloat16 is several times as fast; with AVX512-BF16 alone it depends on the
    CPU: where a virtual machine hides the AMX of an Intel server, a convolution takes nearly twice as long in bfloat16.
    """
    if not cpu_has_bfloat16():
        return False
    with torch.inference_mode():
        x = torch.ones(16, 64, 24, 24).contiguous(memory_format=torch.channels_last)
        weight = torch.ones(64, 64, 3, 3).contiguous(memory_format=torch.channels_last)
        calls = [partial(torch.nn.functional.conv2d, x.to(dtype), weight.to(dtype), padding=1) for dtype in (torch.float32, torch.bfloat16)]
        float32_seconds, bfloat16_seconds = shortest_seconds(calls, TRIES)
    return float32_seconds > FASTER * bfloat16_seconds


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device supports bfloat16 without emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type != "cpu" or cpu_has_bfloat16()


def cpu_has_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16: Intel's servers since 2020, AMD's since Zen 4."""
    asked = getattr(torch.cpu, "get_capabilities", None)
    if asked is None:  # before torch 2.9 or so
        private = torch.cpu
        return bool(private._is_avx512_bf16_supported() or private._is_amx_tile_supported())
    return bool(asked().get("avx512_bf16") or asked().get("amx_tile"))


def inference_memory_format(config: TrainConfig) -> torch.memory_format:
    """The memory format that the configuration asks for."""
    return torch.channels_last if config.channels_last else torch.contiguous_format


def memory_format(network: nn.Module, config: TrainConfig, device: torch.device) -> torch.memory_format:
    """The memory format for training: the one that the configuration asks for, unless it would crash the process.

    On several CPU threads, channels last, the backward pass of a strided 1 × 1 convolution of fewer than 16 channels writes
    out of bounds where the threads cannot divide the batch evenly (torch 2.13, oneDNN 3.12). Of the networks here only a
    ResNet18 of width 8 has such layers, and it loses nothing by the other format.
    """
    affected = any(
        isinstance(module, nn.Conv2d) and module.in_channels < 16 and module.kernel_size == (1, 1) and module.stride != (1, 1)
        for module in network.modules()
    )
    return torch.contiguous_format if affected and device.type == "cpu" else inference_memory_format(config)


BACKEND = "inductor"
RECOMPILE_LIMIT = 64
"""Each picture size and the last batch of an epoch is a shape of its own; torch stops compiling after eight by default."""


def compile_network(network: nn.Module) -> nn.Module:
    """The network with a compiled forward call; parameters are shared."""
    return torch.compile(network, backend=BACKEND, dynamic=False, recompile_limit=RECOMPILE_LIMIT)  # pyright: ignore[reportCallIssue]  # not in its overloads


def compile_error(device: torch.device) -> str | None:
    """Torch's reason why torch.compile does not work here; None if a small function can be compiled. Takes some seconds."""

    def small(x: Tensor) -> Tensor:
        return (x.sin() + 1).sum()

    try:
        with warnings.catch_warnings():  # warnings of torch itself
            warnings.simplefilter("ignore")
            torch.compile(small, backend=BACKEND, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # a missing or old C++ compiler or missing headers cause many kinds of errors
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {' '.join(lines[:2])}"[:200]
    return None
