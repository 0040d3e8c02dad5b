"""Layout Interchange Format of the VDMA (LIF, version 1): the route graph of a site as JSON.

Nodes become waypoints, edges lanes, and stations the poses of the nodes where robots interact with them. A LIF file
knows no walls: the hall is the rectangle around its nodes with a margin.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.config import parse_model
from ...common.errors import InputError
from ..model import MAX_LENGTH, Charger, Layout
from ..reachability import docking_pose
from .files import read_json
from .names import Names, label
from .report import Imported, Leftovers

MARGIN = 2.0
"""Floor around the outermost nodes [m], for a robot to turn on."""
ROBOT_RADIUS = 0.56
"""Of the robot that docks at a charger [m], as in ``check_layout``."""
MAX_POSITION = 1e7
"""Greatest coordinate [m]; sites may count from the origin of a national grid."""

# Keys that LIF has and a layout has no place for, by the thing that carries them. Other keys are not LIF's.
_USED = {
    "layout": {"layoutId", "layoutName", "layoutLevelId", "nodes", "edges", "stations"},
    "node": {"nodeId", "nodeName", "nodePosition", "vehicleTypeNodeProperties"},
    "vehicle type of a node": {"theta"},
    "edge": {"edgeId", "edgeName", "startNodeId", "endNodeId", "vehicleTypeEdgeProperties"},
    "vehicle type of an edge": {"maxSpeed"},
    "station": {"stationId", "stationName", "interactionNodeIds", "stationPosition"},
}
_UNUSED = {
    "layout": {"layoutVersion", "layoutDescription"},
    "node": {"nodeDescription", "mapId"},
    "vehicle type of a node": {"vehicleTypeId", "actions"},
    "edge": {"edgeDescription"},
    "vehicle type of an edge": {
        "vehicleTypeId", "vehicleOrientation", "orientationType", "rotationAllowed", "rotationAtStartNodeAllowed",
        "rotationAtEndNodeAllowed", "maxRotationSpeed", "minHeight", "maxHeight", "loadRestriction", "actions",
        "trajectory", "reentryAllowed",
    },
    "station": {"stationDescription", "stationHeight"},
}  # fmt: skip


@dataclass(frozen=True)
class _Item:
    """A mapping of the file, and where it stands there."""

    value: dict[str, Any]
    place: str
    file: str

    def wrong(self, key: str, what: str, mend: str) -> InputError:
        return InputError(f"{self.place}.{key} {what}".lstrip("."), where=self.file, mend=mend)

    def _of(self, key: str, kind: type | tuple[type, ...], name: str, required: bool) -> Any:
        if key not in self.value:
            if required:
                raise self.wrong(key, "is missing", f"add it: {name}")
            return None
        found = self.value[key]
        if not isinstance(found, kind):
            said = f"{found!r:.40}" if isinstance(found, (str, int, float)) else type(found).__name__
            raise self.wrong(key, f"must be {name} and is {said}", "correct it")
        return found

    def text(self, key: str, *, required: bool = False) -> str:
        """Return a text; empty where it is not there and need not be."""
        return self._of(key, str, "a text", required) or ""

    def number(self, key: str) -> float:
        """Return a finite number that must be there."""
        found = self._of(key, (int, float), "a number", True)
        # Of an integer of hundreds of digits, float() overflows; JSON's 1e999 is infinite.
        if isinstance(found, bool) or not abs(found) < 1e300:
            raise self.wrong(key, f"must be a finite number and is {found!s:.40}", "correct it")
        return float(found)

    def number_or_none(self, key: str) -> float | None:
        """Return a finite number, or None where none is there."""
        return self.number(key) if key in self.value else None

    def item(self, key: str) -> _Item:
        """Return a mapping that must be there."""
        return _Item(self._of(key, dict, "a mapping", True), f"{self.place}.{key}".lstrip("."), self.file)

    def texts(self, key: str) -> list[str]:
        """Return a list of texts that must be there and may not be empty."""
        found = self._of(key, list, "a list of texts", True)
        if not found:
            raise self.wrong(key, "is empty", "name at least one")
        for index, value in enumerate(found):
            if not isinstance(value, str):
                raise self.wrong(f"{key}[{index}]", f"must be a text and is {value!r:.40}", "correct it")
        return list(found)

    def items(self, key: str, *, required: bool = False) -> list[_Item]:
        """Return the mappings of a list; none where it is not there and need not be."""
        items = []
        for index, value in enumerate(self._of(key, list, "a list", required) or ()):
            place = f"{self.place}.{key}[{index}]".lstrip(".")
            if not isinstance(value, dict):
                raise InputError(f"{place} must be a mapping and is {value!r:.40}", where=self.file, mend="correct it")
            items.append(_Item(value, place, self.file))
        return items


@dataclass
class _Node:
    """A node: position and vehicle's orientation in the file's frame [m, rad], and what robots do there."""

    name: str
    x: float
    y: float
    theta: float | None
    actions: set[str]
    id: str = ""
    arrivals: list[tuple[float, float | None]] = field(default_factory=list)
    """Direction of travel of the edges that end here, and the robot's orientation on them if told [rad]."""


