"""A page like the demo's: 16 episodes, a small dataset and a tricycle log before and after calibration."""

from __future__ import annotations

import cv2
import numpy as np

from floorcast.common.seeding import generator
from floorcast.validation.gates import evaluate_gates, load_gates
from floorcast.validation.kpis import aggregate
from floorcast.validation.report import (
    Failure,
    GapSection,
    ReportData,
    TrajectoryPlot,
    TwinParameter,
    pair_metrics,
)

PLAN = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 240">
<rect width="400" height="240" fill="#fafafa" stroke="#333" stroke-width="4"/>
{racks}<path d="M20 220C80 60 160 230 240 110S330 60 380 30" fill="none" stroke="#0b6b75" stroke-width="3"/>
<text x="20" y="20" font-size="11">hall &lt;A&gt;</text></svg>"""


def episodes(count: int = 16, failures: int = 0, seed: int = 3) -> list[dict[str, float | None]]:
    """Per-episode KPIs; the first ``failures`` episodes hit a person."""
    random = generator(seed, "sample")
    result: list[dict[str, float | None]] = []
    for index in range(count):
        failed = index < failures
        path = float(random.uniform(22, 46))
        result.append(
            {
                "success": 0.0 if failed else 1.0,
                "collision": 1.0 if failed else 0.0,
                "timeout": 0.0,
                "collision_speed_mps": float(random.uniform(0.3, 1.1)) if failed else 0.0,
                "time_s": path / 0.9 + float(random.exponential(6)),
                "path_m": path,
                "spl": 0.0 if failed else float(random.uniform(0.8, 0.98)),
                "min_sep_m": float(random.uniform(0.08, 0.3)),
                "min_sep_person_m": 0.0 if failed else (None if index == 15 else float(random.uniform(0.35, 1.8))),
                "estop_count": float(random.poisson(0.6)),
                "near_miss_count": 0.0,
                "jerk_rms": float(random.uniform(0.4, 1.4)),
                "energy_wh": path * 0.35,
                "tasks_per_h": float(random.uniform(55, 80)),
                "utilisation": float(random.uniform(0.7, 0.95)),
            }
        )
    return result


def picture(seed: int) -> bytes:
    """A made-up warehouse view with boxes drawn in, as PNG."""
    random = generator(seed, "picture")
    image = np.zeros((192, 256, 3), np.uint8)
    image[:90] = (214, 208, 200)
    image[90:] = np.linspace(120, 175, 102)[:, None, None].astype(np.uint8)
    for index in range(6):
        x, w = 8 + 41 * index, 36
        cv2.rectangle(image, (x, 40), (x + w, 120), (150, 80, 40), 2)
        for row in range(2):
            if random.random() < 0.8:
                corner = (x + 4, 48 + 36 * row)
                cv2.rectangle(image, corner, (x + w - 4, corner[1] + 28), (92, 136, 181), -1)
                cv2.rectangle(image, corner, (x + w - 4, corner[1] + 28), (60, 220, 250), 1)
    ok, data = cv2.imencode(".png", image)
    assert ok
    return data.tobytes()


def replay(seed: int, steps: int = 600) -> TrajectoryPlot:
    """A tricycle's path and two simulations that drift from it, the second less."""
    random = generator(seed, "replay")
    turn = 0.25 * np.sin(np.linspace(0, 7 + seed, steps)) + 0.12 * random.standard_normal()
    paths = []
    for gain, bias in ((1.0, 0.0), (1.06, 0.012), (1.01, 0.003)):
        yaw = np.cumsum((turn * gain + bias) * 0.1)
        paths.append(np.cumsum(0.05 * gain * np.stack([np.cos(yaw), np.sin(yaw)], axis=1), axis=0))
    caption = "Replayed from the logged commands alone."
    return TrajectoryPlot(f"Held-out minute {seed + 1}", paths[0], paths[1], paths[2], caption=caption)


def gap() -> GapSection:
    metrics: tuple[list, list] = ([], [])
    for name, unit, before, after, floor in (
        ("pos_end_err", "m", 0.021, 0.012, 0.004),
        ("yaw_end_err", "rad", 0.019, 0.011, 0.0035),
    ):
        for horizon in (1, 2, 5, 10, 30):
            for rows, level, width in ((metrics[0], before, 0.12), (metrics[1], after, 0.2)):
                value = level * horizon**0.8
                rows.append(
                    {
                        "name": name,
                        "robot": "tricycle",
                        "horizon_s": horizon,
                        "value": value,
                        "ci_low": value * (1 - width),
                        "ci_high": value * (1 + 1.4 * width),
                        "n": int(300 / horizon),
                        "floor": floor * horizon**0.5,
                        "ratio": None,
                        "unit": unit,
                    }
                )
    return GapSection(
        source="A real tricycle drove 5 minutes on a factory floor; the first part calibrates, the rest judges.",
        metrics=pair_metrics(*metrics),
        trajectories=[replay(0), replay(1)],
        parameters=[
            TwinParameter("linear_gain", 1.013, 1.009, 1.018, ""),
            TwinParameter("command_delay", 0.12, 0.09, 0.16, "s"),
            TwinParameter("motor_lag", 0.08, 0.01, 0.45, "s", identifiable=False),
        ],
        notes=["The log holds no payload changes, so the mass was not calibrated."],
    )


def report_data(failures: int = 0, count: int = 16, gates: str = "demo") -> ReportData:
    values = episodes(count, failures)
    racks = "".join(
        f'<rect x="{40 + 90 * i}" y="{50 + 90 * j}" width="60" height="22" fill="#7a8fa6"/>'
        for i in range(4)
        for j in range(2)
    )
    return ReportData(
        title="Floorcast demo: a mobile robot in a generated hall",
        subtitle="16 randomized episodes, their labelled dataset, and the gap to a real robot",
        subject="The policy navigator",
        standing_on="Stands on the twin “nominal”, which is not calibrated against a robot of this site.",
        facts=[
            ("Episodes", str(count)),
            ("Scenario", "nominal"),
            ("Policy", "navigator"),
            ("Pictures", "96"),
            ("Simulated time", "12 min 40 s"),
            ("Seed", "0"),
        ],
        verdict=evaluate_gates(load_gates(gates), values),
        kpis=aggregate(values),
        failures=[
            Failure(
                f"Episode {index}",
                f"floorcast rollout nominal --policy navigator --seed 0 --episode {index}",
                "touched a person at 0.62 m/s after 14.2 s",
            )
            for index in range(failures)
        ],
        plan_svg=PLAN.format(racks=racks),
        plan_caption="Episode 0: paths of two robots (green) among three people.",
        frames=[(f"Episode {i}, robot 0, picture {i % 4}", picture(i)) for i in range(8)],
        dataset=[("Pictures", "96"), ("Objects", "4 812"), ("Size", "21 MiB"), ("Content hash", "9f3a1c77be02d4e1")],
        class_counts={"box": 2911, "rack": 801, "pallet": 640, "amr": 210, "person": 151, "small_load_carrier": 99},
        gap=gap(),
        command="floorcast demo --seed 0",
        conditions=[("Version", "0.1.0"), ("Physics", "240 Hz"), ("Control", "20 Hz"), ("Gate file", gates)],
        warnings=["The demo's gate is far too lenient for a release; use the gates “nominal”."],
    )
