"""Bodies that are parked must be passed through, also by bodies that touch their group."""

from __future__ import annotations

import pybullet

from floorcast.common.primitives import PrimitiveBuilder
from floorcast.physics import bullet


def test_parked_body_is_passed_through_and_touches_again_when_placed() -> None:
    builder = PrimitiveBuilder()
    builder.box((0.45, 0.3, 0.1), (0.0, 0.0, 0.0), class_name="amr")
    solids = builder.build()
    client = bullet.acquire_client()
    try:
        level = (0.0, 0.0, 0.0, 1.0)
        parked = bullet.create_body(client, solids, 90.0, (0.0, 0.0, 0.2), level)
        other = bullet.create_body(client, solids, 90.0, (50.0, 0.0, 0.2), level)
        bullet.set_filter(client, parked, bullet.ROBOT, touches=False)
        bullet.set_filter(client, other, bullet.ROBOT)
        pybullet.resetBasePositionAndOrientation(other, (0.1, 0.2, 0.2), level, client)
        pybullet.stepSimulation(client)
        assert len(pybullet.getContactPoints(parked, other, physicsClientId=client)) == 0
        bullet.set_filter(client, parked, bullet.ROBOT)
        pybullet.stepSimulation(client)
        assert len(pybullet.getContactPoints(parked, other, physicsClientId=client)) > 0
    finally:
        pybullet.resetSimulation(physicsClientId=client)
        bullet.release_client(client)