def import_layout(path: str | Path, level: str | None = None) -> Imported:
    """Read a LIF file.

    Two opposite edges between the same nodes become one two-way lane, named after both; it has the lower of their
    speeds. A station with several interaction nodes becomes a station at each. Where robots charge, a charger stands
    in front of the node, in the direction in which robots come.

    Args:
        path: the file.
        level: ``layoutId`` or ``layoutLevelId`` to take. None: all layouts, which must share level and map.

    Raises:
        InputError: the file is no LIF or names no place to drive; names the field. There are several levels, or not
            the one wanted; lists them.
    """
    path = Path(path)
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError("not a LIF file: it does not hold a mapping", where=str(path), mend="give a LIF file")
    root = _Item(data, "", str(path))
    meta = root.item("metaInformation")
    layouts = _chosen(root.items("layouts", required=True), level, str(path))
    leftovers = Leftovers()
    nodes = _read_nodes(layouts, leftovers)
    edges = [edge for layout in layouts for edge in layout.items("edges")]
    names = Names()
    for number, (name, node) in enumerate(nodes.items()):
        node.id = names(name, f"node_{number}")
    lanes = _read_edges(edges, nodes, _node_ids(root), names, leftovers)
    left, bottom, length, width = _hall(nodes, str(path))
    for node in nodes.values():
        node.x, node.y = round(node.x - left, 9), round(node.y - bottom, 9)
    stations, chargers, read = _read_stations(layouts, nodes, names, leftovers)
    for new, wanted in names.changed.items():
        leftovers.add("id that another thing has or a layout cannot hold, renamed", f"{label(wanted, 30)} to {new}")
    layout = parse_model(
        {
            "name": _title(meta, layouts),
            "length": length,
            "width": width,
            "stations": stations,
            "chargers": chargers,
            "waypoints": [
                {"id": node.id, "x": node.x, "y": node.y, "yaw": node.theta, "name": label(node.name)}
                for node in nodes.values()
            ],
            "lanes": lanes,
            "source": {
                "file": label(path.name),
                "format": "lif",
                "name": label(", ".join(item.text("layoutId", required=True) for item in layouts)),
                "x": round(-left, 9),
                "y": round(-bottom, 9),
            },
        },
        Layout,
        source=str(path),
    )
    counts = {"layouts": len(layouts), "nodes": len(nodes), "edges": len(edges), "stations": read}
    two_way = sum(not lane["one_way"] for lane in lanes)
    return Imported(layout, {**counts, "lanes": len(lanes), "of them two-way": two_way}, leftovers)


def _chosen(layouts: list[_Item], level: str | None, file: str) -> list[_Item]:
    """Return the layouts to take."""
    if not layouts:
        raise InputError("layouts is empty", where=file, mend="export at least one layout")
    levels = {item.text("layoutLevelId") for item in layouts}
    listed = "; ".join(_called(item) for item in layouts[:20])
    if level is not None:
        found = [item for item in layouts if level in (item.text("layoutId"), item.text("layoutLevelId"))]
        if not found:
            raise InputError(f"there is no layout or level {level!r}", where=file, mend=f"--level, of these: {listed}")
        return found
    maps = {node.text("mapId") for item in layouts for node in item.items("nodes")}
    if len(layouts) > 1 and (len(levels) > 1 or len(maps) > 1):
        raise InputError(
            f"the file has {len(layouts)} layouts on several levels or maps: {listed}",
            where=file,
            mend="choose one with --level",
        )
    return layouts


def _called(item: _Item) -> str:
    text = item.text("layoutId", required=True)
    return label(text, 60) + (f" (level {label(item.text('layoutLevelId'), 30)})" if item.text("layoutLevelId") else "")


def _title(meta: _Item, layouts: list[_Item]) -> str:
    """Return a name made of the file's meta information and the names of its layouts."""
    whats = [
        meta.text("projectIdentification"),
        *(item.text("layoutName") or item.text("layoutId") for item in layouts),
    ]
    version = meta.text("lifVersion")
    whence = [meta.text("creator"), meta.text("exportTimestamp"), f"LIF {version}" if version else ""]
    what = label(", ".join(filter(None, whats)), 70)
    origin = label(", ".join(filter(None, whence)), 52)
    return (f"{what} ({origin})" if origin else what) or "LIF"


