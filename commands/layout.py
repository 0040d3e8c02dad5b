"""``floorcast layout`` and ``floorcast robot``: halls and robots from recipes and from a site's own files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from ..common.errors import InputError
from .shared import Json, Seed, cell_text, show_result, tell

layout_app = typer.Typer(help="Make, check and draw halls.", no_args_is_help=True)
robot_app = typer.Typer(help="Take over robots from URDF files.", no_args_is_help=True)


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
    from ..common.config import load_model, parse_model
    from ..layouts.generator import generate_layout
    from ..layouts.recipe import LayoutRecipe, site_recipe

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
    from ..layouts.importers.detect import import_layout
    from ..layouts.importers.stations import add_stations

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
    from ..layouts.importers.stations import add_stations, with_walls
    from ..layouts.model import Layout
    from ..robots.load import load_robot
    from ..validation.drive import drive_between_stations

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
    from ..layouts.model import Layout
    from ..layouts.validation import require_valid

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
    from ..common.files import write_text_atomic
    from ..robots.mapping import load_mapped
    from ..robots.mapping_guess import guess_mapping, save_mapped

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


def _draw(layout: Any, path: Path) -> None:
    from ..layouts.drawing import draw_plan

    draw_plan(layout, path)
    tell(f"plan: {path}")


def _layout_summary(layout: Any) -> dict[str, Any]:
    from ..layouts.loads import pallet_places

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
