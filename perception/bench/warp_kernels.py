# mypy: ignore-errors
"""Kernels of ``warp_peer``, apart because Warp wants its types as they are written. Loads Warp."""

import warp as wp

wp.set_module_options({"enable_backward": False, "mode": "release", "fast_math": True})


@wp.kernel
def place(
    local: wp.array(dtype=wp.vec3),
    body: wp.array(dtype=wp.int32),
    pose: wp.array(dtype=wp.transform),
    placed: wp.array(dtype=wp.vec3),
):
    """Place vertices by the poses of their bodies."""
    i = wp.tid()
    placed[i] = wp.transform_point(pose[body[i]], local[i])


@wp.kernel
def cast(
    resting: wp.uint64,
    moving: wp.uint64,
    origin: wp.array(dtype=wp.vec3),
    direction: wp.array(dtype=wp.vec3),
    reach: wp.array(dtype=wp.float32),
    distance: wp.array(dtype=wp.float32),
    first: wp.int32,
):
    """Find how far rays go; infinity for none."""
    i = wp.tid() + first
    best = reach[i]
    found = False
    hit = wp.mesh_query_ray(resting, origin[i], direction[i], best)
    if hit.result:
        best = hit.t
        found = True
    other = wp.mesh_query_ray(moving, origin[i], direction[i], best)
    if other.result:
        best = other.t
        found = True
    if not found:
        best = float(wp.inf)
    distance[i] = best


@wp.kernel
def draw(
    resting: wp.uint64,
    moving: wp.uint64,
    resting_row: wp.array(dtype=wp.int32),
    moving_row: wp.array(dtype=wp.int32),
    albedo: wp.array(dtype=wp.vec3),
    encoding: wp.array(dtype=wp.uint8),
    light: wp.array(dtype=wp.vec3),
    eye: wp.vec3,
    axes: wp.mat33,
    view: wp.vec4,
    width: wp.int32,
    first: wp.int32,
    rgb: wp.array(dtype=wp.uint8),
    depth: wp.array(dtype=wp.float32),
    row: wp.array(dtype=wp.int32),
):
    """Take a picture: primary ray, shadow ray, Lambert.

    ``view`` is focal length, cx, cy and far; ``light`` is sun, key, ambient and background.
    """
    i = wp.tid() + first
    u = float(i % width)
    v = float(i // width)
    ray = axes @ wp.vec3((u - view[1]) / view[0], (v - view[2]) / view[0], 1.0)
    best = view[3]
    solid = -1
    normal = wp.vec3(0.0, 0.0, 0.0)
    hit = wp.mesh_query_ray(resting, eye, ray, best)
    if hit.result:
        best = hit.t
        solid = resting_row[hit.face]
        normal = hit.normal
    other = wp.mesh_query_ray(moving, eye, ray, best)
    if other.result:
        best = other.t
        solid = moving_row[other.face]
        normal = other.normal
    color = light[3]
    if solid < 0:
        best = float(wp.inf)
    else:
        sun = light[0]
        color = light[2]
        facing = wp.dot(normal, sun)
        if facing > 0.0:
            start = eye + best * ray + 1.0e-3 * sun
            dark = wp.mesh_query_ray_anyhit(resting, start, sun, 1.0e3)
            if not dark:
                dark = wp.mesh_query_ray_anyhit(moving, start, sun, 1.0e3)
            if not dark:
                color = color + facing * light[1]
        color = wp.cw_mul(color, albedo[solid])
    depth[i] = best
    row[i] = solid
    for c in range(3):
        rgb[3 * i + c] = encoding[int(wp.clamp(color[c], 0.0, 1.0) * 4095.0)]
