"""``floorcast bench``: measure this machine against the peers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .shared import Device, JsonFile, Seed, show_table, tell

bench_app = typer.Typer(help="Measure this machine against the peers.", no_args_is_help=True)


@bench_app.command("sensors")
def bench_sensors(
    json_file: JsonFile = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer",
            help="pybullet, open3d, embreex, mujoco, warp, moderngl, or ours (noise and labels); all by default.",
        ),
    ] = None,
    sensor: Annotated[
        list[str] | None, typer.Option("--sensor", help="For example 'lidar 360 beams'; all four by default.")
    ] = None,
    cores: Annotated[
        list[int] | None, typer.Option("--cores", min=1, help="Cores of both sides; by default one, then all.")
    ] = None,
    repeat: Annotated[
        int,
        typer.Option("--repeat", min=1, help="Timed repetitions at each pose, fewer of slow ones; the median counts."),
    ] = 15,
    seed: Seed = 0,
) -> None:
    """Time our lidar and camera against the peers on the same scene in one run, and check that all see the same.

    Peers come with the extra 'bench' (pip install 'floorcast\\[bench]'); those that are missing are said to be.
    """
    from ..common.files import write_json_atomic
    from ..perception.bench.sensors import bench_sensors as run

    report = run(repeat=repeat, seed=seed, peers=peer or (), sensors=sensor or (), cores=cores or (), tell=tell)
    show_table(_bench_rows(report.rows))
    for key, value in report.conditions.items():
        tell(f"{key}: {value}")
    if json_file is not None:
        write_json_atomic(json_file, [vars(row) for row in report.rows])


@bench_app.command("episodes")
def bench_episodes(
    json_file: JsonFile = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw how the cost grows into this picture.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="peer, policy, physics or scaling; all by default.")
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Timed episodes of ours; the median counts.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Episodes of a second, only to try it out.")] = False,
    seed: Seed = 0,
) -> None:
    """Time whole episodes against a plain PyBullet loop in one run, say where the time goes and how it grows."""
    from ..common.files import write_json_atomic
    from ..episodes.bench.episodes import bench_episodes as run
    from ..episodes.bench.episodes import part_rows
    from ..episodes.bench.plot import draw_growth

    navigator = f"{__package__}.policies.navigator:Navigator"
    report = run(repeat=repeat, seed=seed, only=only or (), policy=navigator, quick=quick, tell=tell)
    table: list[tuple[str, ...]] = [("what", "peer", "ours ms", "peer ms", "ratio", "times real", "note")]
    for row in report.rows:
        values = ("-" if v is None else f"{v:.4g}" for v in (row.ours_ms, row.peer_ms, row.ratio, row.times_real))
        table.append((row.name, row.peer or "-", *values, row.note))
    show_table(table)
    if report.parts:
        print()
        show_table(part_rows(report))
    for key, value in report.conditions.items():
        tell(f"{key}: {value}")
    if json_file is not None:
        write_json_atomic(json_file, [vars(row) for row in report.rows])
    if plot is not None:
        draw_growth(report.rows, plot)
        tell(f"drawn: {plot}")


@bench_app.command("worlds")
def bench_worlds(
    json_file: JsonFile = None,
    device: Device = "auto",
    worlds: Annotated[
        list[int] | None, typer.Option("--worlds", min=1, help="Numbers of worlds; 1, 64, 1024 and 4096 by default.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="float32 or float64, on cuda.")] = "float32",
    tiny: Annotated[bool, typer.Option("--tiny", help="A few rays in a small room, to try everything out.")] = False,
    seed: Seed = 0,
) -> None:
    """Time our sensors in many worlds at once, and check them against the ray caster; exit code 1 if they differ."""
    from ..common.files import write_json_atomic
    from ..perception.bench.worlds import WORLD_COUNTS, generated_hall, lines, run, tiny_hall
    from ..perception.device import resolve_device

    resolve_device(device)
    hall = tiny_hall() if tiny else generated_hall(seed)
    counts = worlds or ((1, 2) if tiny else WORLD_COUNTS)
    report = run(hall, device=device, world_counts=counts, precision=precision, tiny=tiny)
    for line in lines(report):
        tell(line)
    if json_file is not None:
        write_json_atomic(json_file, report)
    if not report["passed"]:
        raise typer.Exit(1)


@bench_app.command("scaling")
def bench_scaling(
    out: Annotated[Path, typer.Option("--out", help="Folder for scaling.png, .svg and .json.")] = Path("runs/bench"),
    peer: Annotated[
        list[str] | None, typer.Option("--peer", help="Peers beside ours; Open3D and PyBullet by default.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few small cases only, to try it out.")] = False,
) -> None:
    """Measure and draw how the sensors' cost grows with solids, beams, pixels and robots, beside two peers."""
    from ..perception.bench.scaling import PEERS
    from ..perception.bench.scaling import bench_scaling as run

    points, missing = run(out, peers=peer or PEERS, quick=quick, tell=tell)
    rows: list[tuple[str, ...]] = [("panel", "at", "who", "ms", "least ms")]
    rows += [
        (p.panel, f"{p.at:.0f}", p.who, f"{p.median_ms:.3f}", f"{p.least_ms:.3f}")
        for p in sorted(points, key=lambda p: (p.panel, p.at))
    ]
    show_table(rows)
    for line in missing:
        tell(f"missing: {line}")
    tell(f"drawn: {out / 'scaling.png'}")


def _bench_rows(rows: list[Any]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [
        ("sensor", "peer", "cores", "at once", "ours ms", "peer ms", "ratio", "by minima", "agree %", "ids %", "how")
    ]
    for row in rows:
        if row.skipped:
            table.append((row.name, row.peer, str(row.cores), *"-------", f"skipped: {row.skipped}"))
            continue
        shares = ["-" if share is None else f"{100 * share:.2f}" for share in (row.agree_near, row.agree_ids)]
        times = (f"{row.ours_ms:.3f}", f"{row.peer_ms:.3f}", f"{row.ratio:.2f}x", f"{row.ratio_min:.2f}x")
        how = "; ".join(word for word in ("" if row.shadows else "no shadows", row.note) if word)
        table.append((row.name, row.peer, str(row.cores), str(row.batch), *times, *shares, how))
    return table
