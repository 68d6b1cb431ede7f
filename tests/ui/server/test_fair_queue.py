"""Visitors take turns in the queue, the owner always finds a place, and no visitor ends it for the others."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.routes import App

from fruitvision.ui.gradio_internals import EstimationMessage, PredictBodyInternal, ProcessCompletedMessage, Queue
from fruitvision.ui.server import fair_queue
from fruitvision.ui.server.access import COOKIE, Access, Caller
from fruitvision.ui.server.fair_queue import CallInfo, FairQueue, call_info
from fruitvision.ui.server.limits import MAX_ALL_REQUESTS, USERS_PER_ADDRESS

TOKEN = "a-token-of-the-tests"
BOB = Caller(False, "127.0.0.1", "bob")


@pytest.fixture
def queue() -> FairQueue:
    async def built() -> FairQueue:  # outside, Gradio opens an event loop for its locks, and leaves it open
        with gr.Blocks() as demo:
            gr.Button().click(lambda: None)
        demo.queue(default_concurrency_limit=1)
        return FairQueue.of(demo._queue, Access(TOKEN))

    return asyncio.run(built())


def join(queue: FairQueue, caller: str, size: int = 10, session: str = "") -> tuple[bool, str]:
    """Somebody's call, by a cookie of an owner, or of a visitor, or without one."""
    cookie = (
        {"owner": f"{COOKIE}={TOKEN}", "": ""}.get(caller)
        if caller in ("owner", "")
        else NUMBERS.setdefault(caller, Access(TOKEN).new_visitor_cookie().partition(";")[0])
    )
    scope = {"type": "http", "headers": [(b"cookie", cookie.encode())], "client": ("203.0.113.5", 5), "fruitvision.body": lambda: size}
    body = PredictBodyInternal(data=[], fn_index=0, session_hash=session or f"session-of-{caller}".replace(" ", "-"))
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
    monkeypatch.setattr(fair_queue, "ALL_WAITING", 200)
    assert all(join(queue, "ann")[0] for _ in range(fair_queue.WAITING)) and not join(queue, "ann")[0]
    while join(queue, "")[0]:  # without cookies, by the address
        pass
    assert order(queue).count("") == fair_queue.WAITING * USERS_PER_ADDRESS
    assert join(queue, "bob")[0] and order(queue).index("bob") <= 2
    for number in range(80):
        join(queue, f"number {number}")
    assert not join(queue, "cleo")[0], "this address has its part"
    assert join(queue, "owner")[0] and order(queue)[0] == "owner"


def test_large_bodies_do_not_wait_in_memory(queue):
    assert join(queue, "ann", 12 * 2**20)[0] and not join(queue, "ann", 12 * 2**20)[0]
    accepted = sum(join(queue, f"number {number}", 12 * 2**20)[0] for number in range(40))
    assert 12 * 2**20 * (accepted + 1) <= fair_queue.ALL_WAITING_BYTES
    assert join(queue, "dora", 1000)[0] and join(queue, "owner", 12 * 2**20)[0]


def test_some_workers_are_the_owners_alone(queue):
    queue.active_jobs = [None] * (2 * fair_queue.QUEUE_WORKERS)
    assert join(queue, "ann")[0]
    (waiting,) = queue.event_queue_per_concurrency_id.values()
    queue.active_jobs[: fair_queue.QUEUE_WORKERS] = [
        [SimpleNamespace(fruitvision_call=CallInfo(BOB))] for _ in range(fair_queue.QUEUE_WORKERS)
    ]
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

    assert MAX_ALL_REQUESTS + fair_queue.QUEUE_WORKERS < THREADS


def event_of(queue: FairQueue, said: str):
    return queue.event_ids_to_events[said]


def answer(queue: FairQueue, said: str) -> None:
    """The call is over, and its answer waits to be fetched."""
    event = queue.event_ids_to_events.pop(said)
    (waiting,) = queue.event_queue_per_concurrency_id.values()
    waiting.queue.remove(event)
    queue.send_message(event, ProcessCompletedMessage(output={}, success=True))


