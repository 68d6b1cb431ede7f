"""The provenance of a run's results: ``environment.json`` in the run folder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from fruitvision.files import write_text
from fruitvision.models.checkpoint import versions

HERE = Path(__file__).resolve().parent
GIT_SECONDS = 5.0


def write_environment(folder: Path, **facts: Any) -> None:
    """Write library versions, the git commit of the code and ``facts``; a later execution replaces them."""
    known = {"versions": versions(), "git": git_commit(), **facts}
    write_text(folder / "environment.json", json.dumps(known, indent=1, ensure_ascii=False) + "\n")


def git_commit(folder: Path = HERE) -> dict[str, Any] | None:
    """The checked-out commit, and whether there are uncommitted changes; None if the code is not in a git repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no", "--", "."))}


def _git(folder: Path, *words: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=GIT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
