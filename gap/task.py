"""The task gap: whether the simulator ranks policies as the field does, and by how much it flatters them.

From a table of field KPIs beside simulated ones, one row for each policy and KPI:

- **SRCC**, sim-to-real correlation (Kadian et al., *Sim2Real Predictivity*, RA-L 2020): Pearson's r of the values and
  Spearman's rho of their ranks (ties share the mean rank).
- **MMRV**, mean maximum rank violation (Li et al., *Evaluating Real-World Robot Manipulation Policies in Simulation*,
  CoRL 2024): with real values R and simulated values S of N policies,

      violation(i, j) = |R_i - R_j| if (S_i < S_j) differs from (R_i < R_j), else 0
      MMRV = 1/N sum_i max_j violation(i, j)

  in the KPI's unit: how far apart in the field are the worst pairs that the simulator puts in the wrong order. It does
  not matter whether more of the KPI is better.
- **Bias**: mean of simulated minus real.

Intervals (95 %): a percentile bootstrap over policies; within each resample the KPI of each drawn policy is drawn
anew where the table says how well it is known: a success rate over n episodes from the Jeffreys posterior
Beta(k + 1/2, n - k + 1/2), a value with its own 95 % interval from the normal of that width. The table's values hold
that noise already, so that both levels together are rather too wide than too narrow. As all noise does, it pulls
correlations down and rank violations up; an interval that would exclude the value for that is widened to hold it.

Floor: real half against real half. Where the field's episodes are counted, the k successes of n are dealt at random
into two halves (hypergeometric), and the halves are compared as real and simulated are; the median over deals is the
floor. For a correlation it is a ceiling: no simulator can be expected to agree better than the field with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.seeding import generator
from .fieldlog import IntArray
from .metrics import Metric
from .task_table import KpiRow, KpiTable

FEW_POLICIES = 8
"""Below this many policies a ranking is mostly luck, and the output says so."""
MIN_POLICIES = 4
"""Fewer give no interval: there are too few ways to resample them."""
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class TaskGap:
    """The task gap of one table.

    Attributes:
        metrics: ``<kpi>.srcc_pearson``, ``<kpi>.srcc_spearman``, ``<kpi>.mmrv`` and ``<kpi>.bias`` of each KPI that
            has at least two policies; ``n`` counts policies. A correlation that is not defined (all values of a side
            equal) is left out.
        rows: what was compared, in the order of the table.
        notes: how it was made, and what to beware of.
        reports: what was found wrong in the table.
    """

    metrics: list[Metric]
    rows: list[KpiRow]
    notes: list[str]
    reports: list[str]

    def to_summary(self) -> dict[str, Any]:
        """Return everything, JSON-safe."""
        return {
            "metrics": [item.to_row() for item in self.metrics],
            "policies": [vars(row) for row in self.rows],
            "notes": self.notes,
            "log_findings": self.reports,
        }


def pearson(real: FloatArray, sim: FloatArray) -> FloatArray:
    """Return Pearson's correlation of (..., N) with (..., N); NaN where a side does not vary."""
    one = real - real.mean(axis=-1, keepdims=True)
    other = sim - sim.mean(axis=-1, keepdims=True)
    scale = np.sqrt((one**2).sum(axis=-1) * (other**2).sum(axis=-1))
    # A side of equal values has a spread of rounding errors only.
    size = (np.abs(real).max(axis=-1) * np.abs(sim).max(axis=-1)) * 1e-14
    defined = scale > size
    result: FloatArray = np.where(defined, (one * other).sum(axis=-1) / np.where(defined, scale, 1.0), np.nan)
    return np.clip(result, -1.0, 1.0)


def spearman(real: FloatArray, sim: FloatArray) -> FloatArray:
    """Return Spearman's rank correlation of (..., N) with (..., N): Pearson's of the ranks, ties by their mean."""
    return pearson(mean_ranks(real), mean_ranks(sim))


