"""The command line: lessons run, sweeps reported, networks trained and asked, Kaggle's files.

Imports without TensorFlow; only ``run`` loads papermill, and only what trains, or opens a network
that Keras saved, loads TensorFlow.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import io
import itertools
import json
import os
import re
import signal
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from mnistlib import DISTRIBUTION, data, folders
from mnistlib import kaggle as kaggle_files

if TYPE_CHECKING:
    from mnistlib.batch import Result
    from mnistlib.comparison import Sweep
    from mnistlib.outcomes import Outcome
    from mnistlib.recognizer import Recognizer


_FILE = click.Path(exists=True, dir_okay=False)
_FOLDER = click.Path(exists=True, file_okay=False)
_MODEL = click.option(
    "--model",
    type=_FILE,
    help="A network that `mnistlib train` wrote, or any Keras classifier of the ten digits. "
    "[default: the one in the package]",
)


_TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End a notebook that takes longer. [default: never]",
)


@click.group()
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """MNIST from the first pixel to error analysis: the notebook series, and Kaggle's digits."""
    # The name of a file may hold what the console cannot show.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option(
    "-p",
    "--parameter",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="PARAM VALUE",
    help="Give a parameter another value, in the notebooks that have it.",
)
@click.option("--quick", is_flag=True, help="Fewer epochs and seeds: a look, not results.")
@click.option("--output", default="runs", show_default=True, help="Folder for executed notebooks.")
@click.option("--notebooks", "folder", help="Folder with the notebooks. [default: the clone's]")
@_TIMEOUT
@click.option("--fresh", is_flag=True, help="Also execute what is finished and has not changed.")
@click.option("--json", "form", flag_value="json", help="Print a list for programs to read.")
@click.option("--csv", "form", flag_value="csv", help="Print a line of CSV for each figure.")
def run(
    names: Sequence[str],
    parameters: Sequence[tuple[str, str]],
    quick: bool,
    output: str,
    folder: str | None,
    timeout: float | None,
    fresh: bool,
    form: str | None,
) -> None:
    """Execute the notebooks NAME (02_dense_baseline or 02), or the whole series, in order.

    What is finished in the folder, with the same code and parameters, is not executed again.
    """
    with _needing_notebooks():
        from mnistlib import batch
    given = dict(parameters)
    try:
        jobs = batch.plan(names, parameters=given, quick=quick, folder=folder or batch.FOLDER)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    digits = _load(given.get("SOURCE", "auto"), err=form is not None)
    source = None if digits.is_mnist else "sample"
    results = []
    with _ending() as ends:
        running = batch.run(jobs, source=source, output=output, timeout=timeout, fresh=fresh)
        with contextlib.closing(running):
            results.extend(running)
    if results:
        _say({"json": _json, "csv": _csv, None: _table}[form](results))
    _leave(ends, f"{len(results)} of {len(jobs)} notebooks")
    if faults := [fault for result in results for fault in result.faults]:
        raise click.ClickException("\n".join(faults))


