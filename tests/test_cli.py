import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from small_series import (
    PARAMETERS,
    RECORDS,
    write_bounds,
    write_notebook,
    write_series,
)

from mnistlib import cli, data, drawing, kaggle, recognizer

ROOT = Path(__file__).parent.parent
COMMAND = Path(sysconfig.get_path("scripts")) / "mnistlib"
SAMPLE = ("-p", "SOURCE", "sample")


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "notebooks")


@pytest.fixture
def mnistlib(tmp_path):
    """Run the command line in a process of its own, in an empty folder."""

    def call(*arguments, **environment):
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


def test_importing_the_command_line_imports_neither_tensorflow_nor_papermill():
    code = "import sys, mnistlib.cli; print({'tensorflow', 'keras', 'papermill'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_version(mnistlib):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert mnistlib("--version").stdout.split()[-1] == project["version"]


def test_run_prints_the_source_and_a_table(mnistlib, series):
    done = mnistlib("run", "01", "--notebooks", series, *SAMPLE, "-p", "EPOCHS", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Data: offline sample")
    assert lines[2].split() == ["notebook", "seconds", "output"]
    assert lines[3].split()[::2] == ["01_pass", "runs/01_pass/01_pass.ipynb"]
    assert [line.strip() for line in lines[4:]] == [
        "test accuracy: 97.50 ± 0.71 % (2 seeds)",
        "mistakes: 219 mistakes",
        "",
        "Not held to bounds: no tests/bounds.toml lies beside the notebooks' folder",
    ]
    assert "01_pass" in done.stderr


def test_a_failure_is_named_and_the_exit_code_says_so(mnistlib, series, tmp_path):
    done = mnistlib("run", "--notebooks", series, "--output", "elsewhere", *SAMPLE)
    assert done.returncode == 1
    assert "02_fail failed in cell In [3]: ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr
    assert "test accuracy: 97.50 ± 0.71 %" in done.stdout
    assert (tmp_path / "elsewhere" / "02_fail" / "02_fail.ipynb").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_prints_what_is_finished_and_goes_on(
    mnistlib, series, tmp_path, number, code
):
    write_notebook(series / "02_wait.ipynb", "A: int = 1  # nothing", "import time; time.sleep(90)")
    (series / "02_fail.ipynb").unlink()
    command = [COMMAND, "run", "--notebooks", series, *SAMPLE]
    started = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("runs/.partial/02_wait*/02_wait.ipynb")):
        assert started.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    started.send_signal(number)
    said, complained = started.communicate(timeout=120)
    assert started.returncode == code
    assert "1 of 2 notebooks finished and kept. The same command goes on." in complained
    assert "Traceback" not in complained
    assert "test accuracy: 97.50 ± 0.71 % (2 seeds)" in said
    assert "02_wait" not in said
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.name != ".lock"] == [
        "01_pass"
    ]
    write_notebook(series / "02_wait.ipynb", "A: int = 1  # nothing", "print(1)")
    done = mnistlib("run", "--notebooks", series, *SAMPLE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unchanged, so not executed again; --fresh does") == 1


def test_run_prints_for_programs(mnistlib, series):
    first = mnistlib("run", "01", "--notebooks", series, *SAMPLE, "--csv")
    assert first.returncode == 0, first.stderr
    rows = list(csv.DictReader(first.stdout.splitlines()))
    assert [(row["notebook"], row["status"], row["figure"], row["unit"]) for row in rows] == [
        ("01_pass", "finished", "test accuracy", "%"),
        ("01_pass", "finished", "mistakes", "mistakes"),
    ]
    assert [float(row["value"]) for row in rows] == [0.975, 219]
    assert rows[0]["sd"].startswith("0.00707")
    again = mnistlib("run", "01", "--notebooks", series, *SAMPLE, "--json")
    (result,) = json.loads(again.stdout)
    assert result["kept"]
    assert result["parameters"]["SOURCE"] == "sample"
    assert result["figures"][0]["values"] == [0.97, 0.98]


def test_missed_bound_is_named_and_the_exit_code_says_so(mnistlib, mnist, series):
    write_bounds(series, 0.98)
    done = mnistlib("run", "01", "--notebooks", series)
    assert done.returncode == 1
    assert done.stdout.endswith("219 mistakes\n    misses its bounds\n")
    assert done.stderr.endswith(
        "Error: 01_pass: test accuracy: 97.50 ± 0.71 % (2 seeds); it should be at least 98.00 % "
        "(0.975 ± 0.007)\n"
    )


def test_table_says_of_each_notebook_why_it_is_not_held_to_bounds(mnistlib, mnist, series):
    write_bounds(series, 0.97)
    other = PARAMETERS.replace("EPOCHS", "SEEDS")
    write_notebook(series / "02_fail.ipynb", other, RECORDS)
    done = mnistlib("run", "--notebooks", series, "-p", "SEEDS", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ot held to bounds") == 1
    assert done.stdout.endswith("    not held to bounds: changed: SEEDS = 3\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["03"], "names must be among"),
        (["-p", "EPOCH", "3"], "parameters must be among"),
        (["-p", "EPOCHS", "x"], "EPOCHS must be of type int"),
        (["--timeout", "-1"], "--timeout"),
        (["-p", "SOURCE", "elsewhere"], "source must be one of"),
    ],
)
def test_what_is_unknown_is_refused_before_anything_runs(
    mnistlib, series, tmp_path, arguments, message
):
    done = mnistlib("run", "--notebooks", series, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--notebooks", "{series}"),
        ("train", "--out", "x.keras"),
        ("kaggle", "--make-demo", "practice"),
    ],
)
def test_a_path_that_holds_no_mnist_is_refused(mnistlib, series, command):
    arguments = [argument.format(series=series) for argument in command]
    done = mnistlib(*arguments, MNISTLIB_DATA="nowhere.npz")
    assert done.returncode == 2
    assert "nowhere.npz" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_relative_path_to_the_digits_serves_the_kernels_too(mnistlib, tmp_path):
    write_notebook(
        tmp_path / "01_where.ipynb",
        "SOURCE: str = 'auto'",
        "import os\nassert os.path.isabs(os.environ['MNISTLIB_DATA'])",
    )
    done = mnistlib("run", "--notebooks", tmp_path, *SAMPLE, MNISTLIB_DATA="digits.npz")
    assert done.returncode == 0, done.stderr


