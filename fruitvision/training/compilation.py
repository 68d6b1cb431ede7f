"""torch.compile as an option: the forward pass as generated code, where this machine can generate it.

Only the call is compiled. The network, its parameter names and its checkpoints stay as they are. Each input shape is compiled
by itself: code for dynamic shapes would depend on which shape came first, and a resumed run would not be exact to the bit.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

BACKEND = "inductor"
RECOMPILE_LIMIT = 64
"""Each size of growing pictures and the last batch of an epoch is a shape; torch gives up after eight by default."""


def compiled(network: nn.Module) -> nn.Module:
    """The same network with its call compiled; parameters are shared."""
    return torch.compile(network, backend=BACKEND, dynamic=False, recompile_limit=RECOMPILE_LIMIT)  # pyright: ignore[reportCallIssue]  # not in its overloads


def compile_error(device: torch.device) -> str | None:
    """Why torch.compile does not work here, as torch says; None where a small function compiles. Takes seconds once."""

    def small(x: Tensor) -> Tensor:
        return (x.sin() + 1).sum()

    try:
        with warnings.catch_warnings():  # from torch itself
            warnings.simplefilter("ignore")
            torch.compile(small, backend=BACKEND, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # a missing or old C++ compiler, or missing headers: many kinds of errors
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {' '.join(lines[:2])}"[:200]
    return None
