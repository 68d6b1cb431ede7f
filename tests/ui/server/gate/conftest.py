"""One request to the gate, made by hand."""

from __future__ import annotations

import asyncio

from fruitvision.ui.server.access import Access
from fruitvision.ui.server.gate import Gate

OWN = [(b"host", b"127.0.0.1:7860")]


async def reached(scope, receive, send) -> None:
    """An app that reads the whole body and says so."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"reached"})


def talk(
    access: Access,
    headers=OWN,
    *,
    body=(b"",),
    pause: float = 0.0,
    path: str = "/config",
    hosts=(),
    root: str = "",
    method: str = "POST",
    app=reached,
    **guards,
) -> list[dict]:
    """What such a request, its body in pieces, is answered."""
    pieces, sent = list(body), []

    async def receive() -> dict:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": list(headers), "query_string": b""}
    asyncio.run(Gate(app, access, set(hosts), root_path=root, **guards)(scope, receive, send))
    return sent


def ask(access: Access, headers=OWN, **more) -> int:
    """The status of the same."""
    return talk(access, headers, **more)[0]["status"]
