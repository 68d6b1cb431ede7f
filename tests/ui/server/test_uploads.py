"""What visitors upload is not kept: deleted after its time, and with the folder when the app is closed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gradio.routes import App
from starlette.testclient import TestClient

from fruitvision.ui.app import build_app
from fruitvision.ui.gradio_internals import files_of, get_upload_folder
from fruitvision.ui.page.components import MAX_UPLOAD_BYTES
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.models import Models
from fruitvision.ui.server import uploads as uploads_module
from fruitvision.ui.server.access import COOKIE, TOKEN_VARIABLE, Access, Caller
from fruitvision.ui.server.limits import Busy
from fruitvision.ui.server.uploads import Uploads, make_room, sweep
from tests.browser.conftest import run_app
from tests.ui.server.gate.conftest import OWN, ask
from tests.ui.server.gate.test_bodies import form
from tests.ui.server.test_allowed import quietly
from tests.ui.visitor import UPLOAD, picture_bytes


def test_uploads_are_deleted_after_their_time_and_the_rest_when_the_app_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads_module, "MAX_AGE_SECONDS", 1)
    monkeypatch.setattr(uploads_module, "SWEEP_SECONDS", 0.2)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    context = Context(runs=tmp_path, taught=tmp_path, access=Access("token"), models=Models(tmp_path), data=tmp_path / "data")
    demo = quietly(build_app, context)
    demo.max_file_size = MAX_UPLOAD_BYTES  # launch() does
    app = quietly(App.create_app, demo, app_kwargs={"lifespan": Uploads(get_upload_folder).lifespan})

    def upload() -> Path:
        path = Path(client.post(UPLOAD, files={"files": ("mine.jpg", picture_bytes())}).json()[0])
        assert path.is_file() and (tmp_path / "uploads") in path.parents
        return path

    with TestClient(app) as client:
        first, end = upload(), time.monotonic() + 20
        while first.exists() or files_of(demo):
            assert time.monotonic() < end, "it is kept, or in a list of all that was ever uploaded"
            time.sleep(0.1)
        last = upload()
        others = lay(tmp_path / "uploads", "of another process", 10, 0)
    assert not last.exists() and others.exists()
    assert not demo.delete_cache
    assert not any(block.keep_in_cache for block in demo.blocks.values()), "it would be deleted while the page needs it"


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_the_folder_of_uploads_is_private_and_gone_when_the_system_closes_the_app(tmp_path, project, shipped_checkpoint):
    own = {"GRADIO_TEMP_DIR": "", "TMPDIR": str(tmp_path)}
    flags = ("--public", "--host", "127.0.0.1", "--checkpoint", "fruits-360")
    with run_app(tmp_path, *flags, cwd=tmp_path, app=project / "app.py", environment=own) as running:
        path = Path(httpx.post(running.url + UPLOAD, files={"files": ("mine.jpg", picture_bytes())}, timeout=60).json()[0])
        folder = tmp_path / path.relative_to(tmp_path).parts[0]
        assert path.is_file() and folder.stat().st_mode & 0o077 == 0
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)
    assert not folder.exists()


OWNER, ANN, BOB = Caller(True), Caller(False, "203.0.113.5", "ann"), Caller(False, "203.0.113.6", "bob")


def named(name: str) -> str:
    """A folder as Gradio names it."""
    return hashlib.sha256(name.encode()).hexdigest()


def lay(folder: Path, name: str, size: int, age: float) -> Path:
    path = folder / named(name) / "picture.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_the_oldest_uploads_make_room_and_the_newest_stay(tmp_path):
    old, older, new = (lay(tmp_path, name, 100, age) for name, age in (("a", 100), ("b", 200), ("c", 1)))
    assert make_room(tmp_path, 300) and older.is_file()
    assert make_room(tmp_path, 250) and not older.exists() and old.is_file()
    assert not make_room(tmp_path, 50) and not old.exists() and new.is_file(), "somebody is just being answered about it"
    assert make_room(tmp_path / "nothing", 0)


def test_countless_tiny_uploads_make_room_too(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads_module, "MAX_KEPT", 20)
    for number in range(30):
        lay(tmp_path, f"{number:02}", 1, 100 - number)
    assert make_room(tmp_path, 10**6)
    assert {path.name for path in tmp_path.iterdir()} == {named(f"{number:02}") for number in range(11, 30)}, "folders go along"


def test_what_nobody_changed_for_a_while_is_deleted_and_nothing_that_is_not_gradios(tmp_path, monkeypatch):
    """An upload that broke off, and a heatmap, were in no list of what to delete; the owner's downloads went to make room."""
    downloads, foreign = tmp_path / "fruitvision-downloads" / "tmpabc" / "study.csv", tmp_path / "work" / "thesis.txt"
    for path in (downloads, foreign):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 1000)
    broken_off = tmp_path / "tmpabcd1234"
    broken_off.write_bytes(b"half a picture")
    heatmap = lay(tmp_path, "heatmap", 10, 0)
    shown = tmp_path / "fruitvision-downloads" / "tmpdef" / "run.csv"
    shown.parent.mkdir()
    shown.write_bytes(b"a,b")
    made = {str(heatmap), str(shown)}
    sweep(tmp_path, 10**6, 600, made)
    assert made == {str(heatmap), str(shown)} and heatmap.is_file() and broken_off.is_file()
    os.utime(heatmap, (0, 0))
    sweep(tmp_path, 10**6, 600, made)
    assert heatmap.is_file(), "a copy of something old has just been made"
    later = time.time() + 700
    monkeypatch.setattr(uploads_module.time, "time", lambda: later)
    sweep(tmp_path, 10**6, 600, made)
    assert not (heatmap.parent.exists() or broken_off.exists() or shown.parent.exists() or made)
    assert make_room(tmp_path, 0) and downloads.is_file() and foreign.is_file()


