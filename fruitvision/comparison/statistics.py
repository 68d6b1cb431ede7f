"""Statistics of a study: mean and standard deviation over seeds, and paired differences.

Two norms are compared seed by seed: with the same seed both start from the same weights and see the same pictures in the same
order, so their difference has less variance than either accuracy. Its mean has a 95% confidence interval by Student's t. An
interval that contains zero is reported as "no-difference-shown", which is not the same as "equal". Nothing is ranked with fewer
than three seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import numpy as np
import pandas as pd

MIN_SEEDS = 3
CONFIDENCE = 0.95
MEASURE = "final_accuracy"
"""What is compared: the last epoch's accuracy, since it is not selected by its result."""

AVERAGED = {
    "best_mean": "best_accuracy",
    "batch_mean": "batch_accuracy",
    "recomputed_mean": "recomputed_accuracy",
    "loss_mean": "loss",
    "epochs_to_90": "epochs_to_90",
    "grad_norm": "grad_norm",
    "seconds_per_epoch": "seconds_per_epoch",
    "images_per_s": "images_per_s",
    "peak_memory_mb": "peak_memory_mb",
}
"""Column of the summary → column of the table whose mean over finished runs it is."""
SUMMARY_COLUMNS = ("norm", "batch_size", "seeds", "diverged", "mean", "sd", *AVERAGED, "reached_90", "parameters")
EFFECT_COLUMNS = ("norm", "a", "b", "pairs", "left_out", "mean", "sd", "low", "high", "verdict")
DIFFERENCE_COLUMNS = ("batch_size", "a", "b", "pairs", "left_out", "mean", "sd", "low", "high", "verdict")


def summary(table: pd.DataFrame, measure: str = MEASURE) -> pd.DataFrame:
    """One row for each norm and batch size, in the table's order.

    ``mean`` and ``sd`` (with n − 1; NaN for one run) are over the ``seeds`` finished runs. ``diverged`` counts the runs that
    ended with a non-finite loss: they are not in the means, so both numbers should be shown together. ``epochs_to_90`` is the
    mean over the ``reached_90`` runs that reached it.
    """
    rows = []
    for key, trials in table.groupby(["norm", "batch_size"], sort=False):
        norm, batch_size = cast(tuple[str, int], key)
        done = _finished(trials)
        values = done[measure].astype(float)
        rows.append(
            {
                "norm": norm,
                "batch_size": int(batch_size),
                "seeds": len(done),
                "diverged": int(np.count_nonzero(trials["diverged"])),
                "mean": values.mean(),
                "sd": values.std(ddof=1),
                **{name: done[column].astype(float).mean() for name, column in AVERAGED.items()},
                "reached_90": int(np.count_nonzero(done["epochs_to_90"].notna())),
                "parameters": trials["parameters"].astype(float).max(),
            }
        )
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def paired_differences(table: pd.DataFrame, a: str, b: str, measure: str = MEASURE) -> pd.DataFrame:
    """Norm ``a`` minus norm ``b`` for each seed, one row for each batch size.

    ``low`` and ``high`` bound the 95% confidence interval of the mean difference (NaN for one pair).
    ``verdict`` is one of

    - ``"no-pairs"``: no seed is finished for both;
    - ``"one-seed"``, ``"too-few-seeds"``: fewer than three pairs, so nothing is ranked;
    - ``"runs-diverged"``: a run of either norm diverged, so the other seeds are not a fair sample;
    - ``"no-difference-shown"``: the interval contains zero;
    - ``"a-higher"``, ``"b-higher"``: it does not.
    """
    rows = [
        {"batch_size": int(cast(int, batch_size)), "a": a, "b": b} | _paired(trials, "norm", a, b, measure)
        for batch_size, trials in table.groupby("batch_size", sort=True)
    ]
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


def batch_size_effects(table: pd.DataFrame, measure: str = MEASURE) -> pd.DataFrame:
    """The effect of a small batch on each norm: the result at the smallest (``a``) minus at the largest (``b``), seed by seed.

    One row for each norm, as :func:`paired_differences`; empty if there is only one batch size.
    """
    small, large = cast(int, table["batch_size"].min()), cast(int, table["batch_size"].max())
    rows = [
        {"norm": norm, "a": int(small), "b": int(large)} | _paired(trials, "batch_size", small, large, measure)
        for norm, trials in table.groupby("norm", sort=False)
        if small < large
    ]
    return pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))


def recomputation_effects(table: pd.DataFrame) -> pd.DataFrame:
    """What recomputed statistics change for norms with running statistics: accuracy with them minus accuracy with the running ones.

    One row for each norm and batch size that was measured, as :func:`paired_differences`; see bn_statistics.py.
    """
    rows = []
    for key, trials in table.groupby(["norm", "batch_size"], sort=True):
        norm, batch_size = cast(tuple[str, int], key)
        done = _finished(trials).dropna(subset=["recomputed_accuracy"])
        differences = (done["recomputed_accuracy"] - done[MEASURE]).to_numpy(float)
        if len(differences):
            mean, sd, low, high = mean_interval(differences)
            found = {"pairs": len(differences), "left_out": 0, "mean": mean, "sd": sd, "low": low, "high": high}
            rows.append({"norm": norm, "batch_size": int(batch_size)} | found | {"verdict": _verdict(len(differences), 0, low, high)})
    return pd.DataFrame(rows, columns=["norm", *(column for column in DIFFERENCE_COLUMNS if column not in "ab")])


