"""Physics against closed forms: every figure of ``benchmarks/physics_accuracy.py`` is held to its limit."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "physics_accuracy.py"
SPEC = importlib.util.spec_from_file_location("physics_accuracy", FILE)
accuracy = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = accuracy
SPEC.loader.exec_module(accuracy)

LONG = {"tricycle", "acceleration", "tracking", "braking", "energy", "impulse", "pushing", "articulated"}
GROUPS = [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in accuracy.GROUPS]


@pytest.mark.parametrize("group", GROUPS)
def test_figures_meet_their_closed_forms(group):
    rows = accuracy.GROUPS[group]()
    assert len(rows) >= 4
    missed = [
        f"{row.case}, {row.asked}: {row.got:.4g}, not {row.theory:.4g} {row.unit}"
        for row in rows
        if not row.error <= row.limit
    ]
    assert not missed, "\n".join(missed)


def test_errors_are_shares_of_what_theory_says():
    assert accuracy.Row("g", "c", "a", 2.0, 2.1, "m", 0.02).error == pytest.approx(0.05)
    assert accuracy.Row("g", "c", "a", 0.0, 0.1, "m", 0.02, scale=10.0).error == pytest.approx(0.01)
    assert not accuracy.Row("g", "c", "a", 2.0, float("nan"), "m", 0.02).error <= 0.02
