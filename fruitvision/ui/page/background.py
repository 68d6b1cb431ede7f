"""Background tasks: a call in a daemon thread, with its progress, its result, or an error that the page can show."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from fruitvision.errors import FruitVisionError, unexpected

Progress = Callable[[int, int | None], None]
"""Called with the number of finished steps and their total, if that is known."""
T = TypeVar("T")


class Stopped(Exception):
    """Raised by the progress callback after :meth:`Task.stop`."""


class Task(Generic[T]):
    """A call in a thread of its own, started immediately.

    Args:
        work: gets a callback for its progress.
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
        """End it at its next progress report, without a result or an error."""
        self._stopping.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most ``timeout`` seconds."""
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
        except Exception as error:  # nobody would see an exception in a thread
            self.error = unexpected(error).as_dict()
        finally:
            self.busy = False