def _leave(item: _Item, kind: str, leftovers: Leftovers) -> None:
    """Count what a thing carries and a layout has no place for."""
    for key in item.value:
        if key in _UNUSED[kind]:
            leftovers.add(f"{key} of {'an' if kind == 'edge' else 'a'} {kind}")
        elif key not in _USED[kind]:
            leftovers.add("key that LIF does not have", label(f"{item.place}.{key}", 80))


def _node_ids(root: _Item) -> set[str]:
    """Return the ids of all nodes of the file, of layouts that are not taken too."""
    return {node.text("nodeId") for item in root.items("layouts") for node in item.items("nodes")}


def _read_nodes(layouts: list[_Item], leftovers: Leftovers) -> dict[str, _Node]:
    nodes: dict[str, _Node] = {}
    for layout in layouts:
        _leave(layout, "layout", leftovers)
        for item in layout.items("nodes", required=True):
            _leave(item, "node", leftovers)
            name = item.text("nodeId", required=True)
            if name in nodes:
                raise item.wrong("nodeId", f"{name!r:.60} is the id of another node too", "give each its own")
            x, y = _position(item.item("nodePosition"))
            vehicles = item.items("vehicleTypeNodeProperties")
            thetas = []
            for vehicle in vehicles:
                _leave(vehicle, "vehicle type of a node", leftovers)
                theta = vehicle.number_or_none("theta")
                thetas += [] if theta is None else [math.remainder(theta, 2 * math.pi)]
            if len(set(thetas)) > 1:
                leftovers.add("theta of a further vehicle type, where the first holds", label(name, 60))
            actions = {action.text("actionType") for vehicle in vehicles for action in vehicle.items("actions")}
            nodes[name] = _Node(item.text("nodeName"), x, y, thetas[0] if thetas else None, actions)
    if not nodes:
        raise InputError("there is no node", where=layouts[0].file, mend="export a layout with nodes")
    return nodes


def _position(item: _Item) -> tuple[float, float]:
    x, y = item.number("x"), item.number("y")
    for key, value in (("x", x), ("y", y)):
        if abs(value) > MAX_POSITION:
            raise item.wrong(key, f"is {value:g} m, farther than {MAX_POSITION:g} m from the origin", "give metres")
    return x, y


def _hall(nodes: dict[str, _Node], file: str) -> tuple[float, float, float, float]:
    """Return the lower left corner in the file's frame, length and width of the hall [m]."""
    xs, ys = [node.x for node in nodes.values()], [node.y for node in nodes.values()]
    length, width = max(xs) - min(xs) + 2 * MARGIN, max(ys) - min(ys) + 2 * MARGIN
    if max(length, width) > MAX_LENGTH:
        message = f"the nodes lie over {length - 2 * MARGIN:g} x {width - 2 * MARGIN:g} m"
        raise InputError(message, where=file, mend=f"give metres; a hall has {MAX_LENGTH:g} m at most")
    return min(xs) - MARGIN, min(ys) - MARGIN, round(length, 9), round(width, 9)


def _read_edges(
    edges: list[_Item], nodes: dict[str, _Node], known: set[str], names: Names, leftovers: Leftovers
) -> list[dict[str, Any]]:
    """Return the lanes, and tell the nodes from where robots come to them."""
    lanes: list[dict[str, Any]] = []
    open_lanes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number, edge in enumerate(edges):
        _leave(edge, "edge", leftovers)
        name = edge.text("edgeId", required=True)
        start, end = edge.text("startNodeId", required=True), edge.text("endNodeId", required=True)
        speed = _speed(edge, leftovers)
        missing = [node for node in (start, end) if node not in nodes]
        if missing:
            reason = "edge to a layout that is not taken" if missing[0] in known else "edge to a node that is not there"
            leftovers.add(reason, label(f"{name}, node {missing[0]}", 80))
            continue
        _arrive(edge, nodes[start], nodes[end])
        title = label(edge.text("edgeName") or name, 120)
        opposite = open_lanes.get((end, start)) if start != end else None
        if opposite:
            lane = opposite.pop(0)
            if speed != lane["max_speed"]:
                leftovers.add("maxSpeed of one direction of a two-way lane, where the lower holds", label(name, 60))
            lane["max_speed"] = min((s for s in (speed, lane["max_speed"]) if s is not None), default=None)
            lane.update(one_way=False, name=f"{lane['name']} / {title}")
            continue
        lane = {"id": names(name, f"edge_{number}"), "start": nodes[start].id, "end": nodes[end].id, "one_way": True}
        lane.update(max_speed=speed, name=title)
        lanes.append(lane)
        open_lanes.setdefault((start, end), []).append(lane)
    return lanes