@main.command()
@click.argument("notebook")
@click.option(
    "--grid",
    "grid_path",
    type=_FILE,
    required=True,
    help="YAML: PARAM: [VALUE, …], a line each.",
)
@click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(1), help="Runs at a time."
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="A Dask scheduler, whose workers run the notebooks instead.",
)
@click.option(
    "--threads", type=click.IntRange(1), help="Of each run. [default: the cores, shared out]"
)
@_TIMEOUT
@click.option("--out", help="The sweep's folder. [default: runs/ and the notebook's name]")
@click.option("--retry-failed", is_flag=True, help="Do runs again that failed or took too long.")
def sweep(
    notebook: str,
    grid_path: str,
    jobs: int,
    cluster: str | None,
    threads: int | None,
    timeout: float | None,
    out: str | None,
    retry_failed: bool,
) -> None:
    """Run NOTEBOOK (a path, or 02) once for every combination of a grid's values.

    Started again, it goes on: what is finished, with the same code and parameters, is kept.
    """
    with _needing_notebooks():
        from mnistlib import batch
        from mnistlib import sweep as sweeps
    try:
        path = notebook if Path(notebook).is_file() else batch.plan([notebook])[0].path
        grid = sweeps.read_grid(grid_path)
        planned = sweeps.plan(path, grid)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    source = None
    if "SOURCE" in planned[0].accepts and "SOURCE" not in grid:
        source = None if _load("auto").is_mnist else "sample"
    folder = Path(out) if out else Path("runs") / f"sweep-{planned[0].name}"
    counts = collections.Counter()
    bar = tqdm(total=len(planned), unit="run", mininterval=0.1 if sys.stderr.isatty() else 10)
    with bar, _ending() as ends:
        running = sweeps.run(
            planned,
            folder,
            grid=grid,
            source=source,
            workers=jobs,
            cluster=cluster,
            threads=threads,
            timeout=timeout,
            retry_failed=retry_failed,
        )
        with contextlib.closing(running):
            for outcome, kept in running:
                counts[outcome.status] += 1
                bar.write(_line(outcome, kept), file=sys.stdout)
                bar.update()
    if counts:
        _say(f"{folder}: {', '.join(f'{count} {status}' for status, count in counts.items())}")
        _say(f"One line a run: {folder / 'report.html'}; compare: mnistlib report {folder}")
    _leave(ends, f"{counts.total() - counts['died']} of {len(planned)} runs")
    if counts["finished"] < len(planned):
        again = "the same command does those again that died"
        raise click.ClickException(f"not every run finished; {again}, --retry-failed the others")


