"""How much one visitor may hold, and that the owner always finds a place."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.data_classes import PredictBodyInternal

from fruitvision.ui.server import places
from fruitvision.ui.server.access import COOKIE, Access, Caller
from fruitvision.ui.server.places import Busy, FairQueue, Places

TOKEN = "a-token-of-the-tests"
OWNER, ANN, BOB = Caller(True), Caller(False, "127.0.0.1", "ann"), Caller(False, "127.0.0.1", "bob")


def test_a_number_is_the_apps_own_and_none_is_invented():
    access = Access(TOKEN)
    given = access.new_number().partition(";")[0]
    for cookie, known in ((given, True), (given + "0", False), ("fruitvision-number=1.2", False), ("fruitvision-number=ä.ö", False)):
        scope = {"headers": [(b"cookie", cookie.encode())], "client": ("203.0.113.5", 5)}
        caller = access.caller(scope)
        assert bool(caller.number) is known and not caller.owner and caller.address == "203.0.113.5"
    assert Access(TOKEN).caller({"headers": [(b"cookie", given.encode())]}).number, "processes with one token know each other's"
    assert access.caller({"headers": [(b"cookie", f"{COOKIE}={TOKEN}".encode())]}).owner


def test_one_visitor_is_answered_so_often_at_once_and_the_owner_always():
    async def many() -> None:
        room, held = Places(every=14), []

        async def enter(caller: Caller) -> None:
            held.append(place := room.answering(caller))
            await place.__aenter__()

        for _ in range(places.REQUESTS):
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
        room, held = Places(one=4, every=100), []
        with contextlib.suppress(Busy):
            for number in range(200):
                held.append(place := room.answering(Caller(False, address, f"number {number}")))
                await place.__aenter__()
        async with room.answering(OWNER):
            return len(held) - 1

    assert asyncio.run(many("203.0.113.5")) == 50 and asyncio.run(many("127.0.0.1")) == 100


def test_what_one_visitor_sends_is_bounded_while_it_is_in_memory():
    async def send() -> None:
        room = Places()
        async with room.answering(BOB) as other, room.answering(ANN) as place:
            place.hold(places.HELD_BYTES)
            other.hold(1)
            with pytest.raises(Busy):
                place.hold(1)
        async with room.answering(ANN) as place:
            place.hold(places.HELD_BYTES)
        async with room.answering(OWNER) as place:
            place.hold(10 * places.HELD_BYTES)

    asyncio.run(send())


@pytest.fixture
def queue() -> FairQueue:
    async def built() -> FairQueue:  # outside, Gradio opens an event loop for its locks, and leaves it open
        with gr.Blocks() as demo:
            gr.Button().click(lambda: None)
        demo.queue(default_concurrency_limit=1)
        return FairQueue.of(demo._queue, Access(TOKEN))

    return asyncio.run(built())


def join(queue: FairQueue, caller: str, size: int = 10) -> tuple[bool, str]:
    """Somebody's call, by a cookie of an owner, or of a visitor, or without one."""
    cookie = (
        {"owner": f"{COOKIE}={TOKEN}", "": ""}.get(caller)
        if caller in ("owner", "")
        else NUMBERS.setdefault(caller, Access(TOKEN).new_number().partition(";")[0])
    )
    scope = {"type": "http", "headers": [(b"cookie", cookie.encode())], "client": ("203.0.113.5", 5), "fruitvision.body": lambda: size}
    body = PredictBodyInternal(data=[], fn_index=0, session_hash=f"session-of-{caller}".replace(" ", "-"))
    succeeded, said, _ = asyncio.run(queue.push(body, SimpleNamespace(scope=scope), None))
    return succeeded, said


NUMBERS: dict[str, str] = {}


def order(queue: FairQueue) -> list[str]:
    (waiting,) = queue.event_queue_per_concurrency_id.values()
    return [event.session_hash.removeprefix("session-of-") for event in waiting.queue]


def test_visitors_take_turns_and_the_owner_is_first(queue):
    assert all(join(queue, caller)[0] for caller in ("ann", "ann", "ann", "bob", "cleo", "bob", "owner", "owner"))
    assert order(queue) == ["owner", "owner", "ann", "bob", "cleo", "ann", "bob", "ann"]


def test_a_visitor_who_fills_the_queue_shuts_out_nobody(queue, monkeypatch):
    monkeypatch.setattr(places, "ALL_WAITING", 200)
    assert all(join(queue, "ann")[0] for _ in range(places.WAITING)) and not join(queue, "ann")[0]
    while join(queue, "")[0]:  # without cookies, by the address
        pass
    assert order(queue).count("") == places.WAITING * places.WITHOUT_NUMBER
    assert join(queue, "bob")[0] and order(queue).index("bob") <= 2
    for number in range(80):
        join(queue, f"number {number}")
    assert not join(queue, "cleo")[0], "this address has its part"
    assert join(queue, "owner")[0] and order(queue)[0] == "owner"


def test_large_bodies_do_not_wait_in_memory(queue):
    assert join(queue, "ann", 12 * 2**20)[0] and not join(queue, "ann", 12 * 2**20)[0]
    accepted = sum(join(queue, f"number {number}", 12 * 2**20)[0] for number in range(40))
    assert 12 * 2**20 * (accepted + 1) <= places.ALL_WAITING_BYTES
    assert join(queue, "dora", 1000)[0] and join(queue, "owner", 12 * 2**20)[0]


def test_some_workers_are_the_owners_alone(queue):
    queue.active_jobs = [None] * (2 * places.QUEUE_WORKERS)
    assert join(queue, "ann")[0]
    (waiting,) = queue.event_queue_per_concurrency_id.values()
    queue.active_jobs[: places.QUEUE_WORKERS] = [[SimpleNamespace(caller=BOB)] for _ in range(places.QUEUE_WORKERS)]
    assert queue.get_events() is None and waiting.queue
    assert join(queue, "owner")[0]
    events, _, _ = queue.get_events()
    assert [event.session_hash for event in events] == ["session-of-owner"]


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", "x" * 12_000_000, None, 5])
def test_nothing_is_kept_under_names_that_no_page_has(queue, name):
    body = PredictBodyInternal.model_construct(data=[], fn_index=0, session_hash=name)
    scope = {"type": "http", "headers": [], "client": ("203.0.113.5", 5)}
    succeeded, _, state = asyncio.run(queue.push(body, SimpleNamespace(scope=scope), None))
    assert not succeeded and state == "error" and not queue.pending_messages_per_session


def test_direct_calls_and_calls_from_the_queue_leave_threads_to_the_owner():
    from fruitvision.ui.app import THREADS

    assert places.ALL_REQUESTS + places.QUEUE_WORKERS < THREADS
