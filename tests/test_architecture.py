"""The house keeps its shape: imports go down only, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "fruitvision"

# What each room may import of the others. Everybody may import errors, compat and files.
ROOMS = {
    "errors": set(),
    "compat": set(),
    "files": set(),
    "data": set(),
    "models": {"data"},
    "training": {"models", "data"},
    "recognition": {"training", "models", "data"},
    "runs": {"recognition", "training", "models", "data"},
    "comparison": {"runs", "recognition", "training", "models", "data"},
    "ui": {"comparison", "runs", "recognition", "training", "models", "data"},
}
GROUND = {"errors", "compat", "files"}
TOP = {"__init__", "__main__", "cli", "console"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """The room of a module, or its own name where it lies at the package's top."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, inside functions too; relative ones made absolute."""
    package = ("fruitvision", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def test_every_folder_of_the_package_is_a_room_of_the_design():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    files = {path.stem for path in PACKAGE.glob("*.py")}
    assert folders <= set(ROOMS)
    assert files == GROUND | TOP


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_down_only(path):
    own = room(path)
    if own in TOP:
        return
    allowed = ROOMS[own] | GROUND | {own}
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("fruitvision.")}
    reached = {name for name in inner if name in ROOMS or name in TOP}
    assert reached <= allowed, f"{own} must not import {reached - allowed}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_gradio_is_imported_in_the_ui_alone(path):
    if room(path) != "ui":
        assert not [name for name in imports(path) if name.split(".")[0] in ("gradio", "gradio_client")]


def test_figures_are_made_without_gradio():
    plots = PACKAGE / "ui" / "plots.py"
    if not plots.is_file():
        pytest.skip("ui/plots.py is not written yet")
    assert not [name for name in imports(plots) if name.split(".")[0] == "gradio"]


def test_importing_the_package_loads_neither_torch_nor_gradio():
    code = """
import sys
import fruitvision
from fruitvision import __version__, load
assert {"Classifier", "Prediction", "load"} <= set(dir(fruitvision))
print([name for name in ("torch", "torchvision", "gradio", "pandas", "numpy", "typer") if name in sys.modules])
"""
    assert run(code) == "[]"


def test_help_needs_no_torch():
    code = """
import sys
import fruitvision.cli
print([name for name in ("torch", "torchvision", "gradio", "pandas", "numpy") if name in sys.modules])
"""
    assert run(code) == "[]"


def test_the_package_gives_what_its_readme_names():
    import fruitvision
    from fruitvision.recognition import classifier

    assert (fruitvision.Classifier, fruitvision.Prediction) == (classifier.Classifier, classifier.Prediction)
    assert callable(fruitvision.load)


def test_an_unknown_name_is_an_ordinary_attribute_error():
    import fruitvision

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        fruitvision.nothing  # noqa: B018


def test_the_app_is_a_short_file():
    assert len((PROJECT / "app.py").read_text(encoding="utf-8").splitlines()) < 80


def test_no_file_names_the_workplace():
    """Pictures live where the person says; only the machine that runs the tests knows a folder beside the project."""
    words = ("shared" + "/data", "shared" + "\\data", "/wo" + "rk/")
    kinds = {".py", ".md", ".toml", ".txt", ".yml", ".xml", ".css", ".js", ".html", ".json"}
    skipped = {".git", "runs", "__pycache__", "build", "dist"}
    faults = []
    for path in PROJECT.rglob("*"):
        parts = path.relative_to(PROJECT).parts
        if path.suffix not in kinds or skipped & set(parts) or any(part.startswith(".venv") for part in parts):
            continue
        text = path.read_text(encoding="utf-8")
        faults += [f"{'/'.join(parts)}: {word}" for word in words if word in text]
    assert not faults


def test_every_text_file_is_read_and_written_as_utf_8():
    """Windows reads and writes in the console's own code page unless told otherwise."""
    faults = []
    for path in [*MODULES, PROJECT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _opens_text(node) and not _names_encoding(node):
                faults.append(f"{path.relative_to(PROJECT).as_posix()}:{node.lineno}")
    assert not faults


def _opens_text(call: ast.Call) -> bool:
    """read_text, write_text, open(path, "w"), path.open("a"); no mode or one without a b is text."""
    if isinstance(call.func, ast.Attribute):
        if call.func.attr in ("read_text", "write_text"):
            return True
        is_open, mode = call.func.attr == "open", call.args[:1]
    else:
        is_open, mode = isinstance(call.func, ast.Name) and call.func.id == "open", call.args[1:2]
    mode = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] or mode
    words = [str(node.value) for part in mode for node in ast.walk(part) if isinstance(node, ast.Constant)]
    if mode and not words:  # Image.open(path), archive.open(member): not a mode, so not a text file
        return False
    return is_open and not any("b" in word for word in words)


def _names_encoding(call: ast.Call) -> bool:
    return any(keyword.arg == "encoding" for keyword in call.keywords)


def run(code: str) -> str:
    """What a fresh interpreter in the project's folder prints."""
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
