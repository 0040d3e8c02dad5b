"""Order streams: Poisson statistics in closed form, surges, independence of what robots do; order files."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.episodes.order_file import read_orders
from floorcast.episodes.order_stream import Order, OrderStream
from floorcast.episodes.orders import OrderRanges
from floorcast.episodes.scenario import Scenario, load_scenario

SKUS = tuple(f"SKU-{k}" for k in range(8))


def ranges(**fields: object) -> OrderRanges:
    return OrderRanges.model_validate(fields)


def arrivals(given: OrderRanges, hours: float, step: float, seed: int = 0) -> list[Order]:
    stream, found = OrderStream(given, SKUS, seed, 0), []
    for k in range(1, round(hours * 3600 / step) + 1):
        found += stream.advance(k * step)
    return found


def test_the_stream_is_a_poisson_process_of_the_rate_asked_whatever_the_step() -> None:
    given = ranges(rate=120)
    orders = arrivals(given, 15.0, 60.0)
    gaps = np.diff([order.time for order in orders])
    # 1800 expected: four standard deviations either way; exponential gaps have a deviation equal to their mean.
    assert abs(len(orders) - 1800) < 4 * np.sqrt(1800)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.1)
    finer = arrivals(given, 1.0, 0.5)
    assert [o.lines for o in finer] == [o.lines for o in orders[: len(finer)]]
    assert np.allclose([o.time for o in finer], [o.time for o in orders[: len(finer)]])


def test_profile_and_surges_multiply_the_rate() -> None:
    day = (0.0,) * 8 + (2.0,) * 8 + (1.0,) * 8
    surge = {"factor": 3.0, "at": 11 * 3600.0, "duration": 3600.0}
    given = ranges(rate=40, profile=day, start_hour=6.0, surges=[surge])
    times = np.array([order.time for order in arrivals(given, 36.0, 30.0)]) / 3600.0
    count = [int(np.count_nonzero((times >= low) & (times < low + 1))) for low in range(36)]
    assert count[0] == count[1] == count[18] == 0, "nothing is ordered at night, from midnight to eight"
    for hour, factor in ((2, 2.0), (9, 2.0), (10, 1.0), (11, 3.0), (12, 1.0), (26, 2.0), (35, 1.0)):
        assert abs(count[hour] - 40 * factor) < 4.5 * np.sqrt(40 * factor), hour


def test_a_factor_moves_orders_in_time_but_changes_none_of_them() -> None:
    plain, pushed = (OrderStream(ranges(rate=60), SKUS, 3, 1) for _ in range(2))
    pushed.factor = 4.0
    first, early = plain.advance(7200.0), pushed.advance(1800.0)
    assert [(o.name, o.lines, o.kind) for o in first] == [(o.name, o.lines, o.kind) for o in early]
    assert np.allclose([o.time for o in early], [o.time / 4.0 for o in first])
    pushed.inject_returns(2)
    extra = pushed.advance(1800.1)
    assert [(o.kind, o.name) for o in extra[:2]] == [("return", "R00000"), ("return", "R00001")]


def test_popularity_follows_zipf() -> None:
    given = ranges(rate=2000, popularity=1.0, lines={"distribution": "constant", "value": 1, "unit": "1"}, returns=0.25)
    orders = arrivals(given, 1.0, 60.0)
    share = np.array([sum(o.lines[0][0] == sku for o in orders) for sku in SKUS]) / len(orders)
    expected = 1.0 / np.arange(1, 9)
    assert share == pytest.approx(expected / expected.sum(), abs=0.04)
    assert np.mean([o.kind == "return" for o in orders]) == pytest.approx(0.25, abs=0.04)


def test_an_order_file_is_replayed_and_bad_rows_are_counted(tmp_path) -> None:
    rows = [
        "order,sku,quantity,time_s,kind,due_s,remark",
        "A,SKU-1,2,30,out,90,x",
        "B,SKU-2,1,10,return,,",
        "A,SKU-3,1,31,,,",
        "C,SKU-1,1.5,40,out,,",
        "D,SKU-1,-1,40,out,,",
        "E,,1,40,out,,",
        "F,SKU-1,1,nan,out,,",
        "A,SKU-1,1,50,return,,",
    ]
    (tmp_path / "orders.csv").write_text("\n".join(rows))
    lines, skipped = read_orders(tmp_path / "orders.csv")
    assert sum(skipped.values()) == 5
    assert skipped["quantity is no whole number from 1 to 1000000"] == 2
    stream = OrderStream(ranges(replay=[line.model_dump() for line in lines]), (), 0, 0)
    assert stream.advance(9.0) == []
    found = stream.advance(35.0)
    assert [(o.name, o.kind, o.lines, o.due) for o in found] == [
        ("B", "return", (("SKU-2", 1),), 10.0 + 3600.0),
        ("A", "out", (("SKU-1", 2), ("SKU-3", 1)), 90.0),
    ]
    assert stream.ended


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"order,sku,quantity\n1,2,3\n", "line 1"),
        (b'order,sku,quantity,time_s\nA,SKU,1,"5\n', "line 2"),
        (b"order,sku,quantity,time_s\nA,\xff\xfe,1,5\n", "no UTF-8"),
        (b"", "line 1"),
        (b"order,sku,quantity,time_s\nA,B,0,5\n", "holds no order"),
        (None, "cannot be read"),
    ],
)
def test_unreadable_order_files_are_refused(tmp_path, content: bytes | None, what: str) -> None:
    if content is not None:
        (tmp_path / "o.csv").write_bytes(content)
    with pytest.raises(InputError, match=what):
        read_orders(tmp_path / "o.csv")


def test_a_scenario_takes_its_orders_from_a_file_and_absent_sections_keep_its_hash(tmp_path) -> None:
    (tmp_path / "o.csv").write_text("order,sku,quantity,time_s\nA,SKU-00001,1,5\n,,,\n")
    (tmp_path / "s.yaml").write_text("duration: 30\norders: {file: o.csv}\n")
    orders = load_scenario(tmp_path / "s.yaml").orders
    assert orders is not None
    assert orders.replay is not None
    assert orders.replay[0].sku == "SKU-00001"
    assert sum(orders.skipped.values()) == 1
    assert not {"orders", "record_rate"} & Scenario().model_dump().keys()
    with pytest.raises(ValueError, match="needs a record_rate"):
        Scenario(duration=7200.0)
