"""Gates: limits that a policy must keep, decided on the end of a confidence interval and never on a bare average.

A gate's ``confidence`` is that of its decision, one-sided: at 0.95 a policy that truly misses the limit passes in at
most 5 % of evaluations. The interval shown is the two-sided one whose ends are those bounds (90 % then). A gate passes
if its whole interval is on the good side of the bound, fails if it is wholly on the bad side, and is inconclusive
otherwise. All gates must pass, so a policy that misses any of them gets through no more often than that one gate
allows; the more gates, the more episodes a good policy needs.

Statistics of a gate, and their intervals:

- ``rate`` of a 0/1 metric (success, collision, timeout): exact, Clopper-Pearson.
- ``mean``: BCa bootstrap over episodes, from 8 values on. Values that are all equal (no emergency stop in any
  episode) resample to themselves, so a pass takes as many episodes then as an extreme does: 59 at 95 %.
- ``median``, ``p05`` and so on, ``worst_decile`` (the value that the worst tenth begins at): exact, from order
  statistics. Few values cannot bound a high percentile: p95 takes 59 episodes at 95 %.
- ``cvar`` (mean of the worst tenth): BCa bootstrap, from 50 values on; with fewer its end misses in over 20 %.
- ``min``, ``max``: an extreme of all future episodes has no interval. One episode beyond the bound fails the gate. It
  passes when none is beyond and the episodes show that at least ``share`` (0.95) of all episodes keep the bound (Wilks,
  Ann. Math. Stat. 12, 1941): 59 episodes at 95 %.

"Worst" means high for an upper bound and low for a lower one.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from .. import assets
from ..common.config import StrictModel, load_model, read_text
from ..common.errors import InputError
from .kpis import (
    KPI_CATALOGUE,
    MIN_VALUES_FOR_MEAN,
    KpiKind,
    KpiValues,
    binary,
    json_interval,
    kpi_info,
    kpi_values,
)
from .statistics import (
    TAIL_SHARE,
    UNKNOWN,
    Interval,
    Side,
    bootstrap_interval,
    clopper_pearson,
    decide,
    episodes_needed,
    episodes_needed_for_mean,
    named_statistic,
    percentile_share,
    quantile_interval,
    rule_of_three,
)

Outcome = Literal["pass", "fail", "inconclusive", "not_applicable"]
EXIT_CODES: dict[str, int] = {"pass": 0, "fail": 1, "inconclusive": 3}

MIN_VALUES_FOR_TAIL = 50
"""Fewest values for an interval of ``cvar``. Of exponential samples its one-sided 95 % end misses in 47 % at n = 20,
19 % at n = 50 and 12 % at n = 100 (measured)."""

_EQUAL_SHARE = 0.95
"""Share of all episodes that equal values must be shown to stand for before their mean passes a gate."""

_PLAIN_STATISTICS = ("rate", "mean", "median", "worst_decile", "cvar", "min", "max")


class Gate(StrictModel):
    """One limit on one metric; see the module docstring."""

    metric: str
    """Name of a KPI (``validation.kpis.KPI_CATALOGUE``)."""
    statistic: str = ""
    """What to make of the episodes' values; by default ``rate`` for 0/1 metrics and ``mean`` for all others."""
    min: float | None = None
    max: float | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] | None = None
    """Of the decision, one-sided; by default the file's."""
    optional: bool = False
    """Whether the gate may go unmeasured (nobody walks in some halls); otherwise it is then inconclusive."""
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    """For ``min`` and ``max`` only: the share of all episodes that must be shown to keep the bound."""
    why: str = ""

    @field_validator("metric")
    @classmethod
    def _metric_known(cls, metric: str) -> str:
        if metric not in KPI_CATALOGUE:
            close = difflib.get_close_matches(metric, KPI_CATALOGUE, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(KPI_CATALOGUE)}"
            raise ValueError(f"unknown metric '{metric}' ({hint})")
        return metric

    @field_validator("statistic")
    @classmethod
    def _statistic_known(cls, statistic: str) -> str:
        if statistic and statistic not in _PLAIN_STATISTICS and percentile_share(statistic) is None:
            raise ValueError(f"unknown statistic '{statistic}' (known: {', '.join(_PLAIN_STATISTICS)}, p01 to p99)")
        return statistic

    @model_validator(mode="after")
    def _consistent(self) -> Gate:
        if (self.min is None) == (self.max is None):
            given = "neither is given" if self.min is None else "both are given"
            raise ValueError(f"give one bound, 'min' or 'max': {given} for metric '{self.metric}'")
        is_proportion = kpi_info(self.metric).kind == "proportion"
        if is_proportion and self.statistic not in ("", "rate", "mean"):
            raise ValueError(f"'{self.metric}' is 0 or 1 in each episode: its statistic is 'rate'")
        if self.statistic in ("min", "max") and self.statistic != self.side:
            raise ValueError(
                f"the statistic '{self.statistic}' takes a '{self.statistic}' bound: "
                "one episode alone would meet the other"
            )
        if self.rule == "rate" and not 0.0 < self.bound < 1.0:
            raise ValueError(
                f"the bound of '{self.metric}' must be inside (0, 1), not {self.bound:g}: "
                "no number of episodes can show a rate of exactly 0 or 1"
            )
        return self

    @property
    def side(self) -> Side:
        """Whether the bound is the least or the most allowed."""
        return "min" if self.min is not None else "max"

    @property
    def bound(self) -> float:
        """The limit, in the metric's unit."""
        bound = self.min if self.min is not None else self.max
        assert bound is not None
        return bound

    @property
    def rule(self) -> str:
        """The statistic, default filled in; the mean of a 0/1 metric is its rate."""
        if kpi_info(self.metric).kind == "proportion":
            return "rate"
        return self.statistic or "mean"

    @property
    def name(self) -> str:
        """The metric, and the statistic unless it is the default one: ``success``, ``min_sep_person_m:p05``."""
        return self.metric if self.rule in ("mean", "rate") else f"{self.metric}:{self.rule}"


