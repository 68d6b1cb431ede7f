from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time

import httpx
import pytest

from fruitvision.data.fetch import transfer
from fruitvision.data.fetch.transfer import fetch
from fruitvision.errors import DataError
from tests.sentences import is_worded

CONTENT = random.Random(0).randbytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def left(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def failing(url, path, **settings) -> DataError:
    with pytest.raises(DataError) as caught:
        fetch(url, path, **settings)
    assert is_worded(caught.value), "every error says what to do next"
    return caught.value


def test_a_file_arrives_whole_and_alone(server, tmp_path):
    server.serve("/f", CONTENT)
    told = []
    path = fetch(
        server.url("/f"),
        tmp_path / "new" / "f",
        sha256=SHA256.upper(),
        size=len(CONTENT),
        progress=lambda done, total: told.append((done, total)),
    )
    assert path.read_bytes() == CONTENT
    assert left(path.parent) == {"f"}
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_length_is_not_needed(server, tmp_path):
    server.serve("/f", CONTENT, chunked=True, etag='W/"weak"')
    told = []
    fetch(server.url("/f"), tmp_path / "f", progress=lambda done, total: told.append((done, total)))
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert told[0][1] is None
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_dropped_connection_goes_on_where_it_stopped(server, tmp_path):
    served = server.serve("/f", CONTENT, drop_after=[100_000, 150_000, None])
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert [request.get("Range") for request in served.requests] == [None, "bytes=100000-", "bytes=250000-"]
    assert [request.get("If-Range") for request in served.requests] == [None, '"one"', '"one"']


def test_tries_go_on_as_long_as_they_advance(server, tmp_path):
    served = server.serve("/f", CONTENT, drop_after=[70_000])
    fetch(server.url("/f"), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert len(served.requests) == 6 > len(transfer.PAUSES) + 1


def test_a_server_that_never_advances_is_given_up(server, tmp_path):
    served = server.serve("/f", CONTENT, drop_after=[100_000, 0])
    error = failing(server.url("/f"), tmp_path / "f")
    assert error.code == "download-incomplete"
    assert (error.facts["got"], error.facts["total"]) == (100_000, len(CONTENT))
    assert len(served.requests) == 1 + len(transfer.PAUSES)
    assert not (tmp_path / "f").exists(), "half a file never looks whole"
    served.drop_after = [None]
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
    assert served.requests[-1]["Range"] == "bytes=100000-", "what had arrived was kept"


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, tmp_path):
    served = server.serve("/f", CONTENT, ranges=False, drop_after=[100_000, None])
    fetch(server.url("/f"), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert served.requests[1]["Range"] == "bytes=100000-"


def test_without_a_promise_of_equal_bytes_nothing_is_pieced_together(server, tmp_path):
    served = server.serve("/f", CONTENT, etag='W/"weak"', drop_after=[100_000, None])
    fetch(server.url("/f"), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert "Range" not in served.requests[1]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    server.serve("/f", bytes(300_000), drop_after=[100_000, 0])
    failing(server.url("/f"), tmp_path / "f")
    server.serve("/f", CONTENT, etag='"two"')
    fetch(server.url("/f"), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_part_of_another_file_is_found_out_by_the_checksum(server, tmp_path):
    server.serve("/f", bytes(300_000), drop_after=[100_000, 0])
    failing(server.url("/f"), tmp_path / "f")
    server.serve("/f", CONTENT)  # under the same ETag
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_another_address_does_not_go_on_with_this_ones_part(server, tmp_path):
    server.serve("/a", bytes(300_000), drop_after=[100_000, 0])
    failing(server.url("/a"), tmp_path / "f")
    served = server.serve("/b", CONTENT)
    fetch(server.url("/b"), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert "Range" not in served.requests[0]


def test_a_part_that_is_whole_already_is_taken(server, tmp_path):
    served = server.serve("/f", CONTENT, drop_after=[100_000, 0])
    failing(server.url("/f"), tmp_path / "f")
    (tmp_path / "f.part").write_bytes(CONTENT)  # as if the process had died before the renaming
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert served.requests[-1]["Range"] == f"bytes={len(CONTENT)}-"


def test_a_length_that_is_too_great_ends_in_an_error(server, tmp_path):
    server.serve("/f", CONTENT, length_lie=1000, ranges=False)
    assert failing(server.url("/f"), tmp_path / "f").code == "download-incomplete"
    assert "f" not in left(tmp_path)


def test_a_length_that_is_too_small_is_found_out_by_size_and_checksum(server, tmp_path):
    server.serve("/f", CONTENT, length_lie=-1000)
    error = failing(server.url("/f"), tmp_path / "f", size=len(CONTENT))
    assert (error.code, error.facts["got"]) == ("download-wrong-size", len(CONTENT) - 1000)
    assert failing(server.url("/f"), tmp_path / "f", sha256=SHA256).code == "download-wrong-checksum"
    assert left(tmp_path) == set(), "what is known to be wrong is not kept"


def test_more_than_was_expected_is_not_read_to_its_end(server, tmp_path):
    server.serve("/f", CONTENT, chunked=True)
    assert failing(server.url("/f"), tmp_path / "f", size=100_000).code == "download-too-large"
    assert left(tmp_path) == set()


def test_a_wrong_checksum_leaves_an_older_file_as_it_was(server, tmp_path):
    (tmp_path / "f").write_bytes(b"older")
    server.serve("/f", CONTENT)
    error = failing(server.url("/f"), tmp_path / "f", sha256="0" * 64)
    assert (error.code, error.facts["got"]) == ("download-wrong-checksum", SHA256)
    assert (tmp_path / "f").read_bytes() == b"older"


def test_a_file_that_is_there_and_right_is_not_fetched_again(server, tmp_path):
    served = server.serve("/f", CONTENT)
    (tmp_path / "f").write_bytes(CONTENT)
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
    assert served.requests == []


def test_a_busy_server_is_asked_again_and_at_last_reported(server, tmp_path):
    served = server.serve("/f", CONTENT, statuses=[503, 429, 200], headers={"Retry-After": "0"})
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
    assert len(served.requests) == 3
    server.serve("/g", statuses=[503])
    error = failing(server.url("/g"), tmp_path / "g")
    assert (error.code, error.facts["status"]) == ("download-failed", 503)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "download-not-found"),
        (410, "download-not-found"),
        (403, "download-refused"),
        (418, "download-failed"),
    ],
)
def test_an_answer_that_will_not_change_is_reported_at_once(server, tmp_path, status, code):
    served = server.serve("/f", statuses=[status])
    error = failing(server.url("/f") + "?token=secret", tmp_path / "f")
    assert (error.code, len(served.requests)) == (code, 1)
    assert "secret" not in str(error)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "fruits-360.zip", "http://", "http://[", "ftp://host/f"])