def test_a_flood_of_new_pages_forgets_none_that_waits(queue, monkeypatch):
    """Gradio keeps 2,000 sessions and forgets the oldest; the next message to one that waited ended the queue for everybody."""
    waits = join(queue, "bob")[1]
    monkeypatch.setattr(fair_queue, "ALL_SESSIONS", 100)
    for number in range(300):
        succeeded, said = join(queue, "mallory", session=f"page-{number}")
        assert succeeded
        answer(queue, said)
    assert len(queue.pending_messages_per_session) <= fair_queue.SESSIONS + 1
    assert len(queue.pending_event_ids_session) <= fair_queue.SESSIONS + 1
    for number in range(300):
        succeeded, said = join(queue, f"number {number}")
        assert succeeded
        answer(queue, said)
    assert len(queue.pending_messages_per_session) <= 100
    queue.broadcast_estimations(event_of(queue, waits).concurrency_id)
    assert queue.pending_messages_per_session["session-of-bob"].qsize() > 0


def test_a_page_that_fetches_nothing_fills_no_memory(queue, monkeypatch):
    event = event_of(queue, join(queue, "ann")[1])
    for _ in range(1000):
        queue.send_message(event, EstimationMessage(queue_size=1))
    assert queue.pending_messages_per_session["session-of-ann"].qsize() <= fair_queue.PAGE_UNREAD
    for _ in range(1000):
        queue.send_message(event, ProcessCompletedMessage(output={}, success=True))
    assert "session-of-ann" not in queue.pending_messages_per_session
    for number in range(1000):
        _, said = join(queue, "ann", session=f"page-{number}")
        answer(queue, said)
    unread = [messages.qsize() for messages in queue.pending_messages_per_session.values()]
    assert sum(unread) <= fair_queue.UNREAD
    monkeypatch.setattr(fair_queue, "ALL_UNREAD", 100)
    for number in range(200):
        answer(queue, join(queue, f"number {number}")[1])
    assert sum(messages.qsize() for messages in queue.pending_messages_per_session.values()) <= 100


def test_answers_are_not_tabulated_for_nobody(queue):
    """Gradio makes a table of its last 10,000 calls after each, in threads that rendering needs too."""
    assert queue.compute_analytics_summary([{"function": "x"}] * 10_000) == {}


def test_an_error_in_the_queue_ends_it_for_nobody(queue, monkeypatch):
    rounds = []

    async def start_processing(self) -> None:
        rounds.append(self.stopped)
        self.stopped = True
        if len(rounds) == 1:
            raise KeyError("a session")

    monkeypatch.setattr(Queue, "start_processing", start_processing)
    asyncio.run(queue.start_processing())
    assert rounds == [False, False]


def test_a_call_that_is_cancelled_while_it_is_tidied_up_gives_its_place_back(queue, monkeypatch):
    async def process_events(self, *_: object) -> None:
        await asyncio.sleep(60)  # as in Gradio's ``finally``, before it forgets the call

    monkeypatch.setattr(Queue, "process_events", process_events)
    event = event_of(queue, join(queue, "ann")[1])

    async def cancelled() -> None:
        task = asyncio.create_task(queue.process_events([event], False, 0.0, event.fn))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert not queue.event_ids_to_events


def test_one_address_fills_a_part_of_the_memory_for_waiting_calls(queue):
    while any(join(queue, f"number {number}", 2**21)[0] for number in range(len(NUMBERS), len(NUMBERS) + 3)):
        pass
    held = sum(call_info(event).size for event in queue.event_ids_to_events.values())
    assert held <= fair_queue.ALL_WAITING_BYTES * 0.5


@pytest.mark.parametrize("forgotten", [False, True])
def test_streams_of_one_page_that_end_together_leave_no_task(forgotten):
    """The second one's failed while it was tidied up, and woke every 15 seconds from then on."""

    async def both() -> list[str]:
        with gr.Blocks() as demo:
            gr.Button().click(lambda: None)
        demo.queue()
        queue = FairQueue.of(demo._queue, Access(TOKEN))
        app, demo.is_running = App.create_app(demo), True
        queue.pending_messages_per_session["page"] = asyncio.Queue()

        async def receive() -> dict:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            pass

        path = "/gradio_api/queue/data"
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": [(b"host", b"localhost")], "scheme": "http"}
        scope |= {"query_string": b"session_hash=page", "client": ("203.0.113.5", 5), "server": ("localhost", 80)}
        streams = [asyncio.create_task(app(dict(scope), receive, send)) for _ in range(2)]
        while len(heartbeats()) < 2:
            await asyncio.sleep(0.01)
        if forgotten:
            queue._drop("page")
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        await asyncio.sleep(0.05)
        return heartbeats()

    def heartbeats() -> list[str]:
        names = (getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())
        return [name for name in names if name.endswith("heartbeat")]

    assert asyncio.run(asyncio.wait_for(both(), 20)) == []