class GateFile(StrictModel):
    """A set of gates that must all pass (``gates.yaml``)."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=128)] = "gates"
    description: str = ""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    gates: Annotated[tuple[Gate, ...], Field(min_length=1)]

    _source: str = PrivateAttr(default="the gates")
    _lines: tuple[int, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _no_duplicates(self) -> GateFile:
        first: dict[tuple[str, str, str], int] = {}
        problems = []
        for index, gate in enumerate(self.gates):
            earlier = first.setdefault((gate.metric, gate.rule, gate.side), index)
            if earlier != index:
                text = f"'{gate.name}' already has a '{gate.side}' bound in gates.{earlier}; keep one of the two"
                problems.append(
                    InitErrorDetails(
                        type=PydanticCustomError("duplicate_gate", "{text}", {"text": text}),
                        loc=("gates", index, "metric"),
                        input=gate.metric,
                    )
                )
        if problems:
            raise ValidationError.from_exception_data("GateFile", problems)
        return self

    def confidence_of(self, gate: Gate) -> float:
        """Return the one-sided confidence of a gate's decision."""
        return self.confidence if gate.confidence is None else gate.confidence

    def where(self, index: int, key: str) -> str:
        """Return file, line and field of a gate, for errors."""
        line = f", line {self._lines[index]}" if index < len(self._lines) else ""
        return f"{self._source}{line}, field 'gates.{index}.{key}'"


