"""Where the app listens: a free port, and what is an address."""

from __future__ import annotations

import os
import re
import socket
from urllib.parse import urlsplit

from fruitvision.errors import UsageError

PORTS = range(7860, 7960)


def is_address(text: str) -> bool:
    """Whether it is a whole http or https address with a host."""
    try:
        found = urlsplit(text)
        return found.scheme in ("http", "https") and re.fullmatch(r"[\w.:\[\]-]+", found.netloc, re.ASCII) is not None
    except ValueError:
        return False


def free_port(host: str, wanted: int | None) -> int:
    """``wanted`` where it is free, or the first free one of ours. Raises UsageError "port-in-use"."""
    if wanted is not None and not 0 < wanted < 65536:
        raise UsageError("bad-port", port=wanted)
    for port in [wanted] if wanted else PORTS:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
                if os.name != "nt":  # there it would let two programs have the same port
                    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((host, port))
                return port
        except socket.gaierror as error:
            raise UsageError("bad-host", host=host) from error
        except OverflowError as error:
            raise UsageError("bad-port", port=port) from error
        except OSError:
            continue
    port = wanted or PORTS.start
    raise UsageError("port-in-use", port=port, host=host)
