"""torch.compile as an option: the forward pass as generated code, where this machine can generate it.

Only what is called is compiled. The network, its names and its checkpoints stay as they are, and every shape has code of
its own: code for shapes in general would depend on which came first, and a resumed run would not be the same to the bit.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

BACKEND = "inductor"
MOST_SHAPES = 64
"""Growing pictures and the last batch of an epoch each have their own; torch would give up after eight."""


def compiled(network: nn.Module) -> nn.Module:
    """The same network, compiled as it is called; its parameters are shared."""
    return torch.compile(network, backend=BACKEND, dynamic=False, recompile_limit=MOST_SHAPES)


def compiler_fault(device: torch.device) -> str | None:
    """Why nothing can be compiled here, in torch's words; None where a small function could be. Takes seconds once."""

    def small(x: Tensor) -> Tensor:
        return (x.sin() + 1).sum()

    try:
        with warnings.catch_warnings():  # what torch says of its own parts
            warnings.simplefilter("ignore")
            torch.compile(small, backend=BACKEND, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # a compiler that is missing, too old or without headers: each fails in its own way
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {' '.join(lines[:2])}"[:200]
    return None
