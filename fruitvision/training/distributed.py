"""Distributed training: the processes of one run, and their communication.

``torchrun`` starts the processes and tells each its rank in the environment; :func:`process_group` reads that. With one process,
nothing here has an effect. The names are Lightning Fabric's: ``is_global_zero``, ``broadcast``, ``all_gather``, ``all_reduce``,
``setup_module``, ``no_backward_sync``. The pictures of a step are divided among the processes (``data/load/loader.py``),
gradients are averaged by DistributedDataParallel (Li et al. 2020, arXiv:2006.15704), and everything that decides what happens
next (a stop, a saved state, the first weights) is broadcast from process 0, so that all of them do the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import distributed as dist
from torch import nn

from fruitvision.data.load.loader import Shard
from fruitvision.errors import TrainingError

T = TypeVar("T")


def torchrun_shard() -> Shard:
    """This process's rank and the number of processes, from the environment that ``torchrun`` sets: (0, 1) without it."""
    return Shard(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@dataclass(frozen=True)
class World:
    """The processes of one run, from the perspective of one of them."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """The process's number on its machine: the index of its GPU."""

    @property
    def is_global_zero(self) -> bool:
        """Whether this is process 0, the only one that writes files."""
        return self.rank == 0

    @property
    def shard(self) -> Shard:
        """The part of every batch that this process trains on."""
        return Shard(self.rank, self.size)

    def local_device(self, device: torch.device) -> torch.device:
        """This process's GPU if ``device`` is "cuda" and there are several processes; else ``device``.

        Raises TrainingError "distributed-device" on Apple's GPU, "distributed-cards" if there are too few GPUs.
        """
        if self.size == 1 or device.type == "cpu":
            return device
        if device.type != "cuda":
            raise TrainingError("distributed-device", device=device.type)
        if self.local_rank >= torch.cuda.device_count():
            raise TrainingError("distributed-cards", process=self.local_rank + 1, cards=torch.cuda.device_count())
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def setup_module(self, network: nn.Module) -> nn.Module:
        """The network whose backward pass averages gradients over all processes; its parameters become process 0's.

        Gradients are views of the buckets that are exchanged, which saves a copy of them in each step.
        """
        return network if self.size == 1 else nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)

    def sync_batchnorm(self, network: nn.Module) -> nn.Module:
        """Replace batch norm by layers that compute statistics over the whole batch. PyTorch has these for CUDA only."""
        if self.size == 1 or not any(p.is_cuda for p in network.parameters()):
            return network
        return convert_sync_batchnorm(network)

    @staticmethod
    def no_backward_sync(network: nn.Module, enabled: bool) -> contextlib.AbstractContextManager[Any]:
        """If ``enabled``, do not average gradients in this backward pass, since a later one accumulates more batches."""
        if enabled and isinstance(network, nn.parallel.DistributedDataParallel):
            return network.no_sync()
        return contextlib.nullcontext()

    def all_reduce(self, *values: float) -> list[float]:
        """Each value summed over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in at least one process."""
        return flag if self.size == 1 else self.all_reduce(float(flag))[0] > 0

    def broadcast(self, value: T) -> T:
        """Process 0's value, which consists of numbers, strings, tensors on the CPU, and lists and dictionaries of these."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def broadcast_weights(self, network: nn.Module) -> nn.Module:
        """Copy process 0's weights and running statistics to all processes, in place; returns the network."""
        for value in network.state_dict().values() if self.size > 1 else ():
            dist.broadcast(value, 0)
        return network

    def all_gather(self, batches: list[T]) -> list[T]:
        """The batches of all processes in order, where process r has batches r, r + size, r + 2 × size, …"""
        if self.size == 1:
            return batches
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, batches)
        return [found[n % self.size][n // self.size] for n in range(sum(map(len, found)))]


SINGLE_PROCESS = World()


def convert_sync_batchnorm(network: nn.Module) -> nn.Module:
    """Replace the network's batch norms by ones that compute statistics over all processes.

    The activation ``act`` of a batch norm, as in timm's networks and EfficientNet-Lite, is still applied.
    """
    network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # submodules of a batch norm are kept, but no longer called
    for module in network.modules():
        if isinstance(module, nn.SyncBatchNorm) and isinstance(getattr(module, "act", None), nn.Module):
            module.register_forward_hook(_apply_activation)
    return network


def _apply_activation(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    return cast(nn.Module, module.act)(output)


def check_distributed() -> None:
    """Check that processes on this machine can connect as under torchrun, which some versions of PyTorch for Windows cannot.

    Raises TrainingError "distributed-missing" with PyTorch's reason.
    """
    try:
        # Documented as torch.distributed.TCPStore.
        dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # pyright: ignore[reportPrivateImportUsage]
    except (RuntimeError, AttributeError) as error:  # AttributeError: built without torch.distributed
        raise TrainingError("distributed-missing", reason=str(error).splitlines()[0][:200]) from error


@contextlib.contextmanager
def process_group() -> Iterator[World]:
    """Connect to the other processes of this run, and disconnect at the end.

    The backend is gloo for CPUs and nccl for NVIDIA GPUs; what is not on a GPU always goes through gloo.
    """
    rank, size = torchrun_shard()
    if size == 1:
        yield World()
        return
    started = not dist.is_initialized()
    if started:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo")
    try:
        yield World(rank, size, int(os.environ.get("LOCAL_RANK", rank)))
    finally:
        if started:
            dist.destroy_process_group()
