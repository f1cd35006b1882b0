import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from urllib.parse import unquote

import nbformat
import psutil
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from small_series import write_notebook

from mnistlib import execution, outcomes, sweep

COMMAND = Path(sysconfig.get_path("scripts")) / "mnistlib"
PARAMETERS = """\
SIZE: int = 10  # of the matrix (1 or more)
RATE: float = 0.1  # step size (above 0)
SEED: int = 0  # of the numbers (0 or more)"""
WORK = """\
import time
import numpy as np
from mnistlib import results
rng = np.random.default_rng(SEED)
time.sleep(0.3)
mean = np.abs(rng.normal(size=SIZE)).mean()
results.record("validation accuracy", float(mean / 10 + RATE / 9))"""
GRID = {"SIZE": [5, 10], "SEED": [0, 1, 2]}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("nb") / "point.ipynb"
    write_notebook(path, PARAMETERS, WORK)
    return path


@pytest.fixture(scope="module")
def undisturbed(notebook, tmp_path_factory):
    """A sweep that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed") / "sweep"
    ended = list(sweep.run(sweep.plan(notebook, GRID), out, grid=GRID, workers=2))
    assert [kept for _, kept in ended] == [False] * 6
    return out


def table(out):
    """What a sweep found: parameters, status and exact figures of every run in its plan."""
    read = [
        outcomes.read(out / name) for name in json.loads((out / "sweep.json").read_text())["runs"]
    ]
    return [(one.parameters, one.status, one.figures) for one in read]


def write_grid(path, grid):
    path.write_text(yaml.safe_dump(grid, sort_keys=False), encoding="utf-8")
    return path


def test_grid_is_read_and_single_values_are_lists_of_one(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("EPOCHS: [2, 4]\nRATE: 0.1\nSOURCE: sample\nSHOW: [true, false]\n")
    assert sweep.read_grid(path) == {
        "EPOCHS": [2, 4],
        "RATE": [0.1],
        "SOURCE": ["sample"],
        "SHOW": [True, False],
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must give values to parameters"),
        ("- 1\n- 2", "must give values to parameters"),
        ("EPOCHS: []", "EPOCHS must have at least one value"),
        ("EPOCHS: [[1]]", "EPOCHS must have numbers, words"),
        ("EPOCHS: {a: 1}", "EPOCHS must have numbers, words"),
        ("EPOCHS: [null]", "EPOCHS must have numbers, words"),
        ("3: [1]", "3 must have numbers, words"),
        ("EPOCHS: [1]\nEPOCHS: [2]", "'EPOCHS' is given twice"),
        ("EPOCHS: [1", "is no YAML"),
        ("EPOCHS: !!python/object/apply:os.system ['true']", "is no YAML"),
        ("\x00", "is no YAML"),
        ("A: " + "[" * 3_000, "is no YAML"),
        ("A: &a [1]\nB: &b [*a, *a]", "B must have numbers, words"),
        ("\n".join(f"P{n}: [1, 2]" for n in range(30)), "at most 100,000 runs; received 1,073"),
        ("A: " + "1" * 1_000_001, "below 1 MB"),
    ],
)
def test_what_is_no_grid_is_refused_by_name(tmp_path, text, reason):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        sweep.read_grid(path)
    assert "grid.yaml" in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_grid_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"grid must be a file of YAML; received.*none\.yaml"):
        sweep.read_grid(tmp_path / "none.yaml")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_grid_or_a_clear_refusal(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "grid.yaml"
    path.write_bytes(content)
    try:
        grid = sweep.read_grid(path)
    except ValueError:
        return
    assert all(isinstance(values, list) and values for values in grid.values())


def test_plan_is_the_product_in_order_with_values_converted(notebook):
    jobs = sweep.plan(notebook, {"RATE": ["1e-2", 1], "SEED": ["0", 1, 2]})
    assert [tuple(job.parameters.values()) for job in jobs] == [
        (rate, seed) for rate in (0.01, 1.0) for seed in (0, 1, 2)
    ]
    assert {type(job.parameters["RATE"]) for job in jobs} == {float}
    assert jobs[0].defaults == {"SIZE": 10, "RATE": 0.1, "SEED": 0}


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        ({"SEEDS": [1]}, "grid must name parameters of point.ipynb: SIZE, RATE, SEED; received"),
        ({"SIZE": [1, 0]}, "SIZE must be 1 or more; received 0"),
        ({"SIZE": [1, "x"]}, "SIZE must be of type int; received 'x'"),
        ({"SIZE": [1, 2, "1"]}, "list each value of SIZE once; received 1 twice"),
    ],
)
def test_plan_refuses_what_the_notebook_does_not_allow(notebook, grid, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        sweep.plan(notebook, grid)


def test_every_run_has_notebook_and_outcome_in_a_folder_of_its_own(undisturbed):
    runs = json.loads((undisturbed / "sweep.json").read_text())["runs"]
    assert [name.rpartition("-")[0] for name in runs] == [
        f"SIZE={size},SEED={seed}" for size in (5, 10) for seed in (0, 1, 2)
    ]
    for name in runs:
        outcome = outcomes.read(undisturbed / name)
        assert outcome.status == "finished"
        assert outcome.threads == 1
        assert outcome.output.parent == undisturbed / name
        nbformat.validate(nbformat.read(outcome.output, as_version=4))
    import numpy as np

    numbers = np.random.default_rng(1).normal(size=10)
    figure = table(undisturbed)[4][2][0]
    assert figure.value == pytest.approx(np.abs(numbers).mean() / 10 + 0.1 / 9, abs=1e-12)
    assert not (undisturbed / execution.PARTIAL).exists()


def test_report_lists_every_run(undisturbed):
    lines = (undisturbed / "report.csv").read_text().splitlines()
    assert len(lines) == 1 + 6
    assert sum("finished" in line for line in lines) == 6
    page = unquote((undisturbed / "report.html").read_text())
    assert all(f"SIZE={size},SEED={seed}-" in page for size in (5, 10) for seed in (0, 1, 2))


def test_only_what_is_missing_or_changed_is_run(notebook, tmp_path):
    mine, out = tmp_path / "point.ipynb", tmp_path / "sweep"
    mine.write_bytes(notebook.read_bytes())

    def ran(grid):
        ended = sweep.run(sweep.plan(mine, grid), out, grid=grid, workers=2)
        return sorted(tuple(outcome.point.values()) for outcome, kept in ended if not kept)

    assert ran({"SIZE": [5], "SEED": [0, 1]}) == [(5, 0), (5, 1)]
    assert ran({"SIZE": [5], "SEED": [0, 1]}) == []
    assert ran({"SIZE": [5, 6], "SEED": [0]}) == [(6, 0)]
    # What the grid no longer asks for stays, and is not in the plan.
    assert len(table(out)) == 2
    assert len(list(out.glob("*/result.json"))) == 3
    edited = nbformat.read(mine, as_version=4)
    edited.cells.append(nbformat.v4.new_markdown_cell("More words."))
    nbformat.write(edited, mine)
    assert ran({"SIZE": [5, 6], "SEED": [0]}) == []
    edited.cells[1].source += "\nprint(SIZE)"
    nbformat.write(edited, mine)
    assert ran({"SIZE": [5, 6], "SEED": [0]}) == [(5, 0), (6, 0)]


def test_failures_are_kept_told_and_tried_again_when_asked(tmp_path):
    path = tmp_path / "half.ipynb"
    flag = tmp_path / "mended"
    write_notebook(
        path,
        "SEED: int = 0  # a number (0 or more)",
        f"from pathlib import Path\nassert SEED == 0 or Path({str(flag)!r}).exists(), 'odd one'",
    )
    grid = {"SEED": [0, 1]}

    def run(**options):
        jobs = sweep.plan(path, grid)
        ended = sweep.run(jobs, tmp_path / "out", grid=grid, workers=2, **options)
        return {outcome.point["SEED"]: (outcome.status, kept) for outcome, kept in ended}

    assert run() == {0: ("finished", False), 1: ("failed", False)}
    assert run() == {0: ("finished", True), 1: ("failed", True)}
    flag.touch()
    assert run(retry_failed=True) == {0: ("finished", True), 1: ("finished", False)}


def test_a_notebook_edited_while_the_sweep_runs_changes_no_run(notebook, tmp_path):
    mine = tmp_path / "point.ipynb"
    mine.write_bytes(notebook.read_bytes())
    grid = {"SEED": [0, 1]}
    running = sweep.run(sweep.plan(mine, grid), tmp_path / "out", grid=grid)
    next(running)
    write_notebook(mine, PARAMETERS, "1 / 0")
    assert [outcome.status for outcome, _ in running] == ["finished"]


def processes(out):
    """The processes of the sweep in ``out``."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(out) in " ".join(process.cmdline()):
                found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def kill_one(out, kind):
    """Send a signal to the sweep or kill a process under it; returns whether there was one."""
    words = {"kernel": "ipykernel", "run": "mnistlib.execution"}.get(kind, "mnistlib sweep")
    number = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM}.get(kind, signal.SIGKILL)
    for process in processes(out):
        try:
            line = " ".join(process.cmdline()).replace(str(COMMAND), "mnistlib")
            if words in line:
                process.send_signal(number)
                return True
        except psutil.Error:
            continue
    return False


