"""Who may decode when: so many pixels at once for all, so many for one visitor, first come, first served."""

from __future__ import annotations

import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.read import picture
from fruitvision.data.read.decode_gate import GATE, MAX_PIXELS_AT_ONCE, MAX_PIXELS_OF_ONE_VISITOR, DecodeGate, decoding_for
from fruitvision.data.read.picture import MAX_PIXELS, load_capped, load_pixels, open_picture


class Line:
    """Threads that each hold a place until they are told to go."""

    def __init__(self, gate: DecodeGate) -> None:
        self.gate, self.inside = gate, []
        self._threads: dict[str, tuple[threading.Thread, threading.Event]] = {}

    def come(self, name: str, pixels: int, visitor: str | None = None, address: str | None = None) -> None:
        """Ask for a place, and wait until it is had or waited for."""
        asked, leave = len(self.inside) + len(self.gate._waiting), threading.Event()

        def hold() -> None:
            with self.gate.acquire(pixels, visitor, address):
                self.inside.append(name)
                leave.wait(10)
                self.inside.remove(name)

        thread = threading.Thread(target=hold, daemon=True)
        self._threads[name] = thread, leave
        thread.start()
        self._settle(lambda: len(self.inside) + len(self.gate._waiting) == asked + 1)

    def go(self, name: str) -> None:
        thread, leave = self._threads.pop(name)
        leave.set()
        thread.join(10)
        self._settle(lambda: len(self.inside) + len(self.gate._waiting) == len(self._threads))

    def close(self) -> None:
        while self._threads:
            self.go(next((name for name in self._threads if name in self.inside), next(iter(self._threads))))

    @staticmethod
    def _settle(settled) -> None:
        until = time.monotonic() + 5
        while not settled() and time.monotonic() < until:
            time.sleep(0.001)
        assert settled()


@pytest.fixture
def line():
    line = Line(DecodeGate(100, 50))
    yield line
    line.close()


def test_the_bounds_are_those_of_a_largest_picture_and_of_two():
    assert (GATE.total, GATE.for_one) == (MAX_PIXELS_AT_ONCE, MAX_PIXELS_OF_ONE_VISITOR) == (2 * MAX_PIXELS, MAX_PIXELS)


def test_so_many_pixels_are_decoded_at_once_and_no_more(line):
    for name in "abc":
        line.come(name, 40)
    assert line.inside == ["a", "b"]
    line.go("a")
    assert line.inside == ["b", "c"]


def test_one_visitor_waits_for_himself_and_holds_up_nobody(line):
    line.come("first", 30, "he")
    line.come("second", 30, "he")
    line.come("small", 10, "he")
    with decoding_for("he"):
        assert not line.gate.has_room(1)
    line.come("hers", 30, "she")
    assert line.inside == ["first", "hers"], "nor does his small picture overtake his large one"
    line.go("first")
    assert sorted(line.inside) == ["hers", "second", "small"]


def test_a_large_picture_is_not_overtaken_by_small_ones(line):
    line.come("first", 60)
    line.come("large", 50)
    for name in "abc":
        line.come(name, 10)
    assert line.inside == ["first"]
    line.go("first")
    assert sorted(line.inside) == ["a", "b", "c", "large"]


@pytest.mark.parametrize("visitor", [None, "he"])
def test_what_is_larger_than_a_bound_waits_for_all_of_it_and_comes(line, visitor):
    line.come("small", 60)
    line.come("huge", 10**9, visitor)
    assert line.inside == ["small"]
    line.go("small")
    assert line.inside == ["huge"]


def test_a_place_is_given_back_whatever_happens():
    gate = DecodeGate(100, 50)
    for _ in range(5):
        with pytest.raises(ValueError), gate.acquire(100, "he"):
            raise ValueError
    assert gate.has_room(100) and not gate._used_by


