"""A run from its folder's configuration to its checkpoints: all that ``train`` is.

Where ``torchrun`` started several processes, each executes the same job; process 0 alone reads and writes the folder.
"""

from __future__ import annotations

import contextlib
import copy
import io
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import filelock
import psutil
import torch

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.fruits import fruit_type
from fruitvision.data.load.loader import EvalLoader, MixedEvalLoader
from fruitvision.data.load.resident import ResidentLoader
from fruitvision.data.load.targets import NOT_FRUIT
from fruitvision.data.load.workers import Workers, workers_ended
from fruitvision.data.read.sources import read_credits
from fruitvision.errors import FruitVisionError, RunError, TrainingError, quoted
from fruitvision.files import remove_leftovers, write_bytes, write_error, write_text
from fruitvision.models.checkpoint import CheckpointConfig, load_checkpoint, save_checkpoint, versions
from fruitvision.models.networks import OWN, Network, build_network
from fruitvision.recognition.calibration import calibrate, calibrated_loss, fit_temperature
from fruitvision.recognition.evaluate.left_out import calibrate_on_sources, read_study, summarize_sources
from fruitvision.runs.closing import see_as_evaluated
from fruitvision.runs.environment import write_environment
from fruitvision.runs.figures import summary
from fruitvision.runs.folder import RunConfig, RunFolder, RunStatus
from fruitvision.runs.memory import is_out_of_memory, out_of_memory
from fruitvision.runs.preparation import (
    Prepared,
    clear_head,
    evaluation_transform,
    evenly,
    first_weights,
    loaders,
    open_average,
    open_regularizer,
    open_teacher,
    prepare,
    unseen,
    worker_processes,
)
from fruitvision.runs.process import Pulse
from fruitvision.runs.tensorboard import Board
from fruitvision.training.averaging import average_weights, interpolate_trunk
from fruitvision.training.compilation import compile_error
from fruitvision.training.config import TrainConfig
from fruitvision.training.device import choose_device
from fruitvision.training.distributed import World, process_group
from fruitvision.training.engine import EpochDone, Event, StepDone, Training, ValidationStep, fit, steps_per_epoch
from fruitvision.training.evaluation import Validation, predict_logits, summarize
from fruitvision.training.last_layer import MAX_PICTURES, extract_features, refit
from fruitvision.training.state import TrainState

SAVE_SECONDS = 60.0
STATUS_SECONDS = 0.5
MOST_PROBLEMS = 20
LEFT_OUT = ("empty", "not-an-image", "damaged", "too-large", "unreadable")
REASON_NAME, REASON_SECONDS = "process-ended.txt", 3.0
LOCK_NAME, HOLDER_NAME = ".training.lock", ".training.name"

Listener = Callable[[Event], None]


def execute(
    path: str | Path, *, on_event: Listener | None = None, on_sign: Callable[[], None] | None = None, lock: bool = True
) -> RunStatus:
    """Run, or go on with, the run in ``path`` until it ends or is asked to stop; return how it ended.

    One run at a time goes on under one runs folder: a second one raises RunError "busy" (``lock=False`` leaves that to
    the caller), and one with links in it "run-has-link". Every other error is written into the run's status before it is
    raised. ``on_sign`` is called whenever something was done, also before the first step and after the last one.
    """
    with ExitStack() as stack:
        world = stack.enter_context(process_group())
        folder = RunFolder(path) if world.is_global_zero else Onlooker(path)
        config = world.broadcast(folder.config() if world.is_global_zero else None)
        if world.is_global_zero:
            folder.refuse_links()
        if lock and world.is_global_zero:
            try:
                stack.enter_context(hold_lock(folder.path, folder.name))
            except FruitVisionError as error:
                turned_away(folder, error)
                raise
        job = _Job(folder, config, on_event, on_sign, world, stack)
        try:
            return job.run()
        except BaseException as caught:
            error = another_ended(folder, caught) if world.size > 1 else caught
            job.fail(error)
            if error is caught:
                raise
            raise error from caught