# --- Kaggle -------------------------------------------------------------------------------------


def test_from_an_empty_folder_to_a_submission_that_scores(mnistlib, tmp_path):
    """On the offline sample and for few epochs; the real figures are in the notebook."""
    nowhere = {"HOME": str(tmp_path), "KERAS_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    kaggle.make_demo(tmp_path / "demo", data.load("sample"))
    files = ("--train", "demo/train.csv", "--test", "demo/test.csv", "--out", "submission.csv")
    done = mnistlib("kaggle", *files, "--epochs", "3", **nowhere)
    assert done.returncode == 0, done.stderr
    assert "Read 3,000 labelled digits and 2,000 without labels" in done.stdout
    assert "Validation accuracy 9" in done.stdout
    labels, answers = (
        kaggle.read_submission(tmp_path / name, rows=2_000)
        for name in ("submission.csv", "demo/answers.csv")
    )
    assert np.mean(labels == answers) > 0.9
    checked = mnistlib("kaggle", "--validate", "submission.csv", "--rows", "2000")
    assert checked.stdout == "submission.csv is a valid submission of 2,000 rows\n"
    refused = mnistlib("kaggle", "--validate", "submission.csv")
    assert refused.returncode == 1
    assert "should have 28,000 rows after the header; it has 2,000" in refused.stderr


def test_make_demo_writes_the_three_files(mnistlib, tmp_path):
    done = mnistlib("kaggle", "--make-demo", "demo")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {"train.csv", "test.csv", "answers.csv"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--train", "one.csv"),
        ("--train", "one.csv", "--out", "two.csv"),
        ("--make-demo", "demo", "--validate", "one.csv"),
    ],
)
def test_half_a_kaggle_command_is_refused(mnistlib, tmp_path, arguments):
    (tmp_path / "one.csv").write_text("label")
    done = mnistlib("kaggle", *arguments)
    assert done.returncode == 2
    assert "give --train, --test and --out together" in done.stderr