def test_killed_at_random_points_and_started_again_the_table_is_the_same(
    notebook, undisturbed, tmp_path
):
    out, grid = tmp_path / "disturbed", write_grid(tmp_path / "grid.yaml", GRID)
    command = [COMMAND, "sweep", notebook, "--grid", grid, "--jobs", "2", "--out", out]
    rng = random.Random(int(time.time()))
    killed = []
    for kind in rng.sample(["sweep", "run", "kernel", "Ctrl-C", "SIGTERM"] * 2, 10):
        started = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + rng.uniform(1.5, 6)
        while time.monotonic() < deadline and started.poll() is None:
            time.sleep(0.05)
        while started.poll() is None and not kill_one(out, kind):
            time.sleep(0.05)
        _, complained = started.communicate(timeout=120)
        killed.append((kind, started.returncode))
        assert "Traceback" not in complained
        if kind in ("Ctrl-C", "SIGTERM") and started.returncode in (130, 143):
            assert started.returncode == {"Ctrl-C": 130, "SIGTERM": 143}[kind]
            assert re.search(r"\d of 6 runs finished and kept. The same command goes", complained)
        # What is in place is whole.
        for path in out.glob("*/result.json"):
            outcome = outcomes.read(path.parent)
            assert outcome.status == "died" or outcome.output.is_file()
        deadline = time.monotonic() + 10
        while processes(out) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes(out) == []
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (killed, done.stderr)
    assert table(out) == table(undisturbed), killed
    assert not (out / execution.PARTIAL).exists()