@main.command()
@click.argument("folder", type=_FOLDER)
@click.option("--figure", metavar="NAME", help="Compare by this figure. [default: see above]")
@click.option(
    "--baseline",
    metavar="PARAM=VALUE,…",
    help="Compare with this setting. [default: the best]",
)
@click.option("--no-summary", is_flag=True, help="Write no notebook, which takes a kernel.")
@click.option(
    "--mlflow",
    type=click.Path(file_okay=False),
    help="Write the runs into MLflow's database in this folder, too.",
)
def report(
    folder: str, figure: str | None, baseline: str | None, no_summary: bool, mlflow: str | None
) -> None:
    """Report on a sweep's FOLDER: compare its settings, best first, and write the files.

    Without --figure, settings are compared by the first figure that has "validation" in its name,
    else by the first. Written: report.csv, report.html, summary.ipynb and summary.html.
    """
    from mnistlib import comparison, tracking
    from mnistlib import report as reports

    try:
        sweep = comparison.load(folder)
        given = {"figure": figure, "baseline": _assignments(baseline, sweep)}
        compared = None
        if figure or baseline or comparison.choose_figure(sweep.runs):
            compared = reports.settings(sweep, **given)
        written = [*reports.write_live(sweep)]
        if not no_summary:
            written += reports.summarize(folder, **given)
        if mlflow is not None:
            count, there = tracking.write(sweep, mlflow)
            written.append(Path(mlflow).expanduser() / tracking.DATABASE)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except (ImportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    _say(comparison.describe(sweep))
    if compared is None:
        _say("No finished run recorded a figure, so there is nothing to compare.")
    else:
        _say(f"\n{reports.show_settings(compared)}\n")
        if comparison.is_of_test_set(compared.attrs["figure"]):
            _say("Note: the test set is not for choosing.", fg="yellow", err=True)
    for path in written:
        _say(f"Written: {_short(path.resolve())}")
    if mlflow is not None:
        store = Path(mlflow).expanduser().resolve() / tracking.DATABASE
        _say(f"{count:,} runs are new in MLflow, {there:,} were there already. Look at them:")
        _say(f"    mlflow ui --backend-store-uri sqlite:///{store}")


@main.command()
@click.option(
    "--model",
    "name",
    default="cnn_fast",
    show_default=True,
    help="A network of mnistlib.models: dense_128, dense_best, cnn, cnn_fast, cnn_best, …",
)
@click.option("--epochs", type=click.IntRange(1), help="[default: the network's own, at least 12]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--mnist-alone", is_flag=True, help="Don't learn from the pen strokes of pendigits.")
@click.option(
    "--pictures",
    type=_FOLDER,
    help=f"Learn from a folder of your own pictures, too: {folders.WAY}.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False),
    help="Where to write it, ending in .keras, or in .npz to answer without TensorFlow.",
)
def train(
    name: str, epochs: int | None, seed: int, mnist_alone: bool, pictures: str | None, out: str
) -> None:
    """Train a network with data augmentation, measure it, and keep it for `predict` and `app`.

    It learns from MNIST and, where they can be had, from pen strokes of 30 writers (pendigits).
    """
    _check_goal(out)
    if Path(out).suffix not in (".keras", ".npz"):
        raise click.UsageError(f"--out must end in .keras or .npz; received {out!r}")
    own = _labelled(pictures) if pictures else ()
    digits = _load("auto")

    from mnistlib import handwriting, metrics, models, recognizer

    if name not in models.NAMES:
        known = ", ".join(models.NAMES)
        raise click.UsageError(f"--model must be one of {known}; received {name!r}")
    with _notes():
        mine = [handwriting.from_pictures(own)] if own else []
        others = [] if mnist_alone else recognizer.of_others(progress=True)
    others += mine
    for other in others:
        _say(f"And: {other.source}")
    made, validation = recognizer.train(
        name, digits, others=others, epochs=epochs, seed=seed, verbose=2
    )
    _say(f"Validation accuracy {validation}")
    answers = made.probabilities(digits.x_test).argmax(axis=1)
    _say(f"Test accuracy {metrics.accuracy_interval(digits.y_test, answers)}")
    learned = [digits.source, *(other.source for other in others)]
    about = {"network": name, "seed": seed, "learned from": learned}
    _say(f"Written: {recognizer.save(made, out, about=about)}")


@main.command()
@click.argument("pictures", nargs=-1, required=True, metavar="IMAGE|FOLDER…")
@_MODEL
@click.option("--json", "as_json", is_flag=True, help="Print a list for programs to read.")
def predict(pictures: Sequence[str], model: str | None, as_json: bool) -> None:
    """Name the digits in each IMAGE, line by line; abstain where none is likely enough.

    Digits stand in the order of reading, lines apart by " / ". Of a FOLDER, all pictures are read,
    those of its subfolders included.
    """
    from mnistlib.pictures import PictureError
    from mnistlib.preprocess import NoDigitFound

    found_in = [
        map(str, _found(picture)) if Path(picture).is_dir() else [picture] for picture in pictures
    ]
    reader, results, failed = _recognizer(model), [], False
    for picture in itertools.chain(*found_in):
        try:
            found = reader.read(picture)
        except (FileNotFoundError, NoDigitFound, PictureError) as error:
            # The other pictures are still answered.
            failed = True
            results.append({"picture": picture, "error": str(error)})
            if not as_json:
                _say(f"{picture}: {error}", err=True)
            continue
        digits = [
            {
                "digit": answer.digit,
                "sure": answer.sure,
                "line": digit.line,
                "box": digit.box,
                "top": answer.top,
            }
            for digit, answer in found
        ]
        hint = reader.hint(picture, found)
        results.append({"picture": picture, "digits": digits, "hint": hint})
        if not as_json:
            rows = itertools.groupby(found, key=lambda pair: pair[0].line)
            words = ("; ".join(str(answer) for _, answer in row) for _, row in rows)
            _say(f"{picture}: {' / '.join(words)}")
            if hint:
                _say(f"    {hint}")
    if as_json:
        _say(json.dumps(results, indent=1))
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("folder", type=_FOLDER)
@_MODEL
@click.option(
    "--mistakes",
    default="mistakes.png",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="Where to draw the pictures that were not read right.",
)
def evaluate(folder: str, model: str | None, mistakes: str) -> None:
    """Measure the recognizer on a FOLDER of your own pictures of one digit each.

    A picture's label is the name of its folder (7/anna.jpg), or the first character of its own
    (7.jpg, 7_anna.jpg).
    """
    _check_goal(mistakes, option="--mistakes")
    labelled = _labelled(folder)

    from mnistlib import evaluation

    readings = evaluation.evaluate(_recognizer(model), labelled)
    _say(evaluation.describe(readings))
    if written := evaluation.draw_mistakes(readings, mistakes):
        _say(f"The mistakes: {written}")


@main.command()
@_MODEL
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets other machines in."
)
@click.option(
    "--port", type=click.IntRange(1, 65_535), help="[default: 7860, or the next that is free]"
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Answer also if asked for by this name, as a proxy does (Jupyter's, Colab's).",
)
def app(model: str | None, host: str, port: int | None, allow_hosts: Sequence[str]) -> None:
    """Serve a page on which to draw, upload or photograph a digit.

    It answers to localhost and 127.0.0.1; with --host 0.0.0.0, also to this machine's name and to
    addresses in numbers. Pictures may have 20 MB, and are kept for five minutes.
    """
    from mnistlib import app as page

    def terminate(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    # Ended like this, too, it leaves no pictures behind.
    signal.signal(signal.SIGTERM, terminate)

    try:
        page.load_gradio()
        found = page.find_port(host, port)
    except (ImportError, OSError) as error:
        raise click.ClickException(_of_the_page(error)) from error
    if port is None and found != page.FIRST_PORT:
        _say(
            f"Note: port {page.FIRST_PORT} is taken; the page is on {found}, and --port names "
            "another.",
            fg="yellow",
            err=True,
        )
    recognizer = _recognizer(model)
    try:
        page.launch(recognizer, host=host, port=found, allow_hosts=allow_hosts)
    except OSError as error:
        raise click.ClickException(_of_the_page(error)) from error


@main.command()
@_MODEL
@click.option("--about", help="A line at the page's end: what the network has learned from.")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False),
    help="Where to write it, ending in .html.",
)
def webpage(model: str | None, about: str | None, out: str) -> None:
    """Write a page that reads drawn digits in any browser: one file, no server, no internet."""
    _check_goal(out)
    if Path(out).suffix not in (".html", ".htm"):
        raise click.UsageError(f"--out must end in .html; received {out!r}")

    from mnistlib import webpage as page

    if about is None:
        about = page.ABOUT if model is None else f"The network: {Path(str(model)).name}."
    try:
        written = page.write(_recognizer(model), out, about=about)
    except ValueError as error:
        raise click.UsageError(f"--model: {error}") from error
    _say(f"Written: {written}, {written.stat().st_size / 1000:,.0f} kB")


