"""moderngl on Mesa's llvmpipe: an off-screen OpenGL context without a window, used as well as it can be.

Read for it: moderngl 5.12's standalone EGL contexts and Mesa's notes on llvmpipe. Each kind of solid is one unit mesh
that is drawn once per solid with instancing, two draws for each kind: what rests (in buffers that never change) and
what moves (placed anew from the bodies' poses by the vertex shader, so that only the poses are sent). One pass writes
colour into one texture, linear depth and the solid's row into another; both are read back. Back faces are culled. The
pass lights by Lambert's law without shadows: its pictures show less than ours. With one core llvmpipe works in the
calling thread (``LP_NUM_THREADS=0``, which the worker sets), with all cores it has one thread for each.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray
from ...common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, PrimitiveBuilder, Primitives
from ..config import Lighting
from ..shading import light_table
from .hall import BenchHall
from .peer import Peer, PeerPicture, PeerUnavailable, Shader, View, all_solids, moving_rows, resting_rows
from .triangles import PLANE_REACH, triangulate

ERROR = 0.02
"""Round unit meshes (radius 1) are this far off at most: 4 mm at a radius of 0.2 m."""
MAX_BODIES = 64

_VERTEX = """
#version 430
uniform mat4 project;
uniform vec3 eye;
uniform vec4 body_turn[64];
uniform vec3 body_place[64];
in vec3 corner;
in vec3 normal;
in vec3 scale;
in vec3 center;
in vec4 turn;
in vec3 albedo;
in ivec2 name;
out vec3 shade_normal;
flat out vec3 shade_albedo;
flat out int row;
out float along;
vec3 rotate(vec4 q, vec3 v) { return v + 2.0 * cross(q.xyz, cross(q.xyz, v) + q.w * v); }
void main() {
    // A capsule's half length is its scale z: its ends are moved apart, not stretched.
    vec3 local = name.y % 2 == 1 ? corner * scale.x + vec3(0, 0, sign(corner.z) * scale.z) : corner * scale;
    vec3 place = center + rotate(turn, local);
    vec3 facing = rotate(turn, normal);
    int body = name.y / 2 - 1;
    if (body >= 0) {
        place = body_place[body] + rotate(body_turn[body], place);
        facing = rotate(body_turn[body], facing);
    }
    shade_normal = facing;
    shade_albedo = albedo;
    row = name.x;
    gl_Position = project * vec4(place - eye, 1.0);
    along = gl_Position.w;
}
"""
_FRAGMENT = """
#version 430
uniform vec3 sun;
uniform vec3 key;
uniform vec3 ambient;
in vec3 shade_normal;
flat in vec3 shade_albedo;
flat in int row;
in float along;
layout(location = 0) out vec4 color;
layout(location = 1) out vec2 depth_row;
void main() {
    vec3 light = shade_albedo * (ambient + key * max(dot(normalize(shade_normal), sun), 0.0));
    color = vec4(pow(clamp(light, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
    depth_row = vec2(along, float(row));
}
"""


class ModernGLPeer(Peer):
    """The hall in an OpenGL context."""

    name: ClassVar[str] = "moderngl"
    picture_label: ClassVar[str | None] = "moderngl (llvmpipe)"
    shadows: ClassVar[bool] = False

    def __init__(self, hall: BenchHall, cores: int) -> None:
        try:
            moderngl: Any = importlib.import_module("moderngl")
        except (ImportError, OSError) as error:
            raise PeerUnavailable(f"moderngl cannot be loaded: {error}") from error
        super().__init__(hall, cores)
        try:
            self.context: Any = moderngl.create_context(standalone=True, backend="egl", require=430)
        except Exception as error:
            raise PeerUnavailable(f"moderngl has no EGL context: {error}") from error
        self.context.enable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._program: Any = self.context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        resting, moving = all_solids(hall)
        self._bodies = int(moving.body.max()) + 1 if len(moving) else 0
        if self._bodies > MAX_BODIES:
            raise PeerUnavailable(f"{self._bodies} moving bodies, and its shader holds {MAX_BODIES}")
        shader = Shader(hall, Lighting())
        rest_body = np.full(len(resting), -1)
        solids = Primitives.concatenate([resting, moving])
        rows = np.concatenate([resting_rows(hall), moving_rows(hall)])
        body = np.concatenate([rest_body, moving.body])
        self._draws = [
            self._draw_call(kind, solids, rows, body, shader.albedo[rows])
            for kind in (BOX, CYLINDER, SPHERE, CAPSULE, PLANE)
            if (solids.kind == kind).any()
        ]
        self._frame: Any = None
        self._shape = (0, 0)
        self.note = f"{self.context.info['GL_RENDERER']}"

    def close(self) -> None:
        """Release the context."""
        self.context.release()

    def update(self, poses: FloatArray) -> None:
        """See ``Peer.update``."""
        turn, place = np.zeros((MAX_BODIES, 4), np.float32), np.zeros((MAX_BODIES, 3), np.float32)
        turn[: self._bodies], place[: self._bodies] = poses[: self._bodies, 3:], poses[: self._bodies, :3]
        self._program["body_turn"].write(turn.tobytes())
        self._program["body_place"].write(place.tobytes())

    def aim(self, view: View) -> View:
        """See ``Peer.aim``."""
        shape = (view.config.height, view.config.width)
        if shape != self._shape:
            if self._frame is not None:
                self._frame.release()
            size = shape[::-1]
            textures = [
                self.context.texture(size, 4),
                self.context.texture(size, 2, dtype="f4"),
            ]
            self._frame = self.context.framebuffer(textures, self.context.depth_renderbuffer(size))
            self._textures, self._shape = textures, shape
        return view

    def picture(self, aimed: View) -> PeerPicture:
        """See ``Peer.picture``."""
        config, program, light = aimed.config, self._program, light_table(aimed.lighting)
        program["project"].write(projection(aimed).T.astype(np.float32).tobytes())
        program["eye"].value = tuple(aimed.position.tolist())
        program["sun"].value, program["key"].value = tuple(light[0:3]), tuple(light[3:6])
        program["ambient"].value = tuple(0.5 * (light[6:9] + light[9:12]))
        self._frame.use()
        self._frame.clear(0.6, 0.6, 0.6, 1.0)
        for array, count in self._draws:
            array.render(instances=count)
        shape = self._shape
        rgb = np.frombuffer(self._frame.read(components=4, attachment=0), np.uint8).reshape(*shape, 4)
        both = np.frombuffer(self._frame.read(components=2, attachment=1, dtype="f4"), np.float32).reshape(*shape, 2)
        # The background's colour, below 1, is in the ids too: row 0 before the shift is nothing.
        row = both[..., 1].astype(np.int32) - 1
        depth = np.where((row < 0) | (both[..., 0] > config.far), np.float32(np.inf), both[..., 0])
        return PeerPicture(rgb[..., :3], depth, row)

    def show(self, taken: PeerPicture) -> PeerPicture:
        """See ``Peer.show``."""
        return taken

    def _draw_call(
        self, kind: int, solids: Primitives, rows: NDArray[Any], body: NDArray[Any], albedo: NDArray[Any]
    ) -> tuple[Any, int]:
        member = np.flatnonzero(solids.kind == kind)
        corners, normals = unit_mesh(kind)
        scale = np.ones((len(member), 3))
        size = solids.size[member]
        if kind == BOX:
            scale = size
        elif kind == CYLINDER:
            scale = size[:, [0, 0, 1]]
        elif kind == SPHERE:
            scale = size[:, [0, 0, 0]]
        elif kind == CAPSULE:
            scale = size[:, [0, 0, 1]]
        each = np.zeros(
            len(member),
            dtype=[("scale", "f4", 3), ("center", "f4", 3), ("turn", "f4", 4), ("albedo", "f4", 3), ("name", "i4", 2)],
        )
        each["scale"], each["center"], each["turn"] = scale, solids.position[member], solids.quaternion[member]
        each["albedo"] = albedo[member]
        each["name"][:, 0] = rows[member] + 1
        each["name"][:, 1] = 2 * (body[member] + 1) + (1 if kind == CAPSULE else 0)
        vertices = np.concatenate([corners, normals], axis=1).astype("f4")
        array = self.context.vertex_array(
            self._program,
            [
                (self.context.buffer(vertices.tobytes()), "3f 3f", "corner", "normal"),
                (self.context.buffer(each.tobytes()), "3f 3f 4f 3f 2i/i", "scale", "center", "turn", "albedo", "name"),
            ],
        )
        return array, len(member)


def projection(view: View) -> FloatArray:
    """Return the matrix (4, 4) from ``map``, minus the eye, to clip coordinates, rows of the picture from its top."""
    config = view.config
    near, far = config.near, config.far
    axes = view.rotation.T
    across, down = 2.0 * config.focal / config.width, 2.0 * config.focal / config.height
    matrix = np.zeros((4, 4))
    matrix[0, :3] = across * axes[0]
    # Rows are read from the bottom up: y down in clip space puts the picture's top into the first row.
    matrix[1, :3] = down * axes[1]
    matrix[2, :3] = (far + near) / (far - near) * axes[2]
    matrix[2, 3] = -2.0 * far * near / (far - near)
    matrix[3, :3] = axes[2]
    return matrix


def unit_mesh(kind: int) -> tuple[FloatArray, FloatArray]:
    """Return corners and normals (3 T, 3) of the triangles of a solid of size 1, flat shaded but where it is round.

    They turn clockwise from outside, because the picture is drawn upside down.
    """
    builder = PrimitiveBuilder()
    size = {CYLINDER: (1.0, 1.0), SPHERE: (1.0,), CAPSULE: (1.0, 1e-9)}.get(kind, (1.0, 1.0, 1.0))
    builder.add(kind, size, (0.0, 0.0, 0.0), class_name="box")
    mesh = triangulate(builder.build(), error=ERROR)
    corners = mesh.vertices[mesh.faces[:, ::-1]]
    flat = np.cross(corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 0])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    normals = np.repeat(flat[:, None, :], 3, axis=1)
    if kind in (SPHERE, CAPSULE):
        normals = corners / np.linalg.norm(corners, axis=2, keepdims=True)
    elif kind == CYLINDER:
        side = np.abs(flat[:, 2]) < 0.5
        normals[side] = corners[side] * np.array([1.0, 1.0, 0.0])
    if kind == PLANE:
        assert np.abs(corners).max() == PLANE_REACH
    return corners.reshape(-1, 3), normals.reshape(-1, 3)