def mean_ranks(values: FloatArray) -> FloatArray:
    """Return ranks (..., N) from 1; equal values share the mean of their ranks."""
    below = (values[..., None, :] < values[..., :, None]).sum(axis=-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(axis=-1)
    result: FloatArray = below + 0.5 * (equal + 1)
    return result


def mmrv(real: FloatArray, sim: FloatArray) -> FloatArray:
    """Return the mean maximum rank violation (...) of real and simulated values (..., N); see the module."""
    real_less = real[..., :, None] < real[..., None, :]
    sim_less = sim[..., :, None] < sim[..., None, :]
    violation = np.abs(real[..., :, None] - real[..., None, :]) * (real_less != sim_less)
    result: FloatArray = violation.max(axis=-1).mean(axis=-1)
    return result


def bias(real: FloatArray, sim: FloatArray) -> FloatArray:
    """Return the mean of simulated minus real values over (..., N)."""
    result: FloatArray = (sim - real).mean(axis=-1)
    return result


_Statistic = Callable[[FloatArray, FloatArray], FloatArray]
STATISTICS: dict[str, _Statistic] = {
    "srcc_pearson": pearson, "srcc_spearman": spearman, "mmrv": mmrv, "bias": bias
}  # fmt: skip
"""By name, what is computed of each KPI."""


def measure_task_gap(table: KpiTable, *, seed: int = 0, resamples: int = 2000) -> TaskGap:
    """Measure how well simulated KPIs stand for those of the field.

    Args:
        table: what ``task_table.read_kpi_table`` gave.
        seed: of the bootstrap and of the halves for the floor.
        resamples: of the bootstrap.
    """
    metrics: list[Metric] = []
    notes: list[str] = []
    for kpi in dict.fromkeys(row.kpi for row in table.rows):
        rows = [row for row in table.rows if row.kpi == kpi]
        notes += _warnings(kpi, rows)
        if len(rows) >= 2:
            metrics += _measure_kpi(kpi, rows, seed, resamples)
    notes.append(
        "Intervals (95 %): bootstrap over policies, with the noise of each value inside where the table gives its "
        "number of episodes or its interval. They hold for policies like these, not for very different ones."
    )
    if any(item.floor is not None for item in metrics):
        notes.append(
            "Floor: the field's own episodes dealt at random into two halves and compared with each other; for a "
            "correlation it is the best that can be expected."
        )
    return TaskGap(metrics, list(table.rows), notes, table.report.lines())


def _measure_kpi(kpi: str, rows: Sequence[KpiRow], seed: int, resamples: int) -> list[Metric]:
    real = np.array([row.real for row in rows])
    sim = np.array([row.sim for row in rows])
    drawn_real, drawn_sim = _resample(kpi, rows, real, sim, seed, resamples)
    halves = _halves(kpi, rows, seed, resamples)
    found = []
    for name, statistic in STATISTICS.items():
        value = float(statistic(real, sim))
        if not np.isfinite(value):
            continue
        low, high = _interval(statistic(drawn_real, drawn_sim), value) if len(rows) >= MIN_POLICIES else (None, None)
        floor = None
        if halves is not None:
            between = statistic(*halves)
            floor = _median(np.abs(between) if name == "bias" else between)
        found.append(
            Metric(
                name=f"{kpi}.{name}",
                robot="all",
                horizon_s=None,
                value=value,
                ci_low=low,
                ci_high=high,
                n=len(rows),
                floor=floor,
                ratio=(abs(value) if name == "bias" else value) / floor if floor else None,
                unit="" if name.startswith("srcc") else rows[0].unit,
            )
        )
    return found


def _resample(
    kpi: str, rows: Sequence[KpiRow], real: FloatArray, sim: FloatArray, seed: int, resamples: int
) -> tuple[FloatArray, FloatArray]:
    """Draw policies with replacement, and each one's values anew. Returns two arrays (R, N)."""
    index = generator(seed, "task.policies", kpi).integers(0, len(rows), size=(resamples, len(rows)))
    noise = generator(seed, "task.values", kpi)
    return _noisy(real, rows, "real", index, noise), _noisy(sim, rows, "sim", index, noise)


def _noisy(
    values: FloatArray, rows: Sequence[KpiRow], side: str, index: IntArray, rng: np.random.Generator
) -> FloatArray:
    """Return the drawn policies' values (R, N), each drawn anew where it is known how well it is known."""
    counts = np.array([row.count(side) or 0 for row in rows])[index]
    spreads = np.array([row.spread(side) or 0.0 for row in rows])[index]
    drawn: FloatArray = values[index]
    successes = np.round(drawn * counts)
    counted = rng.beta(successes + 0.5, counts - successes + 0.5)
    spread = drawn + spreads * rng.standard_normal(index.shape)
    return np.where(counts > 0, counted, spread)


def _halves(kpi: str, rows: Sequence[KpiRow], seed: int, deals: int) -> tuple[FloatArray, FloatArray] | None:
    """Deal the real episodes of each policy into two halves; None unless all are counted and number two at least."""
    counts = [row.real_n for row in rows]
    if any(count is None or count < 2 for count in counts):
        return None
    rng = generator(seed, "task.halves", kpi)
    one, other = np.empty((deals, len(rows))), np.empty((deals, len(rows)))
    for number, (row, count) in enumerate(zip(rows, counts, strict=True)):
        assert count is not None
        successes, half = round(row.real * count), count // 2
        got = rng.hypergeometric(successes, count - successes, half, deals)
        one[:, number], other[:, number] = got / half, (successes - got) / (count - half)
    return one, other


def _interval(drawn: FloatArray, value: float) -> tuple[float | None, float | None]:
    known: NDArray[np.float64] = drawn[np.isfinite(drawn)]
    if len(known) < 0.5 * len(drawn):
        return None, None
    low, high = np.quantile(known, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return min(float(low), value), max(float(high), value)


def _median(values: FloatArray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _warnings(kpi: str, rows: Sequence[KpiRow]) -> list[str]:
    found = []
    if len(rows) < 2:
        found.append(f"{kpi}: one policy only; two or more are needed to compare an order.")
    elif len(rows) < FEW_POLICIES:
        found.append(
            f"{kpi}: only {len(rows)} policies. Below {FEW_POLICIES}, chance alone makes high correlations and low "
            "rank violations: do not choose a simulator by these."
        )
    for side in ("real", "sim"):
        values = {getattr(row, side) for row in rows}
        if len(rows) >= 2 and len(values) == 1:
            what = "in the field" if side == "real" else "in simulation"
            found.append(f"{kpi}: all policies have the same value {what}; there is no order to compare.")
    return found
