"""The training job: read the run folder, train, record every event, and write the final checkpoint.

With ``torchrun`` each process executes the same job; only process 0 reads and writes the folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.load.resident import ResidentLoader
from fruitvision.data.load.workers import Workers, workers_ended
from fruitvision.data.read.layouts.found import Listing
from fruitvision.errors import FruitVisionError
from fruitvision.files import remove_leftovers
from fruitvision.models import OWN
from fruitvision.models.checkpoint import save_checkpoint
from fruitvision.models.networks import Network
from fruitvision.runs.config import RunConfig, train_command
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.checkpoints import checkpoint_config
from fruitvision.runs.job.environment import write_environment
from fruitvision.runs.job.finish import finish
from fruitvision.runs.job.memory import is_out_of_memory, out_of_memory
from fruitvision.runs.job.peers import REASON_NAME, peer_error, record_exit_reason
from fruitvision.runs.job.resume import data_changed, read_state, save_state, sources_before
from fruitvision.runs.job.session import ReadOnlyRun, Session, Stopped
from fruitvision.runs.job.trackers import open_trackers
from fruitvision.runs.lock import hold_lock
from fruitvision.runs.metrics import summary
from fruitvision.runs.prepare.data import RunData, prepare
from fruitvision.runs.prepare.loaders import loaders, worker_processes
from fruitvision.runs.prepare.references import open_average, open_regularizer, open_teacher
from fruitvision.runs.prepare.transforms import evaluation_transform
from fruitvision.runs.prepare.weights import build, keeps_statistics, load_initial_weights
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import choose_device, compile_error
from fruitvision.training.distributed import World, process_group
from fruitvision.training.engine import EpochDone, Event, StepDone, fit, image_size, steps_per_epoch
from fruitvision.training.state import TrainState
from fruitvision.wording.text import say

SAVE_SECONDS = 60.0
MAX_PROBLEMS = 20

Listener = Callable[[Event], None]


def execute(
    path: str | Path,
    *,
    listing: Listing | None = None,
    on_event: Listener | None = None,
    on_progress: Callable[[], None] | None = None,
    lock: bool = True,
) -> RunStatus:
    """Start or resume the run in ``path``, until it ends or a stop is requested; returns its final status.

    A finished run stays as it is.

    Args:
        listing: the listing of its data, if available.
        on_event: called with each event of training.
        on_progress: called whenever work was done, also before the first and after the last step.
        lock: whether to hold the lock of the runs folder; otherwise the caller must hold it.

    Raises:
        RunError: "busy" while another run goes on under the same runs folder, "run-has-link" for a run with links in it.
        FruitVisionError: the error that ended the run, after it was written into the run's status.
    """
    with ExitStack() as stack:
        world = stack.enter_context(process_group())
        folder = RunFolder(path) if world.is_global_zero else ReadOnlyRun(path)
        config = cast(RunConfig, world.broadcast(folder.config() if world.is_global_zero else None))
        if world.broadcast(folder.status().state == "finished" if world.is_global_zero else None):
            return folder.status()  # a second end would average, interpolate and calibrate the final network again
        if world.is_global_zero:
            folder.refuse_links()
        if lock and world.is_global_zero:
            try:
                stack.enter_context(hold_lock(folder.path, folder.name))
            except FruitVisionError as error:
                folder.mark_not_started(error)
                raise
        session = Session(folder, config, world, on_progress)
        try:
            return _run(session, listing, on_event, stack)
        except BaseException as caught:
            error = peer_error(folder, caught) if world.size > 1 else caught
            session.status_writer.fail(error)
            if not world.is_global_zero:
                record_exit_reason(session.folder, session.status)
            if error is caught:
                raise
            raise error from caught


def _run(session: Session, listing: Listing | None, on_event: Listener | None, stack: ExitStack) -> RunStatus:
    """Set up the folder and the heartbeat, then train."""
    folder = session.folder
    if session.world.is_global_zero:
        if not session.status_writer.was_waiting:  # then a stop request was meant for an earlier process
            folder.stop_file.unlink(missing_ok=True)
        (folder.path / REASON_NAME).unlink(missing_ok=True)
        remove_leftovers(folder.path)
    session.status_writer.write()
    stack.enter_context(session.heartbeat)
    try:
        data = prepare(session.config, session.reading, listing)
        log_data(session, data)
        state = initial_state(session, data)
        return _Training(session, data, state, evaluation_transform(session.training)).run(on_event, stack)
    except Stopped:
        return stop(session)


def log_data(session: Session, data: RunData) -> None:
    """Log the training data, what was left out, and unreadable files."""
    log = session.folder.log
    log(f"{data.dataset.name}: {len(data.train.labels)} training, {len(data.validation.labels)} validation pictures")
    if data.sources:
        counts: dict[str, tuple[int, int]] = {}
        for one in data.sources:
            train, validation = counts.get(one.source, (0, 0))
            counts[one.source] = train + len(one.train.rows), validation + len(one.validation.rows)
        listed = ", ".join(f"{name} {train} + {validation}" for name, (train, validation) in counts.items())
        log(f"{len(counts)} additional sources (training + validation pictures): {listed}")
        if session.config.leave_out:
            log(f"left out as asked: {', '.join(session.config.leave_out)}")
        if data.too_few:
            log(f"left out, too few photos to train on: {', '.join(data.too_few)}")
    for note in data.dataset.notes:
        if note.code != "no-validation":  # depends on the settings, too
            log(say(f"notes.{note.code}", "en", **note.facts))
    for problem in data.dataset.problems[:MAX_PROBLEMS]:
        log(f"{problem.kind}: {problem.path}")


def initial_state(session: Session, data: RunData) -> TrainState:
    """The saved training state, or a new one. Raises RunError if the data is not that of the saved state."""
    training, world, folder, status = session.training, session.world, session.folder, session.status
    if training.device == "cpu" or not torch.cuda.is_available():
        torch.set_flush_denormal(True)
    network = build(training, len(data.targets.classes))
    saved = world.broadcast(read_state(folder) if world.is_global_zero else None)
    if saved is None:
        if world.is_global_zero:
            status.start = load_initial_weights(network, training, data.targets, folder.log, session.reading)
    elif saved["fingerprint"] != data.fingerprint:
        raise data_changed(session.config.data, data)
    if world.is_global_zero and (saved is None or status.sources_before is None):  # new, or a run of an earlier version
        status.sources_before = tuple(sources_before(training, status.start, resumed=saved is not None))
    status.start, status.sources_before = world.broadcast((status.start, status.sources_before))
    torch.manual_seed(training.seed)
    device = world.local_device(choose_device(training.device))
    training = session.choose_precision(device, saved or {})
    frozen = keeps_statistics(training, status.start)
    state = TrainState(network, training, device, frozen, world, training.compile and can_compile(session, device))
    world.broadcast_weights(state.network)
    if saved is not None:
        state.load_state_dict(saved)
        folder.log(f"resumed after epoch {state.progress.epoch}, step {state.progress.step}")
    folder.forget_after(state.progress.epoch, state.progress.step)
    status.skipped = summary(folder.metrics_file).skipped
    if world.size > 1:
        folder.log(shared_work(world, training, device))
    return state


def can_compile(session: Session, device: torch.device) -> bool:
    """Whether torch.compile works on all processes; if not, the reason is logged."""
    fault = compile_error(device)
    if able := not session.world.any(fault is not None):
        session.folder.log("the network is compiled: the first step of each picture size takes much longer than the others")
    else:
        session.folder.log(f"torch.compile does not work here, training goes on without it ({fault or 'on another process'})")
    return able


def shared_work(world: World, training: TrainConfig, device: torch.device) -> str:
    """A line for the log on how the processes divide a batch, and on batch norm if its statistics cannot be synchronized."""
    words = f"{world.size} processes, {training.batch_size} pictures a step over all of them"
    if device.type == "cpu" and training.norm in ("batch", OWN):
        words += (
            "; on the CPU batch norm in each process sees its own part of the batch only, and process 0's running averages are"
            " kept: a norm like 'group' trains exactly as one process does"
        )
    return words


@dataclass
class _Training:
    """The training loop: consumes the events of ``fit``, records them, and saves."""

    session: Session
    data: RunData
    state: TrainState
    transform: EvalTransform
    last_saved: float = 0.0

    def run(self, on_event: Listener | None, stack: ExitStack) -> RunStatus:
        """Train from the current state to the end, or until a stop is requested."""
        session, data, state = self.session, self.data, self.state
        training, folder, status = session.training, session.folder, session.status
        if session.world.is_global_zero:
            write_environment(
                folder.path,
                fingerprint=data.fingerprint,
                command=train_command(session.config),
                device=str(state.device),
                processes=session.world.size,
            )
        workers = Workers(worker_processes(training, state.device))
        stack.callback(workers.close)
        train, validation = loaders(data, training, state.device, workers)
        if isinstance(train, ResidentLoader):
            folder.log(f"training pictures cached in the memory of {state.device}")
        elif workers.count:
            folder.log(f"{workers.count} data-loading workers")
        teacher = open_teacher(training, data.targets.classes, state.device)
        averaged_with = open_average(training, data.targets.classes)
        regularizer = open_regularizer(training, status.start, state.device)
        if not len(validation):
            folder.log(say("notes.no-validation", "en"))
        status.state, status.steps, status.unvalidated = "running", steps_per_epoch(training, train), not len(validation)
        session.status_writer.write()
        listeners = [on_event] if on_event else []
        if session.world.is_global_zero:
            first_step = state.progress.epoch * status.steps + state.progress.step + 1
            for tracker in open_trackers(training, folder.path, first_step):
                stack.callback(tracker.close)
                listeners.append(tracker)
        self.last_saved = time.monotonic()
        try:
            session.stop_if_asked()
            for event in fit(state, train, validation, teacher, regularizer):
                self.record(event)
                for listener in listeners:
                    listener(event)
                session.notify()
                session.stop_if_asked()
            self.save_checkpoint(folder.last, metrics={})
            return finish(session, data, state, self.transform, train, validation, workers, averaged_with)
        except Stopped:
            self.save_state()
            raise
        except Exception as error:
            if ended := workers_ended(error):
                raise ended from error
            if not is_out_of_memory(error):
                raise
        # Outside the handler, so that the memory referenced by the error's frames is free.
        raise out_of_memory(state)

    def record(self, event: Event) -> None:
        """Record an event; save after an epoch, and after a minute."""
        folder, status = self.session.folder, self.session.status
        if isinstance(event, StepDone):
            folder.append({"kind": "step", **asdict(event)})
            status.epoch, status.step = event.epoch, event.step
            status.eta_s = self.time_left(event)
            if time.monotonic() - self.last_saved > SAVE_SECONDS:
                self.save_state()
        if isinstance(event, EpochDone):
            self.record_epoch(event)
            self.session.status_writer.write()
        else:
            self.session.status_writer.write_if_due()

    def record_epoch(self, event: EpochDone) -> None:
        """Save the best checkpoint if the epoch improved, record the epoch, then save the state."""
        folder, status = self.session.folder, self.session.status
        record = asdict(event)
        if record.pop("improved"):
            measured = {"images": len(self.data.validation.labels), "top1": event.val_accuracy, "loss": event.val_loss}
            self.save_checkpoint(folder.best, metrics={} if math.isnan(event.val_accuracy) else {"validation": measured})
        if self.state.progress.best_accuracy >= 0:
            status.best_val_accuracy = self.state.progress.best_accuracy  # only once its checkpoint is saved
        folder.append({"kind": "epoch", **record})  # before the state is saved: a resume removes the records that it repeats
        self.save_state()
        status.skipped = (status.skipped or 0) + event.skipped
        folder.log(
            f"epoch {event.epoch}/{self.session.training.epochs}: train loss {event.train_loss:.4f}, "
            f"accuracy {event.train_accuracy:.4f}; "
            + ("" if math.isnan(event.val_accuracy) else f"validation loss {event.val_loss:.4f}, accuracy {event.val_accuracy:.4f}; ")
            + f"{event.images_per_s:.0f} images/s"
            + (f"; {event.skipped} steps skipped because they were not finite" if event.skipped else "")
        )

    def time_left(self, event: StepDone) -> float | None:
        """The remaining seconds, estimated from this epoch; growing pictures make later epochs slower."""
        progress, training = self.state.progress, self.session.training
        if event.step < 2:
            return self.session.status.eta_s
        per_step = progress.seconds / progress.step
        side = image_size(training, progress.epoch)
        later = sum((image_size(training, epoch) / side) ** 2 for epoch in range(progress.epoch + 1, training.epochs))
        return per_step * (event.steps - event.step + later * event.steps) * 1.05

    def save_state(self) -> None:
        """Save everything that an exact resume needs."""
        self.last_saved = time.monotonic()
        if self.session.world.is_global_zero:
            save_state(self.session.folder, self.state, self.data.fingerprint)

    def save_checkpoint(self, path: Path, *, metrics: dict[str, Any]) -> None:
        """Save the network as it would be evaluated now."""
        if self.session.world.is_global_zero:
            status, learned = self.session.status, self.session.status.sources_before or ()
            config = checkpoint_config(self.session.config, self.data, self.transform, status.start, metrics, learned)
            save_checkpoint(path, cast(Network, self.state.eval_network()), config)


def stop(session: Session) -> RunStatus:
    """End a run after a requested stop; its state is already saved."""
    status = session.status
    if session.world.is_global_zero:
        session.folder.stop_file.unlink(missing_ok=True)
    status.state, status.eta_s = "stopped", None
    session.folder.log(f"stopped on request in epoch {status.epoch}, after step {status.step}")
    session.status_writer.write()
    return status
