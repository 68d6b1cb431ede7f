"""What is installed is what is here: the wheel works from any folder, and the files agree with each other."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]
INSTALL_AND_OPEN = "python -m pip install -r requirements.txt && python app.py"
INSTALL_AND_TEST = "python -m pip install -r requirements-dev.txt && python -m pytest -n 2 --dist worksteal"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The project as one wheel, built from a copy so that nothing is left behind in the tree."""
    setuptools = pytest.importorskip("setuptools", reason="run: python -m pip install -r requirements-dev.txt")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("setuptools is older than 77; run: python -m pip install -r requirements-dev.txt")
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_of_project(folder / "source")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command = [*build, "--wheel-dir", str(folder), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=300)
    assert result.returncode == 0, result.stderr
    return next(folder.glob("*.whl"))


def copy_of_project(target: Path) -> Path:
    target.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy2(PROJECT / name, target / name)
    for name in ("fruitvision", "checkpoints"):
        shutil.copytree(PROJECT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_the_shipped_checkpoints(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    here = {path for path in (PROJECT / "fruitvision").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    here |= {path for path in (PROJECT / "checkpoints").rglob("*") if path.is_file()}
    names = {path.relative_to(PROJECT).as_posix() for path in here}
    wanted = {f"fruitvision/{name}" if name.startswith("checkpoints/") else name for name in names}
    assert not {name for name in wanted if "/." not in name} - held


def test_type_checkers_are_told_that_the_package_is_typed(wheel):
    assert "fruitvision/py.typed" in zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_the_installed_package_answers_a_picture_from_another_folder(wheel, shipped_checkpoint, tmp_path):
    from fruitvision.data.synthetic.sample import draw_sample

    picture = next(draw_sample(tmp_path / "set", train_per_class=1, test_per_class=1, size=64).rglob("*.jpg"))
    target, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=300)
    code = """
import json, sys
import fruitvision
answer = fruitvision.load().predict(sys.argv[1])
print(json.dumps([fruitvision.__file__, answer.label, answer.fruit_type, answer.confidence, answer.verdict]))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(picture)],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    file, label, fruit_type, confidence, verdict = json.loads(result.stdout)
    assert Path(file).is_relative_to(target)
    assert label and fruit_type and 0 <= confidence <= 1
    assert verdict in ("sure", "unsure", "not-fruit")


def test_the_command_fruitvision_leads_to_a_function_that_is_there(wheel):
    from importlib import import_module

    scripts = pyproject()["project"]["scripts"]
    module, _, function = scripts["fruitvision"].partition(":")
    assert callable(getattr(import_module(module), function))
    entry_points = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("entry_points.txt")]
    assert scripts["fruitvision"] in zipfile.ZipFile(wheel).read(entry_points[0]).decode()


def test_every_requirement_is_pinned_to_one_version_and_is_the_one_installed():
    from importlib.metadata import PackageNotFoundError, version

    pins = [*requirements("requirements.txt"), *requirements("requirements-dev.txt")]
    assert {"torch", "torchvision", "gradio", "pillow", "pandas"} <= {name for name, _ in pins}
    for name, pinned in pins:
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            pytest.fail(f"{name} is not installed; run: {INSTALL_AND_TEST}")
        assert installed == pinned, f"{name} {installed} is installed, {pinned} is required; run: {INSTALL_AND_TEST}"


def test_the_pins_lie_within_the_ranges_and_are_of_the_same_packages():
    project = pyproject()["project"]
    ranges = [Requirement(line) for line in project["dependencies"]]
    extras = [Requirement(line) for lines in project["optional-dependencies"].values() for line in lines]
    pins = dict(requirements("requirements.txt", everywhere=True))
    assert {own.name for own in ranges} <= set(pins) <= {own.name for own in [*ranges, *extras]}
    assert not [own.name for own in [*ranges, *extras] if own.name in pins and not own.specifier.contains(pins[own.name])]


def test_app_py_names_the_pythons_that_pip_takes():
    import app

    oldest, newest = app.OLDEST, app.NEWEST
    assert pyproject()["project"]["requires-python"] == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"


def test_nothing_is_imported_that_the_requirements_do_not_name():
    imported = set()
    for path in [*(PROJECT / "fruitvision").rglob("*.py"), PROJECT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.split(".")[0])
    project = pyproject()["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    named = {Requirement(line).name.replace("-", "_") for line in lines}  # an extra's is imported where it is asked for
    foreign = imported - set(sys.stdlib_module_names) - {"fruitvision"}
    names = {"PIL": "pillow", "yaml": "pyyaml"}
    carried = {
        "anyio",
        "fastapi",
        "h11",
        "python_multipart",
        "starlette",
        "uvicorn",
    }  # gradio is built on these; they are never chosen apart from it
    assert {names.get(name, name) for name in foreign} - named <= carried


def test_the_quick_tests_need_nothing_but_the_package_and_the_test_tools():
    """Whatever else a test imports, it is skipped without: CI runs them beside the lowest versions, with none of the extras."""
    optional = {"playwright", "axe_playwright_python", "mcp", "onnx", "onnxruntime", "onnxscript", "openvino", "ray", "mlflow", "trackio"}
    for file in (PROJECT / "tests").rglob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                for name in {name.partition(".")[0] for name in names} & optional:
                    skipped = re.search(rf'importorskip\("{name}\b', text)
                    assert skipped and text.count("\n", 0, skipped.start()) < node.lineno, f"{file}: import {name}"


def test_the_readme_opens_with_the_two_commands():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    first, second = readme.find(f"\n{INSTALL_AND_OPEN}\n"), readme.find(f"\n{INSTALL_AND_TEST}\n")
    assert 0 < first < second
    for command in (INSTALL_AND_OPEN, INSTALL_AND_TEST):
        assert f"\n{command.replace(' &&', ';')}\n" in readme, "PowerShell wants a semicolon"


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "checkpoints/LICENSE.md"])
def test_every_link_within_the_project_leads_somewhere(name):
    page = PROJECT / name
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_every_place_that_contributing_says_to_open_is_there():
    page = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\|$", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w./]+/[\w./]*)`", row)}
    missing = {name for name in named if not any((PROJECT / top / name).exists() for top in ("", "fruitvision", "fruitvision/ui"))}
    assert len(named) > 15 and not missing
    house = page.partition("```\napp.py")[2].partition("```")[0]
    packages = {path.parent.name for path in (PROJECT / "fruitvision").glob("*/__init__.py")} - {"cli"}
    assert all(re.search(rf"(?m)^ *(?:\w+ )*{name}\b", house) for name in packages)


def test_the_test_machine_runs_the_readmes_own_command():
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m1 -E '([^']+)' README\.md", script).group(1)
    lines = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if re.search(pattern, line)) == INSTALL_AND_TEST


def test_ci_and_the_hooks_call_the_one_script_with_parts_that_it_has():
    script = (PROJECT / "scripts" / "check").read_text(encoding="utf-8")
    parts = set(re.findall(r"^    ([a-z]+)\)", script, re.MULTILINE))
    assert parts == {"lint", "format", "types", "tests"}
    for name in (".ci/run", ".github/workflows/tests.yml", ".pre-commit-config.yaml"):
        calls = re.findall(r"scripts/check ([a-z ]+)", (PROJECT / name).read_text(encoding="utf-8"))
        assert calls and all(set(call.split()) <= parts for call in calls), name


def test_the_changelog_names_the_version_that_is_here():
    import fruitvision

    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog and f"## [{fruitvision.__version__}]" in changelog


def test_the_run_configurations_start_files_and_commands_that_are_there():
    configurations = {}
    for path in (PROJECT / ".run").glob("*.run.xml"):
        configuration = ElementTree.parse(path).getroot().find("configuration")
        options = {option.get("name"): option.get("value") for option in configuration.iter("option")}
        configurations[configuration.get("name")] = options
    assert set(configurations) == {"app", "tests", "train"}
    assert configurations["app"]["SCRIPT_NAME"] == "$PROJECT_DIR$/app.py"
    assert configurations["train"]["SCRIPT_NAME"] == "fruitvision"
    assert configurations["train"]["PARAMETERS"].split()[0] == "train"


def test_the_weights_and_the_code_each_name_their_licence():
    assert (PROJECT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    weights = (PROJECT / "checkpoints" / "LICENSE.md").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in weights and "Mihai Oltean" in weights and "Horea Mureșan" in weights
    assert pyproject()["project"]["license"] == "MIT AND CC-BY-SA-4.0"


def pyproject() -> dict:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(name: str, *, everywhere: bool = False) -> list[tuple[str, str]]:
    """The (package, version) of every line that pins one for this machine, or for any; a line that pins nothing fails."""
    lines = [line.strip() for line in (PROJECT / name).read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith(("#", "-r"))]
    pins = [re.fullmatch(r"([a-z0-9-]+)(?:\[[a-z]+\])?==([0-9.]+)(?:; (.+))?", line).groups() for line in lines]
    return [(name, pinned) for name, pinned, marker in pins if everywhere or not marker or Marker(marker).evaluate()]
