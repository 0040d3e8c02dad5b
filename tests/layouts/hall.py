"""A small hall made by hand, valid as it stands, for tests to spoil."""

from floorcast.layouts.model import (
    Aisle,
    Charger,
    Column,
    Conveyor,
    DockDoor,
    Good,
    Layout,
    Light,
    Rack,
    Station,
    Wall,
)


def small_hall() -> Layout:
    """Return a hall of 20 x 12 m with one of everything; racks R1 and R2 stand back to back at y = 8 and y = 9.3."""
    return Layout(
        name="small hall",
        length=20.0,
        width=12.0,
        height=6.0,
        walls=(
            Wall(id="W1", start=(-0.1, -0.1), end=(20.1, -0.1)),
            Wall(id="W2", start=(20.1, -0.1), end=(20.1, 12.1)),
            Wall(id="W3", start=(20.1, 12.1), end=(-0.1, 12.1)),
            Wall(id="W4", start=(-0.1, 12.1), end=(-0.1, -0.1)),
        ),
        columns=(Column(id="P1", x=5.0, y=5.0),),
        racks=(Rack(id="R1", x=12.0, y=8.0, bays=3), Rack(id="R2", x=12.0, y=9.3, bays=3)),
        conveyors=(Conveyor(id="C1", start=(4.0, 2.0), end=(1.0, 2.0)),),
        stations=(
            Station(id="S1", x=12.0, y=6.5),
            Station(id="S2", kind="drop", x=2.0, y=8.0, yaw=3.14),
        ),
        docks=(DockDoor(id="D1", x=0.0, y=8.0),),
        chargers=(Charger(id="E1", x=19.85, y=3.0, yaw=3.14159265),),
        aisles=(Aisle(id="A1", start=(6.0, 6.0), end=(18.0, 6.0), width=2.5),),
        lights=(Light(position=(10.0, 6.0, 5.7)),),
        goods=(
            Good(id="G1", kind="pallet", x=12.0, y=8.0, z=1.6, size=(0.8, 1.2, 0.144), rack="R1"),
            Good(id="G2", x=12.0, y=8.0, z=1.744, size=(0.7, 1.1, 0.8), rack="R1"),
            Good(id="G3", x=15.0, y=1.0, yaw=0.4, size=(0.4, 0.3, 0.3), mass=5.0),
        ),
    )