@main.command()
@click.option("--train", "train_csv", type=_FILE, help="Kaggle's train.csv, plain, .gz or .zip.")
@click.option("--test", "test_csv", type=_FILE, help="Kaggle's test.csv, likewise.")
@click.option("--out", type=click.Path(dir_okay=False), help="Where to write the submission.")
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--validate", type=_FILE, help="Check a submission and do nothing else.")
@click.option(
    "--rows",
    default=kaggle_files.ROWS,
    show_default=True,
    type=click.IntRange(1),
    help="How many rows a submission should have, for --validate.",
)
@click.option(
    "--make-demo",
    type=click.Path(file_okay=False),
    help="Write practice files into this folder: no account needed.",
)
def kaggle(
    train_csv: str | None,
    test_csv: str | None,
    out: str | None,
    epochs: int,
    seed: int,
    validate: str | None,
    rows: int,
    make_demo: str | None,
) -> None:
    """Train on Kaggle's train.csv and write a submission for its test.csv."""
    training = (train_csv, test_csv, out)
    if sum([any(training), validate is not None, make_demo is not None]) != 1 or (
        any(training) and not all(training)
    ):
        raise click.UsageError(
            "give --train, --test and --out together, or --validate, or --make-demo"
        )
    try:
        if validate:
            kaggle_files.read_submission(validate, rows=rows)
            _say(f"{validate} is a valid submission of {rows:,} rows")
        elif make_demo:
            demo = kaggle_files.make_demo(make_demo, _load("auto"), seed=seed)
            _say(f"Written: {demo.train}, {demo.test}; the hidden labels: {demo.answers}")
        else:
            _submit(train_csv, test_csv, out, epochs, seed)
    except (data.DataError, data.DataUnavailable) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list for programs to read.")
def doctor(as_json: bool) -> None:
    """Say what this machine has for the series, and what to do where something is wrong.

    Takes some ten seconds, and downloads nothing. The exit code is 1 if something does not work.
    """
    from mnistlib import doctor as doctors

    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    checks = []
    for check in doctors.examine():
        checks.append(check)
        if not as_json:
            mark = click.style(f"{check.status:8}", fg=colours[check.status])
            _say(mark + _hanging(f"{check.name:18}", check.found, 26))
            if check.advice:
                _say(_hanging("        → ", check.advice, 10))
    if as_json:
        _say(json.dumps([dataclasses.asdict(check) for check in checks], indent=1))
    sys.exit(doctors.worst(checks) == "error")


