"""A network compiled by OpenVINO to answer on a processor: the same answers in half the time, or less.

OpenVINO computes in bfloat16 where the processor has instructions for it (AMX). That is kept where the network bears it:
a ResNet18 under batch norm does, an EfficientNet does not and is computed in float32.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from fruitvision.compat import import_openvino
from fruitvision.models.networks import NetworkOutput

TOLERANCE = 0.01
"""The difference of any output, as a share of its norm, that is still taken for rounding. In float32 it is about 1e-6."""


class CompiledNetwork(nn.Module):
    """What :func:`compiled` makes. It cannot be trained or saved; many threads may ask it at once."""

    def __init__(self, compiled: Any, side: int, others: nn.Module) -> None:
        super().__init__()
        self._compiled, self._side, self._others = compiled, side, others
        self._own = threading.local()

    def forward(self, x: Tensor) -> NetworkOutput:
        """(N, 3, S, S) float32 → the network's output. It was compiled for one S; torch answers for any other."""
        if x.shape[2:] != (self._side, self._side):
            return self._others(x)
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer([x.contiguous().numpy()], share_inputs=True)
        return NetworkOutput(*(torch.from_numpy(found[index]) for index in range(3)))


class _AsTuple(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(x))


@torch.inference_mode()
def compiled(network: nn.Module, side: int, others: nn.Module) -> nn.Module | None:
    """``network`` compiled for pictures of ``side`` pixels; it takes about a second. ``others`` answers for other sizes.

    None where OpenVINO is not installed, the network is not float32 on a processor, or it would not answer the same.
    """
    parameters = list(network.parameters())
    elsewhere = any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters)
    if elsewhere or not parameters or find_spec("openvino") is None:
        return None
    pictures = torch.linspace(-2, 2, 3 * 3 * side * side).view(3, 3, side, side).sin()
    try:
        expected = network(pictures)
        for made in _compiled(network, side):
            answering = CompiledNetwork(made, side, others)
            if all(_alike(*pair) for pair in zip(expected, answering(pictures), strict=True)):
                return answering
    except Exception:  # OpenVINO names no errors for what it cannot convert: without it answers are only slower
        return None
    return None


def _alike(expected: Tensor, found: Tensor) -> bool:
    return expected.shape == found.shape and bool((expected - found).norm() <= TOLERANCE * expected.norm())


def _compiled(network: nn.Module, side: int) -> Iterator[Any]:
    """In the numbers that OpenVINO chooses for this processor, and in float32."""
    core = _core()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(2, 3, side, side)
    with warnings.catch_warnings(action="ignore"):  # torch names torch.export, which takes several seconds for the same
        traced = torch.jit.trace(_AsTuple(network).eval(), example, check_trace=False)
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # named: the frontend keeps no reference to it
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, 3, side, side])
    for precision in ({}, {"INFERENCE_PRECISION_HINT": "f32"}):
        yield core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", **precision})


@functools.cache
def _core() -> Any:
    """One, for as long as Python runs: where there is AMX it gives this thread another stack for signals, and in its end takes
    the memory back but leaves the stack set, so that the next signal, a Ctrl-C for instance, is a crash."""
    return import_openvino().Core()
