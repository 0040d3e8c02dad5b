import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from floorcast.common.errors import InputError
from floorcast.common.files import write_json_atomic
from floorcast.validation.gates import Gate, GateFile, builtin_gates, evaluate_gates, load_gates
from floorcast.validation.statistics import rule_of_three

from .sample import episodes


def gates(*items, **options):
    return GateFile(gates=list(items), **options)


def outcomes(successes, total, **gate):
    values = [{"success": float(i < successes)} for i in range(total)]
    return evaluate_gates(gates({"metric": "success", **gate}), values)


def one(values, **gate):
    """The row of a single gate on time_s."""
    return evaluate_gates(gates({"metric": "time_s", **gate}), [{"time_s": v} for v in values]).rows[0]


class TestDemoGate:
    def test_sixteen_of_sixteen_pass(self):
        verdict = evaluate_gates(load_gates("demo"), episodes(16))
        assert (verdict.verdict, verdict.exit_code) == ("pass", 0)
        assert verdict.rows[0].ci_low == pytest.approx(0.829, abs=5e-4)

    def test_an_honest_failure_fails(self):
        verdict = evaluate_gates(load_gates("demo"), episodes(16, failures=9))
        assert (verdict.verdict, verdict.exit_code) == ("fail", 1)

    def test_one_failure_is_inconclusive_with_the_number_still_needed(self):
        verdict = evaluate_gates(load_gates("demo"), episodes(16, failures=1))
        assert (verdict.verdict, verdict.exit_code) == ("inconclusive", 3)
        assert verdict.episodes_needed == 11


class TestNominalGate:
    def test_a_spotless_record_passes_with_149_episodes_and_not_before(self):
        spotless = {"success": 1.0, "collision": 0.0, "timeout": 0.0, "min_sep_person_m": 0.6, "overspeed_s": 0.0}
        assert evaluate_gates(load_gates("nominal"), [spotless] * 149).verdict == "pass"
        verdict = evaluate_gates(load_gates("nominal"), [spotless] * 148)
        assert (verdict.verdict, verdict.episodes_needed) == ("inconclusive", 1)

    def test_sixteen_good_episodes_are_too_few(self):
        values = [{**v, "overspeed_s": 0.0} for v in episodes(16)]
        verdict = evaluate_gates(load_gates("nominal"), values)
        assert (verdict.exit_code, verdict.episodes_needed) == (3, 133)

    def test_a_policy_that_hits_people_fails(self):
        values = [{**v, "overspeed_s": 0.0} for v in episodes(16, failures=5)]
        assert evaluate_gates(load_gates("nominal"), values).exit_code == 1


@pytest.mark.parametrize("name", sorted(builtin_gates()))
def test_zero_episodes_are_never_a_pass(name):
    verdict = evaluate_gates(load_gates(name), [])
    assert verdict.exit_code == 3
    assert verdict.episodes_needed > 0
    assert all(row.verdict == "inconclusive" and row.n == 0 for row in verdict.rows)


class TestRate:
    @given(st.integers(1, 80), st.integers(0, 80), st.floats(0.02, 0.98), st.sampled_from(["min", "max"]))
    def test_decides_on_the_end_of_the_interval(self, n, k, bound, side):
        row = outcomes(min(k, n), n, **{side: bound}).rows[0]
        good_end, bad_end = (row.ci_low, row.ci_high) if side == "min" else (row.ci_high, row.ci_low)
        good = (lambda x: x >= bound) if side == "min" else (lambda x: x <= bound)
        assert row.verdict == ("pass" if good(good_end) else "fail" if not good(bad_end) else "inconclusive")
        assert (row.episodes_needed is None) or (row.verdict == "inconclusive" and row.episodes_needed >= 1)

    @pytest.mark.parametrize("n", [16, 40, 100])
    @pytest.mark.parametrize("confidence", [0.8, 0.95])
    def test_a_policy_on_the_bound_passes_or_fails_wrongly_no_more_often_than_promised(self, n, confidence):
        by_outcome = {"pass": 0.0, "fail": 0.0, "inconclusive": 0.0}
        for k in range(n + 1):
            verdict = outcomes(k, n, min=0.9, confidence=confidence).verdict
            by_outcome[verdict] += stats.binom.pmf(k, n, 0.9)
        assert by_outcome["pass"] <= 1 - confidence + 1e-12
        assert by_outcome["fail"] <= 1 - confidence + 1e-12

    def test_the_mean_of_a_rate_is_the_rate(self):
        row = outcomes(16, 16, min=0.8, statistic="mean").rows[0]
        assert (row.statistic, row.name, row.verdict) == ("rate", "success", "pass")


