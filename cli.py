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
from .commands.bench import bench_app
from .commands.gap import calibrate, gap_app
from .commands.layout import layout_app, robot_app
from .commands.shared import (
    Address,
    Json,
    Out,
    Resume,
    Seed,
    Twin,
    Workers,
    cell_text,
    make_resources,
    show_result,
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
dataset_app = typer.Typer(help="Check datasets.", no_args_is_help=True)
app.add_typer(layout_app, name="layout")
app.add_typer(dataset_app, name="dataset")
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
