"""The memory that many threads freed is not kept in many places."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from fruitvision.compat import ARENAS
from fruitvision.ui import app as app_module

# A new process, as the app is one: what malloc_info() says of it once many threads had memory.
THREADS_THAT_ALLOCATE = """
import ctypes, sys, threading
import fruitvision.ui.app
from fruitvision.compat import share_arenas
if sys.argv[1] == "shared":
    assert share_arenas()
libc, met = ctypes.CDLL(None), threading.Barrier(40)
libc.malloc.restype, libc.fdopen.restype = ctypes.c_void_p, ctypes.c_void_p
def work():
    libc.malloc(1000)
    met.wait()
threads = [threading.Thread(target=work) for _ in range(40)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_threads_share_a_few_pools_of_memory():
    def arenas(how: str) -> int:
        command = [sys.executable, "-c", THREADS_THAT_ALLOCATE, how]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.count("<heap nr=")

    assert arenas("shared") == ARENAS < arenas("own")


def test_the_app_shares_them_from_the_start(monkeypatch, tmp_path):
    class Shared(Exception):
        pass

    def share_arenas():
        raise Shared

    monkeypatch.setattr(app_module, "share_arenas", share_arenas)
    monkeypatch.setattr(app_module, "build_app", lambda context: pytest.fail("the page was built before"))
    with pytest.raises(Shared):
        app_module.launch(runs=tmp_path, taught=tmp_path, data=tmp_path, open_browser=False, block=False)
