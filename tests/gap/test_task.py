"""The task gap against scipy, a brute-force count of wrong orders and closed forms; tables that are damaged."""

import itertools
import json
import math

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from scipy import stats

from floorcast.common.errors import InputError
from floorcast.gap.task import mean_ranks, measure_task_gap, mmrv, pearson, spearman
from floorcast.gap.task_table import read_kpi_table

RNG = np.random.default_rng(7)


def tables(count, size, ties):
    for _ in range(count):
        real, sim = RNG.random(size), RNG.random(size)
        yield (np.round(real, 1), np.round(sim, 1)) if ties else (real, sim)


def wrong_orders(real, sim):
    """MMRV by the paper's words, pair by pair."""
    worst = dict.fromkeys(range(len(real)), 0.0)
    for i, j in itertools.permutations(range(len(real)), 2):
        if (sim[i] < sim[j]) != (real[i] < real[j]):
            worst[i] = max(worst[i], abs(real[i] - real[j]))
    return math.fsum(worst.values()) / len(real)


@pytest.mark.parametrize("ties", [False, True])
def test_statistics_equal_independent_ones(ties):
    for real, sim in tables(40, 9, ties):
        assert pearson(real, sim) == pytest.approx(stats.pearsonr(real, sim)[0], abs=1e-12)
        assert spearman(real, sim) == pytest.approx(stats.spearmanr(real, sim)[0], abs=1e-12)
        np.testing.assert_allclose(mean_ranks(real), stats.rankdata(real))
        assert mmrv(real, sim) == pytest.approx(wrong_orders(real, sim), abs=1e-12)


def test_statistics_of_stacks_equal_those_of_each():
    real, sim = np.array(list(tables(5, 6, True))).swapaxes(0, 1)
    for function in (pearson, spearman, mmrv):
        np.testing.assert_allclose(function(real, sim), [function(a, b) for a, b in zip(real, sim, strict=True)])


def test_mmrv_has_the_values_of_known_orders():
    real = np.array([0.2, 0.5, 0.9])
    assert mmrv(real, real**3) == 0.0
    # Reversed, each policy's worst partner is the one farthest from it: 0.7, 0.4, 0.7.
    assert mmrv(real, -real) == pytest.approx((0.7 + 0.4 + 0.7) / 3)
    # A tie in simulation violates the order of the lower one only, as the formula has it.
    assert mmrv(np.array([0.1, 0.4]), np.array([0.5, 0.5])) == pytest.approx(0.15)


def write(path, lines, head="policy,kpi,real,sim,n,unit"):
    path.write_text("\n".join((head, *lines)) + "\n")
    return path


def rates(path, policies, episodes, shift=0.1, noise=0.0):
    rng = np.random.default_rng(3)
    real = np.round(np.linspace(0.2, 0.8, policies) * episodes) / episodes
    sim = np.round(np.clip(real + shift + noise * rng.standard_normal(policies), 0, 1) * episodes) / episodes
    return write(
        path, [f"p{i},success,{r},{s},{episodes},1" for i, (r, s) in enumerate(zip(real, sim, strict=True))]
    ), real, sim  # fmt: skip


def test_metrics_of_a_table_with_intervals_and_floor(tmp_path):
    path, real, sim = rates(tmp_path / "kpis.csv", 12, 50, noise=0.05)
    gap = measure_task_gap(read_kpi_table(path))
    found = {item.name: item for item in gap.metrics}
    assert set(found) == {f"success.{name}" for name in ("srcc_pearson", "srcc_spearman", "mmrv", "bias")}
    assert found["success.bias"].value == pytest.approx((sim - real).mean())
    assert found["success.mmrv"].value == pytest.approx(wrong_orders(real, sim))
    assert found["success.srcc_spearman"].ci_low < 0.8 < found["success.srcc_spearman"].value
    for item in gap.metrics:
        assert item.n == 12
        assert item.ci_low <= item.value <= item.ci_high
        assert item.ratio == pytest.approx(abs(item.value) / item.floor)
    assert not any("only" in note for note in gap.notes)
    json.dumps(gap.to_summary(), allow_nan=False)


def test_the_interval_of_the_bias_is_as_wide_as_theory_says(tmp_path):
    """All policies alike but for noise: the two levels of the bootstrap add to Var = (s^2 + within) / N."""
    n, episodes = 40, 25
    rng = np.random.default_rng(0)
    real, sim = rng.binomial(episodes, 0.5, (2, n)) / episodes
    lines = [f"p{i},success,{r},{s},{episodes},1" for i, (r, s) in enumerate(zip(real, sim, strict=True))]
    gap = measure_task_gap(read_kpi_table(write(tmp_path / "k.csv", lines)))
    item = next(item for item in gap.metrics if item.name == "success.bias")
    within = np.mean([v * (1 - v) for v in (*real, *sim)]) * 2 / episodes
    expected = 2 * 1.96 * math.sqrt(((sim - real).var() + within) / n)
    assert item.ci_high - item.ci_low == pytest.approx(expected, rel=0.08)


