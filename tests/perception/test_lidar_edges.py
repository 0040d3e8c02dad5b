"""Where the edge of a box lies in a beam's footprint: in closed form, against the exact interval of many rays."""

import numpy as np
from numba import njit

from floorcast.common.geometry import rotation_matrix
from floorcast.common.primitives import BOX
from floorcast.perception.intersect import HOT_COLUMNS, SOLID_COLUMNS, interval, pack_solid, reciprocal
from floorcast.perception.lanes import LANES, lane, single, spread, spread_row
from floorcast.perception.lidar_edges import UNKNOWN, box_edge
from floorcast.perception.lidar_solids import COS, CX, CY, CZ, HX, HY, HZ, SIN


@njit(error_model="numpy")
def edge_and_hits(shape, hot, solids, own, d, e, count):
    solid, zero = spread_row(solids, 0), spread(single(0.0))
    dx, dy, dz = spread(single(d[0])), spread(single(d[1])), spread(single(d[2]))
    ex, ey, ez = spread(single(e[0])), spread(single(e[1])), spread(single(e[2]))
    if own:
        found = lane(box_edge(solid, zero, zero, zero, dx, dy, dz, ex, ey, ez, True), 5)
    else:
        found = lane(box_edge(solid, zero, zero, zero, dx, dy, dz, ex, ey, ez, False), 5)
    hits = np.empty(count + 1, np.bool_)
    for k in range(count + 1):
        x, y, z = d[0] + k / count * e[0], d[1] + k / count * e[1], d[2] + k / count * e[2]
        enter, leave = interval(shape, hot, hot, 0, 0.0, 0.0, 0.0, x, y, z, reciprocal(x), reciprocal(y), reciprocal(z))
        hits[k] = enter <= leave and leave > 0.0
    return found, hits


def test_the_edge_of_a_box_is_where_rays_begin_to_miss_it():
    rng = np.random.default_rng(5)
    hot, solid, count, edges, none = np.zeros((1, HOT_COLUMNS)), np.zeros((1, SOLID_COLUMNS)), 1000, [0, 0], 0
    solids = np.zeros((1, LANES), np.float32)
    for i in range(3000):
        center = rng.uniform(2.0, 9.0) * np.append(rng.normal(size=2), rng.normal(0.0, 0.3))
        size, yaw = rng.uniform(0.05, 1.0, 3), rng.uniform(-3.0, 3.0) * (i % 2)
        axes = rotation_matrix(np.array([[0.0, 0.0, np.sin(0.5 * yaw), np.cos(0.5 * yaw)]]))[0]
        shape, *_ = pack_solid(BOX, size, center, axes, hot[0], solid[0])
        solids[0, [CX, CY, CZ]], solids[0, [HX, HY, HZ]] = center, size
        solids[0, [COS, SIN]] = np.cos(yaw), np.sin(yaw)
        d = center + axes @ (size * rng.uniform(-1.3, 1.3, 3))
        d /= np.linalg.norm(d)
        e = 0.03 * np.cross(d, rng.normal(size=3))
        own = bool(edge_and_hits(shape, hot, solids, True, d, e, count)[1][0])
        found, hits = edge_and_hits(shape, hot, solids, own, d, e, count)
        if found == UNKNOWN or np.abs(center).max() < 1.5:
            continue
        if hits[0] == hits[-1]:
            assert found == 1.0
            none += 1
        else:
            changed = np.flatnonzero(hits != hits[0])[0] / count
            assert changed - 1.1 / count <= found <= changed + 0.1 / count
            edges[own] += 1
    assert min(edges) > 100
    assert none > 1000