def test_what_comes_without_an_upload_stays_within_the_quota_and_no_error_ends_that(tmp_path, monkeypatch):
    """One error ended the deletion for as long as the app lived, and heatmaps filled the disk."""
    monkeypatch.setattr(uploads_module, "SWEEP_SECONDS", 0.01)
    asked = []

    def folder() -> Path:
        asked.append(None)
        if len(asked) == 1:
            raise RuntimeError("Set changed size during iteration")
        return tmp_path

    async def look_after() -> None:
        async with Uploads(folder, quota=1000).lifespan(SimpleNamespace(get_blocks=lambda: SimpleNamespace(upload_file_set=set()))):
            old, new = lay(tmp_path, "old", 600, 100), lay(tmp_path, "new", 600, 50)
            while old.exists():
                await asyncio.sleep(0.01)
            assert new.is_file()

    asyncio.run(asyncio.wait_for(look_after(), 10))


async def send(uploads: Uploads, caller: Caller, size: int) -> None:
    async with uploads.receiving(caller, size) as incoming:
        incoming.add(size)


def test_one_visitor_may_upload_a_part_of_the_room_and_a_full_room_is_a_sentence(tmp_path, monkeypatch):
    async def try_all() -> None:
        uploads = Uploads(lambda: tmp_path, quota=8000)
        for _ in range(4):
            await send(uploads, ANN, 250)
        with pytest.raises(Busy, match="a great deal") as caught:
            await send(uploads, ANN, 250)
        assert caught.value.status == 507
        await send(uploads, BOB, 250)
        await send(uploads, OWNER, 5000)
        later = time.monotonic() + uploads_module.WINDOW_SECONDS + 1
        monkeypatch.setattr(uploads_module.time, "monotonic", lambda: later)
        await send(uploads, ANN, 250)
        async with uploads.receiving(OWNER, 7900) as incoming:
            await send(uploads, BOB, 250)  # what was only announced takes no room
            incoming.add(7900)
            with pytest.raises(Busy, match="no room"):
                await send(uploads, BOB, 250)
        await send(uploads, BOB, 250)

    asyncio.run(try_all())


