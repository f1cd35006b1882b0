import contextlib
import os
import re
import shutil
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from small_series import write_notebook

from mnistlib import batch, execution, outcomes, results

ROUND = """\
import time
from mnistlib import results
results.record("accuracy", 0.5)
time.sleep(PAUSE)
results.record("done", 1.0)"""


@pytest.fixture
def job(tmp_path):
    """A notebook that records a figure, waits, and records another."""
    write_notebook(tmp_path / "nb" / "01_wait.ipynb", "PAUSE: float = 0.0  # seconds", ROUND)
    (job,) = batch.plan(folder=tmp_path / "nb")
    return job


def with_pause(job, seconds):
    return execution.Job(job.name, job.path, job.defaults, {"PAUSE": seconds})


def children():
    """The processes that run notebooks for us."""
    found = []
    for child in psutil.Process().children(recursive=True):
        # It may end while it is looked at.
        with contextlib.suppress(psutil.Error):
            if re.search("mnistlib.execution|ipykernel", " ".join(child.cmdline())):
                found.append(child)
    return found


def test_outcome_says_what_ran_with_what_and_what_came_of_it(job, tmp_path):
    before = time.time()
    outcome = execution.execute(with_pause(job, 0.25), tmp_path / "run", threads=1)
    assert outcome == outcomes.read(tmp_path / "run")
    assert outcome.parameters == {"PAUSE": 0.25}
    assert (outcome.status, outcome.error) == ("finished", None)
    assert [str(figure) for figure in outcome.figures] == ["accuracy: 50.00 %", "done: 100.00 %"]
    assert outcome.figures == results.read(outcome.output).figures
    assert 0.25 < outcome.seconds < time.time() - before
    assert outcome.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (outcome.threads, outcome.cores) == (1, len(os.sched_getaffinity(0)))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "01_wait.ipynb",
        "result.json",
    ]
    assert not (tmp_path / execution.PARTIAL).exists()
    assert children() == []


def test_threads_reach_the_libraries_in_the_kernel(tmp_path):
    write_notebook(
        tmp_path / "nb" / "01_threads.ipynb",
        "A: int = 1  # nothing",
        "import os\nfrom threadpoolctl import threadpool_info\nimport numpy\n"
        "print([one['num_threads'] for one in threadpool_info()])",
    )
    (job,) = batch.plan(folder=tmp_path / "nb")
    outcome = execution.execute(job, tmp_path / "run", threads=1)
    cell = nbformat.read(outcome.output, as_version=4).cells[-1]
    assert cell.outputs[0].text == "[1]\n"


def test_a_kernel_that_dies_before_the_first_cell_is_started_once_more(job, tmp_path, monkeypatch):
    """As of two that picked the same port; here IPython's own start-up file ends the first one."""
    starts = tmp_path / "starts"
    folder = tmp_path / "ipython" / "profile_default" / "startup"
    folder.mkdir(parents=True)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for deaths, status in ((1, "finished"), (2, "died")):
        starts.unlink(missing_ok=True)
        (folder / "00.py").write_text(
            f"import os\nwith open({str(starts)!r}, 'a+b') as file:\n"
            "    file.write(b'.')\n    file.flush()\n"
            f"    if file.tell() <= {deaths}:\n        os._exit(1)\n"
        )
        outcome = execution.execute(job, tmp_path / f"run {deaths}")
        assert (outcome.status, starts.read_text()) == (status, "..")


def test_a_run_that_takes_too_long_is_ended_and_keeps_what_it_did(job, tmp_path):
    outcome = execution.execute(with_pause(job, 60), tmp_path / "run", timeout=15)
    assert outcome.status == "timeout"
    assert outcome.error == outcomes.Failure(3, "Timeout", "not done after 15 s")
    assert outcome.seconds < 40
    assert [figure.name for figure in outcome.figures] in ([], ["accuracy"])
    nbformat.validate(nbformat.read(outcome.output, as_version=4))
    assert children() == []


