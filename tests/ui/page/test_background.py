"""A task in the background ends with a result, an error that can be said, or, where it was stopped, neither."""

from __future__ import annotations

import threading

import pytest

from fruitvision.errors import DataError
from fruitvision.ui.page.background import Task
from fruitvision.wording.text import say_error


def ended(task: Task) -> Task:
    task.join(10)
    assert not task.busy
    return task


def test_progress_and_result_are_kept():
    task = ended(Task(lambda progress: progress(3, None) or "done", "test"))
    assert (task.result, task.error, task.done, task.total) == ("done", None, 3, 0)


def test_an_error_of_ours_is_kept_as_it_can_be_written():
    def work(progress):
        raise DataError("data-missing", folder="/x")

    assert ended(Task(work, "test")).error["code"] == "data-missing"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_any_other_exception_is_said_too(language):
    error = ended(Task(lambda progress: 1 / 0, "test")).error
    assert error["code"] == "internal" and "ZeroDivisionError" in say_error(error, language)


def test_a_stopped_task_has_neither_result_nor_error():
    asked = threading.Event()

    def work(progress):
        progress(1, 2)
        assert asked.wait(10)
        progress(2, 2)

    task = Task(work, "test")
    assert task.busy
    task.stop()
    asked.set()
    assert ended(task).result is task.error is None
