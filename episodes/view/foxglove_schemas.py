"""JSON schemas of the messages that MCAP files hold: Foxglove's well-known ones by their names, and one of our own."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer", "minimum": 0}


def _object(title: str, **properties: Schema) -> Schema:
    return {"title": title, "type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _unit(value: str) -> Schema:
    return {"type": "number", "description": value}


TIME = _object("time", sec=WHOLE, nsec={"type": "integer", "minimum": 0, "maximum": 999_999_999})
DURATION = _object("duration", sec={"type": "integer"}, nsec={"type": "integer", "minimum": 0, "maximum": 999_999_999})
VECTOR = _object("foxglove.Vector3", x=NUMBER, y=NUMBER, z=NUMBER)
POINT = _object("foxglove.Point3", x=NUMBER, y=NUMBER, z=NUMBER)
QUATERNION = _object("foxglove.Quaternion", x=NUMBER, y=NUMBER, z=NUMBER, w=NUMBER)
POSE = _object("foxglove.Pose", position=VECTOR, orientation=QUATERNION)
COLOR = _object("foxglove.Color", r=NUMBER, g=NUMBER, b=NUMBER, a=NUMBER)
CUBE = _object("foxglove.CubePrimitive", pose=POSE, size=VECTOR, color=COLOR)
SPHERE = _object("foxglove.SpherePrimitive", pose=POSE, size=VECTOR, color=COLOR)
CYLINDER = _object(
    "foxglove.CylinderPrimitive", pose=POSE, size=VECTOR, bottom_scale=NUMBER, top_scale=NUMBER, color=COLOR
)
TRIANGLES = _object(
    "foxglove.TriangleListPrimitive",
    pose=POSE,
    points=_list(POINT),
    color=COLOR,
    colors=_list(COLOR),
    indices=_list(WHOLE),
)
LABEL = _object(
    "foxglove.TextPrimitive",
    pose=POSE,
    billboard=TRUTH,
    font_size=NUMBER,
    scale_invariant=TRUTH,
    color=COLOR,
    text=TEXT,
)
UNUSED: Schema = {"type": "array", "maxItems": 0}
"""Kinds of primitives that are never sent."""
ENTITY = _object(
    "foxglove.SceneEntity",
    timestamp=TIME,
    frame_id=TEXT,
    id=TEXT,
    lifetime=DURATION,
    frame_locked=TRUTH,
    metadata=UNUSED,
    arrows=UNUSED,
    cubes=_list(CUBE),
    spheres=_list(SPHERE),
    cylinders=_list(CYLINDER),
    lines=UNUSED,
    triangles=_list(TRIANGLES),
    texts=_list(LABEL),
    models=UNUSED,
)
DELETION = _object("foxglove.SceneEntityDeletion", timestamp=TIME, type={"enum": [0, 1]}, id=TEXT)
TRANSFORM = _object(
    "foxglove.FrameTransform",
    timestamp=TIME,
    parent_frame_id=TEXT,
    child_frame_id=TEXT,
    translation=VECTOR,
    rotation=QUATERNION,
)
FIELD = _object(
    "foxglove.PackedElementField", name=TEXT, offset=WHOLE, type={"type": "integer", "enum": list(range(9))}
)
DISTANCE: Schema = {"type": ["number", "null"], "description": "m; null where there is nothing"}

SCHEMAS: dict[str, Schema] = {
    schema["title"]: schema
    for schema in (
        _object("foxglove.SceneUpdate", deletions=_list(DELETION), entities=_list(ENTITY)),
        _object("foxglove.FrameTransforms", transforms=_list(TRANSFORM)),
        _object("foxglove.PosesInFrame", timestamp=TIME, frame_id=TEXT, poses=_list(POSE)),
        _object(
            "foxglove.PointCloud",
            timestamp=TIME,
            frame_id=TEXT,
            pose=POSE,
            point_stride=WHOLE,
            fields=_list(FIELD),
            data={"type": "string", "contentEncoding": "base64"},
        ),
        _object(
            "foxglove.Log",
            timestamp=TIME,
            level={"type": "integer", "enum": list(range(6))},
            message=TEXT,
            name=TEXT,
            file=TEXT,
            line=WHOLE,
        ),
        _object(
            "floorcast.RobotState",
            timestamp=TIME,
            v=_unit("m/s"),
            omega=_unit("rad/s"),
            command_v=_unit("m/s"),
            command_omega=_unit("rad/s"),
            carrying=TRUTH,
            min_clearance=DISTANCE,
            person_distance=DISTANCE,
        ),
    )
}
"""By name."""