def test_what_is_no_web_address_is_said_so(server, tmp_path, url):
    assert failing(url, tmp_path / "f").code == "download-bad-address"


def test_without_a_network_the_way_by_hand_is_named(server, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error = failing(f"http://127.0.0.1:{closed.getsockname()[1]}/f", tmp_path / "f")
    assert error.code == "download-offline"
    assert str(tmp_path / "f") in str(error)
    assert "HTTPS_PROXY" in str(error)


def test_a_certificate_that_nobody_knows_is_not_taken_for_a_missing_network(server, tmp_path, monkeypatch):
    def refuse(self, request):
        raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse)
    assert failing("https://example.org/f", tmp_path / "f").code == "download-certificate"


def test_a_proxy_that_cannot_be_used_is_named(server, tmp_path, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    assert failing(server.url("/f"), tmp_path / "f").code == "proxy-unusable"


def test_a_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    served = server.serve("http://fruit.invalid/f", CONTENT)  # a proxy is asked for whole addresses
    monkeypatch.setenv("HTTP_PROXY", server.url(""))
    fetch("http://fruit.invalid/f", tmp_path / "f", sha256=SHA256)
    assert len(served.requests) == 1


def test_an_encoded_answer_is_decoded(server, tmp_path):
    server.serve("/f", gzip.compress(CONTENT), headers={"Content-Encoding": "gzip"})
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_full_disk_is_foreseen(server, tmp_path, monkeypatch):
    served = server.serve("/f", CONTENT)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert failing(server.url("/f"), tmp_path / "f").code == "disk-full"
    assert len(served.requests) == 1, "and is no reason to try again"


def test_a_disk_that_fills_up_keeps_what_arrived(server, tmp_path, monkeypatch):
    server.serve("/f", CONTENT)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert failing(server.url("/f"), tmp_path / "f").code == "disk-full"
    assert not (tmp_path / "f").exists()
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)


def test_two_processes_do_not_write_one_file(server, tmp_path):
    server.serve("/f", CONTENT)
    with transfer.download_lock(tmp_path / "f"):
        code = (
            "import sys; from fruitvision.data.fetch.transfer import fetch\n"
            "from fruitvision.errors import DataError\n"
            "try: fetch(*sys.argv[1:])\nexcept DataError as error: print(error.code)"
        )
        command = [sys.executable, "-c", code, server.url("/f"), str(tmp_path / "f")]
        out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert out.strip() == "download-busy"
    fetch(server.url("/f"), tmp_path / "f")


def test_a_killed_process_leaves_a_part_from_which_the_next_goes_on(server, tmp_path):
    served = server.serve("/f", CONTENT, pause=0.05)
    code = "import sys; from fruitvision.data.fetch.transfer import fetch; fetch(*sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, server.url("/f"), str(tmp_path / "f")])
    part, end = tmp_path / "f.part", time.monotonic() + 30
    while not (part.is_file() and part.stat().st_size > 60_000) and time.monotonic() < end:
        time.sleep(0.01)
    process.kill()
    process.wait()
    arrived = part.stat().st_size
    assert 60_000 < arrived < len(CONTENT)
    assert not (tmp_path / "f").exists()
    served.pause = 0
    fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
    assert served.requests[-1]["Range"] == f"bytes={arrived}-"
    assert left(tmp_path) == {"f"}


def test_the_key_goes_to_the_first_server_only(server, tmp_path):
    other = type(server)()
    try:
        elsewhere = other.serve("/f", CONTENT)
        served = server.serve("/f", statuses=[302], headers={"Location": other.url("/f")})
        fetch(server.url("/f"), tmp_path / "f", auth=httpx.BasicAuth("me", "key"))
        assert served.requests[0]["Authorization"].startswith("Basic ")
        assert "Authorization" not in elsewhere.requests[0]
    finally:
        other.close()


def test_a_note_of_another_make_is_no_obstacle(server, tmp_path):
    server.serve("/f", CONTENT)
    for note in ("{", "[]", json.dumps({"address": "x"})):
        (tmp_path / "f.part").write_bytes(b"xyz")
        (tmp_path / "f.part.json").write_text(note, encoding="utf-8")
        fetch(server.url("/f"), tmp_path / "f", sha256=SHA256)
        assert left(tmp_path) == {"f"}
        (tmp_path / "f").unlink()
