import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from floorcast.common.seeding import generator
from floorcast.validation.statistics import (
    MAX_EPISODES,
    UNKNOWN,
    Interval,
    bootstrap_interval,
    clopper_pearson,
    decide,
    episodes_needed,
    episodes_needed_for_mean,
    finite_values,
    mcnemar_exact,
    named_statistic,
    percentile_share,
    quantile_interval,
    rule_of_three,
    tail_mean,
)


class TestClopperPearson:
    def test_sixteen_of_sixteen_is_the_closed_form(self):
        low, high = clopper_pearson(16, 16, 0.90)
        assert low == pytest.approx(0.05 ** (1 / 16))
        assert low == pytest.approx(0.829, abs=5e-4)
        assert high == 1.0

    @pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 16), (7, 16), (15, 16), (3, 1000), (999, 1000)])
    @pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
    def test_agrees_with_scipys_exact_binomial_interval(self, k, n, confidence):
        expected = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
        assert clopper_pearson(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-10)

    @pytest.mark.parametrize("n", [5, 16, 60])
    def test_covers_at_least_as_often_as_it_says_for_every_rate(self, n):
        intervals = [clopper_pearson(k, n, 0.9) for k in range(n + 1)]
        for p in np.linspace(0.01, 0.99, 99):
            weights = stats.binom.pmf(np.arange(n + 1), n, p)
            below = sum(w for w, i in zip(weights, intervals, strict=True) if p > i.high)
            above = sum(w for w, i in zip(weights, intervals, strict=True) if p < i.low)
            assert below <= 0.05 + 1e-12
            assert above <= 0.05 + 1e-12

    def test_nothing_tried_says_nothing(self):
        assert clopper_pearson(0, 0) == (0.0, 1.0)

    @pytest.mark.parametrize(("k", "n", "c"), [(-1, 4, 0.9), (5, 4, 0.9), (1, math.nan, 0.9), (1, 2, 1.0), (1, 2, 0.0)])
    def test_refuses_impossible_counts_and_levels(self, k, n, c):
        with pytest.raises(ValueError, match="must be"):
            clopper_pearson(k, n, c)


class TestRuleOfThree:
    def test_is_close_to_three_over_n(self):
        assert rule_of_three(1000) == pytest.approx(3 / 1000, rel=0.01)

    def test_is_the_one_sided_bound_after_no_event(self):
        assert rule_of_three(29) == pytest.approx(clopper_pearson(0, 29, 0.9).high)

    def test_knows_nothing_without_trials_and_refuses_negative_ones(self):
        assert rule_of_three(0) == 1.0
        with pytest.raises(ValueError, match="negative"):
            rule_of_three(-1)


class TestMcNemar:
    @given(st.integers(0, 60), st.integers(0, 60))
    def test_agrees_with_the_binomial_test_and_is_symmetric(self, b, c):
        expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
        assert mcnemar_exact(b, c) == pytest.approx(expected)
        assert mcnemar_exact(b, c) == mcnemar_exact(c, b)

    def test_refuses_negative_counts(self):
        with pytest.raises(ValueError, match="negative"):
            mcnemar_exact(-1, 3)


