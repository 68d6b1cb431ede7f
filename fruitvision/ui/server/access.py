"""Who may do what: the owner everything, a visitor classify and look.

Ownership follows from how the app was started and from a token, never from the client's address: behind a tunnel or a
proxy everybody comes from 127.0.0.1. The owner's link, ``/?owner=TOKEN``, sets a cookie that no script can read and
leads on to the page without the token in its address. A visitor gets a number, signed by the app, so that what one
visitor asks for can be told from what others do.
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

COOKIE, NUMBER_COOKIE = "fruitvision-owner", "fruitvision-number"
TOKEN_VARIABLE = "FRUITVISION_OWNER_TOKEN"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOOPBACK_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


def counted_address(host: str) -> str:
    """By what an address is counted: of IPv6 the network of 64 bits, since one person has all the addresses in it."""
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
    """Who sends a request."""

    owner: bool
    address: str = ""
    """Of the connection, or as the proxy on this computer gives it."""
    number: str = ""
    """A visitor's own, where the browser keeps cookies."""

    @property
    def counted_as(self) -> str:
        """By whom a visitor's requests are counted: the visitor's number, or the address."""
        return self.number or f"at {self.address}"

    @property
    def behind_proxy(self) -> bool:
        """Whether the address is this computer's own, or none: many people may come from it, through a proxy or a tunnel."""
        return self.address in ("", *LOOPBACK)


CALLER: ContextVar[Caller] = ContextVar("caller")
"""Who sent the request that is being answered; not set in what the app does by itself."""


@dataclass(frozen=True)
class Access:
    """The rule of one app: without a token everybody on this machine is the owner."""

    token: str | None = None
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False, compare=False)

    @classmethod
    def of_launch(cls, *, host: str, share: bool, public: bool) -> Access:
        """The rule for how the app is started; the token may come from FRUITVISION_OWNER_TOKEN."""
        if not (share or public) and host in LOOPBACK:
            return cls()
        given = os.environ.get(TOKEN_VARIABLE)
        if given and not re.fullmatch(r"[\w.~-]{16,256}", given, re.ASCII):  # else it could be guessed, or fit in no cookie
            raise UsageError("weak-token", variable=TOKEN_VARIABLE)
        return cls(given or secrets.token_urlsafe(24))

    def is_owner(self, request: Any) -> bool:
        """Whether a request (Gradio's, or Starlette's) comes from the owner. None is nobody's."""
        if self.token is None:
            return True
        headers = getattr(request, "headers", None) or {}
        return self._matches(cookie_values(headers.get("cookie", "")))

    def require_owner(self, request: Any) -> None:
        """Raise AccessError "owner-only" for a visitor."""
        if not self.is_owner(request):
            raise AccessError("owner-only")

    def caller(self, scope: dict) -> Caller:
        """Who sends the request of an ASGI ``scope``."""
        return self._caller((scope.get("client") or ("",))[0], Headers(scope=scope).get("cookie", ""))

    def counted(self, request: Any) -> tuple[str | None, str | None]:
        """By whom, and by which address, a visitor's request (Gradio's, or Starlette's) is counted; none for the owner.

        This computer's own address is none: a proxy's or a tunnel's visitors all come from it.
        """
        headers = getattr(request, "headers", None) or {}
        caller = self._caller(getattr(getattr(request, "client", None), "host", ""), headers.get("cookie", ""))
        if caller.owner:
            return None, None
        return caller.counted_as, None if caller.behind_proxy else caller.address

    def _caller(self, address: str, cookies: str) -> Caller:
        if self.token is None:
            return Caller(True, address)
        if self._matches(cookie_values(cookies)):
            return Caller(True, address)
        address = counted_address(address)
        number, _, signature = cookie_value(cookies, NUMBER_COOKIE).partition(".")
        signed = hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(number).encode())
        return Caller(False, address, number if number and signed else "")

    def new_number(self) -> str:
        """A cookie that gives a visitor a number of their own."""
        number = secrets.token_hex(8)
        return f"{NUMBER_COOKIE}={number}.{self._signature(number)}; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400"

    def _signature(self, number: str) -> str:
        """By a key that all processes with one token share."""
        key = hashlib.sha256(b"visitors" + (self.token or "").encode()).digest() if self.token else self._secret
        return hmac.new(key, number.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]

    def _matches(self, given: Sequence[str]) -> bool:
        """One of several of that name is enough: a sister domain may have set another one before it."""
        if self.token is None:
            return False
        return any([hmac.compare_digest(one.encode("utf-8", "replace"), self.token.encode()) for one in given])


def cookie_value(header: str, name: str = COOKIE) -> str:
    """A cookie in a Cookie header, the first of that name; empty where it is missing."""
    return next(iter(cookie_values(header, name)), "")


def cookie_values(header: str, name: str = COOKIE) -> list[str]:
    """All cookies of that name in a Cookie header. Its time grows with the header's length alone."""
    pairs = (one.partition("=") for one in header.split(";"))
    return [value.strip().strip('"') for found, _, value in pairs if found.strip() == name]


def is_loopback(host: str) -> bool:
    """Whether a Host header names this computer, and nothing else."""
    return _LOOPBACK_HOST.fullmatch(host) is not None


class OwnerLink:
    """ASGI middleware that turns ``/?owner=TOKEN`` into the owner's cookie, and leads on to the page, with ``query``.

    The cookie does not come with that first request where a file or another site held the link: by it the owner is not known yet.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], access: Access, query: str = "") -> None:
        self.app, self.access, self.query = app, access, query

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answer an owner's link, and hand on everything else."""
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("owner") if scope["type"] == "http" else None
        if not given:
            await self.app(scope, receive, send)
            return
        page = scope.get("root_path", "").rstrip("/") + "/" + self.query
        headers = [(b"location", page.encode()), (b"referrer-policy", b"no-referrer")]
        if self.access._matches(given[:1]):
            secure = "; Secure" if scope.get("scheme") == "https" else ""
            cookie = f"{COOKIE}={given[0]}; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800{secure}"
            headers.append((b"set-cookie", cookie.encode()))
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