@dataclass(frozen=True)
class Reversal:
    """A norm that is ahead of another with large batches and behind it with small ones: intervals of the paired differences."""

    ahead: str
    behind: str
    large: int
    small: int
    lead: tuple[float, float]
    loss: tuple[float, float]
    seeds: int


def reversal(table: pd.DataFrame, measure: str = MEASURE) -> Reversal | None:
    """The best norm at the largest batch size against the best at the smallest, if each is ahead beyond the 95% interval.

    The two are selected by their means on the same runs, so the intervals are a little too narrow: with many norms that are nearly
    alike this finds nothing to rely on, and it is meant for differences that are far from zero.
    """
    small, large = cast(int, table["batch_size"].min()), cast(int, table["batch_size"].max())
    means = summary(table, measure).pivot_table(index="norm", columns="batch_size", values="mean")
    if small == large or means.empty or small not in means or large not in means:
        return None
    ahead, behind = str(means[large].idxmax()), str(means[small].idxmax())
    if ahead == behind:
        return None
    found = paired_differences(table, ahead, behind, measure).set_index("batch_size")
    if found.loc[large, "verdict"] != "a-higher" or found.loc[small, "verdict"] != "b-higher":
        return None
    at_large, at_small = (found.loc[size].to_dict() for size in (large, small))
    lead, loss = (at_large["low"], at_large["high"]), (-at_small["high"], -at_small["low"])
    return Reversal(ahead, behind, int(large), int(small), lead, loss, int(min(at_large["pairs"], at_small["pairs"])))


def _paired(trials: pd.DataFrame, column: str, a: object, b: object, measure: str) -> dict[str, object]:
    """The differences of the rows with ``a`` in ``column`` and those with ``b``, seed by seed."""
    trials = cast(pd.DataFrame, trials[trials[column].isin([a, b])])
    done = _finished(trials).pivot_table(index="seed", columns=column, values=measure, aggfunc="first")
    done = done.reindex(columns=[a, b]).dropna()
    differences = (done[a] - done[b]).to_numpy(float)
    left_out = int(np.count_nonzero(trials["diverged"]))
    mean, sd, low, high = mean_interval(differences)
    verdict = _verdict(len(differences), left_out, low, high)
    return {"pairs": len(differences), "left_out": left_out, "mean": mean, "sd": sd, "low": low, "high": high, "verdict": verdict}


def all_differences(table: pd.DataFrame, measure: str = MEASURE) -> pd.DataFrame:
    """``paired_differences`` of every two norms of the table."""
    norms = list(dict.fromkeys(table["norm"]))
    parts = [paired_differences(table, a, b, measure) for a, b in combinations(norms, 2)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(DIFFERENCE_COLUMNS))


def mean_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float, float, float]:
    """Mean, standard deviation and the bounds of the mean's confidence interval; NaN where undefined."""
    count = len(values)
    if count == 0:
        return math.nan, math.nan, math.nan, math.nan
    mean = float(np.mean(values))
    if count == 1:
        return mean, math.nan, math.nan, math.nan
    sd = float(np.std(values, ddof=1))
    half = t_quantile((1 + confidence) / 2, count - 1) * sd / math.sqrt(count)
    return mean, sd, mean - half, mean + half


def t_cdf(t: float, degrees: int) -> float:
    """P(T ≤ t) for Student's t with an integer number of degrees of freedom.

    The closed form of Abramowitz and Stegun, 26.7.3 and 26.7.4: a finite sum of powers of a cosine.
    """
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees % 2:
        term, total = cosine, 0.0
        for k in range(1, (degrees - 1) // 2 + 1):
            total += term
            term *= cosine * cosine * 2 * k / (2 * k + 1)
        between = 2 / math.pi * (angle + sine * total)
    else:
        term, total = 1.0, 0.0
        for k in range(1, degrees // 2 + 1):
            total += term
            term *= cosine * cosine * (2 * k - 1) / (2 * k)
        between = sine * total
    return (1 + between) / 2


def t_quantile(probability: float, degrees: int) -> float:
    """The t with P(T ≤ t) = probability, for 0 < probability < 1, by bisection of ``t_cdf``."""
    if not 0 < probability < 1 or degrees < 1:
        raise ValueError(f"no t quantile for probability {probability} and {degrees} degrees of freedom")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _finished(trials: pd.DataFrame) -> pd.DataFrame:
    return cast(pd.DataFrame, trials[(trials["state"] == "finished") & ~trials["diverged"].astype(bool)])


def _verdict(pairs: int, left_out: int, low: float, high: float) -> str:
    if left_out:
        return "runs-diverged"
    if pairs < MIN_SEEDS:
        return ("no-pairs", "one-seed", "too-few-seeds")[pairs]
    if low > 0:
        return "a-higher"
    return "b-higher" if high < 0 else "no-difference-shown"