class TestMean:
    values = np.linspace(9.0, 11.0, 20)

    @pytest.mark.parametrize(("bound", "expected"), [(11.0, "pass"), (9.0, "fail"), (10.05, "inconclusive")])
    def test_upper_bound_both_ways(self, bound, expected):
        row = one(self.values, max=bound)
        assert row.verdict == expected
        assert row.ci_low < 10.0 < row.ci_high
        assert (row.episodes_needed is not None) == (expected == "inconclusive")

    def test_more_episodes_than_said_decide_it(self):
        row = one(self.values, max=10.05)
        repeat = math.ceil(1.1 * (1 + row.episodes_needed / 20))
        assert one(np.tile(self.values, repeat), max=10.05).verdict == "pass"

    @pytest.mark.parametrize("count", [1, 7])
    def test_too_few_values_are_inconclusive(self, count):
        row = one(np.linspace(1, 2, count), max=100.0)
        assert (row.verdict, row.ci_low, row.episodes_needed) == ("inconclusive", None, 8 - count)

    def test_equal_values_decide_with_a_note(self):
        row = one([3.0] * 60, max=4.0)
        assert (row.verdict, row.ci_low, row.ci_high) == ("pass", 3.0, 3.0)
        assert "up to 5 %" in row.note

    def test_missing_values_are_left_out_and_counted(self):
        row = one([*self.values, None, math.nan], max=11.0)
        assert (row.n, row.missing, row.verdict) == (20, 2, "pass")


class TestPercentile:
    def test_p95_needs_59_values(self):
        row = one([1.0] * 58, max=2.0, statistic="p95")
        assert (row.verdict, row.ci_high, row.episodes_needed) == ("inconclusive", None, 1)
        assert one([1.0] * 59, max=2.0, statistic="p95").verdict == "pass"

    def test_fails_when_too_many_are_beyond(self):
        assert one([1.0] * 50 + [3.0] * 10, max=2.0, statistic="p95").verdict == "fail"

    def test_lower_bound_looks_at_the_low_tail(self):
        assert one([1.0] * 59, min=0.5, statistic="p05").verdict == "pass"
        assert one([0.1] * 10 + [1.0] * 50, min=0.5, statistic="p05").verdict == "fail"

    def test_worst_decile_follows_the_side(self):
        values = np.arange(200.0)
        assert one(values, max=500.0, statistic="worst_decile").value == pytest.approx(np.quantile(values, 0.9))
        assert one(values, min=-5.0, statistic="worst_decile").value == pytest.approx(np.quantile(values, 0.1))

    @given(st.integers(1, 90), st.integers(0, 90), st.sampled_from(["p95", "p80", "median", "worst_decile"]))
    def test_is_decided_after_the_episodes_it_asks_for(self, n, beyond, statistic):
        beyond = min(beyond, n)
        values = [3.0] * beyond + [1.0] * (n - beyond)
        row = one(values, max=2.0, statistic=statistic)
        if row.verdict == "inconclusive" and row.episodes_needed is not None and beyond == 0:
            assert one(values + [1.0] * row.episodes_needed, max=2.0, statistic=statistic).verdict == "pass"
            assert one(values + [1.0] * (row.episodes_needed - 1), max=2.0, statistic=statistic).verdict != "pass"


class TestTailMean:
    def test_takes_50_values_and_decides_both_ways(self):
        values = np.linspace(0.0, 1.0, 100)
        assert one(values[:49], max=5.0, statistic="cvar").episodes_needed == 1
        row = one(values, max=1.5, statistic="cvar")
        assert row.verdict == "pass"
        assert row.value == pytest.approx(values[-10:].mean())
        assert one(values, max=0.5, statistic="cvar").verdict == "fail"
        assert one(values, min=0.2, statistic="cvar").verdict == "fail"


