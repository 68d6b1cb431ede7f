"""h11's parser with limits on the number of lines and chunks: h11 limits their size alone, and each takes microseconds.

What a connection has received is parsed in one piece on the event loop: 256 KB could be 43,000 chunks, or 65,000 headers.
"""

from __future__ import annotations

import re
from typing import Any

import h11

MAX_HEADER_LINES = 200
MAX_CHUNK_HEAD = 1024
"""Maximum size of a chunk's first line, and of the headers behind the last chunk, in bytes."""
FREE_CHUNKS, MIN_CHUNK_BYTES = 256, 256
"""So many chunks of a body may be of any size; with more, their average size must be at least so many bytes."""
READ_BYTES = 4096
"""How much is given to the parser at a time, so that it notices what exceeds a limit before it has parsed much more."""
_BLANK_LINE = re.compile(rb"\n\r?\n")


class RequestParser(h11.Connection):
    """The server's side of a connection. Raises h11.RemoteProtocolError for a request that exceeds a limit."""

    def __init__(self, max_incomplete_size: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_size)
        self._chunks = self._body_bytes = 0

    def next_event(self) -> Any:
        """As h11's."""
        if self.their_state is h11.IDLE and self._header_lines() > MAX_HEADER_LINES:
            raise h11.RemoteProtocolError("too many headers", error_status_hint=431)
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._body_bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_end
            self._body_bytes += len(event.data)
            if self._chunks > FREE_CHUNKS and self._body_bytes < self._chunks * MIN_CHUNK_BYTES:
                raise h11.RemoteProtocolError("too many small chunks")
        elif event is h11.NEED_DATA and self.their_state is h11.SEND_BODY and len(self.trailing_data[0]) > MAX_CHUNK_HEAD:
            raise h11.RemoteProtocolError("the lines of a chunk are too long")
        return event

    def _header_lines(self) -> int:
        """How many lines of the next request's headers have arrived."""
        received = self.trailing_data[0]
        end = _BLANK_LINE.search(received)
        return received.count(b"\n", 0, end.start() if end else len(received))
