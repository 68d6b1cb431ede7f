"""The container as far as it can be seen without building one: what it copies, who it runs as, and what stands before it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from fruitvision.files import cache_folder
from fruitvision.ui.server.gate import ROUTES


@pytest.fixture
def steps(project) -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, with their words."""
    text = re.sub(r"\\\n\s*", "", (project / "Dockerfile").read_text(encoding="utf-8"))
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line and not line.startswith("#")]


def test_it_copies_what_the_wheel_is_made_of_and_the_ignored_rest_stays_out(project, steps):
    copied = [name for step, words in steps if step == "COPY" for name in shlex.split(words)[:-1]]
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "checkpoints", "fruitvision", "requirements.txt"} == set(copied)
    assert all((project / name).exists() for name in copied)
    lines = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "*" and {line[1:] for line in lines if line.startswith("!")} == set(copied)


def test_it_runs_as_nobody_special_with_its_data_in_a_volume(steps):
    names = [step for step, _ in steps]
    assert dict(steps)["USER"] == "1000" and names.index("USER") < names.index("ENTRYPOINT")
    assert "USER" not in names[names.index("USER") + 1 :] and dict(steps)["VOLUME"] == dict(steps)["WORKDIR"] == "/data"


@pytest.mark.skipif(sys.platform != "linux", reason="the container's system")
def test_what_is_kept_between_starts_lies_in_the_volume(project, steps, monkeypatch):
    named = dict(pair.split("=", 1) for step, words in steps if step == "ENV" for pair in words.split())
    for name in ("FRUITVISION_CACHE", "HF_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", named["XDG_CACHE_HOME"])
    service = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))["services"]["app"]
    mounted = [volume.split(":")[1] for volume in service["volumes"]]
    assert service["read_only"] and mounted == [dict(steps)["VOLUME"]]
    assert cache_folder().is_relative_to(dict(steps)["VOLUME"])


def test_its_python_is_one_that_pip_takes_and_its_health_is_asked_where_the_app_answers(steps):
    import app

    major, minor = map(int, re.match(r"python:(\d+)\.(\d+)-slim", dict(steps)["FROM"]).groups())
    assert app.OLDEST <= (major, minor) <= app.NEWEST
    asked = re.search(r"127\.0\.0\.1:(\d+)(/[^']+)", dict(steps)["HEALTHCHECK"])
    assert asked[1] == dict(steps)["EXPOSE"] and ROUTES.fullmatch(asked[2])


def test_compose_starts_it_behind_nginx_and_asks_for_a_token(project):
    services = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert "--public" in services["app"]["command"] and ":?" in services["app"]["environment"]["FRUITVISION_OWNER_TOKEN"]
    assert services["nginx"]["network_mode"] == "service:app" and "127.0.0.1" in services["app"]["command"]
    source = services["nginx"]["volumes"][0].split(":")[0]
    assert (project / source).is_file()


def test_no_service_fills_the_disk_with_its_log(project):
    for service in yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))["services"].values():
        assert service["logging"]["driver"] == "json-file" and {"max-size", "max-file"} <= service["logging"]["options"].keys()


def test_nginx_takes_the_configuration(project, tmp_path):
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("there is no nginx here: on Debian, apt-get install nginx-light")
    server = (project / "docker" / "nginx.conf").read_text(encoding="utf-8")
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{server}\n}}\n", encoding="utf-8")
    result = subprocess.run([nginx, "-t", "-e", str(tmp_path / "log"), "-c", str(whole)], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr
