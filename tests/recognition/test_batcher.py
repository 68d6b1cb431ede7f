"""Pictures of many threads share forward passes, and each gets its own answer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from fruitvision.errors import PictureError
from fruitvision.recognition.batcher import Batcher

RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)


def plain(colour) -> Image.Image:
    return Image.new("RGB", (90, 70), colour)


def batcher_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fruitvision-batcher"]


def test_threads_share_passes_and_each_gets_their_own_answer(colour_classifier):
    classifier = colour_classifier()
    forward = classifier.network.forward

    def slow(x):
        time.sleep(0.02)  # a real network takes a while, in which others come
        return forward(x)

    classifier.network.forward = slow
    batcher = Batcher(classifier, max_batch=8)
    asked = [RED, GREEN, BLUE] * 20
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda colour: batcher.submit(plain(colour)), asked))
    batcher.close()
    assert [a.fruit_type for a in answers] == ["Apple", "Kiwi", "Blueberry"] * 20
    assert sum(classifier.network.passes) == 60
    assert len(classifier.network.passes) < 30
    assert max(classifier.network.passes) <= 8


def test_a_single_picture_is_not_delayed(colour_classifier):
    batcher = Batcher(colour_classifier(), max_wait_s=60)
    begun = time.monotonic()
    assert batcher.submit(plain(RED)).fruit_type == "Apple"
    assert time.monotonic() - begun < 10
    batcher.close()


def test_a_picture_that_cannot_be_read_fails_alone(colour_classifier):
    batcher = Batcher(colour_classifier())

    def ask(image):
        try:
            return batcher.submit(image).fruit_type
        except PictureError as error:
            return error.code

    with ThreadPoolExecutor(9) as pool:
        said = list(pool.map(ask, [plain(RED), b"no picture", plain(GREEN)] * 3))
    batcher.close()
    assert said == ["Apple", "picture-not-an-image", "Kiwi"] * 3


def test_a_picture_that_breaks_the_pass_fails_alone(colour_classifier):
    classifier = colour_classifier()
    forward, gate = classifier.network.forward, threading.Event()

    def picky(x):
        gate.wait(10)
        if (x[:, 2].mean(dim=(1, 2)) > 2).any():  # blue
            raise RuntimeError("cannot stand blue")
        return forward(x)

    classifier.network.forward = picky
    batcher = Batcher(classifier)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(batcher.submit, plain(colour)) for colour in (RED, RED, BLUE, GREEN)]
        gate.set()
        assert [asked[i].result().fruit_type for i in (0, 1, 3)] == ["Apple", "Apple", "Kiwi"]
        with pytest.raises(RuntimeError, match="blue"):
            asked[2].result()
    batcher.close()


def test_its_thread_comes_with_the_first_picture_and_goes_with_close(colour_classifier):
    before = len(batcher_threads())
    batcher = Batcher(colour_classifier())
    assert len(batcher_threads()) == before
    batcher.submit(plain(RED))
    assert len(batcher_threads()) == before + 1
    batcher.close()
    assert len(batcher_threads()) == before


def test_one_that_was_closed_answers_and_leaves_no_thread_behind(colour_classifier):
    """Four models are kept: whoever still had hold of a fifth one started a thread that nobody ended."""
    before = len(batcher_threads())
    batcher = Batcher(colour_classifier())
    batcher.submit(plain(RED))
    batcher.close()
    assert batcher.submit(plain(RED)).fruit_type == "Apple" and len(batcher_threads()) == before
