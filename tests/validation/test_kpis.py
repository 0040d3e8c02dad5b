import math

import pytest

from floorcast.common.errors import InputError
from floorcast.episodes.kpis import KPI_DEFINITIONS
from floorcast.episodes.order_kpis import ORDER_KPI_DEFINITIONS
from floorcast.episodes.spread_kpis import SPREAD_KPI_DEFINITIONS
from floorcast.validation.kpis import KPI_CATALOGUE, MIN_VALUES_FOR_MEAN, aggregate, kpi_info
from floorcast.validation.statistics import clopper_pearson

from .sample import episodes


def by_name(estimates):
    return {item.name: item for item in estimates}


def test_every_kpi_of_an_episode_has_a_label_and_its_kind():
    assert set(KPI_CATALOGUE) == {*KPI_DEFINITIONS, *ORDER_KPI_DEFINITIONS, *SPREAD_KPI_DEFINITIONS}
    proportions = {name for name, info in KPI_CATALOGUE.items() if info.kind == "proportion"}
    assert proportions == {"success", "collision", "timeout", "stock_conserved"}
    labels = [info.label for info in KPI_CATALOGUE.values()]
    assert len(set(labels)) == len(labels)


def test_proportions_are_exact_and_means_hold_their_value():
    got = by_name(aggregate(episodes(16, failures=4), confidence=0.9))
    success = got["success"]
    assert (success.value, success.n, success.kind) == (0.75, 16, "proportion")
    assert (success.ci_low, success.ci_high) == clopper_pearson(12, 16, 0.9)
    for item in got.values():
        assert item.ci_low is None or item.ci_low <= item.value <= item.ci_high
    assert got["time_s"].unit == "s"


def test_missing_values_are_counted_not_invented():
    values = [{"min_sep_person_m": float(i)} for i in range(10)] + [
        {"min_sep_person_m": None},
        {"min_sep_person_m": math.nan},
        {},
    ]
    (item,) = aggregate(values)
    assert (item.n, item.missing, item.value) == (10, 3, 4.5)


def test_too_few_values_have_no_interval():
    few = [{"time_s": float(i)} for i in range(MIN_VALUES_FOR_MEAN - 1)]
    (item,) = aggregate(few)
    assert (item.ci_low, item.ci_high) == (None, None)
    (item,) = aggregate([*few, {"time_s": 9.0}])
    assert item.ci_low is not None


def test_no_episodes():
    assert aggregate([]) == []
    (item,) = aggregate([], names=["success"])
    assert (item.value, item.ci_low, item.ci_high, item.n) == (None, 0.0, 1.0, 0)
    (item,) = aggregate([{"time_s": None}])
    assert (item.value, item.ci_low, item.n, item.missing) == (None, None, 0, 1)


def test_order_is_the_catalogues_then_alphabetical():
    names = [item.name for item in aggregate([{"zeta": 1.0, "alpha": 2.0, "time_s": 3.0, "success": 1.0}])]
    assert names == ["success", "time_s", "alpha", "zeta"]
    assert kpi_info("alpha_beta").label == "alpha beta"


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"each must give 0 or 1, not 0\.5"):
        aggregate([{"success": 0.5}])
    with pytest.raises(InputError, match="'time_s' is not a number but 'fast'") as caught:
        aggregate([{"time_s": 1.0}, {"time_s": "fast"}])
    assert "episode 1" in caught.value.where


def test_json_row_has_the_promised_keys():
    row = by_name(aggregate(episodes()))["success"].as_dict()
    assert {"name", "value", "ci_low", "ci_high", "n", "bound", "verdict"} <= row.keys()
    assert row["bound"] is None
    assert row["verdict"] is None
