"""After the last epoch: average, refit and calibrate the best network, test it once, and save it as ``best/``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

from torch import Tensor

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.load.loader import EvalLoader, MixedEvalLoader
from fruitvision.data.load.workers import Workers
from fruitvision.errors import TrainingError
from fruitvision.models.checkpoint import CheckpointConfig, Thresholds, load_checkpoint, save_checkpoint
from fruitvision.models.networks import Network
from fruitvision.recognition.calibration import calibrate, calibrated_loss, sure_metrics
from fruitvision.recognition.evaluate.left_out import calibrate_on_sources, read_study, summarize_sources
from fruitvision.runs.job.features import evaluation_features
from fruitvision.runs.job.session import Session
from fruitvision.runs.prepare.data import RunData, subsample_evenly
from fruitvision.runs.prepare.loaders import scene_validation
from fruitvision.runs.prepare.weights import NAMED_STARTS, build, load_initial_weights, reset_head
from fruitvision.runs.status import RunStatus
from fruitvision.training.engine import Training
from fruitvision.training.evaluation import Validation, predict_logits, summarize
from fruitvision.training.last_layer import MAX_PICTURES, extract_features, refit
from fruitvision.training.optim import average_weights, interpolate_trunk
from fruitvision.training.state import TrainState


def finish(
    session: Session,
    data: RunData,
    state: TrainState,
    transform: EvalTransform,
    train: Training,
    validation: Validation,
    workers: Workers,
    averaged_with: list[Network],
) -> RunStatus:
    """Write the final ``best/`` checkpoint and return the status "finished".

    In this order, each step where the configuration asks for it: the weights are averaged with those of other networks
    (``average_with``), the trunk is interpolated with the weights it started from (``start_share``), and a new last layer is fitted to
    all pictures (``fit_last``) or the trained one refitted (``refit``). Then the network is calibrated and evaluated once on the test
    split. Without validation pictures the last layer is not refitted, and unless there is a study of left-out sources, confidence is
    not calibrated.

    Raises Stopped; TrainingError "non-finite-validation" if there is no best checkpoint.
    """
    training = session.training
    if state.progress.best_epoch < 0:
        raise TrainingError("non-finite-validation", epochs=state.progress.epoch)
    network, checkpoint = _best_network(session, state)
    if isinstance(validation, MixedEvalLoader):
        validation = scene_validation(data, training, transform, workers)
    if averaged_with:
        average_weights(network, [other.to(state.device) for other in averaged_with], training.average_with)
    if training.start_share:
        _interpolate_with_start(session, network, data)
    if training.fit_last:
        _fit_last_layer(session, network, checkpoint.start, state, data, transform)
    metrics, outputs = {}, None
    if len(validation):
        views, labels = _measure(session, network, state, validation, views=True)
        if training.refit:
            views = _refit_last_layer(session, network, state, data, transform, train, validation, views, labels)
        outputs = views, labels
        metrics["validation"] = summarize(views.log_softmax(dim=2).logsumexp(dim=1), labels, validation.membership)
    else:
        calibrated = "" if session.config.study else ", and confidence is not calibrated: no answer is sure"
        session.folder.log(f"no validation pictures: the last layer is not refitted{calibrated}")
    checkpoint, answered_metrics = _with_calibration(session, checkpoint, outputs, data, validation)
    if answered_metrics:
        metrics["validation"] |= answered_metrics
    if data.test is not None:
        metrics["test"] = _test(session, network, state, EvalLoader(data.store, data.test, transform))
    if session.world.is_global_zero:
        save_checkpoint(session.folder.best, network, checkpoint.model_copy(update={"metrics": metrics}))
    session.status.state, session.status.eta_s = "finished", None
    session.status_writer.write()
    return session.status


def _with_calibration(
    session: Session, checkpoint: CheckpointConfig, outputs: tuple[Tensor, Tensor] | None, data: RunData, validation: Validation
) -> tuple[CheckpointConfig, dict[str, float]]:
    """The configuration with temperature and thresholds, and the metrics of :func:`sure_metrics` where validation pictures determine these.

    A study of left-out sources determines them first, then ``outputs``: the logits (N, V, C) and labels (N,) of the validation
    pictures. With neither the temperature is 1, and no answer is "sure".
    """
    if session.config.study:
        answers = read_study(Path(session.config.study))
        temperature, thresholds = calibrate_on_sources(answers)
        left_out = summarize_sources(answers, temperature, thresholds)
        return checkpoint.model_copy(update={"temperature": temperature, "thresholds": thresholds, "left_out": left_out}), {}
    if outputs is None:
        thresholds = Thresholds(unsure=1.0)  # pyright: ignore[reportCallIssue]  # the other field has a default
        return checkpoint.model_copy(update={"temperature": 1.0, "thresholds": thresholds}), {}
    temperature, thresholds = _calibrate(*outputs, data, validation)
    found = sure_metrics(*outputs, data.targets, temperature, thresholds)
    return checkpoint.model_copy(update={"temperature": temperature, "thresholds": thresholds}), found


def _test(session: Session, network: Network, state: TrainState, loader: EvalLoader) -> dict[str, float]:
    """Evaluate once on the test split, and record the result in the run folder."""
    found = summarize(*_measure(session, network, state, loader))
    session.folder.append({"kind": "test", **found})
    session.status.test_top1, session.status.test_images = found["top1"], int(found["images"])
    session.folder.log(f"test: top-1 {found['top1']:.4f}, top-3 {found['top3']:.4f}")
    return found


def _calibrate(views: Tensor, labels: Tensor, data: RunData, validation: Validation) -> tuple[float, Thresholds]:
    """Temperature and thresholds from the validation pictures' logits, (N, V, C) of V views each.

    Where these are like the training pictures, as a dataset's own are, and not photos in scenes, they tell too little of other
    pictures for an answer to be "sure" below the threshold of a network that was not calibrated.
    """
    if isinstance(validation, MixedEvalLoader):
        return calibrate(views, labels, data.targets, validation.unaugmented)
    temperature, fitted = calibrate(views, labels, data.targets)
    return temperature, fitted.model_copy(update={"unsure": max(fitted.unsure, Thresholds().unsure)})  # pyright: ignore[reportCallIssue]


def _best_network(session: Session, state: TrainState) -> tuple[Network, CheckpointConfig]:
    """The best checkpoint, read by process 0, on this process's device."""
    world = session.world
    network, checkpoint = load_checkpoint(session.folder.best) if world.is_global_zero else (copy.deepcopy(state.network), None)
    network = network.to(state.device, memory_format=state.memory_format)  # pyright: ignore[reportCallIssue]  # not in torch's stubs
    return cast(Network, world.broadcast_weights(network)), cast(CheckpointConfig, world.broadcast(checkpoint))


