"""What ``pytest --nbval notebooks/`` and ``--nbval-lax`` take as given: our sanitising and bounds.

Somebody who knows only nbval types no more than that. An option that is given goes first.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnistlib import data, results

ROOT = Path(__file__).resolve().parent.parent
_OUTPUTS = pytest.StashKey[dict[int, list]]()


# Last, because nbval itself refuses the old and the new name of an option together.
@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set nbval's options where they are not given."""
    option = config.option
    if not hasattr(option, "nbval"):
        return
    if option.nbval_sanitize_with is None:
        option.nbval_sanitize_with = str(ROOT / "tests" / "sanitize.cfg")
    if option.nbval_kernel_name is None:
        # A kernel of that name in the user's home folder may belong to another environment.
        option.nbval_current_env = True
    if named := os.environ.get(data.ENVIRONMENT_VARIABLE):
        # The kernels run in the notebooks' folder.
        os.environ[data.ENVIRONMENT_VARIABLE] = str(Path(named).expanduser().resolve())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compare recorded figures by their bounds, and cells of measurements not word for word."""
    path = ROOT / "tests" / "measured.toml"
    measured = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for item in items:
        notebook = item.parent
        if hasattr(notebook, "skip_compare") and results.MIME not in notebook.skip_compare:
            notebook.skip_compare += (results.MIME, data.MIME)
        if hasattr(item, "cell") and item.path.is_relative_to(ROOT / "notebooks"):
            name = item.path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
            if item.cell.get("id") in measured.get(name, []):
                item.options["check"] = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Hold the figures that a fresh execution records to their bounds, each with its cell.

    A bounded figure that no cell recorded is a fault of the last one, unless only some were run.
    """
    outcome = yield
    if not hasattr(item, "cell_num"):
        return outcome
    outputs = item.parent.stash.setdefault(_OUTPUTS, {})
    outputs[item.cell_num] = item.test_outputs or []
    so_far = results.read({"cells": [{"outputs": each} for each in outputs.values()]})
    bounds = results.find_bounds(item.path.parent)
    if bounds is not None and results.why_not_bound({}, so_far.is_mnist) is None:
        name, here = item.path.stem, results.figures_in(outputs[item.cell_num])
        due = {figure.name for figure in here}
        if len(outputs) == sum(cell.cell_type == "code" for cell in item.parent.nb.cells):
            due |= bounds.get(name, {}).keys() - {figure.name for figure in so_far.figures}
        own = {figure: bound for figure, bound in bounds.get(name, {}).items() if figure in due}
        if faults := results.check(name, here, {name: own}):
            item.raise_cell_error("\n".join(faults))
    return outcome
