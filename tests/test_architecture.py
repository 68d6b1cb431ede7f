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

# Each package may import of those above it in this list, and nothing below: so there is no circle and no arrow up.
ORDER = (
    "wording",
    "errors",
    "files",
    "compat",
    "data",
    "data.read.formats",
    "data.read.layouts",
    "data.read",
    "data.synthetic",
    "data.augment",
    "data.load",
    "data.fetch",
    "hub",
    "models",
    "models.onnx",
    "models.imported",
    "models.published",
    "training",
    "recognition",
    "recognition.taught",
    "recognition.evaluate",
    "recognition.imported",
    "runs",
    "runs.prepare",
    "runs.job",
    "comparison.layers",
    "comparison",
    "report",
    "web",
    "mcp",
    "ui.gradio_internals",
    "ui.api",
    "ui.server.parsing",
    "ui.server",
    "ui.page",
    "ui.page.export",
    "ui.page.client",
    "ui.classify.teaching",
    "ui.classify",
    "ui.train.pictures",
    "ui.train.bar",
    "ui.train",
    "ui.compare",
    "ui",
)
TOP = {"__init__", "__main__", "cli"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def package(path: Path) -> str:
    """The package of a module, or its own name where it lies at the top."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if ".".join(parts) in ORDER:  # a file that is a layer of its own
        return ".".join(parts)
    return parts[0] if len(parts) == 1 or parts[0] in TOP else ".".join(parts[:-1])


def imports(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, inside functions too; relative ones made absolute."""
    package = ("fruitvision", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{name}.{alias.name}" if _is_module(f"{name}.{alias.name}") else name for alias in node.names)


def _is_module(name: str) -> bool:
    place = PROJECT.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def _package_of(name: str) -> str:
    place = PROJECT.joinpath(*name.split("."))
    return package(place / "__init__.py" if place.is_dir() else place.with_suffix(".py"))


def test_every_folder_of_the_package_is_in_the_order():
    folders = {package(path) for path in MODULES if path.parent != PACKAGE}
    files = {path.stem for path in PACKAGE.glob("*.py")}
    assert folders | files == {*ORDER} | TOP


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_down_only(path):
    own = package(path)
    if own in TOP:
        return
    allowed = {*ORDER[: ORDER.index(own) + 1], "__init__"}
    reached = {_package_of(name) for name in imports(path) if name.split(".")[0] == "fruitvision"}
    assert reached <= allowed, f"{own} must not import {reached - allowed}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_gradio_is_imported_in_the_ui_alone(path):
    if package(path).split(".")[0] != "ui":
        assert not [name for name in imports(path) if name.split(".")[0] in ("gradio", "gradio_client")]


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


def test_the_page_stands_and_is_looked_at_without_torch(tmp_path):
    """It takes a second and 200 MB, and the network as much again: what a page asks for by itself needs neither."""
    code = f"""
import sys
from pathlib import Path
import httpx
from fruitvision.ui.app import launch
from tests.ui.visitor import Visitor
folder = Path({str(tmp_path)!r})
demo = launch(runs=folder / "runs", taught=folder / "taught", data=folder / "data", open_browser=False, block=False)
with httpx.Client(base_url=demo.local_url, timeout=60) as client:
    page = Visitor(client)
    assert client.get("/").status_code == 200
    loads = [n for n, one in enumerate(page.config["dependencies"]) if any(event == "load" for _, event in one["targets"])]
    asked = [n for n in loads if page.config["dependencies"][n]["backend_fn"]]
    answers = [page.call(n, page.values(n)) for n in asked]
assert len(asked) > 5 and all('"success": true' in answer for answer in answers), answers
print([name for name in ("torch", "torchvision", "timm", "openvino", "onnxruntime") if name in sys.modules], flush=True)
"""
    assert run(code).splitlines()[-1] == "[]"


def test_the_package_gives_what_its_readme_names():
    import fruitvision
    from fruitvision.recognition import classifier

    assert (fruitvision.Classifier, fruitvision.Prediction) == (classifier.Classifier, classifier.Prediction)
    assert callable(fruitvision.load)


def test_an_unknown_name_is_an_ordinary_attribute_error():
    import fruitvision

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        fruitvision.nothing  # noqa: B018


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


def test_files_and_folders_stay_small():
    """A file is one idea that is read in one sitting; a folder is seen at a glance."""
    tests = sorted((PROJECT / "tests").rglob("*.py"))
    long = [path.name for path in [*MODULES, *tests] if len(path.read_text(encoding="utf-8").splitlines()) > 350]
    crowded = [folder.name for folder in {path.parent for path in MODULES} if len(list(filter(_counts, folder.iterdir()))) > 12]
    assert not long and not crowded


def _counts(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".pyi", ".csv")