@contextlib.contextmanager
def _needing_notebooks() -> Iterator[None]:
    """Say of a missing import what to install."""
    try:
        yield
    except ImportError as error:
        raise click.ClickException(
            f"{error}. Running notebooks needs: pip install papermill ipykernel filelock psutil"
        ) from error


@contextlib.contextmanager
def _ending() -> Iterator[list[tuple[int, str]]]:
    """Take Ctrl-C, SIGTERM and a full disk as the end of the work, not of the command.

    Gives a list, empty where the work was done, else with exit code and reason.
    """
    ends: list[tuple[int, str]] = []

    def terminate(*_: object) -> None:
        ends.append((128 + signal.SIGTERM, "Ended by SIGTERM"))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield ends
    except KeyboardInterrupt:
        if not ends:
            ends.append((128 + signal.SIGINT, "Interrupted"))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        ends.append((1, str(error)))
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(ends: Sequence[tuple[int, str]], done: str) -> None:
    """Where the work was not done, say so, and how it goes on."""
    if ends:
        code, reason = ends[0]
        _say(f"{reason}: {done} finished and kept. The same command goes on.", err=True)
        sys.exit(code)


def _assignments(given: str | None, sweep: Sweep) -> dict[str, str] | None:
    """Read ``PARAM=VALUE,…``; a value may hold commas, but not one before a parameter's name."""
    if given is None:
        return None
    names = "|".join(re.escape(name) for name in sweep.grid)
    parts = re.split(rf",\s*(?=(?:{names})\s*=)", given) if names else [given]
    found = {}
    for part in parts:
        name, sign, value = part.partition("=")
        if not sign:
            known = ", ".join(sweep.grid) or "none"
            raise ValueError(
                f"--baseline must be PARAM=VALUE,… with parameters of the grid: {known}; received "
                f"{given!r}"
            )
        found[name.strip()] = value.strip()
    return found


def _of_the_page(error: ImportError | OSError) -> str:
    """Say why there is no page, and by which option that can be changed."""
    if isinstance(error, ImportError):
        return str(error)
    option = "--host" if str(error).startswith("host") else "--port"
    return f"the page cannot be served; see {option}: {error}"


def _hanging(start: str, text: str, indent: int) -> str:
    """Set text behind its start, and what goes beyond 80 columns below its beginning."""
    lines = textwrap.wrap(text, 80 - indent, break_long_words=False, break_on_hyphens=False)
    return start + f"\n{'':{indent}}".join(lines)


def _say(words: str, *, err: bool = False, fg: str | None = None) -> None:
    """Print, with escapes for what the console cannot show, as ``main`` has set the streams."""
    click.secho(words, file=sys.stderr if err else sys.stdout, fg=fg)


def _submit(train_csv: str, test_csv: str, out: str, epochs: int, seed: int) -> None:
    _check_goal(out)
    rows = kaggle_files.load(train_csv, test_csv)
    _say(f"Read {len(rows.x):,} labelled digits and {len(rows.x_test):,} without labels")
    x, y, x_val, y_val = data.split(rows.x, rows.y, validation=0.1, seed=seed)

    from mnistlib import augment, metrics, models, training

    model = models.build("cnn_fast", seed=seed)
    training.fit(
        model, x, y, recipe="cnn_fast", epochs=epochs, augment=augment.distort, seed=seed, verbose=2
    )
    # Test-time augmentation mends a few of the last mistakes.
    answers = models.predict_tta(model, x_val, shifts=1).argmax(axis=1)
    _say(f"Validation accuracy {metrics.accuracy_interval(y_val, answers)}")
    labels = models.predict_tta(model, rows.x_test, shifts=1).argmax(axis=1)
    _say(f"Written and checked: {kaggle_files.write_submission(out, labels)}")


