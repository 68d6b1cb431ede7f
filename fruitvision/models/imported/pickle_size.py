"""The size of the objects in a pickle, computed without unpickling.

A pickle may refer to one object many times. A tuple of a thousand references to the same tuple, and so on, has few bytes, but takes
hours as the key of a dictionary, since every leaf is hashed; converting a list of many pairs to an ``OrderedDict`` again and again
takes any amount of memory.
"""

from __future__ import annotations

import pickletools
import sys
from collections.abc import Sequence

MAX_WORK = 8_000_000
"""Limit on objects that are hashed or copied during unpickling. A network of a thousand tensors has about ten thousand."""
_LARGE_KEY = 1000
"""The work for a key that is a whole number over any hash, or a tuple: as many as one likes have the same hash, and each is compared
with all before."""
_FILLS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_KEYS = {"SETITEM", "SETITEMS"}
_COPIES = {"REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "BUILD", "ADDITEMS", "BINPERSID", "FROZENSET", "DICT"}


class UnpickledSize:
    """Simulates a pickle's stack with the size of each object in its place, counting contained objects once per reference."""

    def __init__(self) -> None:
        # None is a mark. Sizes are lists of one element, shared by all references, since a container may be filled later.
        self._stack: list[list[int] | None] = []
        self._memo: dict[int, list[int]] = {}
        self._work = 0

    def step(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        """Process an opcode. Raises ValueError if unpickling would be too much work, or if the pickle is invalid."""
        name, stack = opcode.name, self._stack
        if name == "MARK":
            stack.append(None)
        elif "PUT" in name or name == "MEMOIZE":
            self._memo[len(self._memo) if name == "MEMOIZE" else int(str(argument))] = _object(stack[-1:])
        elif "GET" in name:
            if int(str(argument)) not in self._memo:
                raise ValueError("its pickle is damaged")
            stack.append(self._memo[int(str(argument))])
        elif name == "DUP":
            stack.append(_object(stack[-1:]))
        else:
            self._make(opcode, argument, [size for size in self._popped(opcode) if size is not None])

    def _make(self, opcode: pickletools.OpcodeInfo, argument: object, taken: list[list[int]]) -> None:
        filled = taken.pop(0) if opcode.name in _FILLS and taken else None
        sizes = [size for (size,) in taken]
        keys = [size if size == 1 else size + _LARGE_KEY for size in sizes[::2]] if opcode.name in _KEYS else []
        worked = keys or (sizes if opcode.name in _COPIES else [])
        self._work += sum(worked)
        if self._work > MAX_WORK:
            raise ValueError("its pickle would unfold to too much")
        if filled is not None:
            filled[0] = min(filled[0] + sum(sizes), MAX_WORK + 1)
            self._stack.append(filled)
        else:
            own = _LARGE_KEY if isinstance(argument, int) and abs(argument) >= sys.hash_info.modulus else 1
            self._stack += [[min(own + sum(sizes), MAX_WORK + 1)] for _ in opcode.stack_after]

    def _popped(self, opcode: pickletools.OpcodeInfo) -> list[list[int] | None]:
        """The sizes that an opcode pops from the stack; a container that is filled is the first."""
        needs, stack = opcode.stack_before, self._stack
        start = len(stack) - len(needs)
        if pickletools.markobject in needs:
            mark = next((n for n in range(len(stack) - 1, -1, -1) if stack[n] is None), -1)
            start = mark - needs.index(pickletools.markobject) if mark >= 0 else -1
        if start < 0:
            raise ValueError("its pickle is damaged")
        taken = stack[start:]
        del stack[start:]
        return taken


def _object(found: Sequence[list[int] | None]) -> list[int]:
    if not found or found[0] is None:
        raise ValueError("its pickle is damaged")
    return found[0]
