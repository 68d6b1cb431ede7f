"""Start, stop and resume runs: one ``python -m fruitvision train`` process each, on its own from the first moment."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock

from fruitvision.errors import RunError
from fruitvision.files import write_error
from fruitvision.runs.folder import RunConfig, RunFolder, list_runs, new_run, not_responding
from fruitvision.runs.job import LOCK_NAME, busy, lock_holder
from fruitvision.training.distributed import check_distributed

LET_GO_SECONDS = 1.5


def start(root: str | Path, config: RunConfig) -> RunFolder:
    """Create a run under ``root`` and start its process, or its processes.

    Raises RunError "busy" while another one goes on, TrainingError "distributed-missing".
    """
    refuse_if_busy(root)
    if config.processes > 1:
        check_distributed()
    run = new_run(root, config)
    _spawn(run)
    return run


def resume(run: RunFolder) -> None:
    """Go on with a run that was stopped, interrupted or failed. Raises RunError."""
    run.refuse_if_active()
    if run.status().state == "finished":
        raise RunError("run-finished", f"The run {run.name} is finished.", "Start a new one.", run=run.name)
    refuse_if_busy(run.path.parent)
    _spawn(run)


def stop(run: RunFolder, *, wait: float = 0.0) -> None:
    """Ask a run to stop after its current step; with ``wait``, return when it has, or after so many seconds.

    One that is not responding is not waited for: see :meth:`RunFolder.end`.
    """
    if not run.status().active:
        return
    run.request_stop()
    end = time.monotonic() + wait
    while time.monotonic() < end and (status := run.status()).active and status.responding:
        time.sleep(0.1)


def running(root: str | Path) -> RunFolder | None:
    """The run at work under ``root``, or None."""
    return next((run for run in list_runs(root) if run.status().active), None)


def refuse_if_busy(root: str | Path) -> None:
    """Raise RunError "busy", naming it, where a run or a study goes on under ``root``; "run-not-responding" for such a run."""
    root = Path(root)
    going = running(root)
    if going is not None:
        raise busy(going.name) if going.status().responding else not_responding(going.name)
    if not root.is_dir():
        return
    try:
        # A killed process may let go of its lock a moment after it is seen to be dead.
        with filelock.FileLock(root / LOCK_NAME).acquire(timeout=LET_GO_SECONDS):
            return
    except filelock.Timeout:
        raise busy(lock_holder(root)) from None
    except OSError as error:
        raise write_error(error, root) from error


def _spawn(run: RunFolder) -> None:
    run.refuse_links()
    run.stop_file.unlink(missing_ok=True)  # what was asked of the process before; from here on it is meant for the new one
    status = run.status().model_copy(update={"state": "waiting", "pid": 0, "heartbeat": time.time(), "error": None})
    run.write_status(status)
    spawn_command(["train", "--run", str(run.path), "--resume"], run.path / "output.txt", processes=run.config().processes)


def together(processes: int) -> list[str]:
    """What stands between Python and the module's name. The two dashes keep torchrun from reading options that are ours."""
    if processes == 1:
        return ["-m"]
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "--"]


def spawn_command(arguments: list[str], log: Path, *, processes: int = 1) -> int:
    """Start ``python -m fruitvision ARGUMENTS`` detached from this process, its output in ``log``; return its pid.

    It outlives this process, and no Ctrl-C in this console reaches it. Several ``processes`` are started by torchrun.
    """
    options: dict = {"start_new_session": True}
    if os.name == "nt":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *together(processes), "fruitvision", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                **options,
            )
    except OSError as error:
        raise write_error(error, log) from error
    # Somebody has to take note of its end, or it stays in the system's table as a zombie.
    threading.Thread(target=process.wait, name=f"fruitvision-wait-{process.pid}", daemon=True).start()
    return process.pid
