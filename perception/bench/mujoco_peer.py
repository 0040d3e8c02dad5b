"""MuJoCo: ``mj_multiRay`` and its classic renderer, used as well as they can be.

Read for it: the header and the bindings of MuJoCo 4.0 and its ``rendering.classic.Renderer``. Solids are MuJoCo's own
boxes, cylinders, capsules, spheres and plane, without contacts; those of one physics group (a rack row) share a body,
whose bounding volumes ``mj_multiRay`` uses. Moving bodies are mocap bodies, placed by ``mocap_pos`` and
``mocap_quat`` and ``mj_kinematics``. With all cores each thread has its own ``MjData`` and takes the fans of a batch
by turns.

``Renderer`` would need three passes for colour, depth and segmentation; two are enough here, because the pass with
segmentation colours gives the depth too. The context is EGL, or OSMesa where that fails; on a machine without a GPU
both draw with llvmpipe. Shadows come from one directional light.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray
from ...common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, Primitives
from .hall import BenchHall
from .peer import Peer, PeerPicture, PeerUnavailable, RayFan, View, all_solids, moving_rows, resting_rows

WIDTH, HEIGHT = 1280, 960
"""Largest picture [pixels]."""
_KINDS = {BOX: "box", CYLINDER: "cylinder", CAPSULE: "capsule", SPHERE: "sphere"}


class MujocoPeer(Peer):
    """The hall as a MuJoCo model."""

    name: ClassVar[str] = "mujoco"
    scan_label: ClassVar[str | None] = "MuJoCo mj_multiRay"
    picture_label: ClassVar[str | None] = "MuJoCo renderer"

    def __init__(self, hall: BenchHall, cores: int) -> None:
        os.environ.setdefault("MUJOCO_GL", "egl")
        try:
            import mujoco
        except Exception as error:
            raise PeerUnavailable(f"MuJoCo cannot be loaded: {error}") from error
        super().__init__(hall, cores)
        self.mujoco: Any = mujoco
        text, rows = model_text(hall)
        self.model: Any = mujoco.MjModel.from_xml_string(text)
        self._row = np.append(rows, -1)
        self._data = [mujoco.MjData(self.model) for _ in range(cores)]
        self._bodies = int(hall.parts.body.max()) + 1 if len(hall.parts) else 0
        self._pool = ThreadPoolExecutor(cores) if cores > 1 else None
        self._renderer: _Renderer | None = None
        for data in self._data:
            mujoco.mj_forward(self.model, data)

    def close(self) -> None:
        """Free the context of the renderer and the threads."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        if self._pool is not None:
            self._pool.shutdown()

    def update(self, poses: FloatArray) -> None:
        """See ``Peer.update``."""
        for data in self._data:
            data.mocap_pos[1:] = poses[: self._bodies, :3]
            data.mocap_quat[1:] = poses[: self._bodies, [6, 3, 4, 5]]
            self.mujoco.mj_kinematics(self.model, data)

    def lay_out(self, fans: list[RayFan]) -> list[tuple[Any, ...]]:
        """See ``Peer.lay_out``."""
        self.note = "one MjData per thread" if self._pool is not None else ""
        return [
            (
                fan.origin,
                np.ascontiguousarray(fan.direction).reshape(-1),
                np.zeros(len(fan.direction), np.int32),
                np.zeros(len(fan.direction)),
                fan.reach,
            )
            for fan in fans
        ]

    def cast(self, rays: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """See ``Peer.cast``."""
        if self._pool is None:
            for fan in rays:
                self._cast(self._data[0], fan)
            return rays

        def some(data: Any, fans: list[tuple[Any, ...]]) -> None:
            for fan in fans:
                self._cast(data, fan)

        step = len(self._data)
        list(self._pool.map(some, self._data, [rays[k::step] for k in range(step)]))
        return rays

    def ranges(self, answer: list[tuple[Any, ...]]) -> FloatArray:
        """See ``Peer.ranges``."""
        distance = np.concatenate([fan[3] for fan in answer])
        return np.where(distance < 0.0, np.inf, distance)

    def aim(self, view: View) -> View:
        """See ``Peer.aim``."""
        if self._renderer is None or self._renderer.shape != (view.config.height, view.config.width):
            if self._renderer is not None:
                self._renderer.close()
            self._renderer = _Renderer(self, view)
        self.note = f"{os.environ['MUJOCO_GL']}, two passes"
        return view

    def picture(self, aimed: View) -> PeerPicture:
        """See ``Peer.picture``."""
        assert self._renderer is not None
        return self._renderer.draw(aimed, self._data[0], self._row)

    def show(self, taken: PeerPicture) -> PeerPicture:
        """See ``Peer.show``."""
        return taken

    def _cast(self, data: Any, fan: tuple[Any, ...]) -> None:
        origin, direction, geom, distance, reach = fan
        self.mujoco.mj_multiRay(
            self.model, data, origin, direction, None, True, -1, geom, distance, None, len(geom), reach
        )


class _Renderer:
    """MuJoCo's classic renderer for pictures of one size."""

    def __init__(self, peer: MujocoPeer, view: View) -> None:
        mujoco, model, config = peer.mujoco, peer.model, view.config
        self.mujoco, self.model, self.shape = mujoco, model, (config.height, config.width)
        try:
            self._gl: Any = mujoco.GLContext(config.width, config.height)
            self._gl.make_current()
        except Exception as error:
            raise PeerUnavailable(f"MuJoCo has no off-screen context ({os.environ['MUJOCO_GL']}): {error}") from error
        model.cam_fovy[0] = 2.0 * np.degrees(np.arctan(0.5 * config.height / config.focal))
        model.vis.map.znear, model.vis.map.zfar = config.near, config.far
        self._near, self._far = config.near, config.far
        self._scene: Any = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._camera.type, self._camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        self._context: Any = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._rect = mujoco.MjrRect(0, 0, config.width, config.height)
        self._rgb = np.empty((*self.shape, 3), np.uint8)
        self._ids = np.empty((*self.shape, 3), np.uint8)
        self._depth = np.empty(self.shape, np.float32)
        self._update(peer._data[0])
        for flag in ("mjRND_REFLECTION", "mjRND_SKYBOX", "mjRND_FOG", "mjRND_HAZE"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, flag)] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 1
        # Which solid a segmentation colour stands for: the scene's list does not change, so it is read once.
        self._geom = np.full(self._scene.ngeom + 2, -1)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0:
                self._geom[geom.segid + 1] = geom.objid

    def close(self) -> None:
        """Free the context."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()

    def draw(self, view: View, data: Any, rows: NDArray[Any]) -> PeerPicture:
        """Return the picture of a view; ``rows`` are the rows of the geoms."""
        mujoco, flags = self.mujoco, self.mujoco.mjtRndFlag
        data.mocap_pos[0] = view.position
        turn = view.rotation * np.array([1.0, -1.0, -1.0])
        mujoco.mju_mat2Quat(data.mocap_quat[0], np.ascontiguousarray(turn).reshape(-1))
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_camlight(self.model, data)
        self._update(data)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._rgb, None, self._rect, self._context)
        self._scene.flags[flags.mjRND_SEGMENT] = self._scene.flags[flags.mjRND_IDCOLOR] = 1
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._ids, self._depth, self._rect, self._context)
        self._scene.flags[flags.mjRND_SEGMENT] = self._scene.flags[flags.mjRND_IDCOLOR] = 0
        ids = self._ids[::-1].astype(np.int32)
        geom = self._geom[ids[..., 0] + (ids[..., 1] << 8) + (ids[..., 2] << 16)]
        # Reversed depth: 1 at the near plane, 0 at the far plane; z = n f / (n + d (f - n)).
        near, far = np.float32(self._near), np.float32(self._far)
        depth = near * far / (near + self._depth[::-1] * (far - near))
        row = rows[geom]
        depth[row < 0] = np.inf
        return PeerPicture(self._rgb[::-1].copy(), depth, row)

    def _update(self, data: Any) -> None:
        self.mujoco.mjv_updateScene(
            self.model, data, self._option, None, self._camera, self.mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )


def model_text(hall: BenchHall) -> tuple[str, NDArray[np.int64]]:
    """Return the hall as a MuJoCo model, and the rows (G,) in the world's table of its geoms in order."""
    resting, moving = all_solids(hall)
    lines = [
        '<mujoco><compiler angle="radian"/><statistic extent="1" center="0 0 1"/>',
        f'<visual><global offwidth="{WIDTH}" offheight="{HEIGHT}"/><quality offsamples="0" shadowsize="2048"/>',
        '<map znear="0.05" zfar="60" shadowclip="30"/><headlight ambient="0.35 0.35 0.35" diffuse="0 0 0" ',
        'specular="0 0 0"/></visual><default><geom contype="0" conaffinity="0"/></default><worldbody>',
        '<light directional="true" dir="0.35 0.2 -1" pos="20 12 20" castshadow="true" diffuse="0.65 0.65 0.65"/>',
    ]
    rows: list[NDArray[np.int64]] = []
    table, planes = resting_rows(hall), resting.kind == PLANE
    for row in np.flatnonzero(planes).tolist():
        lines.append(_geom(resting, row))
    rows.append(table[planes])
    lines.append('<body name="eye" mocap="true"><camera name="eye" pos="0 0 0"/></body>')
    for group in np.unique(resting.body[~planes]).tolist():
        member = np.flatnonzero((resting.body == group) & ~planes)
        lines.append(f'<body name="group{group}">')
        lines += [_geom(resting, row) for row in member.tolist()]
        lines.append("</body>")
        rows.append(table[member])
    for body in range(int(moving.body.max()) + 1 if len(moving) else 0):
        member = np.flatnonzero(moving.body == body)
        lines.append(f'<body name="mover{body}" mocap="true">')
        lines += [_geom(moving, row) for row in member.tolist()]
        lines.append("</body>")
        rows.append(moving_rows(hall)[member])
    lines.append("</worldbody></mujoco>")
    return "\n".join(lines), np.concatenate(rows)


def _geom(solids: Primitives, row: int) -> str:
    kind = int(solids.kind[row])
    if kind == PLANE:
        shape = 'type="plane" size="0 0 1"'
    elif kind in _KINDS:
        shape = f'type="{_KINDS[kind]}" size="{_text(solids.size[row])}"'
    else:
        raise PeerUnavailable("triangles are not given to MuJoCo")
    turn = _text(np.roll(solids.quaternion[row], 1))
    color = _text(solids.color[row] / 255.0)
    return f'<geom {shape} pos="{_text(solids.position[row])}" quat="{turn}" rgba="{color} 1"/>'


def _text(values: Any) -> str:
    return " ".join(repr(float(value)) for value in values)
