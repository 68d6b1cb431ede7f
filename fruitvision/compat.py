"""Workarounds for other packages, and their private names that are used, each with the version it was written for.

tests/test_compat.py fails if one of these names changes its meaning.

PyPI's torchvision for Linux is built against the CUDA build of torch. Beside a CPU-only torch its compiled operators
cannot be loaded, which torchvision tolerates, except in one place: ``torchvision/_meta_registrations.py`` describes
``nms`` and ``qnms`` to torch without asking whether they exist, and the whole import fails with "operator
torchvision::nms does not exist". Nothing in FruitVision uses these operators, so that declaring them to torch, without an
implementation, is all that is needed to use the rest of torchvision.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# As declared in torchvision's C++ code (torchvision/csrc/ops/nms.cpp, ops/quantized/cpu/qnms_kernel.cpp).
_MISSING_OPERATORS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_declared: list[object] = []  # the torch.library.Library: torch removes the operators when it is garbage collected
_lock = threading.Lock()


def import_torchvision() -> ModuleType:
    """Import torchvision, even if its compiled operators cannot be loaded.

    The workaround is applied only after the import has failed for exactly this reason. Call this before the first ``from torchvision
    import ...`` of a module.
    """
    with _lock:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            if "operator torchvision::" not in str(error) or _declared:
                raise
        _forget_half_imported()
        _declare_missing_operators()
        return importlib.import_module("torchvision")


def import_timm() -> ModuleType:
    """Import timm, which imports torchvision."""
    import_torchvision()
    return importlib.import_module("timm")


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which reports over the network that it was imported.

    If its telemetry package cannot be imported, OpenVINO uses a stub that sends nothing. Raises ImportError if OpenVINO is not installed.
    """
    reporter = "openvino_telemetry"
    with _lock:
        if "openvino" in sys.modules:
            return sys.modules["openvino"]
        before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == reporter}
        sys.modules[reporter] = None  # type: ignore[assignment]  # as Python itself notes what cannot be imported
        try:
            return importlib.import_module("openvino")
        finally:
            del sys.modules[reporter]
            sys.modules.update(before)


def openvino_model(traced: Any, example: Tensor) -> Any:
    """Convert a network traced by torch to an OpenVINO model, with parts of its PyTorch frontend as of OpenVINO 2026.4."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # kept in a variable, or Python would free it too early
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))


# oneDNN's convolution with prepacked weights and a fused activation: torch 2.13, as its inductor calls it
# (torch/_inductor/fx_passes/mkldnn_fusion.py). There is no public way to it since torch.jit was deprecated.


def prepacked_conv2d_weight(
    weight: Tensor, padding: Sequence[int], stride: Sequence[int], dilation: Sequence[int], groups: int, input_size: Sequence[int]
) -> Tensor:
    """A convolution's weight, (O, I / groups, kH, kW), in oneDNN's preferred layout for inputs of ``input_size``, (N, C, H, W)."""
    import torch

    private: Any = torch._C
    return private._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), padding, stride, dilation, groups, input_size)


def prepacked_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    activation: str,
    bounds: Sequence[float],
) -> Tensor:
    """The convolution with a weight of :func:`prepacked_conv2d_weight`; ``activation``: "none", "relu", or "hardtanh" with bounds."""
    import torch

    return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, padding, stride, dilation, groups, activation, bounds, "")


WORKER_DIED = ("exited unexpectedly", "is killed by signal")
"""Parts of the RuntimeError messages of torch's DataLoader (2.13) about a worker process that died."""


def _forget_half_imported() -> None:
    # A failed import removes only the package itself from sys.modules, and leaves its submodules.
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]


def _declare_missing_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _MISSING_OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _declared.append(library)


ARENAS = 2
_M_ARENA_MAX = -8  # from malloc.h


def share_arenas() -> bool:
    """Limit glibc to ``ARENAS`` memory arenas for all threads; returns whether the C library supports that.

    On Linux, glibc uses separate arenas for threads, up to eight per core, and each keeps tens of megabytes once a network has run in
    it. The app's threads come and go with its visitors, so its memory would grow for hours and with the number of cores. The limit
    costs nothing, since these threads mostly wait for Python's lock or for the thread that answers.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not in musl
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, ARENAS))


_CLOSED = (2, 5, 6)  # CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT of the Windows console
_console_handlers: list[object] = []  # a reference, since ctypes does not keep callbacks alive


def on_console_close(callback: Callable[[], object]) -> bool:
    """On Windows, call ``callback`` in a system thread when the console is closed or the user logs off; returns False on other systems.

    The system ends the process when the callback returns, or after five seconds. Python's signals would arrive too late.
    """
    if sys.platform != "win32":
        return False

    def handle(event: int) -> int:
        if event in _CLOSED:
            callback()
        return event in _CLOSED

    _console_handlers.append(ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)(handle))
    return bool(ctypes.windll.kernel32.SetConsoleCtrlHandler(_console_handlers[-1], 1))
