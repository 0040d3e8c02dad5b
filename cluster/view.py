"""Showing an episode: found in a run's folder or run anew, then written as a film, for Foxglove or for Rerun."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import InputError
from ..episodes.loop import run_episode
from ..episodes.scenario import load_scenario
from ..episodes.store import load_record
from ..episodes.view import film
from ..episodes.view.film import FilmSettings
from ..episodes.view.playback import Playback
from ..policies.registry import load_policy
from ..robots.twin import load_twin
from .jobs import RECORD_FOLDER, record_path
from .progress import progress
from .run import SCENARIO_FILE, TWIN_FILE
from .run_folder import RUN_FILE

SUFFIXES = (*film.SUFFIXES, ".mcap", ".rrd")


@dataclass(frozen=True)
class EpisodeChoice:
    """Which episode: of a run's folder, or, without one, made anew from a scenario, a policy and a seed."""

    episode: int
    run: Path | None = None
    scenario: str = "nominal"
    policy: str = "navigator"
    seed: int = 0
    twin: Path | None = None


def view(choice: EpisodeChoice, out: Path, settings: FilmSettings) -> dict[str, Any]:
    """Write an episode to a file whose name says what it is: ``.mp4``, ``.webm``, ``.gif``, ``.mcap`` or ``.rrd``.

    Returns:
        What was written, for the table.

    Raises:
        InputError: an unknown suffix, no such run or episode, a damaged record, or settings that show nothing.
        OutputError: the file cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"an episode cannot be written as '{suffix or out.name}'",
            where=str(out),
            mend=f"end the file's name in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}",
        )
    playback = open_episode(choice)
    summary: dict[str, Any] = {"file": str(out), "episode_s": round(playback.duration, 3)}
    if suffix in (".mcap", ".rrd"):
        counts = _write_messages(playback, out, settings)
        summary.update(messages=sum(counts.values()), topics=len(counts))
    else:
        times, _ = film.film_times(playback, settings, suffix)
        with progress("filming", len(times), unit="pictures") as advance:
            made = film.write_film(playback, out, settings, advance)
        summary.update(pictures=made.frames, width=made.width, height=made.height, film_s=round(made.seconds, 3))
    return {**summary, "bytes": out.stat().st_size}


def open_episode(choice: EpisodeChoice) -> Playback:
    """Read an episode from its run, or run it.

    Raises:
        InputError: no such run, no such episode in it, a damaged record, or bad input of the episode itself.
    """
    if choice.run is None:
        scenario, make_policy = load_scenario(choice.scenario), load_policy(choice.policy)
        twin = load_twin(choice.twin) if choice.twin is not None else None
        record = run_episode(
            scenario, make_policy, policy_name=choice.policy, seed=choice.seed, index=choice.episode, twin=twin
        )
        return Playback(record, scenario, twin)
    _require_run(choice.run)
    path = record_path(choice.run, choice.episode)
    if not path.is_file():
        raise InputError(
            f"the run holds no record of episode {choice.episode} ({_held(choice.run)})",
            where=str(choice.run),
            mend="name one that it holds, or run the episode: floorcast rollout",
        )
    record = load_record(path)
    if not (choice.run / SCENARIO_FILE).is_file():
        raise InputError(
            f"the run does not hold its {SCENARIO_FILE}", where=str(choice.run), mend="run it again into a new folder"
        )
    twin_file = choice.run / TWIN_FILE
    twin = load_twin(twin_file) if twin_file.is_file() else None
    return Playback(record, load_scenario(choice.run / SCENARIO_FILE), twin)


def _write_messages(playback: Playback, out: Path, settings: FilmSettings) -> dict[str, int]:
    """Write what other viewers read; returns the messages by topic."""
    from ..episodes.view.foxglove import write_mcap
    from ..episodes.view.rerun_export import write_rerun

    start, end = film.span(playback, settings.start, settings.end)
    steps = int(((start <= playback.record.time) & (playback.record.time <= end)).sum())
    with progress("writing", steps, unit="steps") as advance:
        write = write_mcap if out.suffix.lower() == ".mcap" else write_rerun
        return write(playback, out, start=start, end=end, advance=advance)


def _require_run(folder: Path) -> None:
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            "the folder holds no run of floorcast",
            where=str(folder),
            mend="name the folder that 'floorcast rollout' or 'floorcast validate' wrote",
        ) from error
    if not isinstance(run, dict) or "command" not in run:
        raise InputError("the run file cannot be read", where=str(folder / RUN_FILE))


def _held(folder: Path) -> str:
    """Return in words which records a run holds."""
    indices = sorted(int(path.stem) for path in (folder / RECORD_FOLDER).glob("*.npz") if path.stem.isdecimal())
    if not indices:
        return "it keeps no records"
    shown = ", ".join(str(index) for index in indices[:8])
    return f"it holds {len(indices)}: {shown}" + (", ..." if len(indices) > 8 else "")
