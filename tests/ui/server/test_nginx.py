"""Two app processes behind a real nginx, with the configuration that the guide shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import RunningApp, run_app
from tests.ui.conftest import FINISHED, furnish
from tests.ui.visitor import FILE, Visitor, data_url, picture_bytes

TOKEN = "a-token-that-both-share"
VISITORS = 4
AROUND = """
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    log_format who '$cookie_number $upstream_addr';
    access_log {folder}/access.log who;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


@dataclass(frozen=True)
class Site:
    """What stands behind the address that visitors have."""

    url: str
    folder: Path
    apps: tuple[RunningApp, RunningApp]

    def upstreams(self) -> dict[str, set[str]]:
        """By visitor's number: the processes that answered."""
        found: dict[str, set[str]] = {}
        for line in (self.folder / "access.log").read_text(encoding="utf-8").splitlines():
            number, _, upstream = line.partition(" ")
            found.setdefault(number, set()).add(upstream)
        return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory, project, shipped_checkpoint, sample_set) -> Iterator[Site]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("there is no nginx here: on Debian, apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("site")
    furnish(folder, sample_set)
    environment = {"FRUITVISION_OWNER_TOKEN": TOKEN, "GRADIO_TEMP_DIR": str(folder / "uploads")}
    flags = ("--public", "--host", "127.0.0.1", "--root-path", "/fruit", "--taught", str(folder / "taught"), "--checkpoint", "fruits-360")
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:

        def open_one(name: str) -> RunningApp:
            (folder / name).mkdir()
            own = ("--runs", str(folder / "runs"))  # the last one counts
            app = project / "app.py"
            return stack.enter_context(run_app(folder / name, *flags, *own, cwd=folder, app=app, environment=environment))

        apps = tuple(pool.map(open_one, ("one", "two")))
        port, ports = free_port(), [app.url.rstrip("/").rpartition(":")[2] for app in apps]
        shown = re.search(r"```nginx\n(.*?)```", (project / "docs" / "guides" / "nginx.md").read_text(encoding="utf-8"), re.DOTALL)[1]
        for ours, theirs in ((ports[0], "127.0.0.1:7861"), (ports[1], "127.0.0.1:7862")):
            assert theirs in shown
            shown = shown.replace(theirs, f"127.0.0.1:{ours}")
        shown = shown.replace("listen 80;", f"listen 127.0.0.1:{port};")
        user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        file = folder / "nginx.conf"
        file.write_text(AROUND.format(folder=folder, server=shown, user=user), encoding="utf-8")
        log = stack.enter_context((folder / "nginx.log").open("wb"))
        process = subprocess.Popen([nginx, "-p", folder, "-c", file, "-g", "daemon off;"], stdout=log, stderr=log)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        end = time.monotonic() + 20
        while not answers(port):
            assert process.poll() is None and time.monotonic() < end, (folder / "nginx.log").read_text(encoding="utf-8")
            time.sleep(0.05)
        yield Site(f"http://127.0.0.1:{port}/fruit/", folder, apps)


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def classified(visitor: Visitor, path: str) -> str:
    """What the page is told when that picture was uploaded."""
    field = visitor.component("classify-picture")
    number = next(n for n, one in enumerate(visitor.config["dependencies"]) if field in one["inputs"])
    inputs = visitor.config["dependencies"][number]["inputs"]
    picture = {"path": path, "meta": FILE}
    return visitor.call(number, [picture if one == field else value for one, value in zip(inputs, visitor.values(number), strict=True)])


@pytest.mark.slow
def test_two_processes_are_one_app_and_one_that_dies_is_not_missed(site):
    with ExitStack() as stack:
        visitors, uploads = [], []
        while len(visitors) < VISITORS or len(set().union(*site.upstreams().values())) < 2:
            number = len(visitors)
            client = stack.enter_context(httpx.Client(base_url=site.url, timeout=60, cookies={"number": str(number)}))
            assert number < 40, "both processes have visitors"
            page = client.get("")
            assert page.status_code == 200, page.text
            assert "fruitvision-visitor" in client.cookies and TOKEN not in page.text
            visitor = Visitor(client)
            assert visitor.config["root"].endswith("/fruit")
            uploads.append(visitor.upload(picture_bytes(colour=(200, 20 * number, 30))))
            assert "fv-name" in classified(visitor, uploads[-1])
            shown = visitor.client.get("gradio_api/file=" + uploads[-1])
            assert shown.status_code == 200 and shown.content == picture_bytes(colour=(200, 20 * number, 30))
            visitors.append(visitor)
        came = site.upstreams()
        assert all(len(came[str(number)]) == 1 for number in range(len(visitors))), "each keeps to one process"
        of = {upstream: next(int(n) for n in came if came[n] == {upstream}) for upstream in set.union(*came.values())}
        run = next(path.name for path in (site.folder / "runs").iterdir() if path.name.endswith("finished"))
        for number in of.values():  # one of each process
            asked = {"image": data_url(picture_bytes()), "model": f"run:{run}", "language": "en"}
            assert "fv-error" not in visitors[number].serve("classify-live", "answer_frame", asked).json()["html"], FINISHED
            assert visitors[number].serve("classify-teach", "taught_state", {}).json()["code"] == "owner-only"
            link = visitors[number].client.get("", params={"owner": TOKEN})
            assert link.status_code == 303 and link.headers["location"] == "/fruit/"
            assert visitors[number].serve("classify-teach", "taught_state", {}, cookie=f"fruitvision-owner={TOKEN}").json()["pictures"] == 1

        killed = next(app for app in site.apps if app.url.rpartition("//")[2].strip("/") in of)
        os.kill(killed.process.pid, signal.SIGKILL)
        killed.process.wait(30)
        for visitor, upload in zip(visitors, uploads, strict=True):
            assert "fv-name" in classified(visitor, upload), "also of what was uploaded to the other process"
            assert "fv-name" in visitor.serve("classify-live", "answer_frame", {"image": data_url(picture_bytes())}).text


def test_a_body_over_the_limit_fills_no_disk_of_the_proxys(site):
    """With its default, nginx wrote 350 MB for anybody before the app was asked."""
    for route, size in (("gradio_api/run/predict", 20 * 2**20), ("gradio_api/component_server/", 360 * 2**20)):
        head = f"POST /fruit/{route} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", int(site.url.split(":")[2].partition("/")[0])), timeout=10) as connection:
            connection.sendall(head.encode())
            assert b" 413 " in connection.recv(1000)
    assert not list((site.folder / "body").glob("**/*.[0-9]*")) and sum(p.stat().st_size for p in (site.folder / "body").rglob("*")) < 2**20