def test_wrong_file_or_folder_is_told_before_any_training(mnistlib, tmp_path):
    (tmp_path / "page.csv").write_text("<html>")
    files = ("--train", "page.csv", "--test", "page.csv", "--out")
    page = mnistlib("kaggle", *files, "submission.csv")
    assert page.returncode == 1
    assert page.stderr.splitlines()[-1].startswith("Error: page.csv is a web page, as Kaggle ")
    folder = mnistlib("kaggle", *files, "none/submission.csv")
    assert folder.returncode == 2
    assert "--out: there is no folder" in folder.stderr


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A network that ``mnistlib train`` wrote, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    done = subprocess.run(
        [COMMAND, "train", "--mnist-alone", "--epochs", "2", "--out", "fast.keras"],
        cwd=folder,
        env=os.environ | {"KERAS_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder / "fast.keras", done.stdout


def test_train_reports_validation_and_test_accuracy(trained, digits):
    path, said = trained
    for what in ("Validation", "Test"):
        (share,) = re.findall(rf"{what} accuracy (\d+\.\d\d) % \(95 % interval", said)
        assert float(share) >= (97.5 if digits.is_mnist else 85)
    # One file, which holds the calibration, too.
    assert [file.name for file in path.parent.glob("fast*")] == ["fast.keras"]
    assert recognizer.load(path).temperature != 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "resnet", "--out", "x.keras"], "--model must be one of dense_128"),
        (["--out", "x.h5"], "must end in .keras or .npz"),
        (["--out", "none/x.keras"], "there is no folder"),
        (["--out", "x.keras", "--epochs", "0"], "--epochs"),
        ([], "--out"),
    ],
)
def test_train_refuses_wrong_arguments_before_it_trains(mnistlib, arguments, message):
    done = mnistlib("train", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def write_pictures(folder):
    Image.fromarray(drawing.strokes(7, 2)).save(folder / "seven.png")
    Image.fromarray(drawing.sheet([7, 2, 0], 3)).save(folder / "three.jpg")
    (folder / "wrong.png").write_text("no picture")


def test_predict_answers_every_picture_it_can_read(mnistlib, trained, tmp_path):
    write_pictures(tmp_path)
    given = ("seven.png", "wrong.png", "gone.png", "three.jpg")
    done = mnistlib("predict", *given, "--model", trained[0])
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("seven.png: ")
    assert len(lines[1].split(";")) == 3
    assert "wrong.png is no picture" in done.stderr
    assert "gone.png" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_prints_json_and_nothing_else(mnistlib, trained, tmp_path):
    write_pictures(tmp_path)
    done = mnistlib("predict", "three.jpg", "seven.png", "--json", "--model", trained[0])
    assert done.returncode == 0, done.stderr
    several, one = json.loads(done.stdout)
    assert several["picture"] == "three.jpg"
    lefts = [digit["box"][0] for digit in several["digits"]]
    assert lefts == sorted(lefts)
    assert len(lefts) == 3
    assert {digit["line"] for digit in several["digits"]} == {0}
    (digit,) = one["digits"]
    assert digit["digit"] == digit["top"][0][0]
    assert len(digit["top"]) == 3


def test_predict_reads_line_by_line(mnistlib, trained, tmp_path):
    above, below = drawing.sheet([7, 2, 0], 3), drawing.sheet([1, 4], 3)
    page = np.full((len(above) + len(below) + 150, max(above.shape[1], below.shape[1])), 250)
    page[: len(above), : above.shape[1]] = above
    page[-len(below) :, : below.shape[1]] = below
    Image.fromarray(page.astype(np.uint8)).save(tmp_path / "lines.png")
    words = mnistlib("predict", "lines.png", "--model", trained[0]).stdout.removeprefix(
        "lines.png: "
    )
    assert [len(line.split(";")) for line in words.split(" / ")] == [3, 2]
    (read,) = json.loads(mnistlib("predict", "lines.png", "--json", "--model", trained[0]).stdout)
    assert [digit["line"] for digit in read["digits"]] == [0, 0, 0, 1, 1]


def test_predict_refuses_a_model_that_is_none(mnistlib, tmp_path):
    write_pictures(tmp_path)
    (tmp_path / "bad.h5").write_text("x")
    done = mnistlib("predict", "seven.png", "--model", "bad.h5")
    assert done.returncode == 2
    assert "--model: " in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_reads_the_pictures_of_a_folder(mnistlib, trained, tmp_path):
    folder = tmp_path / "photos" / "more"
    folder.mkdir(parents=True)
    write_pictures(folder)
    done = mnistlib("predict", "photos", "--json", "--model", trained[0])
    assert done.returncode == 1
    names = [result["picture"].rpartition("/")[2] for result in json.loads(done.stdout)]
    assert names == ["seven.png", "three.jpg", "wrong.png"]


def test_evaluate_measures_a_folder_and_draws_the_mistakes(mnistlib, trained, tmp_path):
    (tmp_path / "photos" / "7").mkdir(parents=True)
    write_pictures(tmp_path / "photos" / "7")
    Image.fromarray(drawing.strokes(2, 2)).save(tmp_path / "photos" / "2_anna.png")
    (tmp_path / "photos" / "IMG_1.jpg").touch()
    done = mnistlib("evaluate", "photos", "--model", trained[0], "--mistakes", "wrong.png")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    # Right are the seven and the two; not one digit are the sheet and what is no picture.
    assert re.fullmatch(r"Accuracy 50\.00 % \(95 % interval .*\) of 4 pictures", first)
    assert "7/three.jpg: is 7, read as 7 (" in done.stdout
    assert "passed over, having no label: photos/IMG_1.jpg" in done.stderr
    assert (tmp_path / "wrong.png").is_file()


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_a_folder_without_labels_is_refused_with_the_way_out(mnistlib, tmp_path, command):
    (tmp_path / "photos").mkdir()
    write_pictures(tmp_path / "photos")
    more = ("photos",) if command == "evaluate" else ("--pictures", "photos", "--out", "x.keras")
    done = mnistlib(command, *more)
    assert done.returncode == 2
    assert "none of the 3 pictures in photos has a label: a picture's label is" in done.stderr
    assert "Traceback" not in done.stderr


def test_train_learns_from_strokes_and_from_own_pictures(few_writers, tmp_path):
    few_writers()
    Image.fromarray(drawing.strokes(7, 2)).save(tmp_path / "7.png")
    out = tmp_path / "mine.keras"
    given = ["train", "--model", "dense_32_16", "--epochs", "1", "--pictures", str(tmp_path)]
    done = CliRunner().invoke(cli.main, [*given, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "And: pendigits, 120 digits by 6 writers, drawn with 2 pens" in done.output
    assert "And: own pictures: 1, each 20 times" in done.output
    assert out.is_file()


def test_train_says_so_where_the_strokes_cannot_be_had(nowhere, tmp_path):
    given = ["train", "--model", "dense_32_16", "--epochs", "1", "--out", str(tmp_path / "x.keras")]
    said = CliRunner().invoke(cli.main, given)
    assert said.exit_code == 0, said.output
    assert "Note: The recognizer knows no other handwriting than MNIST's" in said.stderr
    alone = CliRunner().invoke(cli.main, [*given, "--mnist-alone"])
    assert "knows no other" not in alone.stderr


UNPRINTABLE = (b"7_\xff.png", "7_\u00e9\u221a.png".encode(), b"7_$\\frac$.png")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes for a name")
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_names_that_the_console_cannot_show_are_escaped(trained, tmp_path, encoding):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in UNPRINTABLE:
        with (folder / os.fsdecode(name)).open("wb") as file:
            Image.fromarray(drawing.strokes(7, 2)).save(file, "PNG")
    (folder / "7_none\udcfe.png").write_text("no picture")

    def call(command):
        return subprocess.run(
            [COMMAND, command, "photos", "--model", trained[0]],
            cwd=tmp_path,
            env=os.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=120,
        )

    said = call("predict")
    assert said.returncode == 1
    assert b"Traceback" not in said.stderr
    begins = {line.partition(b": ")[0] for line in said.stdout.splitlines()}
    assert b"photos/7_\\udcff.png" in begins
    assert "photos/7_\u00e9\u221a.png".encode(encoding, "backslashreplace") in begins
    assert b"7_none\\udcfe.png is no picture" in said.stderr
    drawn = call("evaluate")
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "mistakes.png").is_file()


def test_a_relative_path_for_a_notebook_is_meant_from_here(mnistlib, tmp_path):
    declared = 'SOURCE: str = "auto"  # digits\nPICTURE: str = ""  # path of a picture of yours'
    show = "from pathlib import Path\nprint(Path(PICTURE).read_text())"
    write_notebook(tmp_path / "notebooks" / "01_read.ipynb", declared, show)
    (tmp_path / "mine.txt").write_text("these very words")
    run = ("run", "--notebooks", "notebooks", *SAMPLE, "-p", "PICTURE")
    done = mnistlib(*run, "mine.txt")
    assert done.returncode == 0, done.stderr
    assert "these very words" in (tmp_path / "runs" / "01_read" / "01_read.ipynb").read_text()
    shutil.rmtree(tmp_path / "runs")
    wrong = mnistlib(*run, "other.txt")
    assert wrong.returncode == 2
    assert "PICTURE must be the path of something that exists" in wrong.stderr
    assert not (tmp_path / "runs").exists()


def test_predict_takes_a_network_of_pixels_divided_by_255_and_says_so(mnistlib, digits, tmp_path):
    import keras

    layers = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((784,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("lion", loss, metrics=["accuracy"])
    x, y = digits.x_train[:10_000].reshape(-1, 784) / 255, digits.y_train[:10_000]
    model.fit(x, y, batch_size=32, epochs=3, verbose=0)
    model.save(tmp_path / "own.keras")
    write_pictures(tmp_path)
    done = mnistlib("predict", "seven.png", "--model", "own.keras")
    assert done.returncode == 0, done.stderr
    assert "Note: own.keras has learned from pixels divided by 255" in done.stderr
    assert "seven.png: " in done.stdout


def test_predict_needs_neither_tensorflow_nor_digits(nowhere, tmp_path):
    """In a process where TensorFlow and Keras cannot be imported, as where they are broken."""
    write_pictures(tmp_path)
    code = (
        "import sys; sys.modules.update(tensorflow=None, keras=None); "
        "sys.argv = ['mnistlib', 'predict', 'seven.png', 'three.jpg', '--json']; "
        "from mnistlib.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seven, three = json.loads(done.stdout)
    assert [one["digit"] for one in seven["digits"]] == [7]
    assert [one["digit"] for one in three["digits"]] == [7, 2, 0]


def test_train_writes_one_that_predict_takes_without_tensorflow(nowhere, tmp_path):
    write_pictures(tmp_path)
    out = tmp_path / "mine.npz"
    given = ["train", "--model", "dense_32_16", "--epochs", "1", "--mnist-alone"]
    done = CliRunner().invoke(cli.main, [*given, "--out", str(out)])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(
        cli.main, ["predict", str(tmp_path / "seven.png"), "--model", str(out)]
    )
    assert done.exit_code == 0, done.output


def test_webpage_is_written_with_a_network_of_ones_own(mnistlib, trained, tmp_path):
    done = mnistlib("webpage", "--out", "mine.html", "--model", trained[0], "--about", "My own.")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"Written: mine\.html, \d+ kB\n", done.stdout)
    assert "My own." in (tmp_path / "mine.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("none/mine.html", "there is no folder"),
        ("mine.txt", "--out must end in .html; received 'mine.txt'"),
    ],
)
def test_webpage_refuses_to_write_elsewhere(mnistlib, tmp_path, out, words):
    done = mnistlib("webpage", "--out", out)
    assert done.returncode == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_of_train_names_the_epochs_it_trains_by_default():
    shown = CliRunner().invoke(cli.main, ["train", "--help"]).output
    assert f"at least {recognizer._EPOCHS}]" in " ".join(shown.split())