def turned_away(folder: RunFolder, error: FruitVisionError) -> None:
    """Write into the status why a run was not begun; not where a process is at work on it, whose status it is."""
    status = folder.status()
    if status.state != "finished" and not (status.active and status.pid):
        with contextlib.suppress(FruitVisionError):  # the error itself is on its way to the person
            folder.write_status(status.model_copy(update={"state": "failed", "eta_s": None, "error": error.as_dict()}))
            folder.log(f"not begun: {error}")


def another_ended(folder: RunFolder, error: BaseException) -> BaseException:
    """What a broken connection means: another process of this run ended, for the reason that it left behind."""
    if isinstance(error, FruitVisionError) or not isinstance(error, RuntimeError) or "out of memory" in str(error).lower():
        return error
    end = time.monotonic() + REASON_SECONDS
    while not (folder.path / REASON_NAME).exists() and time.monotonic() < end:
        time.sleep(0.1)
    try:
        reason = (folder.path / REASON_NAME).read_text(encoding="utf-8")
    except OSError:
        reason = str(error)[:200]
    return TrainingError(
        "process-ended",
        f"Another process of this run ended: {reason}",
        "What was saved stands. Put that right and go on with --resume.",
        reason=reason,
    )


class Onlooker(RunFolder):
    """The run folder as every process but the first one has it: perhaps on another machine, and never written to."""

    def write_status(self, status: RunStatus) -> None:
        """Process 0 does."""

    def append(self, record: dict[str, Any]) -> None:
        """Process 0 does."""

    def log(self, line: str) -> None:
        """Process 0 does."""

    def forget_after(self, epoch: int, step: int) -> None:
        """Process 0 does."""


def hold_lock(path: Path, name: str) -> filelock.BaseFileLock:
    """The lock that whatever trains in ``path`` holds on the folder around it; the system frees it when the process dies.

    ``name`` is what another one is told that asks meanwhile. Raises RunError "busy", DataError where it cannot be made.
    """
    root = path.absolute().parent
    lock = filelock.FileLock(root / LOCK_NAME)
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = lock.acquire(timeout=0).lock
        write_text(root / HOLDER_NAME, name)
    except filelock.Timeout:
        raise busy(lock_holder(root)) from None
    except OSError as error:
        raise write_error(error, root) from error
    return held


def busy(name: str) -> RunError:
    """One training at a time."""
    return RunError("busy", f"Another run is going on here: {name}.", "Wait until it ends, or stop it first.", run=name)


def lock_holder(root: Path) -> str:
    """What is at work under ``root``, by the name that it gave."""
    try:
        return (root / HOLDER_NAME).read_text(encoding="utf-8")
    except OSError:
        return "?"


class _Stopped(Exception):
    """Asked to stop before the first step, or after the last epoch; going on reads or measures again."""