def _speed(edge: _Item, leftovers: Leftovers) -> float | None:
    """Return the lowest of the vehicle types' greatest speeds [m/s]."""
    speeds = []
    for vehicle in edge.items("vehicleTypeEdgeProperties"):
        _leave(vehicle, "vehicle type of an edge", leftovers)
        speed = vehicle.number_or_none("maxSpeed")
        if speed is not None and not 0 < speed <= 100:
            leftovers.add("maxSpeed that is not above 0 and up to 100 m/s", f"{vehicle.place}: {speed:g}")
        elif speed is not None:
            speeds.append(speed)
    if len(set(speeds)) > 1:
        leftovers.add("maxSpeed of a further vehicle type, where the lowest holds", edge.place)
    return min(speeds, default=None)


def _arrive(edge: _Item, start: _Node, end: _Node) -> None:
    if math.dist((start.x, start.y), (end.x, end.y)) < 1e-6:
        return
    travel = math.atan2(end.y - start.y, end.x - start.x)
    facing = None
    for vehicle in edge.items("vehicleTypeEdgeProperties"):
        orientation = vehicle.number_or_none("vehicleOrientation")
        if facing is None and orientation is not None:
            turned = 0.0 if vehicle.text("orientationType") == "GLOBAL" else travel
            facing = math.remainder(turned + orientation, 2 * math.pi)
    end.arrivals.append((travel, facing))


def _read_stations(
    layouts: list[_Item], nodes: dict[str, _Node], names: Names, leftovers: Leftovers
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """Return stations, chargers, and how many stations the file has; nodes are in ``map`` by now."""
    stations: list[dict[str, Any]] = []
    chargers: list[dict[str, Any]] = []
    items = [item for layout in layouts for item in layout.items("stations")]
    for number, item in enumerate(items):
        _leave(item, "station", leftovers)
        name = item.text("stationId", required=True)
        words = " ".join((name, item.text("stationName"), item.text("stationDescription")))
        theta = item.item("stationPosition").number_or_none("theta") if "stationPosition" in item.value else None
        for place, node_name in enumerate(item.texts("interactionNodeIds")):
            node = nodes.get(node_name)
            if node is None:
                leftovers.add("interaction node of a station that is not there", label(f"{name}, node {node_name}", 80))
                continue
            wanted = name if place == 0 else f"{name}:{node_name}"
            identity = names(wanted, f"station_{number}_{place}")
            if any("charg" in action.lower() for action in node.actions) or "charg" in words.lower():
                chargers.append({"id": identity, **_in_front(node)})
                continue
            stations.append({"id": identity, "x": node.x, "y": node.y, "yaw": _facing(node, theta)})
            stations[-1]["kind"] = _kind(node, words)
    return stations, chargers, len(items)


def _facing(node: _Node, theta: float | None) -> float:
    """Return a robot's yaw at a station: the node's own, the station's, or that in which robots come to the node."""
    if node.theta is not None:
        return node.theta
    if theta is not None:
        return math.remainder(theta, 2 * math.pi)
    for travel, facing in node.arrivals:
        return travel if facing is None else facing
    return 0.0


def _in_front(node: _Node) -> dict[str, float]:
    """Return the pose of a charger at which a robot that docks stands on the node."""
    travel = node.arrivals[0][0] if node.arrivals else (node.theta or 0.0)
    # The docking pose of a charger in the origin tells how far the robot stands from it.
    reach = docking_pose(Charger(id="charger", x=0.0, y=0.0), ROBOT_RADIUS)[0]
    yaw = math.remainder(travel + math.pi, 2 * math.pi)
    return {"x": node.x + reach * math.cos(travel), "y": node.y + reach * math.sin(travel), "yaw": yaw}


def _kind(node: _Node, words: str) -> str:
    """Return what a station is for: by the actions at its node, else by its names, else to pick."""
    actions = {action.lower() for action in node.actions} & {"pick", "drop"}
    if len(actions) == 1:
        return actions.pop()
    words = words.lower()
    if actions or re.search(r"pick|source", words):
        return "pick"
    if re.search(r"\bpack(ing)?\b", words):
        return "pack"
    return "drop" if re.search(r"drop|sink|deliver|unload|destination", words) else "pick"