def test_many_threads_with_pictures_of_any_size_all_come_through_and_never_too_many():
    gate, at_once, most, lock = DecodeGate(100, 50), 0, 0, threading.Lock()

    def work(seed: int) -> None:
        nonlocal at_once, most
        chance = np.random.default_rng(seed)
        for pixels in chance.integers(1, 60, 40).tolist():
            with gate.acquire(pixels, f"visitor {seed % 5}"):
                with lock:
                    at_once += pixels
                    most = max(most, at_once)
                time.sleep(0.0002)
                with lock:
                    at_once -= pixels

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert 50 < most <= 100 and at_once == 0 and gate.has_room(100)


class Counting(DecodeGate):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, str | None]] = []

    def _admit(self) -> None:
        self.asked += [(ticket.pixels, ticket.visitor) for ticket in self._waiting]
        super()._admit()


def encoded(size: tuple[int, int], kind: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (200, 30, 40)).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "whole", "capped"),
    [
        ("PNG", {}, 4_000_000, 4_000_000),
        ("WEBP", {}, 6_400_000, 6_400_000),
        ("JPEG", {}, 4_000_000, 62_500),  # an eighth of each side
        ("JPEG", {"progressive": True}, 4_000_000, 1_020_833),  # its coefficients are held at any scale
    ],
)
def test_a_picture_takes_a_place_for_as_many_pixels_as_are_held(kind, options, whole, capped, monkeypatch, tmp_path):
    (tmp_path / "picture").write_bytes(encoded((2000, 2000), kind, **options))
    for read, pixels in ((open_picture, whole), (load_capped, capped), (load_pixels, capped)):
        for source in (tmp_path / "picture", (tmp_path / "picture").read_bytes()):
            gate = Counting()
            monkeypatch.setattr(picture, "GATE", gate)
            with decoding_for("he"):
                read(source)
            assert gate.asked == [(pixels, "he")]
            assert gate.has_room(MAX_PIXELS_AT_ONCE)


def test_a_file_that_waits_is_read_again_and_refused_where_it_has_grown(monkeypatch, tmp_path):
    gate, path = DecodeGate(), tmp_path / "picture.png"
    monkeypatch.setattr(picture, "GATE", gate)
    path.write_bytes(encoded((300, 300), "PNG"))
    errors: list[str] = []

    def read() -> None:
        try:
            open_picture(path)
        except picture.PictureError as error:
            errors.append(error.code)

    with gate.acquire(MAX_PIXELS_AT_ONCE):
        thread = threading.Thread(target=read)
        thread.start()
        Line._settle(lambda: gate._waiting)
        path.write_bytes(encoded((3000, 3000), "PNG"))
    thread.join(10)
    assert errors == ["picture-damaged"] and gate.has_room(MAX_PIXELS_AT_ONCE)


def test_what_is_no_visitors_comes_first_and_visitors_take_turns():
    line = Line(DecodeGate(100, 100))
    try:
        line.come("first", 100, "ann")
        for name, visitor in (("ann 2", "ann"), ("ann 3", "ann"), ("bob", "bob"), ("owner", None), ("cleo", "cleo")):
            line.come(name, 100, visitor)
        order = []
        for _ in range(6):
            (inside,) = line.inside
            order.append(inside)
            line.go(inside)
        assert order == ["first", "owner", "ann 2", "bob", "cleo", "ann 3"]
    finally:
        line.close()


def test_many_visitors_of_one_address_leave_room_for_another(line):
    """Forty numbers of one address made somebody else's picture wait for more than a minute."""
    for number in range(6):
        line.come(f"m{number}", 25, f"mallory {number}", "203.0.113.5")
    assert line.inside == ["m0", "m1"], "half is the most that an address holds"
    line.come("ann", 50, "ann", "203.0.113.6")
    assert line.inside == ["m0", "m1", "ann"]
    line.come("bob", 50, "bob", "203.0.113.7")
    line.go("ann")
    assert line.inside == ["m0", "m1", "bob"], "before those of the address that waited longer"
