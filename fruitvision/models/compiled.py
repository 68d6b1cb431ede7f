"""A network compiled by OpenVINO to answer on a processor: the same answers in less time.

OpenVINO computes in bfloat16 where the processor has instructions for it (AMX). That is kept where the network bears it:
a ResNet18 under batch norm does, an EfficientNet does not and is computed in float32. What is clearly slower is not kept.
Where it fails later, answers no numbers or does not answer at all, torch answers from then on.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fruitvision.compat import import_openvino
from fruitvision.models.networks import NetworkOutput
from fruitvision.models.prepacked import is_float32_on_cpu

TOLERANCE = 0.01
"""The difference of any output, as a share of its norm, that is still taken for rounding. In float32 it is about 1e-6."""
TRIES, SLOWER = 8, 1.25
"""How often its speed is compared with torch's, and how many times torch's seconds are clearly slower."""
PATIENCE_S = 30.0
"""Seconds until a pass that has not ended is taken for one that never will."""
_lock = threading.Lock()  # torch keeps what it traces in one place for all threads, and so does Python its warnings


class CompiledNetwork(nn.Module):
    """What :func:`compiled` makes. It cannot be trained or saved; many threads may ask it at once.

    It always answers: what OpenVINO does not answer, torch does, and all that comes after it.
    """

    def __init__(self, compiled: Any, side: int, torchs: nn.Module) -> None:
        super().__init__()
        self._compiled, self._side, self._torchs = compiled, side, torchs
        self._own = threading.local()
        self._failed = False

    def forward(self, x: Tensor) -> NetworkOutput:
        """(N, 3, S, S) float32 → the network's output. It was compiled for one S; torch answers for any other."""
        if self._failed or x.shape[2:] != (self._side, self._side):
            return self._torchs(x)
        try:
            found = self.ask(x)
        except Exception as error:  # OpenVINO names none
            self._give_up(f"{type(error).__name__}: {error}")
            return self._torchs(x)
        if _finite(found):
            return found
        instead = self._torchs(x)
        if _finite(instead):  # otherwise it is the network that knows no better
            self._give_up("it answered no numbers")
        return instead

    def ask(self, x: Tensor) -> NetworkOutput:
        """OpenVINO's answer to (N, 3, side, side). Raises TimeoutError, and whatever OpenVINO raises."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request, pixels = self._own.request, x.contiguous().numpy()
        request.start_async([pixels], share_inputs=True)
        if not request.wait_for(round(PATIENCE_S * 1000)):
            # To free what it is still at work on would wait for it as long as it takes, at the end of the process too.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object((request, pixels)))
            raise TimeoutError(f"no answer within {PATIENCE_S:g} seconds")
        return NetworkOutput(*(torch.from_numpy(np.array(request.get_output_tensor(index).data)) for index in range(3)))

    def _give_up(self, reason: str) -> None:
        if not self._failed:
            self._failed = True
            logging.getLogger(__name__).warning("OpenVINO failed (%s): torch answers from now on, more slowly.", reason[:300])


class _AsTuple(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(x))


@torch.inference_mode()
def compiled(network: nn.Module, side: int, torchs: nn.Module) -> nn.Module | None:
    """``network`` compiled for pictures of ``side`` pixels; it takes about a second.

    ``torchs`` is the network as torch answers with it; it goes on answering pictures of other sizes. None where OpenVINO is
    not installed, the network is not float32 on a processor, or OpenVINO is clearly slower or does not answer the same.
    """
    has_weights = next(network.parameters(), None) is not None  # a file that ONNX Runtime answers from has none
    if not has_weights or not is_float32_on_cpu(network) or find_spec("openvino") is None:
        return None
    pictures = _pictures(side)
    try:
        with _lock:
            expected = network(pictures)
            for made in _compiled(network, side):
                answering = CompiledNetwork(made, side, torchs)
                if all(_alike(*pair) for pair in zip(expected, answering.ask(pictures), strict=True)):
                    ours, others = _seconds([answering, torchs], pictures)
                    return answering if ours < SLOWER * others else None
    except Exception:  # OpenVINO names no errors for what it cannot convert: without it answers are only slower
        return None
    return None


def _pictures(side: int) -> Tensor:
    """(2, 3, side, side): shapes, edges and grain, as photographs have them."""
    generator = torch.Generator().manual_seed(0)
    shapes = F.interpolate(torch.randn(2, 3, 8, 8, generator=generator), size=(side, side), mode="bicubic")
    edges = F.interpolate(torch.randn(2, 3, 5, 5, generator=generator), size=(side, side), mode="nearest")
    return shapes + 0.5 * edges + 0.1 * torch.randn(shapes.shape, generator=generator)


def _seconds(networks: Sequence[nn.Module], pictures: Tensor) -> list[float]:
    """The shortest of some tries of each, in turns: other programs only make it longer."""
    taken: list[list[float]] = [[] for _ in networks]
    for _ in range(TRIES):
        for network, found in zip(networks, taken, strict=True):
            started = time.perf_counter()
            network(pictures)
            found.append(time.perf_counter() - started)
    return [min(found) for found in taken]


def _finite(output: NetworkOutput) -> bool:
    return bool(output.logits.isfinite().all() and output.features.isfinite().all())


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
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # without a name Python would free it before it is read
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, 3, side, side])
    for precision in ({}, {"INFERENCE_PRECISION_HINT": "f32"}):
        yield core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", **precision})


@functools.cache
def _core() -> Any:
    """The one Core of this process; it is never freed.

    On a processor with AMX a Core gives its thread another stack for signals. When one of several Cores is freed, that
    memory goes with it while the thread still has its address, and the next signal (Ctrl-C, a child that ends) crashes.
    """
    return import_openvino().Core()
