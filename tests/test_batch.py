import sys

import nbformat
import pytest
from small_series import write_bounds, write_notebook, write_series

from mnistlib import batch
from mnistlib.outcomes import Failure
from mnistlib.results import Figure


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "notebooks")


def text_of(path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )


def test_plan_takes_the_whole_series_in_order_with_nothing_changed(series):
    jobs = batch.plan(folder=series)
    assert [job.name for job in jobs] == ["01_pass", "02_fail"]
    assert [job.parameters for job in jobs] == [{}, {}]
    assert jobs[0].accepts == ("EPOCHS", "RATE", "SOURCE", "SHOW")


@pytest.mark.parametrize("names", [["02"], ["02_fail"], ["02", "02_fail"]])
def test_plan_takes_names_and_numbers(series, names):
    assert [job.name for job in batch.plan(names, folder=series)] == ["02_fail"]


def test_plan_keeps_the_order_of_the_series(series):
    assert [job.name for job in batch.plan(["02", "01"], folder=series)] == ["01_pass", "02_fail"]


@pytest.mark.parametrize("name", ["03", "2", "fail", "02_fail.ipynb", ""])
def test_plan_refuses_an_unknown_notebook(series, name):
    with pytest.raises(ValueError, match=r"01_pass, 02_fail.*received '") as caught:
        batch.plan(["01", name], folder=series)
    assert repr(name) in str(caught.value)


def test_plan_refuses_a_folder_without_notebooks(tmp_path):
    with pytest.raises(ValueError, match=r"folder must hold notebooks.*received"):
        batch.plan(folder=tmp_path)


def test_plan_gives_a_parameter_to_the_notebooks_that_have_it(series):
    jobs = batch.plan(parameters={"EPOCHS": 3}, folder=series)
    assert [job.parameters for job in jobs] == [{"EPOCHS": 3}, {}]


def test_plan_refuses_a_parameter_that_no_selected_notebook_has(series):
    with pytest.raises(ValueError, match=r"among SEEDS for 02_fail; received 'EPOCHS'"):
        batch.plan(["02"], parameters={"EPOCHS": 3}, folder=series)


def test_quick_values_yield_to_explicit_ones(series):
    jobs = batch.plan(quick=True, folder=series)
    assert [job.parameters for job in jobs] == [
        {"EPOCHS": batch.QUICK["EPOCHS"]},
        {"SEEDS": batch.QUICK["SEEDS"]},
    ]
    jobs = batch.plan(quick=True, parameters={"EPOCHS": 7}, folder=series)
    assert jobs[0].parameters == {"EPOCHS": 7}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("EPOCHS", "3", 3),
        ("EPOCHS", 3, 3),
        ("RATE", "1e-2", 0.01),
        ("RATE", 1, 1.0),
        ("SOURCE", "sample", "sample"),
        ("SOURCE", "3", "3"),
        ("SHOW", "false", False),
        ("SHOW", "True", True),
        ("SHOW", False, False),
    ],
)
def test_values_are_converted_to_the_declared_type(series, name, value, expected):
    converted = batch.plan(parameters={name: value}, folder=series)[0].parameters[name]
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EPOCHS", "3.5"),
        ("EPOCHS", "many"),
        ("EPOCHS", 3.5),
        ("EPOCHS", True),
        ("RATE", "fast"),
        ("SOURCE", 3),
        ("SHOW", "1"),
        ("SHOW", "yes"),
    ],
)
def test_values_that_do_not_convert_are_refused(series, name, value):
    with pytest.raises(ValueError, match=f"{name} must be of type .*; received") as caught:
        batch.plan(parameters={name: value}, folder=series)
    assert repr(value) in str(caught.value)


def test_a_parameter_without_a_plain_type_cannot_be_set(tmp_path):
    write_notebook(tmp_path / "01_untyped.ipynb", "UNITS = [128, 64]")
    with pytest.raises(ValueError, match="UNITS must be declared int, float, bool or str"):
        batch.plan(parameters={"UNITS": "3"}, folder=tmp_path)


def test_run_executes_reports_and_goes_on_after_a_failure(series, tmp_path):
    (series / "03_pass.ipynb").write_bytes((series / "01_pass.ipynb").read_bytes())
    jobs = batch.plan(parameters={"EPOCHS": "3"}, folder=series)
    first, failed, last = batch.run(jobs, output=tmp_path / "runs", source="sample", progress=False)

    assert first.outcome.output == tmp_path / "runs" / "01_pass" / "01_pass.ipynb"
    assert first.outcome.error is None
    assert first.outcome.seconds > 0
    assert first.outcome.figures == (
        Figure("test accuracy", (0.97, 0.98)),
        Figure("mistakes", (219.0,), "mistakes"),
    )
    assert (first.missed, first.faults) == ((), [])
    assert first.unbound == "no tests/bounds.toml lies beside the notebooks' folder"
    text = text_of(first.outcome.output)
    assert "(3, 0.001, 'sample', True)" in text
    assert f"{sys.executable}\n" in text

    assert failed.outcome.error == Failure(3, "ZeroDivisionError", "division by zero")
    assert failed.faults == ["02_fail failed in cell In [3]: ZeroDivisionError: division by zero"]
    assert text_of(failed.outcome.output).startswith("5\n")
    assert last.outcome.error is None