class TestQuantileInterval:
    @pytest.mark.parametrize(("share", "n"), [(0.95, 100), (0.9, 40), (0.05, 80), (0.5, 15)])
    def test_covers_on_each_side_whatever_the_distribution(self, share, n):
        random = generator(0, "coverage", n)
        truth = -math.log(1 - share)
        misses = np.zeros(2)
        for sample in random.exponential(size=(1000, n)):
            low, high = quantile_interval(sample, share, 0.9)
            misses += (truth < low, truth > high)
        assert np.all(misses / 1000 <= 0.05 + 0.02)  # 0.02 is three standard errors

    def test_ends_are_order_statistics_with_exact_binomial_levels(self):
        values = np.arange(100.0)
        low, high = quantile_interval(values, 0.9, 0.9)
        # P(x_(r) >= quantile) = P(Bin(100, 0.9) <= r - 1); values are their own ranks less one.
        assert stats.binom.cdf(high, 100, 0.9) >= 0.95 > stats.binom.cdf(high - 1, 100, 0.9)
        assert stats.binom.cdf(low, 100, 0.9) <= 0.05 < stats.binom.cdf(low + 1, 100, 0.9)

    def test_too_few_values_leave_an_end_open(self):
        assert quantile_interval(np.arange(58.0), 0.95, 0.9).high == math.inf
        assert quantile_interval(np.arange(59.0), 0.95, 0.9).high == 58.0
        assert quantile_interval([], 0.5) == UNKNOWN

    @given(st.lists(st.integers(0, 20), min_size=1, max_size=120), st.integers(-1, 21), st.integers(1, 99))
    def test_decides_as_the_exact_gate_on_the_share_of_values_within_the_bound(self, values, bound, percent):
        share, level = percent / 100, 0.893  # an odd level: at 0.9 one value and the 5th percentile are an exact tie
        by_quantile = decide(quantile_interval(values, share, level), bound, "max")
        within = sum(value <= bound for value in values)
        by_share = decide(clopper_pearson(within, len(values), level), share, "min")
        assert by_quantile == by_share


class TestBootstrap:
    def test_agrees_with_scipys_bca(self):
        values = generator(1, "bca").exponential(size=40)
        ours = bootstrap_interval(values, "mean", 0.9, resamples=20_000)
        theirs = stats.bootstrap(
            (values,), np.mean, confidence_level=0.9, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
        ).confidence_interval
        width = theirs.high - theirs.low
        assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)

    @pytest.mark.parametrize(("draw", "truth"), [("standard_normal", 0.0), ("standard_exponential", 1.0)])
    def test_covers_nearly_as_often_as_it_says(self, draw, truth):
        random = generator(2, "coverage")
        samples = getattr(random, draw)(size=(400, 40))
        hits = sum(
            low <= truth <= high
            for low, high in (bootstrap_interval(s, "mean", 0.9, i, resamples=400) for i, s in enumerate(samples))
        )
        assert 0.84 <= hits / 400 <= 0.95

    def test_is_equal_for_equal_arguments_and_moves_with_the_seed(self):
        values = generator(3, "x").normal(size=20)
        assert bootstrap_interval(values, seed=0) == bootstrap_interval(values, seed=0)
        assert bootstrap_interval(values, seed=0) != bootstrap_interval(values, seed=1)

    def test_follows_shift_and_scale(self):
        values = generator(4, "x").normal(size=25)
        low, high = bootstrap_interval(values)
        assert bootstrap_interval(3 * values + 7) == pytest.approx((3 * low + 7, 3 * high + 7))

    def test_documented_special_cases(self):
        assert bootstrap_interval([]) == UNKNOWN
        assert bootstrap_interval([4.0]) == UNKNOWN
        assert bootstrap_interval([4.0] * 9) == (4.0, 4.0)
        with pytest.raises(ValueError, match="finite"):
            bootstrap_interval([1.0, math.nan])
        with pytest.raises(ValueError, match="unknown statistic 'avg'"):
            bootstrap_interval([1.0, 2.0], "avg")

    def test_one_odd_value_gives_a_finite_interval_that_holds_the_mean(self):
        low, high = bootstrap_interval([0.0] * 15 + [8.0])
        assert 0.0 <= low <= 0.5 <= high <= 8.0

    def test_long_samples_stay_within_memory_and_agree_with_the_normal_interval(self):
        values = generator(5, "x").normal(size=20_000)
        low, high = bootstrap_interval(values, confidence=0.9, resamples=500)
        assert (high - low) / 2 == pytest.approx(1.645 / math.sqrt(20_000), rel=0.15)