def test_a_second_sweep_into_the_same_folder_is_refused(notebook, tmp_path):
    out, grid = tmp_path / "out", write_grid(tmp_path / "grid.yaml", GRID)
    with execution.locked(out):
        done = subprocess.run(
            [COMMAND, "sweep", notebook, "--grid", grid, "--out", out],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "no other run is at work in" in done.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "reason"),
    [
        ("SEEDS: [1]", (), "grid must name parameters of point.ipynb"),
        ("SIZE: [0]", (), "SIZE must be 1 or more; received 0"),
        ("SIZE: [", (), "is no YAML"),
        ("SIZE: [1]", ("--jobs", "0"), "--jobs"),
        ("SIZE: [1]", ("--timeout", "0"), "--timeout"),
        ("SIZE: [1]", ("--cluster", "tcp://127.0.0.1:1"), "cluster must be the address"),
    ],
)
def test_the_command_says_what_is_wrong_before_a_kernel_starts(
    notebook, tmp_path, text, arguments, reason
):
    (tmp_path / "grid.yaml").write_text(text)
    done = subprocess.run(
        [COMMAND, "sweep", notebook, "--grid", "grid.yaml", "--out", "out", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (1, 2)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out/*/result.json"))


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler and two workers, in processes of their own: address, workers."""
    pytest.importorskip("distributed")
    dask = [sys.executable, "-m", "dask"]
    address = tmp_path / "scheduler.json"
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", address],
            stderr=subprocess.DEVNULL,
        )
    ]
    deadline = time.monotonic() + 60
    while not address.exists():
        assert time.monotonic() < deadline, "the scheduler has not started"
        time.sleep(0.1)
    for number in range(2):
        folder = tmp_path / f"worker-{number}"
        worker = [*dask, "worker", "--scheduler-file", address, "--nthreads", "1", "--no-nanny"]
        worker += ["--no-dashboard", "--local-directory", folder]
        started.append(subprocess.Popen(worker, stderr=subprocess.DEVNULL))
    yield json.loads(address.read_text())["address"], started[1:]
    for process in started:
        process.kill()
        process.wait()


def test_a_cluster_finds_the_same_and_loses_nothing_with_a_worker(
    cluster, notebook, undisturbed, tmp_path
):
    address, workers = cluster
    jobs = sweep.plan(notebook, GRID)
    running = sweep.run(jobs, tmp_path / "out", grid=GRID, cluster=address)
    ended = [next(running)]
    # One run has ended, so both workers have begun another.
    workers[0].kill()
    ended += running
    assert len(ended) == 6
    assert {outcome.threads for outcome, _ in ended} == {1}
    assert table(tmp_path / "out") == table(undisturbed)
    again = list(sweep.run(jobs, tmp_path / "out", grid=GRID, workers=2))
    assert [kept for _, kept in again] == [True] * 6


def test_a_sweep_on_a_cluster_that_is_given_up_ends_the_runs_there(cluster, tmp_path):
    path = tmp_path / "long.ipynb"
    write_notebook(path, "SEED: int = 0  # a number (0 or more)", "import time; time.sleep(120)")
    address, workers = cluster
    grid = write_grid(tmp_path / "grid.yaml", {"SEED": [0, 1]})
    command = [COMMAND, "sweep", path, "--grid", grid, "--cluster", address]
    started = subprocess.Popen(
        [*command, "--out", tmp_path / "out"],
        stderr=subprocess.PIPE,
        text=True,
    )

    def kernels():
        found = []
        for worker in workers:
            for one in psutil.Process(worker.pid).children(recursive=True):
                # It may end while it is looked at.
                with contextlib.suppress(psutil.Error):
                    if "ipykernel" in " ".join(one.cmdline()):
                        found.append(one)
        return found

    deadline = time.monotonic() + 120
    while len(kernels()) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(kernels()) == 2
    started.send_signal(signal.SIGINT)
    assert "0 of 2 runs finished and kept" in started.communicate(timeout=60)[1]
    assert started.returncode == 130
    deadline = time.monotonic() + 20
    while kernels() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert kernels() == []
