"""JavaScript files with one arrow function each, which Gradio runs when the page is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_OPENING = "() => {\n"


def script(file: Path, **constants: Any) -> str:
    """The function of a file, with constants of any JSON value inserted at its beginning."""
    body = file.read_text(encoding="utf-8").split(_OPENING, 1)[1]
    return _OPENING + "".join(f"  const {name} = {json.dumps(value)};\n" for name, value in constants.items()) + body