def _interpolate_with_start(session: Session, network: Network, data: RunData) -> None:
    """Interpolate the trunk with the weights that it started from. Raises TrainingError "start-unavailable"."""
    training, started = session.training, session.status.start
    start, asked = build(training, len(data.targets.classes)), training
    if training.start in NAMED_STARTS and started in NAMED_STARTS:  # the run may have used a fallback
        asked = training.model_copy(update={"start": started})
    if session.world.is_global_zero and load_initial_weights(start, asked, data.targets) != started and started:
        raise TrainingError("start-unavailable", start=started)
    session.world.broadcast_weights(start)
    interpolate_trunk(network, start.state_dict(), training.start_share)
    session.folder.log(f"trunk interpolated with the weights it started from, which count for {training.start_share:.0%}")


def _fit_last_layer(session: Session, network: Network, start: str, state: TrainState, data: RunData, transform: EvalTransform) -> None:
    """Fit the last layer to all training pictures under the evaluation transform: from zero, or from the trained one.

    It is regularized towards where it begins; if the trunk started from ImageNet, zero is ImageNet's own weights for these fruits.
    """
    if session.training.fit_last_start == "zero":
        reset_head(network, session.training, data.targets, start)
    seen = session.wait(evaluation_features(network, data, session.training, transform, state.device, session.world))
    session.wait(refit(network.head, seen, data.targets.membership, session.training.fit_last))
    session.world.broadcast_weights(network)
    session.folder.log(
        f"last layer fitted from {session.training.fit_last_start} on {len(seen.labels)} pictures under the evaluation transform"
    )


def _refit_last_layer(
    session: Session,
    network: Network,
    state: TrainState,
    data: RunData,
    transform: EvalTransform,
    train: Training,
    validation: Validation,
    views: Tensor,
    labels: Tensor,
) -> Tensor:
    """Fit the last layer to convergence and keep that fit if validation improves.

    ``views``: (N, V, C) validation logits before, whose labels (N,) are ``labels``. Returns the logits of the layer that is kept.
    """
    plain = EvalLoader(data.store, subsample_evenly(data.train, MAX_PICTURES // 2), transform.with_views("one"))
    kept = copy.deepcopy(network.head.state_dict())
    seen = session.wait(extract_features(network, train, plain, session.training, transform.crop, state.device, session.world))
    membership = validation.membership
    session.wait(refit(network.head, seen, membership, session.training.refit))
    session.world.broadcast_weights(network)
    fitted, _ = _measure(session, network, state, validation, views=True)
    before, after = (calibrated_loss(logits, labels, membership) for logits in (views, fitted))
    session.folder.log(
        f"last layer refitted on {len(seen.labels)} pictures: validation loss {before:.4f} → {after:.4f}"
        + ("" if after < before else "; the fit was discarded")
    )
    if after < before:
        return fitted
    network.head.load_state_dict(kept)
    return views


def _measure(session: Session, network: Network, state: TrainState, loader: Validation, *, views: bool = False) -> tuple[Tensor, Tensor]:
    """Logits (N, C), or (N, V, C) with ``views``, and labels (N,)."""
    return session.wait(predict_logits(network, loader, state.device, session.training, per_view=views, world=session.world))