def test_a_stopped_run_leaves_nothing(job, tmp_path):
    start = time.monotonic()
    with pytest.raises(execution.Stopped):
        execution.execute(
            with_pause(job, 60), tmp_path / "run", stop=lambda: time.monotonic() > start + 4
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nb"]
    assert children() == []


@pytest.mark.parametrize("victim", ["mnistlib.execution", "ipykernel"])
def test_a_run_whose_process_is_killed_died_and_will_be_done_again(job, tmp_path, victim):
    def kill():
        with contextlib.suppress(psutil.Error):
            for child in children():
                if victim in " ".join(child.cmdline()) and time.monotonic() > start + 4:
                    child.kill()
        return False

    start = time.monotonic()
    outcome = execution.execute(with_pause(job, 60), tmp_path / "run", stop=kill)
    assert outcome.status == "died"
    # On a busy machine the kernel is killed before it is ready.
    of_kernel = ("DeadKernelError", "RuntimeError")
    assert outcome.error.exception in (of_kernel if victim == "ipykernel" else ("ProcessDied",))
    assert execution.finished(tmp_path / "run", outcome.hash) is None
    deadline = time.monotonic() + 10
    while children() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert children() == []


def test_a_finished_run_is_found_by_its_hash_alone(job, tmp_path):
    folder = tmp_path / "run"
    outcome = execution.execute(job, folder)
    assert outcome.hash == execution.fingerprint(job)
    assert execution.finished(folder, outcome.hash) == outcome
    assert execution.finished(folder, "0" * 64) is None
    outcome.output.unlink()
    assert execution.finished(folder, outcome.hash) is None
    (folder / outcomes.FILE).write_text('{"notebook": "')
    assert execution.finished(folder, outcome.hash) is None


def test_a_failure_counts_as_done_unless_it_is_to_be_tried_again(tmp_path):
    write_notebook(tmp_path / "nb" / "01_fail.ipynb", "A: int = 1  # nothing", "1 / 0")
    (job,) = batch.plan(folder=tmp_path / "nb")
    outcome = execution.execute(job, tmp_path / "run")
    assert outcome.error == outcomes.Failure(2, "ZeroDivisionError", "division by zero")
    assert execution.finished(tmp_path / "run", outcome.hash) == outcome
    assert execution.finished(tmp_path / "run", outcome.hash, retry_failed=True) is None


def test_the_hash_goes_by_code_and_values_not_by_prose(job, tmp_path):
    def changed(edit):
        notebook = nbformat.read(job.path, as_version=4)
        edit(notebook)
        path = tmp_path / f"{len(list(tmp_path.glob('*.ipynb')))}.ipynb"
        nbformat.write(notebook, path)
        return execution.fingerprint(execution.Job("01_wait", path, job.defaults, {}))

    first = execution.fingerprint(job)
    prose = nbformat.v4.new_markdown_cell("Words.")
    assert changed(lambda notebook: notebook.cells.insert(0, prose)) == first
    assert changed(lambda notebook: notebook.metadata.update(title="Other")) == first
    assert changed(lambda notebook: notebook.cells[1].update(source="print(1)")) != first
    assert execution.fingerprint(with_pause(job, 1.0)) != first
    # The default, given, is no change.
    assert execution.fingerprint(with_pause(job, 0.0)) == first


def test_the_hash_follows_the_file_that_a_parameter_names(tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("1,2\n")
    write_notebook(tmp_path / "nb" / "01_read.ipynb", 'CSV: str = ""  # path of a file of yours')
    (job,) = batch.plan(parameters={"CSV": str(mine)}, folder=tmp_path / "nb")
    first = execution.fingerprint(job)
    assert execution.fingerprint(job) == first
    mine.write_text("1,2,3\n")
    assert execution.fingerprint(job) != first


def test_what_else_lies_in_the_folder_stays(job, tmp_path):
    folder = tmp_path / "run"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "notes.txt").write_text("precious")
    (folder / "01_wait.ipynb").write_text("of an earlier version")
    execution.execute(job, folder)
    assert (folder / "mine" / "notes.txt").read_text() == "precious"
    nbformat.validate(nbformat.read(folder / "01_wait.ipynb", as_version=4))


def test_files_that_a_notebook_writes_where_it_runs_come_along(tmp_path):
    write_notebook(
        tmp_path / "nb" / "01_write.ipynb",
        "A: int = 1  # nothing",
        'open("answers.csv", "w").write("1,2")',
    )
    (job,) = batch.plan(folder=tmp_path / "nb")
    execution.execute(job, tmp_path / "run")
    assert (tmp_path / "run" / "answers.csv").read_text() == "1,2"


def test_two_calls_into_one_folder_are_kept_apart(tmp_path):
    with (
        execution.locked(tmp_path / "runs"),
        pytest.raises(ValueError, match="no other run is at work in; received"),
        execution.locked(tmp_path / "runs"),
    ):
        pass
    with execution.locked(tmp_path / "runs"):
        pass


def test_a_kernel_that_has_done_its_work_is_not_interrupted(tmp_path):
    # With jupyter_client's own order, one run in some printed "KeyboardInterrupt caught in kernel".
    write_notebook(
        tmp_path / "nb" / "01_quiet.ipynb",
        "A: int = 1  # nothing",
        "import signal, pathlib\n"
        'def heard(*_): pathlib.Path("interrupted").touch()\n'
        "from ipykernel.kernelbase import Kernel\n"
        "Kernel.pre_handler_hook = lambda self: None\n"
        "Kernel.post_handler_hook = lambda self: None\n"
        "signal.signal(signal.SIGINT, heard)",
    )
    (job,) = batch.plan(folder=tmp_path / "nb")
    execution.execute(job, tmp_path / "run")
    assert not (tmp_path / "run" / "interrupted").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("left", [0, 2_000, 300_000])
def test_a_full_disk_is_said_and_leaves_nothing(job, small_disk, left):
    free = shutil.disk_usage(small_disk).free
    (small_disk / "full").write_bytes(bytes(free - left))
    if left == 300_000:
        # There is room until the notebook itself fills it.
        notebook = nbformat.read(job.path, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell('print("x" * 1_000_000)'))
        nbformat.write(notebook, job.path)
    with pytest.raises(OSError, match="No space left on device"):
        execution.execute(job, small_disk / "run")
    assert [path.name for path in small_disk.iterdir()] == ["full"]
    (small_disk / "full").unlink()
    job = execution.Job(job.name, job.path, job.defaults, {})
    if left < 300_000:
        assert execution.execute(job, small_disk / "run").status == "finished"
