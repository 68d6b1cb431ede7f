"""Whose picture it is that is being decoded."""

from __future__ import annotations

from typing import Any


def visitor_of(request: Any, *, owner: bool) -> str | None:
    """The address that a request came from; None for the owner's, whose pictures are no visitor's.

    Behind a proxy or a tunnel all visitors may have one address, and then share what one may have.
    """
    client = None if owner else getattr(request, "client", None)
    return getattr(client, "host", None)
