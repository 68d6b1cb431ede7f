"""Start, stop and resume runs: one detached ``python -m fruitvision train`` process each."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fruitvision.errors import RunError
from fruitvision.files import write_error
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder, list_runs, new_run
from fruitvision.runs.lock import refuse_if_locked
from fruitvision.runs.names import free_name

# A killed process may release its lock a moment after its death is noticed.
RELEASE_SECONDS = 1.5


def start(root: str | Path, config: RunConfig) -> RunFolder:
    """Create a run under ``root``, with a number appended to its name if that is taken, and start its process or processes.

    Raises RunError "busy" while another run is going on, TrainingError "distributed-missing".
    """
    refuse_if_busy(root)
    if config.processes > 1:
        from fruitvision.training.distributed import check_distributed

        check_distributed()
    run = new_run(root, config.model_copy(update={"name": free_name(root, config.name)}))
    _spawn(run)
    return run


def resume(run: RunFolder) -> None:
    """Resume a run that was stopped, interrupted or failed. Raises RunError."""
    run.refuse_if_active()
    if run.status().state == "finished":
        raise RunError("run-finished", run=run.name)
    refuse_if_busy(run.path.parent)
    _spawn(run, "--resume")


def stop(run: RunFolder, *, wait: float = 0.0) -> None:
    """Request a stop after the current step; with ``wait``, return when the run has stopped, or after that many seconds.

    A run that is not responding is not waited for, see :meth:`RunFolder.end`.
    """
    if not run.status().active:
        return
    run.request_stop()
    end = time.monotonic() + wait
    while time.monotonic() < end and (status := run.status()).active and status.responding:
        time.sleep(0.1)


def running(root: str | Path) -> RunFolder | None:
    """The active run under ``root``, or None."""
    return next((run for run in list_runs(root) if run.status().active), None)


def refuse_if_busy(root: str | Path) -> None:
    """Raise RunError "busy" while a run or a study is going on under ``root``, "run-not-responding" for a run that hangs."""
    active = running(root)
    if active is not None:
        if not active.status().responding:
            raise RunError("run-not-responding", run=active.name)
        raise RunError("busy", run=active.name)
    refuse_if_locked(Path(root), wait=RELEASE_SECONDS)


def _spawn(run: RunFolder, *options: str) -> None:
    """Start the run's process. A new run is begun by the same command without ``--resume``."""
    spawn_into(run, ["train", "--run", str(run.path), *options], processes=run.config().processes)


def spawn_into(folder: RunFolder, arguments: list[str], *, processes: int = 1) -> None:
    """Start ``python -m fruitvision ARGUMENTS``, which works on the run or study in ``folder``; its status is "waiting" until then.

    Raises RunError "run-has-link".
    """
    folder.refuse_links()
    folder.stop_file.unlink(missing_ok=True)  # remove a request to the previous process; a new one is for the new process
    folder.write_status(folder.status().model_copy(update={"state": "waiting", "pid": 0, "heartbeat": time.time(), "error": None}))
    spawn_command(arguments, folder.path / "output.txt", processes=processes)


def module_options(processes: int) -> list[str]:
    """The arguments between Python and the module's name; ``--`` keeps torchrun from parsing our options."""
    if processes == 1:
        return ["-m"]
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "--"]


def spawn_command(arguments: list[str], log: Path, *, processes: int = 1) -> int:
    """Start ``python -m fruitvision ARGUMENTS`` detached from this process, with its output in ``log``; returns its pid.

    It outlives this process and does not receive a Ctrl-C in this console. Several ``processes`` are started by torchrun.
    """
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    command = [sys.executable, *module_options(processes), "fruitvision", *arguments]
    try:
        with log.open("ab") as output:
            process = _start_detached(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment)
    except OSError as error:
        raise write_error(error, log) from error
    # Without wait() the ended process would remain as a zombie.
    threading.Thread(target=process.wait, name=f"fruitvision-wait-{process.pid}", daemon=True).start()
    return process.pid


# subprocess has these on Windows only.
CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, CREATE_BREAKAWAY_FROM_JOB = 0x200, 0x08000000, 0x01000000


def _start_detached(command: list[str], **options: Any) -> subprocess.Popen:
    """Start a process that outlives this one and its console.

    On Windows the Stop button of an IDE ends a whole job of processes; the new process leaves the job if that is allowed.
    """
    if sys.platform != "win32":
        return subprocess.Popen(command, start_new_session=True, **options)
    flags = CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW
    try:
        return subprocess.Popen(command, creationflags=flags | CREATE_BREAKAWAY_FROM_JOB, **options)
    except PermissionError:
        return subprocess.Popen(command, creationflags=flags, **options)
