"""The optimizer's parts give torch's own numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fruitvision.models.networks import build_network
from fruitvision.training.config import TrainConfig
from fruitvision.training.evaluation import topk_correct
from fruitvision.training.optim import clip_gradients, learning_rate, make_optimizer

STEPS = 9


def config(**settings) -> TrainConfig:
    return TrainConfig.from_preset("plain", learning_rate=0.1, epochs=6, **settings)


def torch_schedule(settings: TrainConfig, optimizer):
    total = settings.epochs * STEPS
    if settings.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=total, pct_start=settings.warmup)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
@pytest.mark.parametrize("warmup", [0.1, 0.3])
def test_cosine_and_one_cycle_are_torchs_step_by_step(schedule, warmup):
    settings = config(schedule=schedule, warmup=warmup)
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=settings.learning_rate)
    theirs = torch_schedule(settings, optimizer)
    for step in range(settings.epochs * STEPS):
        assert learning_rate(settings, step, STEPS) == pytest.approx(theirs.get_last_lr()[0], rel=1e-6, abs=1e-12), step
        optimizer.step()
        theirs.step()


def test_step_lr_falls_every_so_many_epochs():
    settings = config(step_size=2, gamma=0.5)
    found = [learning_rate(settings, epoch * STEPS + 3, STEPS) for epoch in range(6)]
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    assert learning_rate(config(schedule="constant"), 50, STEPS) == 0.1


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_and_adamw_decay_what_they_are_told_to(name, kind):
    network = build_network(num_classes=3, width=8)
    everything = make_optimizer(network, config(optimizer=name, weight_decay=0.01))
    assert type(everything) is kind
    assert [g["weight_decay"] for g in everything.param_groups] == [0.01]
    matrices = make_optimizer(network, config(optimizer=name, weight_decay=0.01, decay="matrices"))
    decayed, free = matrices.param_groups
    assert all(p.ndim >= 2 for p in decayed["params"]) and all(p.ndim < 2 for p in free["params"])
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0)
    assert len(decayed["params"]) + len(free["params"]) == len(list(network.parameters()))


def test_clipping_reports_the_norm_before_and_bounds_it_after():
    layer = nn.Linear(3, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 0.0, 4.0]])
    assert clip_gradients(layer, 1.0) == pytest.approx(5)
    assert layer.weight.grad.norm().item() == pytest.approx(1, rel=1e-4)
    assert clip_gradients(layer, 0) == pytest.approx(1, rel=1e-4)
    layer.weight.grad = torch.tensor([[math.nan, 1.0, 2.0]])
    assert math.isnan(clip_gradients(layer, 1.0))
    assert layer.weight.grad[0, 1] == 1, "one NaN does not make the others NaN"


def test_answers_count_the_right_answer_among_the_first_k():
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    labels = torch.tensor([1, 2])
    assert [topk_correct(probabilities, labels, k=k).double().mean() for k in (1, 2, 3, 9)] == [0.5, 1, 1, 1]