@pytest.mark.parametrize(
    ("parameters", "source", "unbound"),
    [
        ({}, None, None),
        ({"EPOCHS": 10, "RATE": "0.001", "SHOW": "true"}, None, None),
        ({"EPOCHS": 3}, None, "changed: EPOCHS = 3"),
        ({"RATE": 0.1, "SHOW": False}, None, "changed: RATE = 0.1, SHOW = False"),
        ({}, "sample", "it did not run on the full MNIST"),
    ],
)
def test_figures_are_held_to_bounds_where_these_apply(
    series, tmp_path, parameters, source, unbound
):
    write_bounds(series, 0.98)
    jobs = batch.plan(["01"], parameters=parameters, folder=series)
    (result,) = batch.run(jobs, output=tmp_path, source=source, progress=False)
    assert result.unbound == unbound
    missed = [
        "01_pass: test accuracy: 97.50 ± 0.71 % (2 seeds); it should be at least 98.00 % "
        "(0.975 ± 0.007)"
    ]
    assert result.faults == ([] if unbound else missed)
    write_bounds(series, 0.975)
    (result,) = batch.run(jobs, output=tmp_path, source=source, progress=False)
    assert result.faults == []


def test_bounded_figure_that_is_not_recorded_is_a_fault(series, tmp_path):
    write_bounds(series, 0.9)
    notebook = nbformat.read(series / "01_pass.ipynb", as_version=4)
    cell = notebook.cells[1]
    cell.source = cell.source.replace("test accuracy", "accuracy")
    nbformat.write(notebook, series / "01_pass.ipynb")
    (result,) = batch.run(batch.plan(["01"], folder=series), output=tmp_path, progress=False)
    assert result.faults == ["01_pass should record 'test accuracy', at least 0.9; it did not"]


def test_damaged_bounds_are_refused_before_anything_runs(series, tmp_path):
    write_bounds(series, 0.9)
    (series.parent / "tests" / "bounds.toml").write_text("[01_pass]\nx = 3")
    with pytest.raises(ValueError, match=r"bounds\.toml, 01_pass, x: expected at_least"):
        list(batch.run(batch.plan(["01"], folder=series), output=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_an_explicit_source_wins(series, tmp_path):
    jobs = batch.plan(["01"], parameters={"SOURCE": "mnist"}, folder=series)
    (result,) = batch.run(jobs, output=tmp_path, source="sample", progress=False)
    assert "'mnist'" in text_of(result.outcome.output)


def test_a_kernel_that_dies_is_a_failure_of_the_cell_that_ran(tmp_path):
    write_notebook(
        tmp_path / "01_die.ipynb", "SEEDS: int = 5", "print(1)", "import os\nos._exit(1)"
    )
    (result,) = batch.run(batch.plan(folder=tmp_path), output=tmp_path / "runs", progress=False)
    assert (result.outcome.error.cell, result.outcome.error.exception) == (3, "DeadKernelError")
    assert "1\n" in text_of(result.outcome.output)


def test_a_kernel_of_the_user_does_not_replace_this_interpreter(series, tmp_path, monkeypatch):
    spec = tmp_path / "share" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["false", "{connection_file}"], "display_name": "other", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    (result,) = batch.run(batch.plan(["01"], folder=series), output=tmp_path, progress=False)
    assert result.outcome.error is None


def test_the_outcome_of_an_earlier_run_is_replaced(series, tmp_path):
    old = tmp_path / "02_fail" / "02_fail.ipynb"
    old.parent.mkdir()
    old.write_text("from an earlier run")
    (result,) = batch.run(batch.plan(["02"], folder=series), output=tmp_path, progress=False)
    assert result.outcome.error.cell == 3
    nbformat.validate(nbformat.read(old, as_version=4))


def test_what_is_finished_is_not_executed_again_unless_asked(series, tmp_path):
    def run(**options):
        ended = batch.run(jobs, output=tmp_path / "runs", progress=False, **options)
        return {result.name: (result.kept, result.outcome.started) for result in ended}

    jobs = batch.plan(folder=series)
    first = run()
    assert [kept for kept, _ in first.values()] == [False, False]
    second = run()
    # A failure is what one mends and tries again.
    assert second["01_pass"] == (True, first["01_pass"][1])
    assert not second["02_fail"][0]
    jobs = batch.plan(["01"], folder=series)
    assert not run(fresh=True)["01_pass"][0]
    jobs = batch.plan(["01"], parameters={"EPOCHS": 3}, folder=series)
    assert not run()["01_pass"][0]


def test_the_outcome_knows_every_parameter(series, tmp_path):
    jobs = batch.plan(["01"], parameters={"EPOCHS": 3}, folder=series)
    (result,) = batch.run(jobs, output=tmp_path, source="sample", progress=False)
    assert result.outcome.parameters == {
        "EPOCHS": 3,
        "RATE": 0.001,
        "SOURCE": "sample",
        "SHOW": True,
    }


def test_a_notebook_that_hangs_is_ended_and_the_next_one_runs(series, tmp_path):
    write_notebook(series / "01_pass.ipynb", "A: int = 1  # nothing", "import time; time.sleep(90)")
    jobs = batch.plan(folder=series)
    hung, failed = batch.run(jobs, output=tmp_path / "runs", timeout=8, progress=False)
    assert hung.faults == ["01_pass failed in cell In [2]: Timeout: not done after 8 s"]
    assert failed.outcome.error.exception == "ZeroDivisionError"
