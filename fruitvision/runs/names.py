"""The names of runs, which are unique within a folder, ignoring case."""

from __future__ import annotations

from pathlib import Path

from fruitvision.errors import RunError
from fruitvision.runs.folder import RunFolder, list_runs

MAX_LENGTH = 100


def tidy(name: str) -> str:
    """The name on one line, stripped, and limited in length."""
    return " ".join(name.split())[:MAX_LENGTH].rstrip()


def free_name(root: str | Path, name: str, *, own: str = "") -> str:
    """``name``, with a number appended if another run under ``root`` has it: "apples", "apples 2", "apples 3".

    ``own``: the id of the run that gets the name.
    """
    taken, wanted, number = _taken(root, own), tidy(name), 1
    while (free := wanted if number == 1 else f"{wanted[: MAX_LENGTH - 8].rstrip()} {number}").casefold() in taken:
        number += 1
    return free


def rename(run: RunFolder, name: str) -> None:
    """Rename a run; its folder keeps its name. Raises RunError "run-name-empty", "run-name-taken"."""
    name = tidy(name)
    if not name:
        raise RunError("run-name-empty")
    if name.casefold() in _taken(run.path.parent, run.id):
        raise RunError("run-name-taken", name=name)
    run.replace_config(run.config().model_copy(update={"name": name}))


def _taken(root: str | Path, own: str) -> set[str]:
    try:
        return {run.name.casefold() for run in list_runs(root) if run.id != own}
    except OSError:  # the folder cannot be read; writing to it raises an error
        return set()