class _Job:
    """One execution: the run folder's only writer, or one of those that work with it."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        on_event: Listener | None,
        on_sign: Callable[[], None] | None,
        world: World,
        stack: ExitStack,
    ) -> None:
        self.folder, self.config, self.training, self.world = folder, config, config.training, world
        self.listeners, self.stack = [on_event] if on_event else [], stack
        process = psutil.Process()
        before = folder.status()
        self.status = RunStatus(
            state="preparing",
            epochs=self.training.epochs,
            pid=process.pid,
            process_started=process.create_time(),
            started=time.time(),
            seconds=before.seconds,
            best_val_accuracy=before.best_val_accuracy,
            epoch=before.epoch,
            start=before.start,
            skipped=before.skipped,
        )
        self.launched = before.state == "waiting"
        self.seconds_before = before.seconds
        self.pulse, self.on_sign = Pulse(self.beat), on_sign
        self.began = self.last_saved = self.last_status = time.monotonic()

    def run(self) -> RunStatus:
        if self.world.is_global_zero:
            if not self.launched:  # what is there was asked of a process that is gone; while this one was awaited, of this one
                self.folder.stop_file.unlink(missing_ok=True)
            (self.folder.path / REASON_NAME).unlink(missing_ok=True)
            remove_leftovers(self.folder.path)
        self.write_status()
        self.stack.enter_context(self.pulse)
        try:
            return self.train()
        except _Stopped:
            return self.stop(None)

    def train(self) -> RunStatus:
        if self.training.device == "cpu" or not torch.cuda.is_available():
            torch.set_flush_denormal(True)
        data = prepare(self.config, self.reading)
        self.folder.log(f"{data.dataset.name}: {len(data.train.labels)} training, {len(data.validation.labels)} validation pictures")
        for line in of_sources(data, self.config.leave_out):
            self.folder.log(line)
        for problem in data.dataset.problems[:MOST_PROBLEMS]:
            self.folder.log(f"{problem.kind}: {problem.path}")
        state = self.begin(data)
        transform = evaluation_transform(self.training)
        if self.world.is_global_zero:
            write_environment(
                self.folder.path,
                fingerprint=data.fingerprint,
                command=command(self.config),
                device=str(state.device),
                processes=self.world.size,
            )
        self.workers = Workers(worker_processes(self.training, state.device))
        self.stack.callback(self.workers.close)
        train, validation = loaders(data, self.training, state.device, self.workers)
        if isinstance(train, ResidentLoader):
            self.folder.log(f"the training pictures lie in the memory of {state.device}")
        elif self.workers.count:
            self.folder.log(f"{self.workers.count} processes make training pictures")
        teacher = open_teacher(self.training, data.targets.classes, state.device)
        self.others = open_average(self.training, data.targets.classes)
        regularizer = open_regularizer(self.training, self.status.start, state.device)
        self.status.state, self.status.steps = "running", steps_per_epoch(self.training, train)
        self.write_status()
        if self.training.tensorboard and self.world.is_global_zero:
            board = Board(self.folder.path, state.progress.epoch * self.status.steps + state.progress.step + 1)
            self.stack.callback(board.close)
            self.listeners.append(board)

        try:
            self.stop_if_asked()
            for event in fit(state, train, validation, teacher, regularizer):
                self.record(event, state, data, transform)
                for listener in self.listeners:
                    listener(event)
                self.sign()
                self.stop_if_asked()
            return self.finish(state, data, transform, train, validation)
        except _Stopped:
            return self.stop(state)
        except Exception as error:
            if ended := workers_ended(error):
                raise ended from error
            if not is_out_of_memory(error):
                raise
        # Outside the handler: what the error's frames held is free again.
        raise out_of_memory(state)

    def stop_if_asked(self) -> None:
        """Raise _Stopped where a stop was asked for; all processes ask at once."""
        if self.world.any(self.world.is_global_zero and self.folder.stop_file.exists()):
            raise _Stopped

    def sign(self) -> None:
        """Something was done."""
        self.pulse.sign()
        if self.on_sign:
            self.on_sign()

    def reading(self, done: int, total: int | None) -> None:
        """So much is read. Each process reads on its own: where there are several, a stop waits until all have."""
        self.sign()
        if self.world.size == 1:
            self.stop_if_asked()

    def begin(self, data: Prepared) -> TrainState:
        """A new state, or the saved one."""
        training = self.training
        network = build_network(
            training.architecture,
            num_classes=len(data.targets.classes),
            norm=training.norm,
            width=training.width,
            seed=training.seed,
        )
        saved = self.world.broadcast(read_state(self.folder) if self.world.is_global_zero else None)
        if saved is None:
            leads, log = self.world.is_global_zero, self.folder.log
            started = first_weights(network, training, data.targets, log, self.reading) if leads else ""
            self.status.start = self.world.broadcast(started)
        elif saved["fingerprint"] != data.fingerprint:
            raise data_changed(self.config.data, data)
        torch.manual_seed(training.seed)
        keeps = training.norm_statistics == "kept" and self.status.start == "imagenet"
        device = self.world.local_device(choose_device(training.device))
        state = TrainState(network, training, device, keeps, self.world, training.compile and self.can_compile(device))
        self.world.broadcast_weights(state.network)
        if saved is not None:
            state.load_state_dict(saved)
            self.folder.log(f"going on after epoch {state.progress.epoch}, step {state.progress.step}")
            self.folder.forget_after(state.progress.epoch, state.progress.step)
        else:
            self.folder.forget_after(0, 0)
        self.status.skipped = summary(self.folder.metrics_file).skipped
        if self.world.size > 1:
            self.folder.log(together(self.world, training, state.device))
        self.fingerprint = data.fingerprint
        return state

    def can_compile(self, device: torch.device) -> bool:
        """Whether all processes can; the log says why not."""
        fault = compile_error(device)
        able = not self.world.any(fault is not None)
        if able:
            self.folder.log("the network is compiled: the first step of each picture size takes much longer than the others")
        else:
            self.folder.log(f"torch.compile cannot be used here, training goes on without it ({fault or 'on another process'})")
        return able

    def record(self, event: Event, state: TrainState, data: Prepared, transform: EvalTransform) -> None:
        """Write down what happened, and save what it led to."""
        now = time.monotonic()
        match event:
            case StepDone():
                self.folder.append({"kind": "step", **asdict(event)})
                self.status.epoch, self.status.step = event.epoch, event.step
                self.status.eta_s = self.time_left(event, state)
                if now - self.last_saved > SAVE_SECONDS:
                    self.save_state(state)
            case ValidationStep():
                pass
            case EpochDone():
                record = asdict(event)
                if record.pop("improved"):
                    metrics = {"validation": {"images": len(data.validation.labels), "top1": event.val_accuracy, "loss": event.val_loss}}
                    self.save_checkpoint(self.folder.best, state, data, transform, metrics=metrics)
                if state.progress.best_epoch >= 0:
                    self.status.best_val_accuracy = state.progress.best_accuracy  # what is shown is saved
                self.save_state(state)
                self.folder.append({"kind": "epoch", **record})
                self.status.skipped += event.skipped
                self.folder.log(
                    f"epoch {event.epoch}/{self.training.epochs}: train loss {event.train_loss:.4f}, "
                    f"accuracy {event.train_accuracy:.4f}; validation loss {event.val_loss:.4f}, "
                    f"accuracy {event.val_accuracy:.4f}; {event.images_per_s:.0f} images/s"
                    + (f"; {event.skipped} steps skipped, whose numbers were not finite" if event.skipped else "")
                )
        if now - self.last_status > STATUS_SECONDS or isinstance(event, EpochDone):
            self.write_status()

    def time_left(self, event: StepDone, state: TrainState) -> float | None:
        """Seconds, from this epoch's pace; pictures that grow over the epochs make the later ones slower."""
        from fruitvision.training.engine import image_size

        progress, training = state.progress, self.training
        if event.step < 2:
            return self.status.eta_s
        per_step = progress.seconds / progress.step
        side = image_size(training, progress.epoch)
        later = sum((image_size(training, e) / side) ** 2 for e in range(progress.epoch + 1, training.epochs))
        return per_step * (event.steps - event.step + later * event.steps) * 1.05

    def stop(self, state: TrainState | None) -> RunStatus:
        """Keep everything and end. ``state`` is None before there is any."""
        if state is not None:
            self.save_state(state)
        if self.world.is_global_zero:
            self.folder.stop_file.unlink(missing_ok=True)
        self.status.state, self.status.eta_s = "stopped", None
        self.folder.log(f"stopped on request in epoch {self.status.epoch}, after step {self.status.step}")
        self.write_status()
        return self.status

    def finish(self, state: TrainState, data: Prepared, transform: EvalTransform, train: Training, validation: Validation) -> RunStatus:
        """Average the best weights with others', fit their last layer to the end, calibrate them, measure them on the test
        split once, and write both checkpoints; the first two where they were asked for.

        Raises TrainingError "non-finite-validation" where there is no best: then the last checkpoint and the saved state stand.
        """
        self.save_checkpoint(self.folder.last, state, data, transform, metrics={})
        if state.progress.best_epoch < 0:
            raise TrainingError(
                "non-finite-validation",
                f"The validation loss was not a finite number after any of {state.progress.epoch} epochs.",
                "The last network is kept in last/. Try a lower learning_rate, or a norm like 'group'.",
                epochs=state.progress.epoch,
            )
        network, checkpoint = load_checkpoint(self.folder.best) if self.world.is_global_zero else (copy.deepcopy(state.network), None)
        network, checkpoint = (
            self.world.broadcast_weights(network.to(state.device, memory_format=state.memory_format)),
            self.world.broadcast(checkpoint),
        )
        if isinstance(validation, MixedEvalLoader):
            validation = unseen(data, self.training, transform, self.workers)
        if self.others:
            average_weights(network, [other.to(state.device) for other in self.others], self.training.average_with)
        if self.training.start_share:
            self.blend(network, data)
        if self.training.fit_last:
            self.fit_last(network, checkpoint.start, state, data, transform)
        looks, labels = self.measure(network, state, validation, looks=True)
        if self.training.refit:
            looks = self.refit(network, state, data, transform, train, validation, (looks, labels))
        logits = looks.log_softmax(dim=2).logsumexp(dim=1)
        metrics = {"validation": summarize(logits, labels, validation.membership)}
        strangers = read_study(Path(self.config.study)) if self.config.study else None
        if strangers is not None:
            temperature, thresholds = calibrate_on_sources(strangers)
            checkpoint = checkpoint.model_copy(update={"left_out": summarize_sources(strangers, temperature, thresholds)})
        elif isinstance(validation, MixedEvalLoader):
            temperature, thresholds = calibrate(looks, labels, data.targets, validation.as_taken)
        else:
            temperature, thresholds = fit_temperature(looks, labels), checkpoint.thresholds
        if data.test is not None:
            metrics["test"] = summarize(*self.measure(network, state, EvalLoader(data.store, data.test, transform)))
            self.folder.append({"kind": "test", **metrics["test"]})
            self.status.test_top1, self.status.test_images = metrics["test"]["top1"], metrics["test"]["images"]
            self.folder.log(f"test: top-1 {metrics['test']['top1']:.4f}, top-3 {metrics['test']['top3']:.4f}")
        checkpoint = checkpoint.model_copy(update={"temperature": temperature, "thresholds": thresholds, "metrics": metrics})
        if self.world.is_global_zero:
            save_checkpoint(self.folder.best, network, checkpoint)
        self.status.state, self.status.eta_s = "finished", None
        self.write_status()
        return self.status

    def blend(self, network: Network, data: Prepared) -> None:
        """Lead the trunk back towards where it began."""
        training, classes = self.training, data.targets.classes
        start = build_network(training.architecture, num_classes=len(classes), norm=training.norm, width=training.width, seed=training.seed)
        first_weights(start, training, data.targets, lambda line: None)
        interpolate_trunk(network, start.state_dict(), training.start_share)
        self.folder.log(f"{training.start_share:.0%} of the trunk's weights are what they were at the start")

    def fit_last(self, network: Network, start: str, state: TrainState, data: Prepared, transform: EvalTransform) -> None:
        """Fit the last layer anew to all training pictures, as evaluation shows them; where the trunk began with ImageNet's
        weights, the layer is held to what ImageNet's own last layer knows."""
        clear_head(network, self.training, data.targets, start)
        seen = self.wait(see_as_evaluated(network, data, self.training, transform, state.device, self.world))
        self.wait(refit(network.head, seen, data.targets.membership, self.training.fit_last))
        self.world.broadcast_weights(network)
        self.folder.log(f"last layer fitted anew on {len(seen.labels)} pictures as evaluation shows them")

    def refit(
        self,
        network: Network,
        state: TrainState,
        data: Prepared,
        transform: EvalTransform,
        train: Training,
        validation: Validation,
        before: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """Fit the last layer to the end, keep it where it answers validation's pictures better than ``before``, (logits,
        labels), and return the logits of the one that was kept."""
        plain = EvalLoader(data.store, evenly(data.train, MAX_PICTURES // 2), transform.with_views("one"))
        kept, (looks, labels) = copy.deepcopy(network.head.state_dict()), before
        seen = self.wait(extract_features(network, train, plain, self.training, transform.crop, state.device, self.world))
        membership = validation.membership
        self.wait(refit(network.head, seen, membership, self.training.refit))
        self.world.broadcast_weights(network)
        fitted, _ = self.measure(network, state, validation, looks=True)
        losses = [calibrated_loss(logits, labels, membership) for logits in (looks, fitted)]
        better = losses[1] < losses[0]
        self.folder.log(
            f"last layer fitted on {len(seen.labels)} pictures: validation loss {losses[0]:.4f} → {losses[1]:.4f}"
            + ("" if better else "; left as it was")
        )
        if not better:
            network.head.load_state_dict(kept)
        return fitted if better else looks

    def measure(self, network: Network, state: TrainState, loader: Validation, *, looks: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        return self.wait(predict_logits(network, loader, state.device, self.training, per_view=looks, world=self.world))

    def wait(self, steps: Iterator[Any]) -> Any:
        """Take all steps, showing that the run is alive, and return what they come to. Raises _Stopped when asked to stop."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            self.sign()
            if time.monotonic() - self.last_status > STATUS_SECONDS:
                self.write_status()
            self.stop_if_asked()

    def save_state(self, state: TrainState) -> None:
        self.last_saved = time.monotonic()
        if not self.world.is_global_zero:
            return
        buffer = io.BytesIO()
        torch.save({**state.state_dict(), "fingerprint": self.fingerprint}, buffer)
        write_bytes(self.folder.resume_file, buffer.getvalue())

    def save_checkpoint(self, path: Path, state: TrainState, data: Prepared, transform: EvalTransform, *, metrics: dict[str, Any]) -> None:
        if not self.world.is_global_zero:
            return
        dataset = data.dataset
        save_checkpoint(
            path,
            state.eval_network(),
            CheckpointConfig(
                architecture=self.training.architecture,
                width=self.training.width,
                norm=self.training.norm,
                classes=data.targets.classes,
                fruit_types=data.targets.fruit_types,
                transform=transform,
                start=self.status.start,
                metrics=metrics,
                versions=versions(),
                training={**self.training.model_dump(), "command": command(self.config)},
                dataset={
                    "name": dataset.name,
                    "fingerprint": data.fingerprint,
                    "synthetic": dataset.synthetic,
                    "images": len(data.train.labels),
                    "photos": sum(len(one.train[0]) for one in data.photos),
                    "beside": [Path(folder).name for folder in (*self.config.photos, *self.config.not_fruit)],
                    "sources": sorted({one.source for one in (*data.photos, *data.not_fruit)}),
                    "photographed": photographed(data),
                    "credits": credited(data, self.config),
                },
            ),
        )

    def write_status(self) -> None:
        self.status.heartbeat = time.time()
        self.status.seconds = self.seconds_before + time.monotonic() - self.began  # the clock may be set meanwhile
        self.folder.write_status(self.status)
        self.last_status = time.monotonic()

    def beat(self) -> None:
        """Show that the process lives, where nothing else was written for a while."""
        if time.monotonic() - self.last_status > Pulse.PULSE_SECONDS / 2:
            self.write_status()

    def fail(self, error: BaseException) -> None:
        """Write down why the run ended; what was saved before stands."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self.status.state = "interrupted"
        elif isinstance(error, FruitVisionError):
            self.status.state, self.status.error = "failed", error.as_dict()
        else:
            fact = f"{type(error).__name__}: {error}"[:300]
            self.status.state = "failed"
            self.status.error = {"code": "internal", "message": f"An unexpected error: {fact}", "facts": {"error": fact}}
        self.status.eta_s = None
        # A full disk may take one of these and not the other; the error itself is on its way to the person.
        for write in (self.write_status, self.leave_reason):
            with contextlib.suppress(OSError, FruitVisionError):
                write()

    def leave_reason(self) -> None:
        """Why it ended: into the log, and for the other processes."""
        if not self.world.is_global_zero and self.folder.exists and self.status.error:
            (self.folder.path / REASON_NAME).write_text(self.status.error["message"], encoding="utf-8")
        self.folder.log(f"ended: {self.status.error['message'] if self.status.error else self.status.state}")


def photographed(data: Prepared) -> dict[str, int]:
    """How many photos each fruit type has among those that trained; what is not here is known from the data alone."""
    counts: dict[str, int] = {}
    for one in data.photos:
        for name in one.train[1]:
            if (kind := fruit_type(name)) != NOT_FRUIT:
                counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def credited(data: Prepared, config: RunConfig) -> list[dict[str, str]]:
    """Whom to credit for the sources that were learned, where their folders tell."""
    learned = {one.source for one in (*data.photos, *data.not_fruit)}
    rows = [row for folder in (*config.photos, *config.not_fruit) for row in read_credits(Path(folder))]
    unique = {(row["source"], row["repository"]): row for row in rows if row["source"] in learned}
    return [unique[key] for key in sorted(unique)]


def of_sources(data: Prepared, leave_out: tuple[str, ...]) -> list[str]:
    """What is learned of which source, for the log."""
    if not data.photos and not data.not_fruit:
        return []
    counts: dict[str, list[int]] = {}
    for one in (*data.photos, *data.not_fruit):
        own = counts.setdefault(one.source, [0, 0])
        own[0] += len(one.train[0])
        own[1] += len(one.validation[0])
    lines = [f"{len(counts)} sources beside the data: " + ", ".join(f"{name} {train} + {val}" for name, (train, val) in counts.items())]
    lines += [f"left out as asked: {', '.join(leave_out)}"] if leave_out else []
    lines += [f"left out, too few photos to learn them: {', '.join(data.too_few)}"] if data.too_few else []
    return lines


def data_changed(path: str, data: Prepared) -> RunError:
    """Other pictures than the run began with; the first one is named that cannot be read, where there is one."""
    found = next((problem for problem in data.dataset.problems if problem.kind in LEFT_OUT), None)
    if found is None:
        return RunError(
            "data-changed",
            f"The pictures in {path} are not those that this run began with.",
            "Put them back, or start a new run.",
            path=path,
        )
    return RunError(
        "data-damaged",
        f"The pictures in {path} are not those that this run began with: {found.path} cannot be read any more.",
        "Put it back as it was, or start a new run.",
        path=path,
        file=found.path,
    )


def together(world: World, training: TrainConfig, device: torch.device) -> str:
    """What several processes share, for the log; and what batch norm does where they cannot share its statistics."""
    words = f"{world.size} processes, {training.batch_size} pictures a step over all of them"
    if device.type == "cpu" and training.norm in ("batch", OWN):
        words += (
            "; on the CPU each process's batch norm sees its own part of the batch only, and process 0's running averages are"
            " kept: a norm like 'group' learns exactly as one process does"
        )
    return words


def read_state(folder: RunFolder) -> dict[str, Any] | None:
    """The saved training state, or None before the first save. Raises RunError where it cannot be read."""
    if not folder.resume_file.exists():
        return None
    try:
        with zipfile.ZipFile(folder.resume_file) as parts:  # torch.load compares no checksum
            if damaged := parts.testzip():
                raise ValueError(f"{damaged} is not as it was written")
        return torch.load(folder.resume_file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(
            "resume-damaged",
            f"{folder.resume_file} cannot be read; the run cannot go on from it.",
            "Its best checkpoint still stands. Start a new run from that: --set start=RUN/best.",
            path=str(folder.resume_file),
        ) from error


def command(config: RunConfig) -> str:
    """The command line that does the same again."""
    preset = TrainConfig.from_preset(config.training.preset)
    words = ["--data", Path(config.data).name]
    for option, folders in (("--photos", config.photos), ("--not-fruit", config.not_fruit)):
        words += [word for folder in folders for word in (option, Path(folder).name)]
    words += [word for name in config.leave_out for word in ("--leave-out", name)]
    words += ["--study", Path(config.study).name] if config.study else []
    words += ["--preset", config.training.preset]
    changed = preset.differences(config.training)
    words += [word for name, (_, value) in changed.items() for word in ("--set", f"{name}={value}")]
    return f"python -m fruitvision train --run RUN {quoted(words)}"
