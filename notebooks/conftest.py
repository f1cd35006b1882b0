"""What ``pytest --nbval notebooks/`` and ``--nbval-lax`` take as given: our sanitising and bounds.

Somebody who knows only nbval types no more than that. An option that is given goes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mnistlib import batch, results

ROOT = Path(__file__).resolve().parent.parent
_IS_MNIST = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Set nbval's options where they are not given."""
    if config.option.nbval_sanitize_with is None:
        config.option.nbval_sanitize_with = str(ROOT / "tests" / "sanitize.cfg")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compare recorded figures by their bounds, not by their digits."""
    for item in items:
        notebook = item.parent
        if hasattr(notebook, "skip_compare") and results.MIME not in notebook.skip_compare:
            notebook.skip_compare += (results.MIME, results.DIGITS_MIME)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Hold the figures that a fresh execution of a cell records to their bounds."""
    outcome = yield
    record = results.read({"cells": [{"outputs": getattr(item, "test_outputs", None) or []}]})
    notebook = item.parent
    if record.is_mnist is not None:
        notebook.stash[_IS_MNIST] = record.is_mnist
    bounds = batch.find_bounds(item.path.parent)
    if bounds and record.figures and notebook.stash.get(_IS_MNIST, False):
        name, present = item.path.stem, {figure.name for figure in record.figures}
        own = {figure: one for figure, one in bounds.get(name, {}).items() if figure in present}
        faults = results.check(name, record.figures, {name: own})
        assert not faults, "\n".join(faults)
    return outcome
