"""The port that the app listens on, and the validation of URLs."""

from __future__ import annotations

import os
import re
import socket
from urllib.parse import urlsplit

from fruitvision.errors import UsageError

PORTS = range(7860, 7960)


def is_url(text: str) -> bool:
    """Whether ``text`` is an absolute http or https URL with a host."""
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and re.fullmatch(r"[\w.:\[\]-]+", url.netloc, re.ASCII) is not None
    except ValueError:
        return False


def free_port(host: str, wanted: int | None) -> int:
    """``wanted`` if it is free; without it, the first free one of ``PORTS``. Raises UsageError "port-in-use", "bad-port", "bad-host"."""
    if wanted is not None and not 0 < wanted < 65536:
        raise UsageError("bad-port", port=wanted)
    for port in [wanted] if wanted else PORTS:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as candidate:
                if os.name != "nt":  # on Windows it would let two programs bind the same port
                    candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                candidate.bind((host, port))
                return port
        except socket.gaierror as error:
            raise UsageError("bad-host", host=host) from error
        except OverflowError as error:
            raise UsageError("bad-port", port=port) from error
        except OSError:
            continue
    port = wanted or PORTS.start
    raise UsageError("port-in-use", port=port, host=host)
