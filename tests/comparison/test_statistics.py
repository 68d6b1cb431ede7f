"""Means, intervals and verdicts, against numbers worked out elsewhere."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from fruitvision.comparison.statistics import (
    all_differences,
    batch_size_effects,
    mean_interval,
    paired_differences,
    recomputation_effects,
    reversal,
    summary,
    t_quantile,
)


def results(**accuracies) -> pd.DataFrame:
    rows = []
    for norm, values in accuracies.items():
        for seed, value in enumerate(values):
            rows.append(
                {
                    "norm": norm,
                    "batch_size": 32,
                    "seed": seed,
                    "state": "finished" if value is not None else "failed",
                    "diverged": value is None,
                    "final_accuracy": value,
                    "best_accuracy": value,
                    "batch_accuracy": float("nan"),
                    "recomputed_accuracy": float("nan"),
                    "loss": 1.0,
                    "seconds_per_epoch": 2.0,
                    "images_per_s": 10.0,
                    "parameters": 100,
                    "grad_norm": 1.0,
                    "peak_memory_mb": 300.0,
                    "epochs_to_90": 2.0 if value and value >= 0.9 else float("nan"),
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("degrees", "quantile"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227)])
def test_students_t_as_printed_in_every_table(degrees, quantile):
    assert t_quantile(0.975, degrees) == pytest.approx(quantile, abs=1e-4)
    assert t_quantile(0.025, degrees) == pytest.approx(-quantile, abs=1e-4)


def test_mean_deviation_and_interval():
    mean, sd, low, high = mean_interval(pd.Series([1.0, 2.0, 3.0]).to_numpy())
    assert (mean, sd) == (2, 1) and (high - low) / 2 == pytest.approx(4.30265 / math.sqrt(3), abs=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([0.90, 0.91, 0.92], [0.80, 0.815, 0.82], "a-higher"),
        ([0.80, 0.815, 0.82], [0.90, 0.91, 0.92], "b-higher"),
        ([0.90, 0.80, 0.85], [0.85, 0.86, 0.84], "no-difference-shown"),
        ([0.9, 0.9], [0.1, 0.1], "too-few-seeds"),
        ([0.9], [0.1], "one-seed"),
        ([0.9, 0.91, 0.92, None], [0.1, 0.2, 0.15, 0.1], "runs-diverged"),
    ],
)
def test_a_difference_is_called_one_only_where_three_seeds_show_it(a, b, verdict):
    row = paired_differences(results(a=a, b=b), "a", "b").iloc[0]
    assert row["verdict"] == verdict


def test_a_diverged_run_is_in_no_mean_but_is_counted():
    row = summary(results(batch=[0.5, None, 0.7])).iloc[0]
    assert (row["seeds"], row["diverged"]) == (2, 1) and row["mean"] == pytest.approx(0.6)


def test_every_pair_is_compared():
    assert len(all_differences(results(a=[0.5], b=[0.5], c=[0.5]))) == 3
    assert all_differences(results(a=[0.5])).empty


def test_epochs_to_90_are_averaged_over_those_that_came_so_far_and_these_are_counted():
    row = summary(results(batch=[0.5, 0.95, 0.92])).iloc[0]
    assert (row["epochs_to_90"], row["reached_90"], row["seeds"]) == (2, 2, 3)


def test_what_a_small_batch_costs_each_norm_is_told_seed_by_seed():
    small = results(batch=[0.70, 0.72, 0.69], group=[0.80, 0.81, 0.79]).assign(batch_size=2)
    large = results(batch=[0.85, 0.86, 0.84], group=[0.79, 0.82, 0.80])
    effects = batch_size_effects(pd.concat([small, large], ignore_index=True)).set_index("norm")
    assert effects.loc["batch", ["a", "b", "verdict"]].tolist() == [2, 32, "b-higher"]
    assert effects.loc["batch", "mean"] == pytest.approx(-0.146667, abs=1e-5)
    assert effects.loc["group", "verdict"] == "no-difference-shown"
    assert batch_size_effects(large).empty


def test_a_norm_that_leads_with_large_batches_and_falls_behind_with_small_ones_is_found():
    large = results(batch=[0.90, 0.91, 0.92], group=[0.80, 0.815, 0.82])
    small = results(batch=[0.10, 0.12, 0.11], group=[0.70, 0.71, 0.725]).assign(batch_size=2)
    found = reversal(pd.concat([large, small]))
    assert (found.ahead, found.behind, found.large, found.small, found.seeds) == ("batch", "group", 32, 2, 3)
    assert 0.08 < found.lead[0] < 0.0983 < found.lead[1] and found.loss[0] < 0.6016 < found.loss[1]
    assert reversal(large) is None
    unclear = results(batch=[0.70, 0.75, 0.65], group=[0.70, 0.71, 0.75]).assign(batch_size=2)
    assert reversal(pd.concat([large, unclear])) is None


def test_what_recomputed_statistics_change_is_paired_by_run_and_for_norms_that_have_them():
    rows = results(batch=[0.50, 0.52, 0.51], group=[0.8, 0.8, 0.8])
    rows.loc[rows["norm"] == "batch", "recomputed_accuracy"] = [0.70, 0.73, 0.72]
    found = recomputation_effects(rows).to_dict("records")
    assert [(row["norm"], row["verdict"], row["pairs"]) for row in found] == [("batch", "a-higher", 3)]
    assert found[0]["mean"] == pytest.approx(0.62 / 3)
