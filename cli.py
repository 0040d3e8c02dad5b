"""The command line: thin commands that parse, call and show.

Exit codes: 0 done, 1 a gate failed or an episode could not be run, 2 bad input, 3 inconclusive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from . import __version__
from .commands.gap import calibrate, gap_app
from .commands.shared import (
    Address,
    Device,
    Json,
    JsonFile,
    Out,
    Resume,
    Seed,
    Twin,
    Workers,
    cell_text,
    make_resources,
    show_result,
    show_table,
    tell,
)
from .common.errors import FloorcastError, InputError
from .common.threads import limit_linear_algebra

app = typer.Typer(
    name="floorcast",
    help="A physical-AI simulator for warehouse robots: labelled data, policy gates, and the sim-to-real gap.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
layout_app = typer.Typer(help="Make, check and draw halls.", no_args_is_help=True)
dataset_app = typer.Typer(help="Check datasets.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure this machine against the peers.", no_args_is_help=True)
app.add_typer(layout_app, name="layout")
app.add_typer(dataset_app, name="dataset")
robot_app = typer.Typer(help="Take over robots from URDF files.", no_args_is_help=True)
app.add_typer(robot_app, name="robot")
app.add_typer(bench_app, name="bench")
app.add_typer(gap_app, name="gap")
app.command()(calibrate)

Scenario = Annotated[str, typer.Argument(help="A built-in scenario (see floorcast scenarios) or a YAML file.")]
PolicyName = Annotated[
    str, typer.Option("--policy", help="navigator, reckless, package.module:Class or file.py:Class.")
]


def main() -> NoReturn:
    """Run the command line; bad input ends with one screen of text and exit code 2."""
    limit_linear_algebra()
    try:
        with _quiet_libraries():
            app(standalone_mode=True)
    except FloorcastError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it left off", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (head, less): that is its right.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno is None:
            raise
        print(f"error: {error.strerror}\n  where: {error.filename or 'unknown'}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    if version:
        print(f"floorcast {__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Output folder.")] = Path("runs/demo"),
    seed: Seed = 0,
    episodes: Annotated[int, typer.Option("--episodes", min=1)] = 16,
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Run the main job once: 16 random episodes, a labelled dataset, a verdict, and a real robot's gap, on one page."""
    from .cluster.demo import run_demo

    result = run_demo(out=out, seed=seed, episodes=episodes, resources=make_resources(workers, address))
    show_result(result.rows, result.summary, as_json)
    tell(f"page:    {result.report}\nsummary: {result.folder / 'summary.json'}\ndataset: {result.folder / 'dataset'}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what works on this machine and how to mend what does not."""
    from .cluster.doctor import examine

    findings = examine()
    marks = {"works": "works", "optional": "not here (optional)", "broken": "BROKEN"}
    rows = [(item.name, marks[item.status], item.detail) for item in findings]
    summary = {"findings": [vars(item) for item in findings]}
    show_result([("what", "state", "seen"), *rows], summary, as_json)
    for item in findings:
        if item.mend:
            tell(f"{item.name}: {item.mend}")
    if any(item.status == "broken" for item in findings):
        raise typer.Exit(2)


@layout_app.command("generate")
def layout_generate(
    out: Annotated[Path, typer.Option("--out", help="The layout file to write (YAML).")],
    area: Annotated[float | None, typer.Option("--area", help="Floor area [m2], 100 to 10,000.")] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="A YAML file with a layout recipe.")] = None,
    zones: Annotated[
        bool,
        typer.Option("--zones", help="A site: docks, packing, charging, pick faces, bulk; 10,000 m2 unless --area."),
    ] = False,
    plan: Annotated[Path | None, typer.Option("--plan", help="Draw the floor plan too: a .png or .svg file.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Generate a hall from a recipe and a seed."""
    from .common.config import load_model, parse_model
    from .layouts.generator import generate_layout
    from .layouts.recipe import LayoutRecipe, site_recipe

    given = load_model(recipe, LayoutRecipe) if recipe is not None else site_recipe() if zones else LayoutRecipe()
    changes: dict[str, Any] = {} if area is None else {"area": area}
    if zones and given.zones is None:
        changes["zones"] = {}
    if changes:
        given = parse_model({**given.model_dump(), **changes}, LayoutRecipe, source="--area and --zones")
    layout = generate_layout(given, seed)
    layout.save(out)
    if plan is not None:
        _draw(layout, plan)
    show_result(_layout_rows(layout), _layout_summary(layout), as_json)


@layout_app.command("import")
def layout_import(
    file: Annotated[Path, typer.Argument(help="A site's own file: LIF, map_server, grid, Open-RMF or SDF.")],
    out: Annotated[Path, typer.Option("--out", help="The layout file to write (YAML).")],
    file_format: Annotated[str | None, typer.Option("--format", help="Format, where the name does not tell.")] = None,
    level: Annotated[str | None, typer.Option("--level", help="Which storey, where the file has several.")] = None,
    cell_size: Annotated[
        float | None, typer.Option("--cell-size", help="Edge of a grid's cells [m]; else 1.0.")
    ] = None,
    stations: Annotated[
        str | None, typer.Option("--stations", help="Add stations: a number, where there is room, or a YAML file.")
    ] = None,
    plan: Annotated[Path | None, typer.Option("--plan", help="Draw the floor plan too: a .png or .svg file.")] = None,
    as_json: Json = False,
) -> None:
    """Turn a site's own file into a hall, and say what of it could not be used."""
    from .layouts.importers.detect import import_layout
    from .layouts.importers.stations import add_stations

    found = import_layout(file, format=file_format, level=level, cell_size=cell_size)
    layout = found.layout if stations is None else add_stations(found.layout, stations)
    layout.save(out)
    if plan is not None:
        _draw(layout, plan)
    summary = {**_layout_summary(layout), "read": found.read, "left": dict(found.leftovers.counts)}
    show_result(_layout_rows(layout), summary, as_json)
    for line in found.leftovers.lines():
        tell(f"not used: {line}")


@layout_app.command("drive")
def layout_drive(
    file: Annotated[Path, typer.Argument(help="A layout file (YAML).")],
    stations: Annotated[
        str | None,
        typer.Option("--stations", help="Add stations first: a number, where there is room, or a YAML file."),
    ] = None,
    robot: Annotated[str | None, typer.Option("--robot", help="A built-in robot, or a robot file.")] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many errands.")] = 4,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Let a robot drive between a hall's stations, alone: whether it can work there at all."""
    from .layouts.importers.stations import add_stations, with_walls
    from .layouts.model import Layout
    from .robots.load import load_robot
    from .validation.drive import drive_between_stations

    layout, model = Layout.load(file), None if robot is None else load_robot(robot)
    if stations is not None:
        layout = (
            add_stations(layout, stations)
            if model is None
            else add_stations(layout, stations, robot_radius=model.radius)
        )
    enclosed = with_walls(layout)
    if enclosed is not layout:
        tell("the hall holds nothing that a lidar could see; four walls around it are assumed")
    drives = drive_between_stations(enclosed, episodes=episodes, seed=seed, robot=model)
    rows: list[tuple[str, ...]] = [("episode", "from", "to", "done", "time_s", "driven_m", "shortest_m", "collisions")]
    rows += [tuple(cell_text(value) for value in dataclasses.astuple(drive)) for drive in drives]
    done = sum(drive.success for drive in drives)
    show_result(rows, {"done": done, "drives": [dataclasses.asdict(drive) for drive in drives]}, as_json)
    tell(f"{done} of {episodes} done")
    if done < episodes:
        raise typer.Exit(1)


@layout_app.command("show")
def layout_show(
    file: Annotated[Path, typer.Argument(help="A layout file (YAML).")],
    out: Annotated[Path | None, typer.Option("--out", help="Draw the floor plan: a .png or .svg file.")] = None,
    as_json: Json = False,
) -> None:
    """Check a hall, sum it up and draw its plan."""
    from .layouts.model import Layout
    from .layouts.validation import require_valid

    layout = Layout.load(file)
    require_valid(layout, str(file))
    if out is not None:
        _draw(layout, out)
    show_result(_layout_rows(layout), _layout_summary(layout), as_json)


@robot_app.command("import")
def robot_import(
    file: Annotated[Path, typer.Argument(help="A robot's URDF (xacro expanded).")],
    mapping: Annotated[Path | None, typer.Option("--mapping", help="YAML: which joints are wheels, and so on.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The robot file to write (YAML).")] = None,
    guess: Annotated[Path | None, typer.Option("--guess", help="Write a first mapping here, and no robot.")] = None,
    as_json: Json = False,
) -> None:
    """Turn a URDF and a mapping into a robot, and say what was used, assumed and left."""
    from .common.files import write_text_atomic
    from .robots.mapping import load_mapped
    from .robots.mapping_guess import guess_mapping, save_mapped

    if guess is not None:
        write_text_atomic(guess, guess_mapping(file))
        tell(f"a first mapping: {guess}; look through it, then give it with --mapping")
        return
    if mapping is None or out is None:
        raise InputError("--mapping and --out are missing", mend="or let --guess FILE write a first mapping")
    robot = load_mapped(mapping)
    if robot.urdf.resolve() != file.resolve():
        raise InputError(f"the mapping is of {robot.urdf}, not of {file}", where=str(mapping), mend="correct 'urdf'")
    shape = save_mapped(robot, out)
    model, report = robot.model, robot.report
    rows: list[tuple[str, ...]] = [
        ("what", "value"),
        ("robot", model.name),
        ("kind", model.kind),
        ("shape", str(shape)),
    ]
    rows += [("size_m", f"{model.length:.3f} x {model.width:.3f} x {model.height:.3f}"), ("file", str(out))]
    summary = {"robot": str(out), "shape": str(shape), **vars(report)}
    show_result(rows, summary, as_json)
    for word, lines in vars(report).items():
        for line in lines:
            tell(f"{word}: {line}")


@app.command()
def scenarios(as_json: Json = False) -> None:
    """List the built-in scenarios and what goes wrong in each."""
    from .episodes.library import scenario_library

    entries = scenario_library()
    rows: list[tuple[str, ...]] = [("scenario", "s", "what it is")]
    rows += [(entry.name, f"{entry.duration:g}", entry.description) for entry in entries]
    show_result(rows, {"scenarios": [dataclasses.asdict(entry) for entry in entries]}, as_json)


@app.command()
def rollout(
    scenario: Scenario = "nominal",
    policy: PolicyName = "navigator",
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many, from index 0 on.")] = 16,
    episode: Annotated[int | None, typer.Option("--episode", min=0, help="Run this one alone.")] = None,
    seed: Seed = 0,
    workers: Workers = None,
    address: Address = None,
    twin: Twin = None,
    out: Out = None,
    resume: Resume = True,
    as_json: Json = False,
) -> None:
    """Run a policy over random episodes and sum up its KPIs."""
    from .cluster.evaluate import rollout as run

    indices = (episode,) if episode is not None else tuple(range(episodes))
    result = run(
        scenario,
        policy=policy,
        episodes=indices,
        seed=seed,
        out=out,
        resources=make_resources(workers if episode is None else (workers or 0), address),
        twin=twin,
        resume=resume,
    )
    show_result(_kpi_rows(result.summary["kpis"]), result.summary, as_json)
    tell(f"records: {result.folder}")
    _exit_for_failed(result.outcome.failed)


@app.command()
def generate(
    scenario: Scenario = "nominal",
    frames: Annotated[int, typer.Option("--frames", help="Labelled pictures.")] = 200,
    policy: PolicyName = "navigator",
    seed: Seed = 0,
    workers: Workers = None,
    address: Address = None,
    twin: Twin = None,
    license_name: Annotated[
        str | None, typer.Option("--license", help="Licence to write into the dataset; yours to choose.")
    ] = None,
    out: Out = None,
    resume: Resume = True,
    as_json: Json = False,
) -> None:
    """Generate a labelled dataset (COCO and KITTI); the same bytes whatever the workers and interruptions."""
    from .cluster.generate import generate as run

    result = run(
        scenario,
        frames=frames,
        seed=seed,
        out=out,
        resources=make_resources(workers, address),
        policy=policy,
        twin=twin,
        license_name=license_name,
        resume=resume,
    )
    show_result(
        [("what", "value"), *((key, cell_text(value)) for key, value in result.summary.items())],
        result.summary,
        as_json,
    )
    tell(f"dataset: {result.folder / 'dataset'}")
    _exit_for_failed(result.failed)


@dataset_app.command("check")
def dataset_check(
    folder: Annotated[Path, typer.Argument(help="A dataset folder, or the run folder that holds one.")],
    as_json: Json = False,
) -> None:
    """Check a dataset from its files alone: formats, masks, boxes, projections."""
    from .perception.datasets.check import check_dataset

    if (folder / "dataset").is_dir():
        folder = folder / "dataset"
    report = check_dataset(folder)
    show_result(_check_rows(report), report.to_dict(), as_json)
    for problem in report.problems[:20]:
        tell(f"problem: {problem}")
    if not report.ok:
        tell(f"{report.problem_count} problems in all")
        raise typer.Exit(1)


@app.command()
def validate(
    scenario: Scenario = "nominal",
    policy: PolicyName = "navigator",
    gates: Annotated[str, typer.Option("--gates", help="Built-in gates or a gates.yaml.")] = "nominal",
    episodes: Annotated[int, typer.Option("--episodes", min=1)] = 100,
    seed: Seed = 0,
    workers: Workers = None,
    address: Address = None,
    twin: Twin = None,
    out: Out = None,
    resume: Resume = True,
    as_json: Json = False,
) -> None:
    """Judge a policy by gates on intervals: exit 0 pass, 1 fail, 3 inconclusive with the episodes still needed."""
    from .cluster.evaluate import validate as run

    result = run(
        scenario,
        policy=policy,
        gates=gates,
        episodes=episodes,
        seed=seed,
        out=out,
        resources=make_resources(workers, address),
        twin=twin,
        resume=resume,
    )
    show_result(_kpi_rows(result.rollout.summary["kpis"]), result.rollout.summary, as_json)
    verdict = result.verdict
    tell(f"verdict: {verdict.verdict.upper()}")
    if verdict.verdict == "inconclusive":
        needed = verdict.episodes_needed
        tell(
            f"about {needed} more episodes would decide: --episodes {episodes + needed} with the same --out"
            if needed
            else "no number of further episodes can be named"
        )
    _tell_failed(result.rollout.outcome.failed, "could not be run")
    tell(f"records: {result.rollout.folder}; JUnit: {result.junit}")
    raise typer.Exit(result.verdict.exit_code)


@app.command()
def view(
    run: Annotated[Path | None, typer.Argument(help="A run's folder; without one the episode is run anew.")] = None,
    out: Annotated[Path, typer.Option("--out", help="A .mp4, .webm, .gif, .mcap or .rrd file.")] = Path("episode.mp4"),
    episode: Annotated[int, typer.Option("--episode", min=0, help="Index of the episode.")] = 0,
    scenario: Annotated[str | None, typer.Option("--scenario", help="Without a run: see rollout.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Without a run: see rollout.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Without a run.")] = None,
    twin: Twin = None,
    camera: Annotated[int | None, typer.Option("--camera", min=0, help="Robot whose camera is shown beside.")] = None,
    start: Annotated[float, typer.Option("--from", help="Second of the episode to begin at.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", help="Second of the episode to end at.")] = None,
    speed: Annotated[float | None, typer.Option("--speed", help="Times real time, of a film; 1 by default.")] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Pictures per second of a film; 20 by default.")] = None,
    width: Annotated[int | None, typer.Option("--width", help="Pixels across a film; 1280 by default.")] = None,
    as_json: Json = False,
) -> None:
    """Play an episode to a film (MP4, WebM, GIF), or export it as MCAP for Foxglove or as a Rerun recording."""
    from .cluster.view import EpisodeChoice
    from .cluster.view import view as show
    from .episodes.view.film import FilmSettings

    made_anew = {"scenario": scenario, "policy": policy, "seed": seed, "twin": twin}
    given = {name: value for name, value in made_anew.items() if value is not None}
    if run is not None and given:
        raise InputError(
            "a run's folder says what its episodes were run with",
            where=", ".join(f"--{name}" for name in given),
            mend="drop these, or the folder",
        )
    of_film = {"speed": speed, "fps": fps, "width": width, "camera": camera}
    filmed: dict[str, Any] = {name: value for name, value in of_film.items() if value is not None}
    if out.suffix.lower() == ".mcap" and filmed:
        raise InputError("an MCAP file has none of a film's settings", where=", ".join(f"--{name}" for name in filmed))
    settings = FilmSettings(start=start, end=end, **filmed)
    summary = show(EpisodeChoice(episode, run, **given), out, settings)  # type: ignore[arg-type]
    show_result([("what", "value"), *((key, cell_text(value)) for key, value in summary.items())], summary, as_json)


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
    from .common.files import write_json_atomic
    from .perception.bench.sensors import bench_sensors as run

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
    from .common.files import write_json_atomic
    from .episodes.bench.episodes import bench_episodes as run
    from .episodes.bench.episodes import part_rows
    from .episodes.bench.plot import draw_growth

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
    from .common.files import write_json_atomic
    from .perception.bench.worlds import WORLD_COUNTS, generated_hall, lines, run, tiny_hall
    from .perception.device import resolve_device

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
    from .perception.bench.scaling import PEERS
    from .perception.bench.scaling import bench_scaling as run

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


def _draw(layout: Any, path: Path) -> None:
    from .layouts.drawing import draw_plan

    draw_plan(layout, path)
    tell(f"plan: {path}")


def _layout_summary(layout: Any) -> dict[str, Any]:
    from .layouts.loads import pallet_places

    standing = ("racks", "goods", "stations", "docks", "conveyors", "chargers", "columns", "walls", "obstacles")
    parts = (*standing, "aisles", "lights", "waypoints", "lanes", "zones")
    return {
        "name": layout.name,
        "area_m2": layout.area,
        "length_m": layout.length,
        "width_m": layout.width,
        **{part: len(getattr(layout, part)) for part in parts},
        "pallet_places": pallet_places(layout.racks),
    }


def _layout_rows(layout: Any) -> list[tuple[str, ...]]:
    return [("what", "value"), *((key, cell_text(value)) for key, value in _layout_summary(layout).items())]


def _check_rows(report: Any) -> list[tuple[str, ...]]:
    keys = (
        "frames",
        "annotations",
        "episodes",
        "truncated",
        "boxes_held_to_masks",
        "worst_box_error_px",
        "labelled_points",
        "points_held_to_boxes",
        "problem_count",
    )
    rows: list[tuple[str, ...]] = [("what", "value"), *((key, cell_text(getattr(report, key))) for key in keys)]
    rows += [(f"distance_m {key}", cell_text(value)) for key, value in report.distance_m.items()]
    rows += [(f"occlusion level {key}", cell_text(value)) for key, value in report.occlusion.items()]
    return rows


def _kpi_rows(kpis: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("KPI", "value", "interval", "n", "bound", "verdict")]
    for row in kpis:
        low, high = row["ci_low"], row["ci_high"]
        # The two-sided interval whose ends a gate is decided on at its one-sided confidence; 95 % without a gate.
        level = 100.0 * (2.0 * row["confidence"] - 1.0) if "confidence" in row else 95.0
        interval = "" if low is None and high is None else f"{cell_text(low)} to {cell_text(high)} ({level:.4g} %)"
        bound = "" if row["bound"] is None else cell_text(row["bound"])
        rows.append((row["name"], cell_text(row["value"]), interval, str(row["n"]), bound, row["verdict"] or ""))
    return rows


def _tell_failed(failed: list[Any], what: str) -> None:
    if failed:
        tell(f"{len(failed)} episodes {what}; the first, episode {failed[0].episode}:\n{failed[0].traceback}")
        tell(f"run it alone: {failed[0].repro}")


def _exit_for_failed(failed: list[Any]) -> None:
    _tell_failed(failed, "failed every attempt")
    if failed:
        raise typer.Exit(1)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Send what C libraries print (PyBullet greets on standard output) to standard error, so that --json stays JSON."""
    # A shell may start us without a standard output or error (>&-); a name may not fit the terminal's encoding.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    try:
        saved = os.dup(sys.stdout.fileno())
    except (OSError, io.UnsupportedOperation):
        yield
        return
    original = sys.stdout
    encoding = original.encoding or "utf-8"
    sys.stdout = os.fdopen(saved, "w", buffering=1, encoding=encoding, errors="backslashreplace")
    os.dup2(sys.stderr.fileno(), 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        sys.stdout = original