def test_a_full_room_for_uploads_is_said_by_the_app(tmp_path, project, shipped_checkpoint):
    flags = ("--public", "--host", "127.0.0.1", "--checkpoint", "fruits-360", "--upload-quota", "16")
    own = {"GRADIO_TEMP_DIR": str(tmp_path / "uploads"), TOKEN_VARIABLE: "a-token-of-the-tests"}
    left_by_a_crash = lay(tmp_path / "uploads", "left", 17 * 2**20, 100)
    with run_app(tmp_path, *flags, cwd=tmp_path, app=project / "app.py", environment=own) as running:
        end = time.monotonic() + 20
        while left_by_a_crash.exists():
            assert time.monotonic() < end, "nobody looks after the folder before something is uploaded"
            time.sleep(0.1)
        with httpx.Client(base_url=running.url, timeout=60) as visitor:
            visitor.get("config")  # gives a number, by which the visitor is counted from then on
            answers = [visitor.post(UPLOAD, files={"files": ("x.jpg", os.urandom(900_000))}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 507, 507] and "a great deal" in answers[2].text
        owner = {"cookie": f"{COOKIE}=a-token-of-the-tests"}
        assert httpx.post(running.url + UPLOAD, files={"files": ("x.jpg", picture_bytes())}, headers=owner).status_code == 200
    kept = sum(path.stat().st_size for path in (tmp_path / "uploads").rglob("*") if path.is_file())
    assert kept < 16 * 2**20


def test_new_numbers_give_one_address_no_more_room_and_few_uploads_are_on_their_way_at_once(tmp_path):
    async def try_all() -> None:
        uploads, sent = Uploads(lambda: tmp_path, quota=8000), 0
        with pytest.raises(Busy):
            for number in range(100):
                async with uploads.receiving(Caller(False, "203.0.113.5", f"number {number}"), 250) as incoming:
                    incoming.add(250)
                    sent += 250
        assert sent == 4000
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(uploads_module.MAX_CONCURRENT):
                await stack.enter_async_context(uploads.receiving(BOB, 10))
            with pytest.raises(Busy):
                await stack.enter_async_context(uploads.receiving(BOB, 10))
            await stack.enter_async_context(uploads.receiving(OWNER, 10))

    asyncio.run(try_all())


def test_an_address_without_cookies_has_no_more_room_than_half(tmp_path):
    """It had eight shares of an eighth, the whole of it, and pushed out everybody's pictures."""

    async def try_all() -> int:
        uploads, sent = Uploads(lambda: tmp_path, quota=8000), 0
        with pytest.raises(Busy):
            for _ in range(100):
                async with uploads.receiving(Caller(False, "203.0.113.5", ""), 250) as incoming:
                    incoming.add(250)
                    sent += 250
        return sent

    assert asyncio.run(try_all()) == 4000


def test_the_folder_itself_stays_when_its_last_file_is_deleted(tmp_path):
    """Gradio would make it anew, for every account of the computer to read."""
    folder = tmp_path / "uploads"
    folder.mkdir(mode=0o700)
    (folder / "tmpbroken-off").write_bytes(b"half")
    sweep(folder, 10**6, -1, set())
    assert folder.is_dir() and not list(folder.iterdir())


def test_tiny_files_of_one_visitor_shut_out_nobody(tmp_path):
    """Files of a few bytes each had everybody's pictures deleted, and then every upload refused."""

    async def try_all() -> None:
        uploads, files = Uploads(lambda: tmp_path, quota=80_000), 0
        with pytest.raises(Busy, match="a great deal"):
            while files < uploads_module.MAX_KEPT:
                await send(uploads, ANN, 1)
                files += 1
        assert files == uploads_module.MAX_KEPT // uploads_module.VISITOR_DIVISOR
        await send(uploads, BOB, 1)
        await send(uploads, OWNER, 1)

    asyncio.run(try_all())


def test_a_crowd_behind_a_tunnel_may_send_small_pictures_and_the_folder_is_seldom_looked_through(tmp_path, monkeypatch):
    """64 people who never paused had 3,881 answers in two minutes."""
    looks = []

    def looked(folder: Path, room: int) -> tuple[int, int] | None:
        looks.append(room)
        return make_room(folder, room)

    async def try_all() -> None:
        uploads = Uploads(lambda: tmp_path)
        for number in range(64 * 70):
            await send(uploads, Caller(False, "127.0.0.1", f"number {number % 64}"), 5000)

    monkeypatch.setattr(uploads_module, "make_room", looked)
    asyncio.run(try_all())
    assert len(looks) == 1


def test_a_visitor_sends_one_file_a_request():
    kind = (b"content-type", b"multipart/form-data; boundary=limit")
    for headers, files, status in (([], 1, 200), ([], 2, 400), ([(b"cookie", f"{COOKIE}=a-token-of-the-tests".encode())], 2, 200)):
        asked = {"body": [form(files)], "path": "/gradio_api/upload", "uploads": Uploads(lambda: "nothing")}
        assert ask(Access("a-token-of-the-tests"), [*OWN, kind, *headers], **asked) == status, (headers, files)


def test_what_is_only_announced_takes_nothing_of_a_share(tmp_path):
    """74 requests that announced 14 MB and sent nothing shut out everybody behind a tunnel for ten minutes."""
    visitors = [Caller(False, "127.0.0.1", f"number {number}") for number in range(100)]

    async def try_all() -> None:
        uploads = Uploads(lambda: tmp_path, quota=8000)
        async with contextlib.AsyncExitStack() as stack:
            hanging = [await stack.enter_async_context(uploads.receiving(visitor, 800)) for visitor in visitors]
            await send(uploads, ANN, 800)
            await send(uploads, Caller(False, "127.0.0.1", "cleo"), 800)
            with pytest.raises(Busy):
                for incoming in hanging:
                    incoming.add(800)
            assert sum(one.received for one in hanging) <= 8000, "what comes at once is counted as it comes"
        assert all(one.received for sent in uploads._recent.values() for one in sent), "what sent nothing is not remembered"

    asyncio.run(try_all())


def test_no_piece_of_an_upload_takes_longer_when_many_have_sent_before(tmp_path):
    """20,000 uploads of ten minutes were gone through for each piece that came, on the event loop: 3 milliseconds for a byte."""

    async def try_all() -> None:
        uploads = Uploads(lambda: tmp_path, quota=2**30)
        await send(uploads, ANN, 1000)
        for number in range(10_000):
            async with uploads.receiving(Caller(False, "127.0.0.1", f"number {number}"), 10) as incoming:
                incoming.add(10)
        async with uploads.receiving(ANN, 1000) as incoming:
            start = time.process_time()
            for _ in range(500):
                incoming.add(1)
            assert time.process_time() - start < 0.3

    asyncio.run(try_all())