def _labelled(folder: str) -> tuple[folders.Labelled, ...]:
    """Find the pictures of a folder and their labels; say which have none."""
    try:
        found = folders.load(folder)
    except data.DataError as error:
        raise click.UsageError(str(error)) from error
    if not found.pictures:
        raise click.UsageError(
            f"none of the {len(found.unlabelled):,} pictures in {folder} has a label: {folders.WAY}"
        )
    if found.unlabelled:
        _say(
            f"Note: passed over, having no label: {', '.join(map(str, found.unlabelled))}",
            fg="yellow",
            err=True,
        )
    return found.pictures


def _found(folder: str) -> list[Path]:
    try:
        return folders.find(folder)
    except data.DataError as error:
        raise click.UsageError(str(error)) from error


def _check_goal(out: str, *, option: str = "--out") -> None:
    """Refuse a wrong path before the training, so that it is not found out after it."""
    if not Path(out).resolve().parent.is_dir():
        raise click.UsageError(f"{option}: there is no folder {Path(out).resolve().parent}")


def _recognizer(model: str | None) -> Recognizer:
    from mnistlib import recognizer

    if model is None:
        return recognizer.shipped()
    with _notes():
        try:
            return recognizer.load(model)
        except ValueError as error:
            raise click.UsageError(f"--model: {error}") from error


def _load(source: str, *, err: bool = False) -> data.Digits:
    """Load the digits once, so that their source is said once and found before a kernel starts."""
    if named := os.environ.get(data.ENVIRONMENT_VARIABLE):
        # The kernels run in other folders.
        os.environ[data.ENVIRONMENT_VARIABLE] = str(Path(named).expanduser().resolve())
    with _notes():
        digits = data.load(source)
    _say(f"Data: {digits.source}", err=err)
    return digits


@contextlib.contextmanager
def _notes() -> Iterator[None]:
    """Say what is warned of as a note, and what data cannot be had as an error of the command."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            yield
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        except data.DataUnavailable as error:
            raise click.ClickException(str(error)) from error
    for note in notes:
        _say(f"Note: {note.message}", fg="yellow", err=True)


def _table(results: Sequence[Result]) -> str:
    width = max(len(result.name) for result in results)
    lines = ["", f"{'notebook':{width}}  seconds  output"]
    recorded = [result for result in results if result.outcome.figures]
    reasons = {result.unbound for result in recorded}
    shared = reasons.pop() if len(reasons) == 1 else None
    for result in results:
        outcome = result.outcome
        lines.append(f"{result.name:{width}}  {outcome.seconds:7.1f}  {_short(outcome.output)}")
        lines += [f"    {figure}" for figure in outcome.figures]
        if result.kept:
            lines.append("    unchanged, so not executed again; --fresh does")
        if result.faults:
            lines.append("    failed" if outcome.error else "    misses its bounds")
        elif outcome.figures and result.unbound and not shared:
            lines.append(f"    not held to bounds: {result.unbound}")
    if shared:
        lines += ["", f"Not held to bounds: {shared}"]
    return "\n".join(lines)


def _json(results: Sequence[Result]) -> str:
    """Word results for programs: outcomes as in ``result.json``, with what bounds say of them."""
    of_bounds = ("kept", "unbound", "missed")
    return json.dumps(
        [
            dataclasses.asdict(result.outcome) | {name: getattr(result, name) for name in of_bounds}
            for result in results
        ],
        indent=1,
        default=str,
    )


def _csv(results: Sequence[Result]) -> str:
    """Word results as a table with a line for each figure; one for a notebook without."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["notebook", "status", "seconds", "figure", "value", "sd", "values", "unit"])
    for result in results:
        outcome = result.outcome
        start = [outcome.notebook, outcome.status, outcome.seconds]
        for one in outcome.figures:
            table.writerow([*start, one.name, one.value, one.sd, len(one.values), one.unit])
        if not outcome.figures:
            table.writerow([*start, *[""] * 5])
    return text.getvalue().rstrip("\n")


def _line(outcome: Outcome, kept: bool) -> str:
    """Say in a line what a run of a sweep was and came to."""
    point = ", ".join(f"{name}={value}" for name, value in outcome.point.items())
    come = str(outcome.error) if outcome.error else "; ".join(map(str, outcome.figures))
    return f"{point}: {come or 'finished'} ({'kept' if kept else f'{outcome.seconds:.0f} s'})"


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