@dataclass(frozen=True)
class GateRow:
    """One gate and how it came out.

    Attributes:
        name, metric, statistic: see ``Gate``; label: for people.
        value: the statistic as observed; None without a value.
        ci_low, ci_high: ends of the two-sided interval; None where there is no such end.
        n, missing: episodes with and without a value.
        bound, side: the limit and whether it is the least or the most allowed.
        confidence: one-sided, of the decision.
        verdict: "pass", "fail", "inconclusive", or "not_applicable" (optional and never measured).
        episodes_needed: further episodes until an inconclusive gate is decided if what was seen persists; None where it
            is decided, where no number would do (the value is on the bound), or where it cannot be told.
        note: what to keep in mind; unit and kind of value, ends and bound; why: from the gate.
    """

    name: str
    label: str
    metric: str
    statistic: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    missing: int
    bound: float
    side: Side
    confidence: float
    verdict: Outcome
    episodes_needed: int | None
    note: str
    unit: str
    kind: KpiKind
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return the row of ``summary.json``."""
        keys = (
            "name label metric statistic value ci_low ci_high n missing bound side confidence verdict episodes_needed "
            "note unit"
        )
        return {key: getattr(self, key) for key in keys.split()}


@dataclass(frozen=True)
class Verdict:
    """All gates and the verdict on the policy.

    Attributes:
        verdict: "fail" if a gate fails, else "inconclusive" if one is, none applies or an episode is missing, else
            "pass".
        rows: one for each gate, in the file's order.
        episodes: how many were evaluated.
        gate_file: its name; description: from the file.
        not_run: episodes that were asked for and could not be run.
    """

    verdict: Literal["pass", "fail", "inconclusive"]
    rows: tuple[GateRow, ...]
    episodes: int
    gate_file: str = "gates"
    description: str = ""
    not_run: int = 0

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return EXIT_CODES[self.verdict]

    @property
    def episodes_needed(self) -> int | None:
        """Further episodes until every inconclusive gate is decided; None if that cannot be told or none is open."""
        needs = [row.episodes_needed for row in self.rows if row.verdict == "inconclusive"]
        known = [need for need in needs if need is not None]
        return max(known) if known and len(known) == len(needs) else None

    def as_dict(self) -> dict[str, Any]:
        """Return ``verdict``, ``kpis`` and what else ``summary.json`` of a validation holds."""
        return {
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "episodes": self.episodes,
            "episodes_not_run": self.not_run,
            "episodes_needed": self.episodes_needed,
            "gates": self.gate_file,
            "kpis": [row.as_dict() for row in self.rows],
        }


def load_gates(name_or_path: str | Path) -> GateFile:
    """Read a gate file, or a built-in one by name ("nominal", "demo").

    Raises:
        InputError: there is no such file or name, or it does not validate; names file, line and field.
    """
    path = Path(name_or_path)
    known = builtin_gates()
    if str(name_or_path) in known and not path.is_file():
        path = known[str(name_or_path)]
    elif not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise InputError(
            f"no gates of the name '{name_or_path}'",
            where=str(name_or_path),
            mend=f"give a YAML file, or one of: {', '.join(known)}",
        )
    gates = load_model(path, GateFile)
    gates._source = str(path)
    gates._lines = _gate_lines(path)
    return gates


def builtin_gates() -> dict[str, Path]:
    """Return the built-in gate files by name."""
    folder = files(assets) / "gates"
    return {Path(item.name).stem: Path(str(item)) for item in sorted(folder.iterdir(), key=lambda entry: entry.name)}


def evaluate_gates(gates: GateFile, episodes: Sequence[KpiValues], *, seed: int = 0, not_run: int = 0) -> Verdict:
    """Test every gate.

    Args:
        gates: the limits.
        episodes: KPI name to value for each episode; None and NaN mean "not measured".
        seed: of the bootstrap.
        not_run: how many further episodes were asked for but could not be run. They might have failed, so with any of
            them a pass becomes inconclusive.

    Returns:
        The verdict. Never "pass" without an episode or with nothing measured.

    Raises:
        InputError: a gate's metric is in no episode, or a value does not fit it; names file, line and field.
    """
    rows = tuple(_row(gates, index, episodes, seed) for index in range(len(gates.gates)))
    outcomes = [row.verdict for row in rows]
    verdict: Literal["pass", "fail", "inconclusive"] = "pass"
    if "fail" in outcomes:
        verdict = "fail"
    elif "inconclusive" in outcomes or "pass" not in outcomes or not_run:
        verdict = "inconclusive"
    return Verdict(verdict, rows, len(episodes), gates.name, gates.description, not_run)


@dataclass(frozen=True)
class _Finding:
    value: float | None
    interval: Interval
    verdict: Outcome
    needed: int | None = None
    note: str = ""


def _row(gates: GateFile, index: int, episodes: Sequence[KpiValues], seed: int) -> GateRow:
    gate = gates.gates[index]
    info = kpi_info(gate.metric)
    confidence = gates.confidence_of(gate)
    if episodes and not gate.optional and not any(gate.metric in episode for episode in episodes):
        present = sorted({name for episode in episodes for name in episode})
        raise InputError(
            f"metric '{gate.metric}' is in none of the {len(episodes)} episodes",
            where=gates.where(index, "metric"),
            mend=f"gate one of: {', '.join(present)}; or mark the gate 'optional: true'",
        )
    try:
        values = kpi_values(gate.metric, episodes)
        finding = _find(gate, values, 2.0 * confidence - 1.0, seed)
    except InputError as error:
        raise InputError(error.what, where=gates.where(index, "metric"), mend=error.mend) from error
    if len(values) == 0 and episodes:
        outcome: Outcome = "not_applicable" if gate.optional else "inconclusive"
        finding = _Finding(None, finding.interval, outcome, None, f"none of the {len(episodes)} episodes measured this")
    elif len(values) < len(episodes):
        seen = f"{len(episodes) - len(values)} of {len(episodes)} episodes did not measure this"
        finding = replace(finding, note=f"{finding.note}; {seen}" if finding.note else seen)
    low, high = json_interval(finding.interval)
    return GateRow(
        name=gate.name,
        label=_label(gate),
        metric=gate.metric,
        statistic=gate.rule,
        value=finding.value,
        ci_low=low,
        ci_high=high,
        n=len(values),
        missing=len(episodes) - len(values),
        bound=gate.bound,
        side=gate.side,
        confidence=confidence,
        verdict=finding.verdict,
        episodes_needed=finding.needed if finding.verdict == "inconclusive" else None,
        note=finding.note,
        unit=info.unit,
        kind=info.kind,
        why=gate.why,
    )


def _find(gate: Gate, values: NDArray[np.float64], level: float, seed: int) -> _Finding:
    if gate.rule == "rate":
        return _find_rate(gate, values, level)
    if gate.rule in ("min", "max"):
        return _find_extreme(gate, values, level)
    if gate.rule == "mean":
        return _find_bootstrap(gate, values, level, seed, "mean", MIN_VALUES_FOR_MEAN)
    if gate.rule == "cvar":
        tail = "cvar_low" if gate.side == "min" else "cvar_high"
        return _find_bootstrap(gate, values, level, seed, tail, MIN_VALUES_FOR_TAIL)
    return _find_quantile(gate, values, level)


def _find_rate(gate: Gate, values: NDArray[np.float64], level: float) -> _Finding:
    n, successes = len(values), int(binary(gate.metric, values).sum())
    interval = clopper_pearson(successes, n, level)
    needed = episodes_needed(successes, n, gate.bound, gate.side, level)
    return _Finding(successes / n if n else None, interval, decide(interval, gate.bound, gate.side), needed)


def _find_quantile(gate: Gate, values: NDArray[np.float64], level: float) -> _Finding:
    share = percentile_share(gate.rule)
    if share is None:  # worst_decile
        share = TAIL_SHARE if gate.side == "min" else 1.0 - TAIL_SHARE
    n = len(values)
    # The quantile keeps the bound exactly if enough values do, which makes it a gate on a proportion.
    if gate.side == "max":
        needed = episodes_needed(int(np.sum(values <= gate.bound)) if n else 0, n, share, "min", level)
    else:
        needed = episodes_needed(int(np.sum(values < gate.bound)) if n else 0, n, share, "max", level)
    if n == 0:
        return _Finding(None, UNKNOWN, "inconclusive", needed)
    interval = quantile_interval(values, share, level)
    return _Finding(
        float(np.quantile(values, share)), interval, decide(interval, gate.bound, gate.side), needed, _constant(values)
    )


def _find_bootstrap(
    gate: Gate, values: NDArray[np.float64], level: float, seed: int, statistic: str, least: int
) -> _Finding:
    n = len(values)
    value = float(named_statistic(statistic)(values[None, :])[0]) if n else None
    if value is None or n < least:
        return _Finding(value, UNKNOWN, "inconclusive", least - n, f"an interval takes at least {least} values")
    interval = bootstrap_interval(values, statistic, level, seed)
    verdict, needed = decide(interval, gate.bound, gate.side), episodes_needed_for_mean(value, interval, n, gate.bound)
    note, enough = _constant(values), _episodes_for_share(0.5 * (1.0 + level), _EQUAL_SHARE)
    if note and verdict == "pass" and n < enough:
        verdict, needed = "inconclusive", enough - n
    return _Finding(value, interval, verdict, needed, note)


def _find_extreme(gate: Gate, values: NDArray[np.float64], level: float) -> _Finding:
    confidence = 0.5 * (1.0 + level)
    n = len(values)
    enough = _episodes_for_share(confidence, gate.share)
    if n == 0:
        return _Finding(None, UNKNOWN, "inconclusive", enough)
    if gate.side == "min":
        value, broken = float(values.min()), int(np.sum(values < gate.bound))
    else:
        value, broken = float(values.max()), int(np.sum(values > gate.bound))
    if broken:
        return _Finding(value, UNKNOWN, "fail", None, f"{broken} of {n} episodes are beyond the limit")
    kept = 1.0 - rule_of_three(n, confidence)
    note = f"an extreme has no interval; at least {100 * kept:.0f} % of all episodes keep this limit"
    return _Finding(value, UNKNOWN, "pass" if n >= enough else "inconclusive", max(enough - n, 1), note)


def _episodes_for_share(confidence: float, share: float) -> int:
    """Return how many episodes, all alike, show that at least ``share`` of all episodes are (Wilks, 1941)."""
    return math.ceil(math.log(1.0 - confidence) / math.log(share))


def _constant(values: NDArray[np.float64]) -> str:
    if len(values) < 2 or np.any(values != values[0]):
        return ""
    return f"all values are equal; up to {100 * rule_of_three(len(values)):.0f} % of all episodes may differ"


def _label(gate: Gate) -> str:
    label = kpi_info(gate.metric).label
    words = {
        "rate": "",
        "mean": "mean",
        "median": "median",
        "worst_decile": "worst tenth begins",
        "cvar": "mean of worst tenth",
        "min": "lowest",
        "max": "highest",
    }
    word = words.get(gate.rule, f"{gate.rule[1:].lstrip('0')}th percentile")
    return f"{label}, {word}" if word else label


def _gate_lines(path: Path) -> tuple[int, ...]:
    """Return the 1-based line of each gate in a file that is known to validate."""
    root = yaml.compose(read_text(path), Loader=yaml.SafeLoader)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "gates":
            return tuple(item.start_mark.line + 1 for item in value.value)
    return ()