def test_the_floor_is_that_of_dealt_halves(tmp_path):
    """Bias between two halves of all policies: a normal whose variance is that of the hypergeometric deals."""
    path, real, _ = rates(tmp_path / "k.csv", 10, 400)
    item = next(m for m in measure_task_gap(read_kpi_table(path), resamples=5_000).metrics if m.name.endswith("bias"))
    # Half of 400 drawn without replacement: variance of the half's mean p (1 - p) 200 / (200 * 399); twice the
    # deviation lies between the halves.
    variance = (4 * real * (1 - real) / 399).sum() / 10**2
    assert item.floor == pytest.approx(0.6745 * math.sqrt(variance), rel=0.05)


def test_few_policies_and_constant_values_are_warned_of(tmp_path):
    lines = [f"p{i},success,0.5,{0.1 * i},," for i in range(5)]
    gap = measure_task_gap(read_kpi_table(write(tmp_path / "k.csv", [*lines, "p0,time_s,10,9,,s"])))
    words = " ".join(gap.notes)
    assert "only 5 policies" in words
    assert "same value in the field" in words
    assert "time_s: one policy only" in words
    names = {item.name for item in gap.metrics}
    assert names == {"success.mmrv", "success.bias"}
    assert all(item.floor is None for item in gap.metrics)


def test_intervals_of_the_table_widen_the_result(tmp_path):
    plain = [f"p{i},time_s,{10 + i},{11 + i}" for i in range(10)]
    known = [f"{line},{10 + i - 4},{10 + i + 4}" for i, line in enumerate(plain)]
    head = "policy,kpi,real,sim,real_ci_low,real_ci_high"
    without = measure_task_gap(read_kpi_table(write(tmp_path / "a.csv", plain, "policy,kpi,real,sim")))
    with_it = measure_task_gap(read_kpi_table(write(tmp_path / "b.csv", known, head)))
    width = {m.name: m.ci_high - m.ci_low for m in with_it.metrics}
    assert {m.name: m.ci_high - m.ci_low for m in without.metrics}["time_s.bias"] == pytest.approx(0.0, abs=1e-12)
    # Standard error 4 / 1.96 of each of the ten.
    assert width["time_s.bias"] == pytest.approx(2 * 1.96 * (4 / 1.96) * math.sqrt(1 / 10), rel=0.08)


def test_equal_seeds_give_equal_figures_whatever_else_was_measured(tmp_path):
    path, *_ = rates(tmp_path / "k.csv", 9, 30)
    table = read_kpi_table(path)
    first = measure_task_gap(table, seed=4)
    np.random.default_rng(1).random(10)
    assert measure_task_gap(table, seed=4) == first
    assert measure_task_gap(table, seed=5).metrics != first.metrics


def test_a_spreadsheet_of_another_country_and_parquet_read_alike(tmp_path):
    plain = read_kpi_table(write(tmp_path / "a.csv", ["a,x,0.5,0.25,4,1", "b,x,0.75,1,4,1"]))
    text = "\ufeffPolicy; KPI ;real;sim;n;unit\r\na;x;0,5;0,25;4;1\r\n\r\nb;x;0,75;1;4;1\r\n"
    (tmp_path / "b.csv").write_bytes(text.encode())
    columns = {"policy": ["a", "b"], "kpi": ["x", "x"], "real": [0.5, 0.75], "sim": [0.25, 1.0], "n": [4, 4]}
    pyarrow.parquet.write_table(pyarrow.table({**columns, "unit": ["1", "1"]}), tmp_path / "c.parquet")
    assert read_kpi_table(tmp_path / "b.csv").rows == plain.rows
    assert read_kpi_table(tmp_path / "c.parquet").rows == plain.rows


GOOD = [f"p{i},x,0.5,0.5,10,1" for i in range(30)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("policy,kpi,real\na,x,1\n", "no column 'sim'"),
        ("policy,kpi,real,sim,SIM\na,x,1,2,3\n", "two columns are called 'sim'"),
        ("policy,kpi,real,sim\n", "no rows"),
        ("policy,kpi,real,sim\na,x,1,2\na,x,1,3\n", "two rows for 'x'"),
        ("policy,kpi,real,sim\na,x,one,2\n", "'real' is not a number"),
        ("policy,kpi,real,sim\na,x,nan,2\n", "'real' is not finite"),
        ("policy,kpi,real,sim,n\na,x,93,88,50\n", "in percent"),
        ("policy,kpi,real,sim,n\na,x,0.5,0.5,-3\n", "not a number of episodes"),
        ("policy,kpi,real,sim,real_ci_low\na,x,0.5,0.5,0.4\n", "one end only"),
        ("policy,kpi,real,sim,real_ci_low,real_ci_high\na,x,5,5,1,2\n", "does not hold its value"),
        ("policy,kpi,real,sim,unit\na,x,1,2,s\nb,x,1,2,min\n", "different units"),
        ("policy,kpi,real,sim\n,x,1,2\n", "no name"),
        (b"PAR1 but not more", "Parquet file cannot be read"),
        (b"\xff\xfe\x00policy", "neither text"),
    ],
)
def test_bad_tables_are_refused_by_name(tmp_path, text, message):
    path = tmp_path / "kpis.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_kpi_table(path)
    assert "kpis.csv" in str(caught.value)


def test_one_bad_row_of_many_is_left_out_and_told(tmp_path):
    table = read_kpi_table(write(tmp_path / "k.csv", [*GOOD, "p99,x,broken,0.5,10,1"]))
    assert len(table.rows) == 30
    assert table.report.lines() == ["k.csv: 1 x 'real' is not a number (first at line 32)"]