class TestNamedStatistics:
    def test_tail_mean_weighs_the_value_on_the_edge(self):
        rows = np.arange(1.0, 16.0)[None, :]  # a tenth of 15 values is one and a half
        assert tail_mean(rows, 0.1, upper=True)[0] == pytest.approx((15 + 0.5 * 14) / 1.5)
        assert tail_mean(rows, 0.1, upper=False)[0] == pytest.approx((1 + 0.5 * 2) / 1.5)
        assert tail_mean(rows, 1.0, upper=True)[0] == pytest.approx(8.0)

    def test_names(self):
        rows = np.arange(101.0)[None, :]
        got = {name: float(named_statistic(name)(rows)[0]) for name in ("mean", "median", "p05", "p95", "min", "max")}
        assert got == {"mean": 50, "median": 50, "p05": 5, "p95": 95, "min": 0, "max": 100}

    @pytest.mark.parametrize("name", ["p0", "p00", "p100", "p", "P50", "p-1", "p5.5", "50", "p²"])
    def test_what_is_no_percentile(self, name):
        assert percentile_share(name) is None

    def test_missing_values_are_left_out(self):
        assert finite_values([1.0, None, math.nan, math.inf, -math.inf, 0]).tolist() == [1.0, 0.0]


class TestEpisodesNeeded:
    def test_closed_form_for_a_spotless_record(self):
        # 29 of 29 is the first record whose one-sided 95 % bound reaches 0.9: 0.05^(1/29) = 0.902.
        assert episodes_needed(16, 16, 0.9, "min", 0.9) == 13
        assert episodes_needed(0, 16, 0.1, "max", 0.9) == 13
        assert episodes_needed(0, 0, 0.9, "min", 0.9) == 29
        assert episodes_needed(0, 0, 0.1, "max", 0.9) == 29

    @given(st.integers(0, 40), st.integers(1, 40), st.floats(0.05, 0.95), st.sampled_from(["min", "max"]))
    def test_decides_then_and_not_before(self, k, n, bound, side):
        k = min(k, n)
        if decide(clopper_pearson(k, n, 0.9), bound, side) != "inconclusive":
            return
        needed = episodes_needed(k, n, bound, side, 0.9)
        if needed is None:
            total = MAX_EPISODES
            assert decide(clopper_pearson(k / n * total, total, 0.9), bound, side) == "inconclusive" or k / n == bound
            return
        assert needed >= 1

        def after(total):
            return decide(clopper_pearson(min(k / n * total, total), total, 0.9), bound, side)

        assert after(n + needed) != "inconclusive"
        assert needed == 1 or after(n + needed - 1) == "inconclusive"

    def test_a_rate_on_the_bound_is_never_decided(self):
        assert episodes_needed(8, 16, 0.5, "min") is None

    def test_mean_shrinks_with_the_square_root(self):
        # The end is twice as far from the mean as the bound: four times the episodes.
        assert episodes_needed_for_mean(1.0, Interval(0.8, 1.2), 16, 0.9) == 48
        assert episodes_needed_for_mean(1.0, Interval(0.8, 1.2), 16, 1.1) == 48
        assert episodes_needed_for_mean(1.0, Interval(0.8, 1.2), 16, 1.0) is None
        assert episodes_needed_for_mean(1.0, UNKNOWN, 16, 0.9) is None
        assert episodes_needed_for_mean(1.0, Interval(0.8, 1.2), 16, 1.0 + 1e-9) is None


@pytest.mark.parametrize(
    ("interval", "side", "expected"),
    [
        ((0.8, 1.0), "min", "pass"),
        ((0.79, 1.0), "min", "inconclusive"),
        ((0.1, 0.79), "min", "fail"),
        ((0.1, 0.8), "min", "inconclusive"),
        ((0.0, 0.8), "max", "pass"),
        ((0.8, 0.9), "max", "inconclusive"),
        ((0.81, 0.9), "max", "fail"),
    ],
)
def test_decide_counts_the_bound_as_good(interval, side, expected):
    assert decide(Interval(*interval), 0.8, side) == expected