class TestExtremes:
    def test_one_episode_beyond_fails_at_any_number(self):
        row = one([1.0] * 500 + [2.5], max=2.0, statistic="max")
        assert (row.verdict, row.value, row.ci_low, row.ci_high) == ("fail", 2.5, None, None)
        assert "1 of 501" in row.note

    def test_passes_only_once_the_share_is_shown(self):
        row = one([1.0] * 58, max=2.0, statistic="max")
        assert (row.verdict, row.episodes_needed) == ("inconclusive", 1)
        row = one([1.0] * 59, max=2.0, statistic="max")
        assert (row.verdict, row.ci_low, row.ci_high) == ("pass", None, None)
        assert 1 - rule_of_three(59) >= 0.95 > 1 - rule_of_three(58)
        assert one([1.0] * 16, max=2.0, statistic="max", share=0.8).verdict == "pass"

    def test_lower_bound(self):
        assert one([1.0] * 59, min=0.5, statistic="min").verdict == "pass"
        assert one([1.0] * 58 + [0.4], min=0.5, statistic="min").verdict == "fail"


class TestMissingMetric:
    def test_never_measured_is_inconclusive_and_does_not_hide_a_failure(self):
        both = gates({"metric": "success", "min": 0.8}, {"metric": "time_s", "max": 9.0})
        verdict = evaluate_gates(both, [{"success": 1.0, "time_s": None}] * 20)
        assert [row.verdict for row in verdict.rows] == ["pass", "inconclusive"]
        assert (verdict.verdict, verdict.episodes_needed) == ("inconclusive", None)
        assert evaluate_gates(both, [{"success": 0.0, "time_s": None}] * 20).verdict == "fail"

    def test_optional_and_never_measured_does_not_apply(self):
        both = gates({"metric": "success", "min": 0.8}, {"metric": "time_s", "max": 9.0, "optional": True})
        verdict = evaluate_gates(both, [{"success": 1.0}] * 20)
        assert [row.verdict for row in verdict.rows] == ["pass", "not_applicable"]
        assert verdict.verdict == "pass"

    def test_nothing_applicable_is_no_pass(self):
        only = gates({"metric": "time_s", "max": 9.0, "optional": True})
        assert evaluate_gates(only, [{"success": 1.0}] * 20).exit_code == 3

    def test_in_no_episode_names_file_line_and_field(self, tmp_path):
        path = tmp_path / "gates.yaml"
        path.write_text("name: mine\ngates:\n  - metric: success\n    min: 0.8\n  - metric: energy_wh\n    max: 9\n")
        with pytest.raises(InputError, match="'energy_wh' is in none of the 3 episodes") as caught:
            evaluate_gates(load_gates(path), [{"success": 1.0}] * 3)
        assert caught.value.where == f"{path}, line 5, field 'gates.1.metric'"

    def test_value_that_does_not_fit_names_the_line_too(self, tmp_path):
        path = tmp_path / "gates.yaml"
        path.write_text("gates:\n  - metric: success\n    min: 0.8\n")
        with pytest.raises(InputError, match=r"must give 0 or 1, not 0\.25") as caught:
            evaluate_gates(load_gates(path), [{"success": 0.25}])
        assert "line 2" in caught.value.where


