"""The training state, with everything that an exact resume needs: weights, optimizer, averaged weights, position, sums, random
generators."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from fruitvision.models.depthwise import speed_up_depthwise
from fruitvision.models.networks import Network
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import compile_network, compute_dtype, memory_format, precision_name
from fruitvision.training.distributed import SINGLE_PROCESS, World
from fruitvision.training.optim import make_optimizer


@dataclass
class Progress:
    """The position within the run. ``epoch`` is the current one, from 0; ``step`` counts its finished optimizer steps."""

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
    """Steps of this epoch without an update."""
    skipped_in_a_row: int = 0

    def start_next_epoch(self) -> None:
        """Reset the sums."""
        self.epoch += 1
        self.step = self.right = self.seen = self.skipped = 0
        self.loss_sum = self.norm_sum = self.seconds = 0.0


@dataclass
class TrainState:
    """The state of a training; complete between any two events of :func:`engine.fit`."""

    network: Network
    config: TrainConfig
    device: torch.device
    frozen_statistics: bool = False
    """Whether batch norm uses the running statistics of the initial weights, also in training."""
    world: World = SINGLE_PROCESS
    """The processes that train the network. All have the same state, except for running statistics on a CPU."""
    compile: bool = False
    """Whether training steps use torch.compile; the network itself is saved and evaluated."""
    optimizer: torch.optim.Optimizer = field(init=False)
    scaler: torch.amp.GradScaler = field(init=False)
    """For the small gradients of float16; disabled for other precisions."""
    ema: dict[str, Tensor] | None = field(init=False, default=None)
    """The exponential moving average of the network's state dict."""
    progress: Progress = field(default_factory=Progress)
    memory_format: torch.memory_format = field(init=False)
    forward: nn.Module = field(init=False)
    """The network as called in a training step, possibly compiled."""

    def __post_init__(self) -> None:
        self.memory_format = memory_format(self.network, self.config, self.device)
        self.network.to(device=self.device, memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]  # not in its overloads
        dtype = compute_dtype(self.config, self.device)
        if self.device.type == "cpu" and dtype == torch.bfloat16:
            speed_up_depthwise(self.network)
        self.network = cast(Network, self.world.sync_batchnorm(self.network))
        self.forward = compile_network(self.network) if self.compile else self.network
        self.optimizer = make_optimizer(self.network, self.config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)
        if self.config.ema:
            self.ema = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or early stopping has ended the run."""
        out_of_patience = 0 < self.config.patience <= self.progress.stale_epochs
        return self.progress.epoch >= self.config.epochs or out_of_patience

    @torch.no_grad()
    def update_ema(self, step: int) -> None:
        """Update the exponential moving average of the weights, with a smaller decay in the first steps."""
        if self.ema is None:
            return
        decay = min(self.config.ema, (1 + step) / (10 + step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.ema[name].lerp_(value, 1 - decay)
            else:
                self.ema[name].copy_(value)

    def eval_network(self) -> nn.Module:
        """The network that is evaluated and saved: a copy with the averaged weights, if they are used."""
        if self.ema is None:
            return self.network
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.ema)
        return network

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors, numbers, strings and lists only, so that it loads with ``torch.load(weights_only=True)``."""
        numpy_name, numpy_keys, *numpy_rest = cast(tuple[Any, ...], np.random.get_state())
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.ema,
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
            "precision": {"device": self.device.type, "name": precision_name(self.config, self.device)},
            "random": {
                "python": random.getstate(),
                "numpy": [numpy_name, torch.from_numpy(numpy_keys.astype(np.int64)), *numpy_rest],
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned, random generators included."""
        self.network.load_state_dict(saved["network"], strict=True)
        self.optimizer.load_state_dict(saved["optimizer"])
        if saved.get("scaler"):
            self.scaler.load_state_dict(saved["scaler"])
        if self.ema is not None:
            for name, value in saved["averaged"].items():
                self.ema[name].copy_(value)
        self.progress = Progress(**saved["progress"])
        generators = saved["random"]
        version, keys, gauss = generators["python"]
        random.setstate((version, tuple(keys), gauss))
        name, numpy_keys, *rest = generators["numpy"]
        np.random.set_state((name, numpy_keys.numpy().astype(np.uint32), *rest))
        torch.set_rng_state(generators["torch"].cpu())
        if generators["cuda"] and torch.cuda.is_available():
            for card, generator in enumerate(generators["cuda"][: torch.cuda.device_count()]):  # a resumed run may have fewer
                torch.cuda.set_rng_state(generator, card)
