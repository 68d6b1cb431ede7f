"""A network compiled by OpenVINO for faster inference on a CPU.

OpenVINO computes in bfloat16 if the CPU has instructions for it. This is used only if the outputs agree (as for a ResNet18 with batch
norm, but not for an EfficientNet) and it is faster than float32, which is not the case on every such CPU. A compiled network that is
clearly slower than torch is not used. If it later fails, returns NaN or does not return, torch is used from then on.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fruitvision.compat import import_openvino, openvino_model
from fruitvision.models.networks import NetworkOutput
from fruitvision.models.prepacked import is_float32_on_cpu

TOLERANCE = 0.01
"""The largest relative difference of an output that counts as rounding. In float32 it is about 1e-6."""
TRIES, SLOWER = 8, 1.25
"""The number of timings against torch, and the ratio to torch's time above which it is not used."""
TIMEOUT_S = 30.0
"""A forward pass that takes longer counts as failed."""
_lock = threading.Lock()  # torch's tracing state and Python's warning filters are global


class CompiledNetwork(nn.Module):
    """The network returned by :func:`compile_openvino`. It cannot be trained or saved; it is thread-safe.

    If OpenVINO fails, ``fallback`` computes that output and all later ones.
    """

    def __init__(self, compiled: Any, side: int, fallback: nn.Module) -> None:
        super().__init__()
        self._compiled, self._side, self._fallback = compiled, side, fallback
        self._own = threading.local()
        self._failed = False

    def forward(self, x: Tensor) -> NetworkOutput:
        """(N, 3, S, S) float32 → the network's output. It is compiled for one S; for others the fallback is used."""
        if self._failed or x.shape[2:] != (self._side, self._side):
            return self._fallback(x)
        try:
            found = self.infer(x)
        except Exception as error:  # OpenVINO documents none
            self._give_up(f"{type(error).__name__}: {error}")
            return self._fallback(x)
        if _finite(found):
            return found
        instead = self._fallback(x)
        if _finite(instead):  # otherwise the output of the network itself is not finite
            self._give_up("its output was not finite")
        return instead

    def infer(self, x: Tensor) -> NetworkOutput:
        """OpenVINO's output for (N, 3, side, side). Raises TimeoutError, and whatever OpenVINO raises."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request, pixels = self._own.request, x.contiguous().numpy()
        request.start_async([pixels], share_inputs=True)
        if not request.wait_for(round(TIMEOUT_S * 1000)):
            # Freeing the request and its input would wait until it finishes, even at exit.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object((request, pixels)))
            raise TimeoutError(f"no output within {TIMEOUT_S:g} seconds")
        return NetworkOutput(*(torch.from_numpy(np.array(request.get_output_tensor(index).data)) for index in range(3)))

    def _give_up(self, reason: str) -> None:
        if not self._failed:
            self._failed = True
            logging.getLogger(__name__).warning("OpenVINO failed (%s): torch is used from now on, more slowly.", reason[:300])


class _AsTuple(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(x))


@torch.inference_mode()
def compile_openvino(network: nn.Module, side: int, fallback: nn.Module) -> nn.Module | None:
    """Compile ``network`` for pictures of ``side`` pixels, which takes one to three seconds.

    ``fallback``: the network in torch, for pictures of other sizes. Returns None if OpenVINO is not installed, if the network is not
    float32 on a CPU, or if OpenVINO is clearly slower or its outputs differ.
    """
    has_weights = next(network.parameters(), None) is not None  # an ONNX file's network has none
    if not has_weights or not is_float32_on_cpu(network) or find_spec("openvino") is None:
        return None
    pictures = _pictures(side)
    try:
        with _lock:
            expected = network(pictures)
            found = [CompiledNetwork(model, side, fallback) for model in _compiled(network, side)]
            same = [one for one in found if all(_close(*pair) for pair in zip(expected, one.infer(pictures), strict=True))]
            *seconds, torch_seconds = shortest_seconds([functools.partial(one, pictures) for one in (*same, fallback)], TRIES)
            taken, fastest = min(zip(seconds, same, strict=True), key=lambda pair: pair[0], default=(math.inf, None))
            return fastest if taken < SLOWER * torch_seconds else None
    except Exception:  # OpenVINO documents no errors for what it cannot convert; without it inference is only slower
        return None


def _pictures(side: int) -> Tensor:
    """(2, 3, side, side): test pictures with shapes, edges and grain, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    shapes = F.interpolate(torch.randn(2, 3, 8, 8, generator=generator), size=(side, side), mode="bicubic")
    edges = F.interpolate(torch.randn(2, 3, 5, 5, generator=generator), size=(side, side), mode="nearest")
    return shapes + 0.5 * edges + 0.1 * torch.randn(shapes.shape, generator=generator)


def shortest_seconds(calls: Sequence[Callable[[], object]], tries: int) -> list[float]:
    """The shortest time of each call, measured in turns: other programs can only make a call slower."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(tries):
        for call, found in zip(calls, taken, strict=True):
            started = time.perf_counter()
            call()
            found.append(time.perf_counter() - started)
    return [min(found) for found in taken]


def _finite(output: NetworkOutput) -> bool:
    return bool(output.logits.isfinite().all() and output.features.isfinite().all())


def _close(expected: Tensor, found: Tensor) -> bool:
    return expected.shape == found.shape and bool((expected - found).norm() <= TOLERANCE * expected.norm())


def _compiled(network: nn.Module, side: int) -> Iterator[Any]:
    """The network compiled with the precision that OpenVINO chooses for this CPU, and, if that differs, with float32."""
    core = openvino_core()
    example = torch.zeros(2, 3, side, side)
    with warnings.catch_warnings(action="ignore"):  # torch recommends torch.export, which takes several seconds for the same
        traced = torch.jit.trace(_AsTuple(network).eval(), example, check_trace=False)
    model = openvino_model(traced, example)
    model.reshape([-1, 3, side, side])
    chosen = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    yield chosen
    try:
        if chosen.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32":
            return
        exact = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    except Exception:  # OpenVINO documents none; the first one may do
        return
    yield exact


@functools.cache
def openvino_core() -> Any:
    """The single OpenVINO Core of this process, which is never freed.

    On a processor with AMX a Core installs an alternate signal stack for its thread. When one of several Cores is freed, so is that
    stack, although the thread still uses it, and the next signal (Ctrl-C, a child that exits) crashes.
    """
    return import_openvino().Core()
