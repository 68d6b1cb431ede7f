"""The app as a Hugging Face Space starts it: by environment variables, behind a proxy, in a frame, for strangers."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import httpx
import pytest

from tests.ui.server.test_nginx import free_port
from tests.ui.visitor import Visitor

SPACE = "somebody-fruit.hf.space"


@pytest.fixture(scope="module")
def space(tmp_path_factory, project, shipped_checkpoint):
    folder, port = tmp_path_factory.mktemp("space"), free_port()
    own = {"SPACE_ID": "somebody/fruit", "SPACE_HOST": SPACE, "GRADIO_SERVER_NAME": "127.0.0.1", "PORT": str(port)}
    log = (folder / "app.log").open("wb")
    environment = {**os.environ, **own, "FRUITVISION_OWNER_TOKEN": "a-secret-of-the-space"}
    process = subprocess.Popen([sys.executable, str(project / "app.py")], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    headers = {"Host": SPACE, "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/", headers=headers, timeout=30) as client:
        for _ in range(600):
            try:
                client.get("robots.txt")
                break
            except httpx.TransportError:
                assert process.poll() is None, (folder / "app.log").read_text(encoding="utf-8")
                time.sleep(0.2)
        yield client
    process.terminate()
    process.wait(30)
    log.close()


def test_its_page_opens_in_the_hubs_frame_and_in_no_other(space):
    framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    page = space.get("?__theme=light", headers=framed)
    assert page.status_code == 200 and "FruitVision" in page.text
    assert "frame-ancestors 'self' https://huggingface.co" in page.headers["content-security-policy"]


def test_strangers_are_visitors_there(space):
    page = {"Origin": f"https://{SPACE}", "Sec-Fetch-Site": "same-origin"}
    answer = Visitor(space).serve("classify-teach", "taught_state", {"language": "en"}, **page)
    assert answer.status_code == 200 and "owner-only" in answer.text
    assert space.post("api/classify", content=b"x", headers={"Origin": "https://evil.example"}).status_code == 403
