"""Conveyor networks that tests share."""

from floorcast.layouts.footprints import Footprints, overlapping_pairs
from floorcast.layouts.model import Conveyor, Diverter, Layout, PhotoEye

PITCH, LENGTH, WIDTH = 2.5, 5.0, 0.6


def hall(*conveyors):
    return Layout(name="belts", length=60.0, width=40.0, conveyors=conveyors)


def random_network(rng, rows=3, segments=3):
    """Rows of conveyors side by side, some with diverters onto spurs that merge into the side of the next row.

    Every second row stands half a segment further on. Returns the layout and the ids of its inducts and its exits.
    """
    conveyors, inducts, exits = [], [], []
    for r in range(rows):
        y, x = 2.0 + PITCH * r, 2.0 + 0.5 * LENGTH * (r % 2)
        for c in range(segments):
            end, last = x + LENGTH, c == segments - 1
            name = f"R{r}C{c}"
            more = {}
            if not last:
                more["next"] = f"R{r}C{c + 1}"
                if r + 1 < rows and (c < segments - 2 or r % 2 == 0) and rng.random() < 0.6:
                    spur = f"S{r}C{c}"
                    rule = ("alternate", "share", "heavier", "overflow")[rng.integers(4)]
                    more["divert"] = Diverter(to=spur, rule=rule, share=float(rng.uniform(0.1, 0.9)), mass=6.0)
                    conveyors.append(
                        Conveyor(
                            id=spur,
                            start=(end, y + 0.5 * WIDTH),
                            end=(end, y + PITCH - 0.5 * WIDTH),
                            width=WIDTH,
                            speed=float(rng.uniform(0.4, 2.0)),
                            next=_below(rows, segments, r, end),
                            priority=int(rng.integers(2)),
                        )
                    )
            else:
                exits.append(name)
            conveyors.append(
                Conveyor(
                    id=name,
                    start=(x, y),
                    end=(end, y),
                    width=WIDTH,
                    speed=float(rng.uniform(0.4, 2.0)),
                    friction=float(rng.uniform(0.2, 0.8)),
                    zone_length=1.25 if rng.random() < 0.3 else None,
                    merge=("zipper", "priority")[rng.integers(2)],
                    eyes=(PhotoEye(id=f"E{name}", at=float(rng.uniform(0.5, 4.5))),),
                    **more,
                )
            )
            x = end
        inducts.append(f"R{r}C0")
    return hall(*conveyors), inducts, exits


def _below(rows, segments, r, x):
    """Name the segment of the next row that a spur at x meets."""
    start = 2.0 + 0.5 * LENGTH * ((r + 1) % 2)
    return f"R{r + 1}C{int((x - start) // LENGTH)}"


def worst_overlap(system, size):
    """Return by how much [m] any two goods on the conveyors share space, seen from above."""
    goods, place = system.places()
    rows = [(str(k), *p[:3], *size[k], 0.0, 1.0) for k, p in zip(goods, place.tolist(), strict=True)]
    _, _, depth = overlapping_pairs(Footprints.of_boxes("goods", rows), 0.0)
    return float(depth.max(initial=0.0))


def goods(rng, count):
    return rng.uniform((0.25, 0.2), (0.5, 0.4), (count, 2)), rng.uniform(1.0, 12.0, count)


def feed(system, inducts, exits, spare, rng, seconds, *, until=None, every=12, look=None):
    """Push goods in wherever there is room and take them out at the ends; returns how many came in and went out."""
    came = gone = 0
    for tick in range(round(seconds * 240 / every)):
        for name in inducts:
            if spare and (until is None or came < until) and system.insert(name, spare[-1], speed=0.3):
                spare.pop()
                came += 1
        system.advance(every)
        for name in exits:
            good = system.take(name) if rng.random() < 0.5 else None
            if good is not None:
                spare.insert(0, good)
                gone += 1
        if look is not None:
            look(tick)
    return came, gone
