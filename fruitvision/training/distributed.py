"""Several processes that train one network together: who is who, and what they have to agree on.

``torchrun`` starts the processes and tells each its place in the environment; :func:`join` reads that. On one process
nothing here does anything. The verbs are Lightning Fabric's. The pictures of a step are shared out (``data/load/loader.py``),
gradients are averaged by DistributedDataParallel (Li et al. 2020, arXiv:2006.15704), and everything that decides what
happens next (a stop, a saved state, the first weights) comes from process 0, so that all of them do the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed as dist
from torch import nn

from fruitvision.compat import import_timm
from fruitvision.data.load.loader import Share
from fruitvision.errors import TrainingError

T = TypeVar("T")


def launched() -> Share:
    """This process's place, from what ``torchrun`` wrote into the environment: (0, 1) without it."""
    return Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@dataclass(frozen=True)
class Team:
    """All processes of one run, seen from one of them."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number on its own machine: which CUDA card is its."""

    @property
    def leads(self) -> bool:
        """Whether this is process 0: the only one that writes."""
        return self.rank == 0

    @property
    def part(self) -> Share:
        """Its part of every batch."""
        return Share(self.rank, self.size)

    def own_device(self, device: torch.device) -> torch.device:
        """The card of this process where there are several. Raises TrainingError "distributed-device" on Apple's GPU."""
        if self.size == 1 or device.type == "cpu":
            return device
        if device.type != "cuda":
            raise TrainingError("distributed-device", device=device.type)
        if self.local_rank >= torch.cuda.device_count():
            raise TrainingError("distributed-cards", process=self.local_rank + 1, cards=torch.cuda.device_count())
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose backward pass averages the gradients of all processes. Its parameters are process 0's."""
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def share_batch_statistics(self, network: nn.Module) -> nn.Module:
        """Let batch norm see the whole batch, not this process's part alone. torch can do that on CUDA only."""
        if self.size == 1 or not any(p.is_cuda for p in network.parameters()):
            return network
        if any(isinstance(module, nn.BatchNorm2d) and type(module) is not nn.BatchNorm2d for module in network.modules()):
            return import_timm().layers.convert_sync_batchnorm(network)  # its batch norms hold an activation too
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)

    @staticmethod
    def averaging(network: nn.Module, now: bool) -> contextlib.AbstractContextManager:
        """Average gradients in this backward pass, or wait for a later one that adds up more batches."""
        waits = not now and isinstance(network, nn.parallel.DistributedDataParallel)
        return network.no_sync() if waits else contextlib.nullcontext()

    def sum(self, *values: float) -> list[float]:
        """Each value added up over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Whether it is so on one process at least."""
        return flag if self.size == 1 else self.sum(float(flag))[0] > 0

    def tell(self, value: T) -> T:
        """What process 0 says. Numbers, strings, tensors on the CPU, and lists and dictionaries of them."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def align(self, network: nn.Module) -> nn.Module:
        """Give all processes process 0's weights and running averages, in place; returns the network."""
        for value in network.state_dict().values() if self.size > 1 else ():
            dist.broadcast(value, 0)
        return network

    def gather(self, batches: list[T]) -> list[T]:
        """The batches of all processes in their order, where process r had batches r, r + size, r + 2 × size, …"""
        if self.size == 1:
            return batches
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, batches)
        return [found[n % self.size][n // self.size] for n in range(sum(map(len, found)))]


ALONE = Team()


def check_joining() -> None:
    """Whether processes of this machine can meet, tried as torchrun lets them: torch for Windows was long built without.

    Raises TrainingError "distributed-missing" with torch's words.
    """
    try:
        dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    except (RuntimeError, AttributeError) as error:  # AttributeError: built without torch.distributed altogether
        reason = str(error).splitlines()[0][:200]
        raise TrainingError("distributed-missing", reason=reason) from error


@contextlib.contextmanager
def join() -> Iterator[Team]:
    """Meet the other processes of this run, and part from them at the end.

    gloo joins CPUs and nccl NVIDIA's cards; what is not on a card always goes through gloo.
    """
    rank, size = launched()
    if size == 1:
        yield Team()
        return
    started = not dist.is_initialized()
    if started:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo")
    try:
        yield Team(rank, size, int(os.environ.get("LOCAL_RANK", rank)))
    finally:
        if started:
            dist.destroy_process_group()
