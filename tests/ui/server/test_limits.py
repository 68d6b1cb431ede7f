"""How much one visitor may hold, and that the owner always finds a place."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from fruitvision.ui.server import limits
from fruitvision.ui.server.access import COOKIE, Access, Caller
from fruitvision.ui.server.limits import Busy, RequestLimiter

TOKEN = "a-token-of-the-tests"
OWNER, ANN, BOB = Caller(True), Caller(False, "127.0.0.1", "ann"), Caller(False, "127.0.0.1", "bob")


def test_a_number_is_the_apps_own_and_none_is_invented():
    access = Access(TOKEN)
    given = access.new_visitor_cookie().partition(";")[0]
    for cookie, known in ((given, True), (given + "0", False), ("fruitvision-number=1.2", False), ("fruitvision-number=ä.ö", False)):
        scope = {"headers": [(b"cookie", cookie.encode())], "client": ("203.0.113.5", 5)}
        caller = access.caller(scope)
        assert bool(caller.visitor_id) is known and not caller.owner and caller.address == "203.0.113.5"
    assert Access(TOKEN).caller({"headers": [(b"cookie", given.encode())]}).visitor_id, "processes with one token know each other's"
    assert access.caller({"headers": [(b"cookie", f"{COOKIE}={TOKEN}".encode())]}).owner


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(limits, "SLOT_TIMEOUT", 0.1)


def test_a_call_waits_a_moment_while_all_places_are_taken(monkeypatch):
    """Of 200 people who asked at once, 21 were refused."""
    monkeypatch.setattr(limits, "SLOT_TIMEOUT", 5.0)

    async def call(limiter: RequestLimiter, number: int) -> None:
        async with limiter.slot(Caller(False, "127.0.0.1", f"number {number}")):
            await asyncio.sleep(0.01)

    async def many() -> None:
        limiter = RequestLimiter(per_visitor=2, total=10)
        await asyncio.gather(*[call(limiter, number) for number in range(200)])

    asyncio.run(many())


def test_one_visitor_is_answered_so_often_at_once_and_the_owner_always():
    async def many() -> None:
        limiter, held = RequestLimiter(total=14), []

        async def enter(caller: Caller) -> None:
            held.append(slot := limiter.slot(caller))
            await slot.__aenter__()

        for _ in range(limits.MAX_REQUESTS):
            await enter(ANN)
        with pytest.raises(Busy):
            await enter(ANN)
        for _ in range(6):
            await enter(BOB)
        with pytest.raises(Busy):
            await enter(BOB)
        for _ in range(20):
            await enter(OWNER)
        held.clear()

    asyncio.run(many())


def test_one_address_holds_a_part_whatever_numbers_its_visitors_have():
    async def many(address: str) -> int:
        limiter, held = RequestLimiter(per_visitor=4, total=100), []
        with contextlib.suppress(Busy):
            for number in range(200):
                held.append(slot := limiter.slot(Caller(False, address, f"number {number}")))
                await slot.__aenter__()
        async with limiter.slot(OWNER):
            return len(held) - 1

    assert asyncio.run(many("203.0.113.5")) == 50 and asyncio.run(many("127.0.0.1")) == 100


def test_what_one_visitor_sends_is_bounded_while_it_is_in_memory():
    async def send() -> None:
        limiter = RequestLimiter()
        async with limiter.buffer(BOB) as other, limiter.buffer(ANN) as buffer:
            buffer.add(limits.MAX_BUFFERED_BYTES)
            other.add(1)
            with pytest.raises(Busy):
                buffer.add(1)
        async with limiter.buffer(ANN) as buffer:
            buffer.add(limits.MAX_BUFFERED_BYTES)
        async with limiter.buffer(OWNER) as buffer:
            buffer.add(10 * limits.MAX_BUFFERED_BYTES)

    asyncio.run(send())


def test_the_bodies_of_one_address_are_a_part_of_all_whatever_numbers_it_has():
    """Fourteen bodies whose last byte was withheld had every other visitor refused."""

    async def held_by(address: str, *, without_number: bool) -> int:
        room, held = RequestLimiter(), 0
        async with contextlib.AsyncExitStack() as stack:
            with contextlib.suppress(Busy):
                for number in range(40):
                    caller = Caller(False, address, "" if without_number else f"number {number}")
                    (await stack.enter_async_context(room.buffer(caller))).add(10 * 2**20)
                    held += 10 * 2**20
            (await stack.enter_async_context(room.buffer(Caller(False, "203.0.113.9", "bob")))).add(10 * 2**20)
        assert not room._bytes and not room._address_bytes
        return held

    for without_number in (True, False):
        assert asyncio.run(held_by("203.0.113.5", without_number=without_number)) <= limits.MAX_ALL_BUFFERED_BYTES / 2
