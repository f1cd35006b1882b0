"""Settings compared: against pandas, SciPy and numbers worked out by hand."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import small_sweep
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from small_sweep import GRID, failed, outcome

from mnistlib import comparison
from mnistlib.results import Figure


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_sweep.write_sweep(tmp_path_factory.mktemp("runs") / "first")


def of_values(values, *, unit="%", name="validation accuracy", each="seeds"):
    """One run for each setting, with several values: setting → values."""
    return [
        outcome({"A": setting}, figures=(Figure(name, tuple(several), unit, each),))
        for setting, several in values.items()
    ]


def test_a_row_a_run_in_the_order_of_the_grid(folder):
    runs = comparison.table(folder)
    assert list(runs.columns) == [
        *("run", "EPOCHS", "BATCH_SIZE", "SEED", "status", "seconds"),
        *("validation accuracy", "mistakes", "notebook", "error"),
    ]
    plan = json.loads((folder / "sweep.json").read_text())
    assert list(runs["run"]) == plan["runs"]
    points = [tuple(row) for row in runs[list(GRID)].to_numpy()]
    # Also those of the missing run.
    assert points == list(itertools.product(*GRID.values()))
    assert runs["status"].value_counts().to_dict() == {"finished": 28, "failed": 1, "missing": 1}
    for row in runs.itertuples():
        path = folder / row.run / "result.json"
        if row.status == "missing":
            assert not path.exists()
            continue
        content = json.loads(path.read_text())
        assert row.seconds == content["seconds"]
        assert (folder / row.notebook).is_file()
        if row.status == "finished":
            assert row.mistakes == content["figures"][1]["values"][0]
    assert runs[runs.status == "failed"]["error"].item() == (
        "failed in cell In [3]: ZeroDivisionError: division by zero"
    )


def test_a_figure_of_several_values_has_its_mean_and_spread(tmp_path):
    figures = (Figure("test accuracy", (0.97, 0.98, 0.99)),)
    folder = small_sweep.write(tmp_path / "s", {"A": [1]}, [outcome({"A": 1}, figures=figures)])
    (row,) = comparison.table(folder).to_dict("records")
    assert row["test accuracy"] == pytest.approx(0.98)
    assert row["test accuracy, sd"] == pytest.approx(0.01)


def test_columns_with_one_name_are_told_apart(tmp_path):
    grid = {"status": ["x"], "run": [1]}
    figures = (Figure("seconds", (3.0,), "s"), Figure("status", (0.5,)))
    point = {"status": "x", "run": 1}
    folder = small_sweep.write(tmp_path / "s", grid, [outcome(point, figures=figures)])
    runs = comparison.table(folder)
    assert runs.columns.is_unique
    assert runs["parameter status"].item() == "x"
    assert runs["parameter run"].item() == 1
    assert runs["figure seconds"].item() == 3
    assert runs["figure status"].item() == 0.5
    figures = (Figure("validation accuracy", (0.5, 0.6)),)
    compared = comparison.settings([outcome({"mean": 1, "p": 2}, figures=figures)])
    assert compared.columns.is_unique
    assert compared["parameter mean"].item() == 1


def test_settings_are_as_pandas_and_scipy_have_them(folder):
    compared = comparison.settings(folder)
    runs = comparison.table(folder).dropna(subset="validation accuracy")
    by_setting = runs.groupby(["EPOCHS", "BATCH_SIZE"])["validation accuracy"]
    expected = by_setting.agg(["count", "mean", "std"]).sort_values("mean", ascending=False)
    assert [tuple(row) for row in compared[["EPOCHS", "BATCH_SIZE"]].to_numpy()] == [
        *expected.index
    ]
    assert list(compared["n"]) == list(expected["count"])
    np.testing.assert_allclose(compared["mean"], expected["mean"], rtol=1e-12)
    np.testing.assert_allclose(compared["sd"], expected["std"], rtol=1e-12)
    wide = runs.pivot(index="SEED", columns=["EPOCHS", "BATCH_SIZE"], values="validation accuracy")
    best = wide[expected.index[0]]
    assert compared.iloc[0]["note"] == "best"
    assert compared.iloc[0][["difference", "low", "high", "p"]].isna().all()
    for row in compared.iloc[1:].itertuples():
        pair = pd.concat([wide[(row.EPOCHS, row.BATCH_SIZE)], best], axis=1).dropna()
        test = stats.ttest_rel(pair.iloc[:, 0], pair.iloc[:, 1])
        interval = test.confidence_interval(0.95)
        assert row.pairs == len(pair)
        found = (row.difference, row.p, row.low, row.high)
        mean = (pair.iloc[:, 0] - pair.iloc[:, 1]).mean()
        assert found == pytest.approx((mean, test.pvalue, *interval), rel=1e-9)
    notes = compared.set_index(["EPOCHS", "BATCH_SIZE"])["note"]
    assert notes[2, 512] == "compared on 4 of 5 seeds; 1 of 5 runs failed"
    assert notes[4, 128] == "compared on 4 of 5 seeds; 1 of 5 runs missing"
    assert notes[2, 32] == ""


def test_worked_out_by_hand():
    """Differences 1, 2, 3 (in hundredths): mean 2, sd 1, error 1 / √3, t = 2 √3, 2 degrees."""
    runs = of_values({"a": (0.90, 0.92, 0.94), "b": (0.89, 0.90, 0.91)})
    compared = comparison.settings(runs)
    row = compared.loc[2]
    assert (row["A"], row["n"], row["pairs"]) == ("b", 3, 3)
    assert row["difference"] == pytest.approx(-0.02)
    # Student's t, 2 degrees of freedom: 97.5 % quantile 4.302653 (any table).
    reach = 4.302653 * 0.01 / math.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((-0.02 - reach, -0.02 + reach), rel=1e-6)
    # P(|T| > t) = 1 − t / √(t² + 2) with 2 degrees of freedom; t² = 12.
    assert row["p"] == pytest.approx(1 - math.sqrt(12 / 14))


@given(
    st.lists(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), min_size=2, max_size=5),
    st.booleans(),
)
def test_best_first_and_differences_turn_with_the_baseline(values, small):
    runs = of_values(dict(enumerate(values)))
    compared = comparison.settings(runs, smaller_is_better=small)
    means = list(compared["mean"])
    assert means == sorted(means, reverse=not small)
    first, last = compared.iloc[0], compared.iloc[-1]
    turned = comparison.settings(runs, smaller_is_better=small, baseline={"A": last["A"]})
    assert list(turned["A"]) == list(compared["A"])
    one, other = last, turned.iloc[0]
    pairs = (
        (one["difference"], one["low"], one["p"]),
        (
            -other["difference"],
            -other["high"],
            other["p"],
        ),
    )
    assert pairs[0] == pytest.approx(pairs[1], abs=1e-9)
    assert one["difference"] == pytest.approx(last["mean"] - first["mean"], abs=1e-9)


@given(st.permutations(range(6)))
def test_the_order_in_which_runs_ended_does_not_matter(order):
    points = [{"A": a, "SEED": seed} for a in (1, 2) for seed in (0, 1, 2)]
    runs = [
        outcome(point, figures=(Figure("accuracy", (0.9 + point["A"] / 50 + 0.001 * number,)),))
        for number, point in enumerate(points)
    ]
    usual = comparison.settings(runs).drop(columns="values")
    other = comparison.settings([runs[number] for number in order]).drop(columns="values")
    pd.testing.assert_frame_equal(usual, other)


def test_seeds_are_paired_by_their_value_not_by_their_place():
    def run(setting, seed, value):
        return outcome({"A": setting, "SEED": seed}, figures=(Figure("accuracy", (value,)),))

    runs = [run("a", 0, 0.5), run("a", 1, 0.6), run("b", 1, 0.4), run("b", 2, 0.1)]
    row = comparison.settings(runs).loc[2]
    assert (row["A"], row["pairs"]) == ("b", 1)
    assert row["difference"] == pytest.approx(0.4 - 0.6)
    assert row[["low", "high", "p"]].isna().all()
    assert row["note"] == "compared on 1 of 2 seeds; one pair: no interval"
    row = comparison.settings([runs[0], runs[3]]).loc[2]
    assert math.isnan(row["difference"])
    assert row["note"] == "no seeds in common: no difference; one value: no spread"


def test_another_parameter_may_be_the_seed():
    runs = [
        outcome({"A": a, "FOLD": fold}, figures=(Figure("accuracy", (0.9 - a / 10 + fold / 100,)),))
        for a in (0, 1)
        for fold in (0, 1, 2)
    ]
    compared = comparison.settings(runs, seed="FOLD")
    assert (list(compared["n"]), compared.attrs["parameters"]) == ([3, 3], ["A"])
    assert len(comparison.settings(runs)) == 6


def test_one_value_has_no_spread_and_it_is_said():
    compared = comparison.settings(of_values({"a": (0.9,), "b": (0.8,)}))
    assert list(compared["note"]) == [
        "best; one value: no spread",
        "one pair: no interval; one value: no spread",
    ]
    assert compared[["sd", "low", "high", "p"]].isna().all(axis=None)
    assert compared.loc[2, "difference"] == pytest.approx(-0.1)


def test_a_setting_without_a_value_comes_last_and_says_why():
    runs = [*of_values({"a": (0.5, 0.6)}), outcome({"A": "b"}, **failed())]
    runs.append(outcome({"A": "c"}, **failed(status="timeout")))
    runs.append(outcome({"A": "d"}, figures=(Figure("other", (1.0,)),)))
    compared = comparison.settings(runs, "validation accuracy")
    assert list(compared["A"]) == ["a", "b", "c", "d"]
    assert list(compared["note"])[1:] == [
        "1 of 1 runs failed",
        "1 of 1 runs ran out of time",
        "1 of 1 runs did not record it",
    ]
    assert list(compared["n"]) == [2, 0, 0, 0]


def test_what_a_failed_run_recorded_before_does_not_count():
    recorded = (Figure("validation accuracy", (0.99, 0.99)),)
    runs = [*of_values({"a": (0.5, 0.6)}), outcome({"A": "b"}, **failed(figures=recorded))]
    compared = comparison.settings(runs)
    assert list(compared["A"]) == ["a", "b"]
    assert list(compared["n"]) == [2, 0]


def test_1_and_true_and_1_0_are_three_settings():
    assert len(comparison.settings(of_values({1: (0.5,)}) + of_values({True: (0.5,)}))) == 2
    assert len(comparison.settings(of_values({1: (0.5,)}) + of_values({1.0: (0.5,)}))) == 2


@pytest.mark.parametrize(
    ("name", "unit", "small"),
    [
        ("validation accuracy", "%", False),
        ("cnn, mean test accuracy", "%", False),
        ("test error", "%", True),
        ("validation log-loss", "nats", True),
        ("share of wrong answers", "%", True),
        ("mistakes", "mistakes", True),
        ("training", "s", True),
        ("lossless share", "%", False),
        ("errorbars", "bars", False),
        ("images a second", "1/s", False),
    ],
)
def test_which_figures_are_better_small(name, unit, small):
    assert comparison.is_better_small(Figure(name, (0.5,), unit)) is small
    compared = comparison.settings(of_values({"a": (0.1,), "b": (0.2,)}, name=name, unit=unit))
    assert compared.attrs["smaller_is_better"] is small
    assert list(compared["A"]) == (["a", "b"] if small else ["b", "a"])
    turned = comparison.settings(
        of_values({"a": (0.1,), "b": (0.2,)}, name=name, unit=unit), smaller_is_better=not small
    )
    assert list(turned["A"]) == (["b", "a"] if small else ["a", "b"])


def test_a_validation_figure_is_chosen_before_others():
    figures = (Figure("test accuracy", (0.9,)), Figure("Validation accuracy", (0.8,)))
    compared = comparison.settings([outcome({"A": 1}, figures=figures)])
    assert compared.attrs["figure"] == "Validation accuracy"
    compared = comparison.settings([outcome({"A": 1}, figures=figures[:1])])
    assert compared.attrs["figure"] == "test accuracy"


def test_a_baseline_is_found_by_what_is_written(folder):
    compared = comparison.settings(folder, baseline={"EPOCHS": "2", "BATCH_SIZE": "128.0"})
    assert list(compared["note"]).count("baseline") == 1
    row = compared[compared["note"] == "baseline"].iloc[0]
    assert (row["EPOCHS"], row["BATCH_SIZE"]) == (2, 128)
    assert compared.attrs["reference"] == "baseline"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"figure": "nope"}, "figure must be one .*'validation accuracy', 'mistakes'; .*'nope'"),
        ({"baseline": {"EPOCHS": 3}}, "baseline must match one setting; received 'EPOCHS=3'.* 0 "),
        ({"baseline": {"EPOCHS": 2}}, "baseline must match one setting; received 'EPOCHS=2'.* 3 "),
        ({"baseline": {"RATE": 2}}, "baseline must name parameters .*EPOCHS, BATCH_SIZE; .*'RATE'"),
    ],
)
def test_wrong_wishes_are_refused(folder, given, said):
    with pytest.raises(ValueError, match=said):
        comparison.settings(folder, **given)


def test_a_baseline_needs_values():
    runs = [*of_values({"a": (0.5, 0.6)}), outcome({"A": "b"}, **failed())]
    with pytest.raises(ValueError, match="baseline must be a setting with values; received 'A=b'"):
        comparison.settings(runs, baseline={"A": "b"})


def test_nothing_recorded_is_said():
    with pytest.raises(ValueError, match="no finished run has recorded a figure"):
        comparison.settings([outcome({"A": 1}, **failed())])


def test_what_the_sweep_holds_is_all_there_is(folder):
    runs = comparison.load(folder).runs
    known = {run.name: run.outcome for run in runs[:3]}
    assert [run.status for run in comparison.load(folder, known).runs] == (
        ["finished"] * 3 + ["missing"] * 27
    )


PLAN = {"notebook": "02", "grid": {"A": [1]}, "runs": ["A=1-00000000"]}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (None, "folder must be one that `mnistlib sweep` wrote"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        ([], "must hold notebook, grid and runs"),
        (PLAN | {"notebook": 3}, "notebook must be a name"),
        (PLAN | {"grid": {"A": 1}}, "grid must hold a list"),
        (PLAN | {"grid": None}, "grid must hold a list"),
        (PLAN | {"runs": "abc"}, "runs must list names"),
        (PLAN | {"runs": [3]}, "runs must list names"),
        (PLAN | {"runs": ["../other"]}, "runs must list names"),
        (PLAN | {"runs": [".."]}, "runs must list names"),
        (PLAN | {"runs": ["a", "a"]}, "runs must differ"),
    ],
)
def test_a_damaged_plan_is_refused(tmp_path, plan, said):
    path = tmp_path / "sweep.json"
    if isinstance(plan, bytes):
        path.write_bytes(plan)
    elif plan is not None:
        path.write_text(plan if isinstance(plan, str) else json.dumps(plan))
    with pytest.raises(ValueError, match=said) as raised:
        comparison.load(tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-20], "is no JSON"),
        (lambda text: text.replace('"seconds": 10.0', '"seconds": "10"'), "seconds must be"),
        (lambda text: text.replace("0.97", "NaN"), "has a value that is no finite"),
        (lambda text: text.replace("0.97", '"x"'), "figures are damaged"),
        (lambda text: "[]", "must hold"),
    ],
)
def test_a_damaged_result_is_refused(tmp_path, damage, said):
    folder = small_sweep.write(tmp_path / "s", {"A": [1]}, [outcome({"A": 1})])
    (path,) = folder.glob("*/result.json")
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=said) as raised:
        comparison.table(folder)
    assert str(path) in str(raised.value)


def test_a_grid_that_is_not_that_of_the_runs_is_not_believed(tmp_path):
    grid = {"A": list(range(1000)), "B": list(range(1000)), "C": list(range(1000))}
    folder = tmp_path / "s"
    folder.mkdir()
    plan = {"notebook": "02", "grid": grid, "runs": ["x"]}
    (folder / "sweep.json").write_text(json.dumps(plan))
    (run,) = comparison.load(folder).runs
    assert (run.point, run.status) == ({}, "missing")
