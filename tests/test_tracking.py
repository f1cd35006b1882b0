"""Runs in MLflow's own database, read back by MLflow; skipped where it is not installed."""

import sys
from dataclasses import replace

import pytest
import small_sweep
from click.testing import CliRunner
from small_sweep import failed, outcome

from mnistlib import cli, comparison, outcomes, tracking
from mnistlib.results import Figure


@pytest.fixture
def folder(tmp_path):
    figures = (
        Figure("dense_128, mean test accuracy", (0.97, 0.98)),
        Figure("../<b>&", (3.0,), "mistakes"),
    )
    made = [
        outcome({"A": "a/../b", "B": 1}, number=1, figures=figures),
        outcome({"A": "a/../b", "B": 2}, number=2, **failed()),
        None,
        outcome({"A": "ü", "B": 2}, number=4, figures=figures),
    ]
    names = ["run-1", "run-2", "run-3", "run-4"]
    grid = {"A": ["a/../b", "ü"], "B": [1, 2]}
    return small_sweep.write(tmp_path / "first", grid, made, names=names)


@pytest.fixture
def runs(tmp_path):
    """Read the runs of the store, as anybody would."""
    mlflow = pytest.importorskip("mlflow")

    def read():
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/store/mlflow.db")
        (experiment,) = [
            each for each in client.search_experiments() if each.name == "02_dense_baseline"
        ]
        return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}

    return read


@pytest.mark.filterwarnings("default")
def test_runs_are_there_once(folder, tmp_path, runs):
    sweep = comparison.load(folder)
    assert tracking.write(sweep, tmp_path / "store") == (3, 0)
    found = runs()
    assert set(found) == {"run-1", "run-2", "run-4"}
    first = found["run-1"]
    assert first.info.status == "FINISHED"
    assert first.data.params == {"SOURCE": "mnist", "A": "a/../b", "B": "1"}
    assert first.data.metrics["dense_128_ mean test accuracy"] == pytest.approx(0.975)
    assert first.data.metrics["dense_128_ mean test accuracy sd"] == pytest.approx(0.5**0.5 / 100)
    assert first.data.metrics["seconds"] == 11
    assert 3.0 in first.data.metrics.values()
    assert first.data.tags["mnistlib.hash"] == f"{1:064x}"
    assert first.data.tags["version.keras"] == "3.15.1"
    assert first.info.end_time - first.info.start_time == 11_000
    assert found["run-2"].info.status == "FAILED"
    assert "ZeroDivisionError" in found["run-2"].data.tags["mnistlib.error"]
    (kept,) = (tmp_path / "store" / "artifacts" / first.info.run_id).rglob("*.ipynb")
    assert kept.name == "02_dense_baseline.ipynb"
    assert tracking.write(sweep, tmp_path / "store") == (0, 3)
    assert {name: run.info.run_id for name, run in runs().items()} == {
        name: run.info.run_id for name, run in found.items()
    }


@pytest.mark.filterwarnings("default")
def test_a_failed_run_is_replaced_by_a_later_one(folder, tmp_path, runs):
    tracking.write(comparison.load(folder), tmp_path / "store")
    again = outcome({"A": "a/../b", "B": 2}, number=2, started="2026-11-27T00:00:00+00:00")
    outcomes.write(replace(again, seconds=1.5), folder / "run-2")
    assert tracking.write(comparison.load(folder), tmp_path / "store") == (1, 2)
    found = runs()
    assert len(found) == 3
    assert found["run-2"].info.status == "FINISHED"
    assert found["run-2"].data.metrics["seconds"] == 1.5


def test_without_mlflow_it_says_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match="pip install mlflow"):
        tracking.write(comparison.load(folder), tmp_path / "store")
    options = ["report", str(folder), "--no-summary", "--mlflow", str(tmp_path / "store")]
    done = CliRunner().invoke(cli.main, options)
    assert done.exit_code == 1
    assert "pip install mlflow" in done.output
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "clean"),
    [("a b-c.d:e", "a b-c.d:e"), ("x/../y", "x_.._y"), ("..", "_"), ("<é>", "_é_"), ("", "_")],
)
def test_names_that_mlflow_accepts(name, clean):
    assert list(tracking._named({name: 1})) == [clean]


def test_names_that_would_be_the_same_stay_apart():
    assert tracking._named({"a,b": 1, "a;b": 2, "a_b": 3}) == {"a_b": 1, "a_b_": 2, "a_b__": 3}
