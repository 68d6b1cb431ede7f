"""``python app.py`` and ``fruitvision app``: flags, a port in use, another Python, missing requirements."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.cli.conftest import PROJECT, one_line

# app.py ----------------------------------------------------------------------------------------------------------


def app(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "app.py"), *words]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120)


def test_the_app_explains_its_flags():
    result = app("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for flag in ("--host", "--port", "--share", "--public", "--root-path", "--data", "--runs", "--taught", "--lang"):
        assert flag in result.stdout


@pytest.mark.parametrize("words", [("--prot", "80"), ("--port", "many"), ("--lang", "fr"), ("--share", "--public")])
def test_a_wrong_flag_of_the_app_is_one_line(words):
    result = app(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert words[0] in one_line(result.stderr)


def test_app_py_is_the_command_app(run):
    code, out, err = run("app", "--help")
    assert (code, err) == (0, "")
    assert out.partition("Options:")[2] == app("--help").stdout.partition("Options:")[2] != ""


def test_a_port_in_use_is_one_line_with_the_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = app("--port", str(port), "--no-browser")
    assert (result.returncode, result.stdout) == (2, "")
    assert str(port) in one_line(result.stderr) and "--port" in result.stderr


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 15, 0)])
def test_a_python_that_pip_would_refuse_is_told_so(version):
    code = f"""
import runpy, sys
sys.version_info = (*{version}, "final", 0)
sys.argv = ["app.py"]
runpy.run_path({str(PROJECT / "app.py")!r}, run_name="__main__")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert result.returncode == 1
    found = ".".join(map(str, version))
    assert f"Python 3.11 to 3.14; this is {found}. Install Python 3.14" in one_line(result.stderr)


def test_the_version_and_the_words_that_a_shell_completes(run):
    from fruitvision import __version__

    assert run("--version") == (0, f"fruitvision {__version__}\n", "")
    code = "import sys; sys.argv = ['fruitvision']; from fruitvision.__main__ import main; sys.exit(main())"
    asked = {"_FRUITVISION_COMPLETE": "complete_bash", "COMP_WORDS": "fruitvision pre", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=PROJECT, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
    assert result.stdout.split() == ["predict"]


def test_missing_requirements_are_one_line_with_the_command_that_installs_them():
    code = f"""
import runpy, sys
sys.modules["gradio"] = None
sys.argv = ["app.py", "--no-browser"]
runpy.run_path({str(PROJECT / "app.py")!r}, run_name="__main__")
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert result.returncode == 1
    assert "'gradio' is not installed" in one_line(result.stderr)
    assert f'-m pip install -r "{PROJECT / "requirements.txt"}"' in result.stderr
