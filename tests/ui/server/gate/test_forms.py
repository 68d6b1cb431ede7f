"""What an upload's form may hold: files alone, named in UTF-8."""

from __future__ import annotations

import asyncio

import pytest
from gradio.route_utils import GradioMultiPartParser
from starlette.datastructures import Headers

from fruitvision.ui.server.access import Access
from fruitvision.ui.server.parsing.form_check import MAX_PART_HEAD, FormCheck
from tests.ui.server.gate.conftest import OWN, ask

KIND = "multipart/form-data; boundary=limit"
FILE = b'Content-Disposition: form-data; name="files"; filename="x.jpg"'
FIELD = b'Content-Disposition: form-data; name="files"'


def form(*parts: bytes) -> bytes:
    """A form of parts, given as their headers."""
    return b"".join(b"--limit\r\n" + head + b"\r\n\r\nsome content\r\n" for head in parts) + b"--limit--\r\n"


def upload(kind: str = KIND, body: bytes | None = None, size: int = 10_000) -> int:
    body = form(FILE) if body is None else body
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return ask(Access(), [*OWN, (b"content-type", kind.encode())], body=pieces, path="/gradio_api/upload")


@pytest.mark.parametrize(
    "charset",
    [
        "charset=punycode",
        'CHARSET="Punycode"',
        "charset = idna",
        "charset=utf-7",
        "charset=utf_16",
        "charset=",
        "charset=utf-8; charset=punycode",
        "charset=punycode; charset=utf-8",
        "charset*=utf-8''punycode",
        "charset*0=puny; charset*1=code",
    ],
)
def test_no_codec_but_utf8_reads_a_form(charset):
    """Gradio decodes by whatever codec the form names, on the event loop: 13 MB by punycode stopped the app for hours."""
    assert upload(f"{KIND}; {charset}") == upload(f"multipart/form-data; {charset}; boundary=limit") == 400


@pytest.mark.parametrize("charset", ["charset=utf-8", 'Charset="UTF-8"', "CHARSET =utf-8"])
def test_utf8_may_be_named(charset):
    assert upload(f"{KIND}; {charset}") == upload(f"multipart/form-data; {charset}; boundary=limit") == 200


FIELDS = {
    "a field": form(FIELD),
    "a field behind a file": form(FILE, FIELD),
    "a field before a file": form(FIELD, FILE),
    "a name elsewhere": form(FIELD + b'\r\nX-A: form-data; filename="x.jpg"'),
    "a name that is none": form(FIELD[:-1] + b'; filename=x"'),
    "two dispositions": form(FILE + b"\r\n" + FIELD),
    "no headers": b"--limit\r\n\r\nsome content\r\n--limit--\r\n",
    "a boundary in the headers": form(FIELD + b"; x=--limit\r\n" + FILE + b"\r\n\r\n"),
    "padding behind the boundary": form(FIELD).replace(b"--limit\r\n", b"--limit \t\r\n"),
    "headers without end": b"--limit\r\nX-A: " + b"a" * (2 * MAX_PART_HEAD),
}


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("case", FIELDS)
def test_a_part_that_is_no_file_is_refused(case, size):
    """Gradio keeps a field in memory, 14 MB of it, where files go to the disk."""
    assert upload(body=FIELDS[case], size=size) == 400


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_files_are_let_through_whatever_they_hold(size):
    odd = b"--limit\r\n" + FILE.lower() + b"\r\nContent-Type: text/plain\r\n\r\na\r\n\r\nb\r\n--limi\r\n-\r\n--limit--"
    for body in (form(FILE), form(FILE, FILE), form(FILE).replace(b"some content", b""), odd, b"\r\n" + form(FILE), form(FILE) + b"--x"):
        assert upload(body=body, size=size) == 200, body


def test_what_the_check_lets_through_gradios_parser_takes_for_files(tmp_path):
    """And holds none of it in memory."""
    for name, body in {**FIELDS, "a file": form(FILE), "files": form(FILE, FILE)}.items():

        async def pieces(body: bytes = body):
            yield body

        parser = GradioMultiPartParser(Headers({"content-type": KIND}), pieces(), upload_dir=tmp_path, max_file_size=1000)
        scope = {"type": "http", "headers": [(b"content-type", KIND.encode())]}
        if not FormCheck(scope, 16).check(body):
            asyncio.run(parser.parse())
            assert name in ("a file", "files") and parser.items and not [one for _, one in parser.items if isinstance(one, str)], name
            for file in parser._files_to_close_on_error:
                file.close()
