"""The command line: ``mnistlib run`` and ``mnistlib kaggle``.

Imports without TensorFlow; only ``run`` loads papermill, and only training loads TensorFlow.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistlib import DISTRIBUTION, data
from mnistlib import kaggle as kaggle_files

if TYPE_CHECKING:
    from mnistlib.batch import Result


_FILE = click.Path(exists=True, dir_okay=False)


@click.group()
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """MNIST from the first pixel to error analysis: the notebook series, and Kaggle's digits."""


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
            f"{error}. Running notebooks needs: pip install '{DISTRIBUTION}[notebooks]'"
        ) from error
    given = dict(parameters)
    try:
        jobs = batch.plan(names, parameters=given, quick=quick, folder=folder or batch.FOLDER)
        digits = _load(given.get("SOURCE", "auto"))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except data.DataUnavailable as error:
        raise click.ClickException(str(error)) from error
    source = None if digits.is_mnist else "sample"
    results = list(batch.run(jobs, source=source, output=output))
    click.echo(_table(results))
    if failures := [result.error for result in results if result.error]:
        raise click.ClickException("\n".join(map(str, failures)))


@main.command()
@click.option("--train", "train_csv", type=_FILE, help="Kaggle's train.csv, plain, .gz or .zip.")
@click.option("--test", "test_csv", type=_FILE, help="Kaggle's test.csv, likewise.")
@click.option("--out", type=click.Path(dir_okay=False), help="Where to write the submission.")
@click.option("--epochs", default=12, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--validate", type=_FILE, help="Check a submission and do nothing else.")
@click.option("--rows", default=kaggle_files.ROWS, show_default=True, type=click.IntRange(1),
              help="How many rows a submission should have, for --validate.")  # fmt: skip
@click.option("--make-demo", type=click.Path(file_okay=False),
              help="Write practice files into this folder: no account needed.")  # fmt: skip
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
            click.echo(f"{validate} is a valid submission of {rows:,} rows")
        elif make_demo:
            demo = kaggle_files.make_demo(make_demo, _load("auto"), seed=seed)
            click.echo(f"Written: {demo.train}, {demo.test}; the hidden labels: {demo.answers}")
        else:
            _submit(train_csv, test_csv, out, epochs, seed)
    except (data.DataError, data.DataUnavailable) as error:
        raise click.ClickException(str(error)) from error


def _submit(train_csv: str, test_csv: str, out: str, epochs: int, seed: int) -> None:
    # Before the training, so that a wrong path is not found out after it.
    if not Path(out).resolve().parent.is_dir():
        raise click.UsageError(f"--out: there is no folder {Path(out).resolve().parent}")
    rows = data.load_kaggle(train_csv, test_csv)
    click.echo(f"Read {len(rows.x):,} labelled digits and {len(rows.x_test):,} without labels")
    x, y, x_val, y_val = data.split(rows.x, rows.y, validation=0.1, seed=seed)

    from mnistlib import images, metrics, models, training

    model = models.build("cnn_fast", seed=seed)
    training.fit(model, x, y, epochs=epochs, seed=seed, augment=images.vary, verbose=2)
    answers = models.predict_proba(model, x_val).argmax(axis=1)
    click.echo(f"Validation accuracy {metrics.accuracy_interval(y_val, answers)}")
    labels = models.predict_proba(model, rows.x_test).argmax(axis=1)
    click.echo(f"Written and checked: {kaggle_files.write_submission(out, labels)}")


def _load(source: str) -> data.Digits:
    """Load the digits once, so that their source is said once and found before a kernel starts."""
    if named := os.environ.get(data.ENVIRONMENT_VARIABLE):
        # The kernels run in other folders.
        os.environ[data.ENVIRONMENT_VARIABLE] = str(Path(named).expanduser().resolve())
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        digits = data.load(source)
    for note in notes:
        click.secho(f"Note: {note.message}", fg="yellow", err=True)
    click.echo(f"Data: {digits.source}")
    return digits


def _table(results: Sequence[Result]) -> str:
    width = max(len(result.name) for result in results)
    lines = ["", f"{'notebook':{width}}  seconds  output"]
    for result in results:
        lines.append(f"{result.name:{width}}  {result.seconds:7.1f}  {_short(result.output)}")
        lines += [f"    {figure}" for figure in result.figures]
        if result.error:
            lines.append("    failed")
    return "\n".join(lines)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
