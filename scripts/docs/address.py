"""The repository's address in every file that names it.

python scripts/docs/address.py                                    # the address; 1 where EXPECTED names another one
python scripts/docs/address.py https://github.com/OWNER/NAME      # put another one into every file, the site's with it
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = (".github", "checkpoints", "docs", "fruitvision", "scripts")
SUFFIXES = {".md", ".toml", ".yml", ".yaml", ".cff", ".ipynb", ".py"}


def address() -> str:
    """The address in ``pyproject.toml``."""
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]


def forms(repository: str) -> tuple[str, ...]:
    """The URLs derived from a repository: its raw files, its site, its Colab links, and the authors' address."""
    owner, name = repository.removeprefix("https://github.com/").split("/")
    return (
        f"https://github.com/{owner}/{name}",
        f"https://raw.githubusercontent.com/{owner}/{name}",
        f"https://{owner.lower()}.github.io/{name}",
        f"colab.research.google.com/github/{owner}/{name}",
        f"{owner}@users.noreply.github.com",
    )


def named_in() -> list[Path]:
    """The text files that may contain the address: those at the top level, and those of some folders."""
    found = [*PROJECT.glob("*"), *(path for folder in FOLDERS for path in (PROJECT / folder).rglob("*"))]
    return sorted(path for path in found if path.suffix in SUFFIXES and path.is_file())


def replace(new: str) -> list[str]:
    """Replace the present address by ``new`` in every file; returns the changed files."""
    changed, pairs = [], list(zip(forms(address()), forms(new), strict=True))
    for path in named_in():
        before = after = path.read_text(encoding="utf-8")
        for old, other in pairs:
            after = re.sub(rf"{re.escape(old)}(?![\w-])", other, after)
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")
            changed.append(path.relative_to(PROJECT).as_posix())
    return changed


def main(words: list[str]) -> int:
    if words:
        print("\n".join(replace(words[0].rstrip("/").removesuffix(".git"))))
        return 0
    expected = os.environ.get("EXPECTED", address())
    print(address() if expected == address() else f"The files name {address()}, and this is {expected}.")
    return int(expected != address())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
