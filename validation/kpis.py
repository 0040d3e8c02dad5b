"""Key performance indicators over many episodes: what each is called and measured in, and its mean with an interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..episodes.kpis import KPI_DEFINITIONS, Better
from ..episodes.order_kpis import ORDER_KPI_DEFINITIONS
from ..episodes.spread_kpis import SPREAD_KPI_DEFINITIONS
from .statistics import UNKNOWN, Interval, bootstrap_interval, clopper_pearson, finite_values

KpiKind = Literal["proportion", "mean"]
KpiValues = Mapping[str, float | None]

MIN_VALUES_FOR_MEAN = 8
"""Fewest values for an interval of a mean. Of exponential samples, a skew that times and energies have, the one-sided
95 % end misses in 9 % at n = 16, 16 % at n = 8 and 22 % at n = 6 (measured); below 8 no interval is given."""


@dataclass(frozen=True)
class KpiInfo:
    """What a KPI is.

    Attributes:
        label: for people, a few words.
        unit: "" for plain numbers and proportions.
        kind: "proportion" if each episode gives 0 or 1, else "mean".
        better: which way is good.
        description: one sentence; "" if unknown.
    """

    label: str
    unit: str = ""
    kind: KpiKind = "mean"
    better: Better = "neither"
    description: str = ""


_LABELS = {
    "success": "Success rate",
    "collision": "Collision rate",
    "timeout": "Timeout rate",
    "collision_speed_mps": "Speed at collision",
    "contact_impulse_ns": "Contact impulse",
    "time_s": "Time to finish",
    "path_m": "Distance driven",
    "spl": "Success weighted by path length",
    "barn": "BARN navigation score",
    "min_sep_m": "Closest distance to anything",
    "min_sep_person_m": "Closest distance to a person",
    "ttc_min_s": "Shortest time to collision",
    "stop_margin_min_m": "Smallest stopping margin",
    "estop_count": "Emergency stops",
    "near_miss_count": "Near misses",
    "intrusion_s": "Time within 0.45 m of a person",
    "overspeed_s": "Time over the speed limit",
    "jerk_rms": "Jerk",
    "stuck_s": "Time stuck",
    "energy_wh": "Energy used",
    "tasks_per_h": "Tasks per hour",
    "on_time_rate": "Tasks on time",
    "deadlock_count": "Deadlocks",
    "wait_ratio": "Time waiting",
    "utilisation": "Utilisation",
    "cost_per_task": "Cost per task",
    "orders_per_h": "Orders per hour",
    "lead_time_median_s": "Lead time, median",
    "lead_time_p95_s": "Lead time, 95 %",
    "late_orders": "Late orders",
    "open_orders": "Open orders at the end",
    "backorder_share": "Cartons out of stock",
    "energy_per_task_wh": "Energy per task",
    "charge_share": "Time at chargers",
    "blockades": "Blockades",
    "stock_conserved": "Stock conserved",
}


def _catalogue() -> dict[str, KpiInfo]:
    """Give the KPIs of an episode their labels: those named above first, as tables show them, then any other."""
    known = {**KPI_DEFINITIONS, **ORDER_KPI_DEFINITIONS, **SPREAD_KPI_DEFINITIONS}
    order = [name for name in _LABELS if name in known]
    order += [name for name in known if name not in _LABELS]
    catalogue = {}
    for name in order:
        item = known[name]
        kind: KpiKind = "proportion" if item.kind == "rate" else "mean"
        unit = "" if item.unit == "1" else item.unit.replace("^3", "³").replace("^2", "²")
        catalogue[name] = KpiInfo(_LABELS.get(name, name.replace("_", " ")), unit, kind, item.better, item.description)
    return catalogue


KPI_CATALOGUE: dict[str, KpiInfo] = _catalogue()
"""Every KPI that a gate can name, in the order of tables."""


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
    return KPI_CATALOGUE.get(name) or KpiInfo(name.replace("_", " "))


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
            mend="give 0 or 1 for each episode",
        )
    return values


def json_interval(interval: Interval) -> tuple[float | None, float | None]:
    """Return the ends with None for an unbounded one (JSON has no infinity)."""
    return (
        interval.low if math.isfinite(interval.low) else None,
        interval.high if math.isfinite(interval.high) else None,
    )
