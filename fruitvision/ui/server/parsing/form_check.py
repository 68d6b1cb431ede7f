"""What a multipart form may hold: files, up to a number, named in UTF-8. Anything else would hold up the event loop, or fill the memory."""

from __future__ import annotations

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

MAX_PART_HEAD = 8 * 2**10
"""Maximum size of a part's headers in bytes."""
CHARSET = b"utf-8"


class FormCheck:
    """Limits the number of parts of a multipart form, and refuses parts that are no files, chunk by chunk.

    The page sends files alone, which go to the disk as they come. A field would be kept in memory, and decoded at its end in one
    piece by the codec that the form names: that takes quadratic time for some of Python's.

    Args:
        scope: the request's.
        max_parts: how many parts it may have.
    """

    def __init__(self, scope: dict, max_parts: int) -> None:
        kind = Headers(scope=scope).get("content-type", "")
        _, options = parse_options_header(kind)  # as Gradio's parser reads it
        self._boundary = b"--" + options.get(b"boundary", b"")
        self._valid = len(self._boundary) > 2 and _is_utf8(kind, options)
        self._max_parts, self._parts, self._rest = max_parts, 0, b""
        self._head: bytes | None = None
        """The headers of the current part; None before the first part, and once they are complete."""

    def check(self, chunk: bytes) -> str:
        """An error message if the form up to the end of ``chunk`` is not allowed; otherwise empty."""
        if not self._valid:
            return "That is no form."
        *ended, rest = (self._rest + chunk).split(self._boundary)
        self._parts += len(ended)
        if self._parts > self._max_parts + 1:
            return f"There are more files in one request than may be: {self._max_parts}."
        known = max(len(rest) - len(self._boundary) + 1, 0)  # what follows may be the beginning of a boundary
        self._rest = rest[known:]
        for content in ended:
            if not self._may_be_file(content, ended=True):
                return "There is a part that is no file."
            self._head = b""
        return "" if self._may_be_file(rest[:known], ended=False) else "There is a part that is no file."

    def _may_be_file(self, content: bytes, *, ended: bool) -> bool:
        """Whether the current part, continued by ``content``, is a file, as far as its headers are known."""
        if self._head is None:
            return True
        self._head += content[: MAX_PART_HEAD + 1]
        head, blank_line, _ = self._head.partition(b"\r\n\r\n")
        if not blank_line and not head.startswith(b"--"):
            return not ended and len(head) <= MAX_PART_HEAD
        self._head = None
        return head.startswith(b"--") or _names_file(head)  # "--" follows the last boundary


def _is_utf8(kind: str, options: dict[bytes, bytes]) -> bool:
    """Whether a Content-Type names no charset, or UTF-8 once."""
    named = kind.lower().count("charset")
    return named == 0 or (named == 1 and options.get(b"charset", b"").lower() == CHARSET)


def _names_file(head: bytes) -> bool:
    """Whether the headers of a part give it a file name."""
    headers = [line.partition(b":") for line in head.split(b"\r\n")]
    dispositions = [value for name, _, value in headers if name.lower() == b"content-disposition"]
    return len(dispositions) == 1 and b"filename" in parse_options_header(dispositions[0].strip(b" \t"))[1]
