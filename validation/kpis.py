"""Key performance indicators over many episodes: what each is called and measured in, and its mean with an interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from .statistics import UNKNOWN, Interval, bootstrap_interval, clopper_pearson, finite_values

KpiKind = Literal["proportion", "mean"]
KpiValues = Mapping[str, float | None]

MIN_VALUES_FOR_MEAN = 8
"""Fewest values for an interval of a mean. Of exponential samples, a skew that times and energies have, the one-sided 95 %
end misses in 9 % at n = 16, 16 % at n = 8 and 22 % at n = 6 (measured); below 8 no interval is given."""


@dataclass(frozen=True)
class KpiInfo:
    """What a KPI is.

    Attributes:
        label: for people.
        unit: SI or "" for plain numbers and proportions.
        kind: "proportion" if each episode gives 0 or 1, else "mean".
        better: which way is good; "" where neither is.
    """

    label: str
    unit: str = ""
    kind: KpiKind = "mean"
    better: Literal["higher", "lower", ""] = "lower"


KPI_CATALOGUE: dict[str, KpiInfo] = {
    "success": KpiInfo("Success rate", kind="proportion", better="higher"),
    "collision": KpiInfo("Collision rate", kind="proportion"),
    "timeout": KpiInfo("Timeout rate", kind="proportion"),
    "collision_speed_mps": KpiInfo("Speed at collision", "m/s"),
    "contact_impulse_ns": KpiInfo("Contact impulse", "N s"),
    "time_s": KpiInfo("Time to finish", "s"),
    "path_m": KpiInfo("Distance driven", "m"),
    "spl": KpiInfo("Success weighted by path length (SPL)", better="higher"),
    "barn": KpiInfo("BARN navigation score", better="higher"),
    "min_sep_m": KpiInfo("Closest distance to anything", "m", better="higher"),
    "min_sep_person_m": KpiInfo("Closest distance to a person", "m", better="higher"),
    "ttc_min_s": KpiInfo("Shortest time to collision", "s", better="higher"),
    "stop_margin_min_m": KpiInfo("Smallest stopping margin", "m", better="higher"),
    "estop_count": KpiInfo("Emergency stops"),
    "near_miss_count": KpiInfo("Near misses"),
    "intrusion_s": KpiInfo("Time within 0.45 m of a person", "s"),
    "overspeed_s": KpiInfo("Time over the speed limit", "s"),
    "jerk_rms": KpiInfo("Jerk (RMS)", "m/s³"),
    "stuck_s": KpiInfo("Time stuck", "s"),
    "energy_wh": KpiInfo("Energy used", "Wh"),
    "tasks_per_h": KpiInfo("Tasks per hour", "1/h", better="higher"),
    "on_time_rate": KpiInfo("Tasks on time", better="higher"),
    "deadlock_count": KpiInfo("Deadlocks"),
    "wait_ratio": KpiInfo("Share of time waiting"),
    "utilisation": KpiInfo("Utilisation", better="higher"),
    "cost_per_task": KpiInfo("Cost per task"),
}
"""Every KPI that a gate can name, in the order of tables (episodes.kpis writes them)."""


@dataclass(frozen=True)
class KpiEstimate:
    """A KPI over all episodes.

    Attributes:
        name: key in ``KPI_CATALOGUE`` or of the user's own.
        value: share of the episodes or mean; None without a value.
        ci_low, ci_high: ends of the two-sided interval; None where it has no such end.
        n: episodes that gave a value.
        missing: episodes that did not (None or NaN: no person came near, the goal was not reached, ...).
        unit: of value and interval.
        kind: "proportion" (Clopper-Pearson interval) or "mean" (BCa bootstrap).
    """

    name: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    missing: int
    unit: str
    kind: KpiKind

    @property
    def label(self) -> str:
        """What people call it."""
        return kpi_info(self.name).label

    def as_dict(self) -> dict[str, Any]:
        """Return the row of ``summary.json``; a KPI without a gate has neither bound nor verdict."""
        return {
            "name": self.name,
            "label": self.label,
            "value": self.value,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "n": self.n,
            "missing": self.missing,
            "unit": self.unit,
            "bound": None,
            "verdict": None,
        }


def kpi_info(name: str) -> KpiInfo:
    """Return what is known about a KPI; one that is not in the catalogue is a mean labelled by its own name."""
    return KPI_CATALOGUE.get(name) or KpiInfo(name.replace("_", " "), better="")


def aggregate(
    episodes: Sequence[KpiValues], *, confidence: float = 0.95, seed: int = 0, names: Iterable[str] | None = None
) -> list[KpiEstimate]:
    """Return every KPI over all episodes, with its interval.

    Args:
        episodes: one mapping of KPI name to value for each episode; None and NaN mean "not measured".
        confidence: of the two-sided intervals.
        seed: of the bootstrap. Results depend on the values and their order only.
        names: which KPIs; all that occur by default, those of the catalogue first and in its order.

    Returns:
        One estimate for each name. Without a value, or with fewer than ``MIN_VALUES_FOR_MEAN`` for a mean, the ends are
        None; a proportion of no episodes has value None and the interval (0, 1).

    Raises:
        InputError: a proportion has a value other than 0 or 1, or a value is not a number.
    """
    return [estimate(name, episodes, confidence=confidence, seed=seed) for name in names or kpi_names(episodes)]


def estimate(name: str, episodes: Sequence[KpiValues], *, confidence: float = 0.95, seed: int = 0) -> KpiEstimate:
    """Return one KPI over all episodes; see ``aggregate``."""
    info = kpi_info(name)
    values = kpi_values(name, episodes)
    n = len(values)
    value = float(values.mean()) if n else None
    if info.kind == "proportion":
        interval = clopper_pearson(int(binary(name, values).sum()), n, confidence)
    elif n >= MIN_VALUES_FOR_MEAN:
        interval = bootstrap_interval(values, "mean", confidence, seed)
    else:
        interval = UNKNOWN
    low, high = json_interval(interval)
    return KpiEstimate(name, value, low, high, n, len(episodes) - n, info.unit, info.kind)


def kpi_names(episodes: Sequence[KpiValues]) -> list[str]:
    """Return all names that occur: those of the catalogue in its order, then the others by alphabet."""
    seen = {name for episode in episodes for name in episode}
    return [name for name in KPI_CATALOGUE if name in seen] + sorted(seen - KPI_CATALOGUE.keys())


def kpi_values(name: str, episodes: Sequence[KpiValues]) -> NDArray[np.float64]:
    """Return the known values of one KPI, (n,) float64, in the order of the episodes.

    Raises:
        InputError: a value is not a number.
    """
    for index, episode in enumerate(episodes):
        value = episode.get(name)
        if value is not None and not isinstance(value, int | float | np.number | np.bool_):
            raise InputError(
                f"KPI '{name}' is not a number but {value!r}",
                where=f"episode {index} of those given",
                mend="give numbers, or None where nothing was measured",
            )
    return finite_values(episode.get(name) for episode in episodes)


def binary(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values if all are 0 or 1.

    Raises:
        InputError: another value, for which a proportion makes no sense.
    """
    wrong = values[(values != 0.0) & (values != 1.0)]
    if len(wrong):
        raise InputError(
            f"KPI '{name}' counts episodes, so each must give 0 or 1, not {wrong[0]:g}",
            where=f"KPI '{name}'",
            mend="use the statistic 'mean' for a quantity, or give 0 or 1",
        )
    return values


def json_interval(interval: Interval) -> tuple[float | None, float | None]:
    """Return the ends with None for an unbounded one (JSON has no infinity)."""
    return (
        interval.low if math.isfinite(interval.low) else None,
        interval.high if math.isfinite(interval.high) else None,
    )
