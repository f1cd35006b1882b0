"""The command line: ``mnistlib run``. Imports without TensorFlow; only ``run`` loads papermill."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistlib import DISTRIBUTION, data

if TYPE_CHECKING:
    from mnistlib.batch import Result


@click.group()
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """MNIST from the first pixel to error analysis: run the notebook series."""


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