class TestBadFiles:
    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            ("gates:\n - metric: sucess\n   min: 0.8\n", 2, "unknown metric 'sucess' (did you mean 'success'?)"),
            ("gates:\n - min: 0.8\n", 2, "Field required"),
            ("gates:\n - metric: success\n", 2, "give one bound, 'min' or 'max': neither is given"),
            ("gates:\n - metric: time_s\n   min: 1\n   max: 2\n", 2, "give one bound, 'min' or 'max': both are given"),
            ("confidence: 0.5\ngates:\n - metric: time_s\n   max: 2\n", 1, "greater than 0.5"),
            ("gates:\n - metric: time_s\n   max: 2\n   confidence: 1.0\n", 4, "less than 1"),
            ("gates:\n - metric: success\n   min: 1.0\n", 2, "no number of episodes can show"),
            ("gates:\n - metric: success\n   min: 0.8\n   statistic: p95\n", 2, "its statistic is 'rate'"),
            ("gates:\n - metric: time_s\n   max: 3\n   statistic: avg\n", 4, "unknown statistic 'avg'"),
            ("gates:\n - metric: time_s\n   max: 3\n   statistic: min\n", 2, "takes a 'min' bound"),
            ("gates:\n - metric: time_s\n   max: .nan\n", 3, "finite number"),
            ("gates:\n - metric: time_s\n   maximum: 3\n", 3, "unknown key (did you mean 'max'?)"),
            ("gates: []\n", 1, "at least 1 item"),
            (
                "gates:\n - metric: success\n   min: 0.8\n - metric: success\n   statistic: rate\n   min: 0.9\n",
                4,
                "'success' already has a 'min' bound in gates.0",
            ),
        ],
    )
    def test_each_is_named_with_its_line(self, tmp_path, text, line, message):
        path = tmp_path / "gates.yaml"
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            load_gates(path)
        assert message in caught.value.what
        assert f"line {line}, field '" in caught.value.what
        assert caught.value.where == str(path)

    def test_unknown_name_lists_the_built_in_ones(self):
        with pytest.raises(InputError) as caught:
            load_gates("nominl")
        assert "demo, nominal" in caught.value.mend

    def test_missing_file(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            load_gates(tmp_path / "none.yaml")

    def test_two_statistics_or_two_sides_of_a_metric_are_no_duplicates(self):
        file = gates(
            {"metric": "time_s", "max": 9.0},
            {"metric": "time_s", "min": 1.0},
            {"metric": "time_s", "max": 12.0, "statistic": "p95"},
        )
        assert [gate.name for gate in file.gates] == ["time_s", "time_s", "time_s:p95"]


def test_one_failed_gate_fails_all_and_one_open_gate_keeps_all_open():
    file = gates({"metric": "success", "min": 0.8}, {"metric": "collision", "max": 0.2})
    good, bad = {"success": 1.0, "collision": 0.0}, {"success": 1.0, "collision": 1.0}
    assert evaluate_gates(file, [good] * 16).verdict == "pass"
    assert evaluate_gates(file, [good] * 15 + [bad]).verdict == "inconclusive"
    assert evaluate_gates(file, [good] * 6 + [bad] * 10).verdict == "fail"


def test_episodes_that_could_not_run_turn_a_pass_into_inconclusive_and_leave_a_failure():
    file = gates({"metric": "success", "min": 0.8})
    assert evaluate_gates(file, [{"success": 1.0}] * 20, not_run=1).exit_code == 3
    assert evaluate_gates(file, [{"success": 0.0}] * 20, not_run=1).exit_code == 1


def test_equal_values_give_an_equal_verdict_whatever_the_order_of_keys():
    values = episodes(16)
    shuffled = [dict(reversed(list(v.items()))) for v in values]
    file = load_gates("demo")
    assert evaluate_gates(file, values) == evaluate_gates(file, shuffled) == evaluate_gates(file, values)


def test_summary_is_strict_json_with_the_promised_keys(tmp_path):
    file = gates({"metric": "time_s", "max": 9.0, "statistic": "p95"}, {"metric": "success", "min": 0.8})
    summary = evaluate_gates(file, [{"time_s": 3.0, "success": 1.0}] * 4).as_dict()
    write_json_atomic(tmp_path / "summary.json", summary)
    read = json.loads((tmp_path / "summary.json").read_text())
    assert read["verdict"] == "inconclusive"
    for row in read["kpis"]:
        assert {"name", "value", "ci_low", "ci_high", "n", "bound", "verdict", "episodes_needed"} <= row.keys()
    assert read["kpis"][0]["ci_high"] is None


def test_equal_values_pass_only_when_there_are_enough_of_them():
    """With 0.2 stops an episode, over the bound, 8 episodes show none with a chance of exp(-1.6), a fifth."""
    gates = GateFile(gates=(Gate(metric="estop_count", max=0.1),))
    few = evaluate_gates(gates, [{"estop_count": 0.0}] * 8)
    assert (few.verdict, few.rows[0].verdict, few.episodes_needed) == ("inconclusive", "inconclusive", 51)
    assert evaluate_gates(gates, [{"estop_count": 0.0}] * 58).verdict == "inconclusive"
    assert evaluate_gates(gates, [{"estop_count": 0.0}] * 59).verdict == "pass"
    assert evaluate_gates(gates, [{"estop_count": 1.0}] * 8).verdict == "fail"


def test_a_row_says_how_many_episodes_did_not_measure_it():
    gates = GateFile(gates=(Gate(metric="time_s", max=60),))
    values = [{"time_s": 20.0 + k} for k in range(10)] + [{"time_s": None}] * 3
    (row,) = evaluate_gates(gates, values).rows
    assert (row.n, row.missing) == (10, 3)
    assert "3 of 13 episodes did not measure this" in row.note
