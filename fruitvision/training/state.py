"""All that an exact resume needs: weights, optimizer, averaged weights, position, sums so far, random generators."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fruitvision.models.depthwise import quicken_depthwise
from fruitvision.training.compilation import compiled
from fruitvision.training.config import TrainConfig
from fruitvision.training.distributed import SINGLE_PROCESS, World
from fruitvision.training.optim import make_optimizer


@dataclass
class Progress:
    """Where the run stands. ``epoch`` is the one under way, from 0; ``step`` counts its finished optimizer steps."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    norm_sum: float = 0.0
    seconds: float = 0.0
    best_accuracy: float = -1.0
    best_loss: float = math.inf
    best_epoch: int = -1
    stale_epochs: int = 0
    skipped: int = 0
    """Steps of this epoch whose gradient was not finite, and so was not used."""
    skipped_in_a_row: int = 0

    def start_next_epoch(self) -> None:
        """Forget the sums of the epoch that ended."""
        self.epoch += 1
        self.step = self.right = self.seen = self.skipped = 0
        self.loss_sum = self.norm_sum = self.seconds = 0.0


def arithmetic(config: TrainConfig, device: torch.device) -> torch.dtype:
    """What the forward pass computes in. "auto" is bfloat16 where the device has it, else float16; on a CPU without
    instructions for bfloat16, which would be slower with either, float32."""
    if config.precision != "auto":
        return getattr(torch, config.precision)
    if device.type == "cpu":
        return torch.bfloat16 if multiplies_bfloat16() else torch.float32
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16


@cache
def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for it: Intel's since 2020 in servers, AMD's since Zen 4."""
    supported = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(ask is not None and ask() for ask in supported)


NARROW = 16


def memory_layout(network: nn.Module, config: TrainConfig, device: torch.device) -> torch.memory_format:
    """The layout that the configuration asks for, but never one that ends the process.

    On several CPU threads, channels last, the backward pass of a strided 1 × 1 convolution of fewer than 16 channels
    writes beyond its memory where the threads cannot share the batch evenly (torch 2.13, oneDNN 3.12). Of ours only a
    ResNet18 of width 8 has such layers, and it loses nothing by the other layout.
    """
    if not config.channels_last:
        return torch.contiguous_format
    narrow = any(
        isinstance(module, nn.Conv2d) and module.in_channels < NARROW and module.kernel_size == (1, 1) and module.stride != (1, 1)
        for module in network.modules()
    )
    return torch.contiguous_format if narrow and device.type == "cpu" else torch.channels_last


@dataclass
class TrainState:
    """A network in training. Complete between any two events of :func:`engine.fit`.

    ``keeps_statistics``: batch norm normalizes with the means and variances that the first weights brought.
    """

    network: nn.Module
    config: TrainConfig
    device: torch.device
    keeps_statistics: bool = False
    world: World = SINGLE_PROCESS
    """The processes that train it together. Each holds the same state, but for the norms' running averages on a CPU."""
    compiles: bool = False
    """Whether steps call the network as torch.compile makes it. What is saved and evaluated is the network itself."""
    optimizer: torch.optim.Optimizer = field(init=False)
    scaler: torch.amp.GradScaler = field(init=False)
    """Scales float16's small gradients up so that they do not vanish; with other arithmetic it does nothing."""
    averaged: dict[str, Tensor] | None = field(init=False, default=None)
    progress: Progress = field(default_factory=Progress)
    layout: torch.memory_format = field(init=False)
    forward: nn.Module = field(init=False)
    """What a training step calls: the network, or the same one compiled."""

    def __post_init__(self) -> None:
        self.layout = memory_layout(self.network, self.config, self.device)
        self.network.to(self.device, memory_format=self.layout)
        if self.device.type == "cpu" and arithmetic(self.config, self.device) == torch.bfloat16:
            quicken_depthwise(self.network)
        self.network = self.world.sync_batchnorm(self.network)
        self.forward = compiled(self.network) if self.compiles else self.network
        self.optimizer = make_optimizer(self.network, self.config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=arithmetic(self.config, self.device) == torch.float16)
        if self.config.ema:
            self.averaged = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or patience is at its end."""
        out_of_patience = 0 < self.config.patience <= self.progress.stale_epochs
        return self.progress.epoch >= self.config.epochs or out_of_patience

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """Move the averaged weights towards the current ones; quickly at first, when there is little to average."""
        if self.averaged is None:
            return
        decay = min(self.config.ema, (1 + step) / (10 + step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - decay)
            else:
                self.averaged[name].copy_(value)

    def kept_network(self) -> nn.Module:
        """The network that is evaluated and saved: a copy with the averaged weights where there are any."""
        if self.averaged is None:
            return self.network
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.averaged)
        return network

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings and lists only, so that it loads with ``torch.load(weights_only=True)``."""
        numpy_name, numpy_keys, *numpy_rest = np.random.get_state()
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged,
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
            "random": {
                "python": random.getstate(),
                "numpy": [numpy_name, torch.from_numpy(numpy_keys.astype(np.int64)), *numpy_rest],
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take everything up where :meth:`state_dict` left it, random generators included."""
        self.network.load_state_dict(saved["network"], strict=True)
        self.optimizer.load_state_dict(saved["optimizer"])
        if saved.get("scaler"):
            self.scaler.load_state_dict(saved["scaler"])
        if self.averaged is not None:
            for name, value in saved["averaged"].items():
                self.averaged[name].copy_(value)
        self.progress = Progress(**saved["progress"])
        generators = saved["random"]
        version, keys, gauss = generators["python"]
        random.setstate((version, tuple(keys), gauss))
        name, numpy_keys, *rest = generators["numpy"]
        np.random.set_state((name, numpy_keys.numpy().astype(np.uint32), *rest))
        torch.set_rng_state(generators["torch"].cpu())
        if generators["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(generators["cuda"])
