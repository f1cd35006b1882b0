"""The command line: the lessons run, networks trained and asked, pages, Kaggle's files.

Imports without TensorFlow; only ``run`` loads papermill, and only what trains, or opens a network
that Keras saved, loads TensorFlow.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistlib import DISTRIBUTION, data, folders
from mnistlib import kaggle as kaggle_files

if TYPE_CHECKING:
    from mnistlib.batch import Result
    from mnistlib.recognizer import Recognizer


_FILE = click.Path(exists=True, dir_okay=False)
_FOLDER = click.Path(exists=True, file_okay=False)
_MODEL = click.option(
    "--model",
    type=_FILE,
    help="A network that `mnistlib train` wrote, or any Keras classifier of the ten digits. "
    "[default: the one in the package]",
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
def run(
    names: Sequence[str],
    parameters: Sequence[tuple[str, str]],
    quick: bool,
    output: str,
    folder: str | None,
) -> None:
    """Execute the notebooks NAME (02_dense_baseline or 02), or the whole series, in order."""
    try:
        from mnistlib import batch
    except ImportError as error:
        raise click.ClickException(
            f"{error}. Running notebooks needs: pip install papermill ipykernel"
        ) from error
    given = dict(parameters)
    try:
        jobs = batch.plan(names, parameters=given, quick=quick, folder=folder or batch.FOLDER)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    digits = _load(given.get("SOURCE", "auto"))
    source = None if digits.is_mnist else "sample"
    try:
        results = list(batch.run(jobs, source=source, output=output))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    _say(_table(results))
    if faults := [fault for result in results for fault in result.faults]:
        raise click.ClickException("\n".join(faults))


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
def app(model: str | None, host: str, port: int | None) -> None:
    """Serve a page on which to draw, upload or photograph a digit."""
    from mnistlib import app as page

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
        page.launch(recognizer, host=host, port=found)
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


def _of_the_page(error: ImportError | OSError) -> str:
    """Say why there is no page, and by which option that can be changed."""
    if isinstance(error, ImportError):
        return str(error)
    option = "--host" if str(error).startswith("host") else "--port"
    return f"the page cannot be served; see {option}: {error}"


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
    recorded = [result for result in results if result.figures]
    reasons = {result.unbound for result in recorded}
    shared = reasons.pop() if len(reasons) == 1 else None
    for result in results:
        lines.append(f"{result.name:{width}}  {result.seconds:7.1f}  {_short(result.output)}")
        lines += [f"    {figure}" for figure in result.figures]
        if result.faults:
            lines.append("    failed" if result.error else "    misses its bounds")
        elif result.figures and result.unbound and not shared:
            lines.append(f"    not held to bounds: {result.unbound}")
    if shared:
        lines += ["", f"Not held to bounds: {shared}"]
    return "\n".join(lines)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
