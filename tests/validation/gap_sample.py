"""A gap page with every section: a robot's log before and after calibration, its lidar, a fleet, a drift."""

from __future__ import annotations

import numpy as np

from floorcast.common.seeding import generator
from floorcast.validation.gap_page import (
    Action,
    Block,
    Coverage,
    Drift,
    DriftRow,
    FamilyRow,
    GapPage,
    Histogram,
    MapPicture,
    Share,
    Split,
)
from floorcast.validation.gap_section import GapMetric
from floorcast.validation.plots import Estimate

from .sample import gap


def gap_page(name: str = "AMR 7") -> GapPage:
    """Return the page; ``name`` stands wherever a robot is named."""
    rng = generator(0, "gap page sample")
    corners = np.array([[0, 0], [24, 0], [24, 14], [0, 14]], dtype=np.float64)
    walls = np.concatenate([corners, np.roll(corners, -1, axis=0)], axis=1)
    side = rng.random(900) * 24
    points = {
        "match": np.column_stack([side, 0.02 * rng.standard_normal(900)]),
        "pose": np.column_stack([side[:120], 14 + 0.1 * rng.standard_normal(120)]),
        "moving": rng.normal((12, 6), 0.4, (80, 2)),
        "unexplained": rng.random((40, 2)) * (24, 14),
    }
    turn = np.linspace(0, 2 * np.pi, 300)
    path = np.column_stack([12 + 9 * np.cos(turn), 7 + 5 * np.sin(turn)])
    seconds = np.arange(0.0, 900.0, 10.0)
    course = 1.0 + 0.01 * rng.standard_normal(len(seconds)) - 0.0004 * np.maximum(seconds - 500, 0)
    metric = GapMetric("lidar_bias", "m", Estimate(0.031, 0.029, 0.033), Estimate(0.004, 0.002, 0.006), robot=name)
    estimates = [Estimate(v, v - 0.02, min(v + 0.02, 1.0)) for v in (0.95, 0.94, 0.96, 0.93)]
    return GapPage(
        title=f"The gap between simulation and {name}",
        subtitle="900 s of commands, tracked poses and lidar scans",
        answers=[
            f"After 30 s the simulated {name} stands 0.14 m from the real one; before calibration it was 0.17 m.",
            "The real robot repeats itself to 0.12 m, so little more can be won by better values.",
        ],
        facts=[("Robots", "1"), ("Driven", "48 m")],
        actions=[
            Action(
                "Use the calibrated twin", f"Give the twin of {name} to every run.", "a minute", "held-out minutes",
                0.31, 0.22, 0.4, "of the squared position error after 10 s",
            ),
            Action("Log the commands", "Record what the robot is told.", "a setting", "the log has none"),
        ],
        splits=[
            Split(
                f"Position error of {name} after 10 s", "100 % is the mean squared error without a twin: (0.11 m)².",
                [
                    Share("dynamics", "Gains", 0.31, 0.22, 0.4, "the robot drives 4 % less than it is told"),
                    Share("dynamics", "Slip", 0.4, 0.3, 0.52, "turns differ from each other"),
                    Share("behaviour", "Collisions", 0.08, None, None, "pushed by others"),
                    Share("reference", "Tracker", 0.01, None, None, "noise of the tracked pose"),
                    Share("unexplained", "The rest", 0.2, 0.1, 0.3, "no model here explains it"),
                ],
                "Each part is what the error falls by when the part is put right.",
            )
        ],
        motion=gap(),
        predicted=Block(
            lead="The twin predicts a cloud of end points, not one.",
            coverage=[Coverage("Inside the predicted band", (1, 5, 10, 30), [(name, "s-after", estimates)])],
        ),
        lidar=Block(
            lead="Measured against a map made of the other half of the run.",
            metrics=[metric],
            histograms=[
                Histogram(
                    "Range error", "m",
                    [("Log's poses", "s-before", rng.normal(0.03, 0.05, 4000)),
                     ("Aligned", "s-after", rng.normal(0, 0.015, 4000))],
                    -0.2, 0.2,
                )
            ],
            maps=[MapPicture("What the lidar saw", walls, points, path, "Every fifth scan.")],
        ),
        families=[
            FamilyRow("linear_gain", "", 0.96, 0.01, {name: Estimate(0.95, 0.94, 0.96), "AMR 8": Estimate(0.97)})
        ],
        drift=Drift(
            True, [f"{name} left the band of its twin after 600 s: linear gain fell."],
            [DriftRow(name, "linear_gain", "", Estimate(1.0, 0.97, 1.03), Estimate(0.85, 0.84, 0.86), True)],
            ["Sound robots raise such an alarm once in 500 logs."],
            [("Linear gain", "times what was asked", seconds, course, (0.97, 1.03))], 600.0,
        ),
        findings=["log.csv: 3 x stamp goes back (first at line 17)"],
        missing=[("Wheel odometry", "the log has none")],
        command=f"floorcast gap '{name}.csv'",
        conditions=[("Seed", "0")],
        warnings=["One run only."],
    )  # fmt: skip
