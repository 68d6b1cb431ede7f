"""Work that would keep a page waiting: done in a daemon thread, with its progress, and an error that the page can say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from fruitvision.errors import FruitVisionError, unexpected

Progress = Callable[[int, int | None], None]
"""Called with the steps that are done, and how many there are in all, where that is known."""
T = TypeVar("T")


class Stopped(Exception):
    """Raised by ``progress`` where the task was asked to stop."""


class Task(Generic[T]):
    """A call in a thread of its own. It begins at once.

    Args:
        work: gets a function to report its progress to.
        name: the thread's name.
    """

    def __init__(self, work: Callable[[Progress], T], name: str) -> None:
        self.done, self.total = 0, 0
        self.busy = True
        self.result: T | None = None
        self.error: dict[str, Any] | None = None
        """As ``FruitVisionError.as_dict`` gives it."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), name=f"fruitvision-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it at the next report of its progress; it then has neither a result nor an error."""
        self._stopping.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most ``timeout`` seconds."""
        self._thread.join(timeout)

    def _progress(self, done: int, total: int | None) -> None:
        self.done, self.total = done, total or 0
        if self._stopping.is_set():
            raise Stopped

    def _run(self, work: Callable[[Progress], T]) -> None:
        try:
            self.result = work(self._progress)
        except Stopped:
            pass
        except FruitVisionError as error:
            self.error = error.as_dict()
        except Exception as error:  # raised in a thread, it would reach nobody
            self.error = unexpected(error).as_dict()
        finally:
            self.busy = False
