"""Who may do what: the owner may do everything, a visitor may classify and look.

Ownership is decided by how the app was started and by a token, never by the client's address: behind a tunnel or a proxy,
all clients come from 127.0.0.1. The owner's link, ``/?owner=TOKEN``, sets an HttpOnly cookie and redirects to the page
without the token in its URL. A visitor gets an id, signed by the app, so that limits apply to each visitor separately.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from fruitvision.errors import AccessError, UsageError

COOKIE, VISITOR_COOKIE = "fruitvision-owner", "fruitvision-number"
TOKEN_VARIABLE = "FRUITVISION_OWNER_TOKEN"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOOPBACK_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


def quota_address(host: str) -> str:
    """The part of an address that quotas count: for IPv6 the /64 network, since one person has all the addresses in it."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4 or address.is_loopback:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


@dataclass(frozen=True)
class Caller:
    """The sender of a request."""

    owner: bool
    address: str = ""
    """Of the connection, or as forwarded by a proxy on this computer."""
    visitor_id: str = ""
    """The id in a visitor's cookie; empty if the client sends none."""

    @property
    def quota_key(self) -> str:
        """The key under which a visitor's requests are counted: the visitor's id, or the address."""
        return self.visitor_id or f"at {self.address}"

    @property
    def behind_proxy(self) -> bool:
        """Whether the address is this computer's own, or missing: many people may share it, behind a proxy or a tunnel."""
        return self.address in ("", *LOOPBACK)


CALLER: ContextVar[Caller] = ContextVar("caller")
"""The sender of the current request; not set outside of requests."""


@dataclass(frozen=True)
class Access:
    """The access rule of one app: without a token, everybody on this machine is the owner."""

    token: str | None = None
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False, compare=False)

    @classmethod
    def of_launch(cls, *, host: str, share: bool, public: bool) -> Access:
        """The rule that follows from the launch options; the token may be given by FRUITVISION_OWNER_TOKEN."""
        if not (share or public) and host in LOOPBACK:
            return cls()
        given = os.environ.get(TOKEN_VARIABLE)
        if given and not re.fullmatch(r"[\w.~-]{16,256}", given, re.ASCII):  # could be guessed, or does not fit into a cookie
            raise UsageError("weak-token", variable=TOKEN_VARIABLE)
        return cls(given or secrets.token_urlsafe(24))

    def is_owner(self, request: Any) -> bool:
        """Whether a request (Gradio's or Starlette's) comes from the owner; None does not, if there is a token."""
        if self.token is None:
            return True
        headers = getattr(request, "headers", None) or {}
        return self._has_token(cookie_values(headers.get("cookie", "")))

    def require_owner(self, request: Any) -> None:
        """Raise AccessError "owner-only" for a visitor."""
        if not self.is_owner(request):
            raise AccessError("owner-only")

    def caller(self, scope: dict) -> Caller:
        """The sender of the request of an ASGI ``scope``."""
        return self._caller((scope.get("client") or ("",))[0], Headers(scope=scope).get("cookie", ""))

    def quota_keys(self, request: Any) -> tuple[str | None, str | None]:
        """A visitor's quota key and address, for a request of Gradio's or Starlette's; (None, None) for the owner.

        The address is None if it is this computer's own, which all visitors behind a proxy or a tunnel share.
        """
        headers = getattr(request, "headers", None) or {}
        caller = self._caller(getattr(getattr(request, "client", None), "host", ""), headers.get("cookie", ""))
        if caller.owner:
            return None, None
        return caller.quota_key, None if caller.behind_proxy else caller.address

    def _caller(self, address: str, cookies: str) -> Caller:
        if self.token is None:
            return Caller(True, address)
        if self._has_token(cookie_values(cookies)):
            return Caller(True, address)
        address = quota_address(address)
        visitor_id, _, signature = cookie_value(cookies, VISITOR_COOKIE).partition(".")
        signed = hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(visitor_id).encode())
        return Caller(False, address, visitor_id if visitor_id and signed else "")

    def new_visitor_cookie(self) -> str:
        """A Set-Cookie header that gives a visitor a new id."""
        visitor_id = secrets.token_hex(8)
        return f"{VISITOR_COOKIE}={visitor_id}.{self._signature(visitor_id)}; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400"

    def _signature(self, visitor_id: str) -> str:
        """By a key that all processes with the same token share."""
        key = hashlib.sha256(b"visitors" + (self.token or "").encode()).digest() if self.token else self._secret
        return hmac.new(key, visitor_id.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]

    def _has_token(self, values: Sequence[str]) -> bool:
        """Whether any of the values is the token: another subdomain may have set a cookie of the same name."""
        if self.token is None:
            return False
        return any([hmac.compare_digest(value.encode("utf-8", "replace"), self.token.encode()) for value in values])


def cookie_value(header: str, name: str = COOKIE) -> str:
    """The first cookie of that name in a Cookie header; empty if there is none."""
    return next(iter(cookie_values(header, name)), "")


def cookie_values(header: str, name: str = COOKIE) -> list[str]:
    """All cookies of that name in a Cookie header, in linear time."""
    pairs = (one.partition("=") for one in header.split(";"))
    return [value.strip().strip('"') for found, _, value in pairs if found.strip() == name]


def is_loopback(host: str) -> bool:
    """Whether a Host header names this computer."""
    return _LOOPBACK_HOST.fullmatch(host) is not None


class OwnerLink:
    """ASGI middleware that turns ``/?owner=TOKEN`` into the owner's cookie, and redirects to the page with ``query``.

    A redirect that starts from a file or another site does not carry the SameSite=Strict cookie: the page's first request may
    therefore look like a visitor's.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], access: Access, query: str = "") -> None:
        self.app, self.access, self.query = app, access, query

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answer an owner's link, and pass on all other requests."""
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("owner") if scope["type"] == "http" else None
        if not given:
            await self.app(scope, receive, send)
            return
        page = scope.get("root_path", "").rstrip("/") + "/" + self.query
        headers = [(b"location", page.encode()), (b"referrer-policy", b"no-referrer")]
        if self.access._has_token(given[:1]):
            secure = "; Secure" if scope.get("scheme") == "https" else ""
            cookie = f"{COOKIE}={given[0]}; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800{secure}"
            headers.append((b"set-cookie", cookie.encode()))
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
