"""The page's own scripts, which Gradio runs when the page is loaded: arrow functions in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_OPENING = "() => {\n"


def script(file: Path, **constants: Any) -> str:
    """The script of a file, begun with constants, of any value that JSON has."""
    body = file.read_text(encoding="utf-8").split(_OPENING, 1)[1]
    return _OPENING + "".join(f"  const {name} = {json.dumps(value)};\n" for name, value in constants.items()) + body
