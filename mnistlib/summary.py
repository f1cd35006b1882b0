"""The cells of a sweep's summary: what was run, and what its settings' differences are worth.

Imports without TensorFlow.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlib import comparison, wording
from mnistlib.comparison import Sweep

if TYPE_CHECKING:
    import pandas as pd

_MOST = 20  # rows of a table and of a figure in the summary


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook.

    Attributes:
        source: Its Markdown, or its code.
        code: Whether it is code.
        alt: What its figure shows, for those who can't see it.
    """

    source: str
    code: bool = False
    alt: str = ""


def cells(sweep: Sweep, compared: pd.DataFrame | None, options: Mapping[str, Any]) -> list[Cell]:
    """Write the cells of the summary: its numbers are those that its code cells print."""
    made = [
        Cell(f"# Summary of the sweep {_md(sweep.name)}\n\n" + "\n\n".join(_what_ran(sweep))),
        Cell(
            "from mnistlib import plots, report\n\nplots.use_style()\n"
            'runs = report.table(".")\n'
            'report.show_runs(runs.head(), caption="The first runs, in the grid\'s order")',
            code=True,
        ),
    ]
    if compared is None:
        made.append(Cell("No finished run recorded a figure, so there is nothing to compare."))
    else:
        made += _comparison_cells(compared, options)
    if any(run.outcome and run.status != "finished" for run in sweep.runs):
        made += [
            Cell(
                "## Which runs failed?\n\nThe first column opens the notebook, which is executed "
                "up to the cell that stopped it."
            ),
            Cell(
                'lost = runs[~runs["status"].isin(["finished", "missing"])]\n'
                f'report.show_runs(lost.head({_MOST}), caption="Runs that failed")',
                code=True,
            ),
        ]
    names = (
        "`runs` is a pandas data frame"
        if compared is None
        else "`runs` and `compared` are pandas data frames"
    )
    made.append(
        Cell(
            f"## Go on from here\n\n{names}, and this notebook is yours to change. "
            "`mnistlib report` writes it anew, so save your own under another name."
        )
    )
    return made


def _comparison_cells(compared: pd.DataFrame, options: Mapping[str, Any]) -> list[Cell]:
    figure = compared.attrs["figure"]
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    made = [
        Cell("## Which setting is best?\n\n" + "\n\n".join(_about_the_figure(compared))),
        Cell(
            f'compared = report.settings(".", {figure!r}{given})\n'
            f"report.show_settings(compared, most={_MOST})",
            code=True,
        ),
        Cell("\n\n".join(_which_differ(compared))),
    ]
    if (compared["n"] > 0).sum() > 1:
        made += [
            Cell("report.draw_settings(compared);", code=True, alt=_alt_of_settings(compared)),
            Cell(
                "Each row is a setting, each grey dot a value, and the diamond with its line the "
                "mean and its 95 % interval. Two intervals may overlap although the paired "
                "comparison tells the settings apart: pairing takes out what a seed does to both."
            ),
        ]
    known = compared.attrs["parameters"]
    varying = [name for name in known if len(wording.in_order(compared[name])) > 1]
    numeric = [name for name in varying if wording.is_numeric(compared[name])]
    lacking = ""
    if not compared["n"].all():
        lacking = " Settings without a value are left out, so the means are not of like settings."
    for place, name in enumerate(numeric):
        by = _line_parameter(compared, varying, name)
        option = f", by={by!r}" if by else ""
        sentence = _about_parameter(compared, name)
        heading = "## What does each parameter change?\n\n" if place == 0 else ""
        others = [other for other in varying if other not in (name, by)]
        over = f" Each point is the mean over the values of {_md(wording.listed(others))}."
        lines = f", one line for each value of {by}" if by else ""
        alt = f"Line plot of {figure} over {name}{lines}. {sentence}"
        made += [
            Cell(
                heading
                + _md(sentence)
                + (over if others else "")
                + (lacking if len(varying) > 1 else "")
            ),
            Cell(f"report.draw_parameter(compared, {name!r}{option});", code=True, alt=alt),
        ]
    return made


def _what_ran(sweep: Sweep) -> list[str]:
    """Say in sentences what was run, on what, and how long it took; in Markdown."""
    listed, some = wording.listed, wording.some
    grid = listed([f"{name} ({some(values)})" for name, values in sweep.grid.items()])
    ended = [run.outcome for run in sweep.runs if run.outcome]
    said = [
        f"The notebook {_md(sweep.notebook)} was to run {_times(len(sweep.runs))}, "
        + (f"once for each combination of {_md(grid)}. " if grid else "with its own parameters. ")
        + _md(comparison.describe(sweep))
    ]
    if not ended:
        return said
    others = {
        name: wording.different(outcome.parameters.get(name) for outcome in ended)
        for name in dict.fromkeys(name for outcome in ended for name in outcome.parameters)
        if name not in sweep.grid
    }
    if others:
        words = listed([f"{name} = {some(values, ' or ')}" for name, values in others.items()])
        said.append(f"The other parameters were {_md(words)}.")
    on_mnist = {outcome.is_mnist for outcome in ended}
    if False in on_mnist:
        which = "None of the runs" if on_mnist == {False} else "Not all runs"
        said.append(
            f"**{which} used the full MNIST.** Figures on other digits can't be compared with "
            "those of the lessons."
        )
    elif None not in on_mnist:
        said.append("All runs that ended used the full MNIST.")
    machines = wording.different(
        f"{one.cpu} ({one.cores} cores, {one.threads} of them for each run)" for one in ended
    )
    versions = {
        package: wording.different(
            one.versions[package] for one in ended if package in one.versions
        )
        for package in dict.fromkeys(name for outcome in ended for name in outcome.versions)
    }
    packages = listed([f"{name} {some(values, ' or ')}" for name, values in versions.items()])
    seconds = [outcome.seconds for outcome in ended]
    said.append(
        f"{'The runs' if len(ended) > 1 else 'It'} ran on {_md(listed(machines))}"
        + (f" with {_md(packages)}" if packages else "")
        + f". The first started on {_md(wording.moment(min(one.started for one in ended)))}. "
        + f"The median run took {wording.duration(float(np.median(seconds)))}, all runs together "
        + f"{wording.duration(sum(seconds))}."
    )
    return said


def _about_the_figure(compared: pd.DataFrame) -> list[str]:
    figure, unit = compared.attrs["figure"], compared.attrs["unit"]
    small = compared.attrs["smaller_is_better"]
    best = compared.iloc[0]
    said = [
        f"Settings are compared by **{_md(figure)}**, of which the "
        f"{'smallest' if small else 'largest'} mean is the best. "
        + _md(
            f"The best has {wording.in_unit(best['mean'], unit)}"
            + ("" if wording.is_none(best["sd"]) else f" ± {wording.in_unit(best['sd'], unit)}")
            + (f", with {wording.labels(compared)[0]}." if len(compared) > 1 else ".")
        )
    ]
    if comparison.is_of_test_set(figure):
        said.append(
            "**This figure was measured on the test set, and the test set is not for choosing.** "
            "If you take the best of these settings, you have used the test digits to choose it, "
            "and its figure no longer tells how well it will do on new digits. Choose by a figure "
            "on validation digits, and measure what you have chosen on the test set once."
        )
    if len(compared) > 1:
        said.append(
            f"A setting chosen as the best of {len(compared)} is flattered by the choice: part of "
            "what made it the best is luck, and with new seeds we should expect a somewhat worse "
            "mean. Run it again with seeds that it was not chosen by, and report those."
            + (
                " Measure it on the test set once, when nothing is left to choose."
                if "validation" in figure.lower()
                else ""
            )
        )
    return said


def _which_differ(compared: pd.DataFrame) -> list[str]:
    """Say how sure the differences are; in Markdown."""
    with_values = compared[compared["n"] > 0]
    if len(with_values) < 2:
        return ["Only one setting has values, so there is nothing to compare it with."]
    tested = with_values[with_values["low"].notna()]
    best = compared.attrs["reference"] == "best"
    reference = "the best" if best else "the baseline"
    if tested.empty:
        return [
            f"No other setting has two values with the same seeds as {reference}, so we can't tell "
            "a difference from chance here. A comparison needs five seeds: add them to the grid."
        ]
    apart = tested[(tested["low"] > 0) | (tested["high"] < 0)]
    count = len(tested)
    each = compared.attrs["each"]
    chance = count - len(apart)
    if not chance:
        found = "Every 95 % interval of a difference excludes zero."
    elif chance == count:
        found = "Every 95 % interval of a difference holds zero: each difference may be chance."
    else:
        found = (
            f"The 95 % interval of the difference excludes zero for {len(apart)} of {count}; the "
            + ("remaining one" if chance == 1 else f"other {chance} differences")
            + " may be chance."
        )
    said = [
        f"{reference.capitalize()} can be compared with {_settings(count)} over the same "
        f"{_md(each)}. {found} Each interval and p-value is for its comparison alone: among twenty "
        "comparisons of equally good settings, we should expect one interval that excludes zero."
    ]
    if best:
        said[0] += (
            " The best was chosen by the same values, so the differences from it look larger than "
            "they are."
        )
    fewest, n = int(tested["pairs"].min()), int(with_values["n"].max())
    if fewest < 5:
        said.append(
            f"A comparison needs five seeds. Here there are as few as {fewest}: the intervals are "
            "wide, and settings that they can't tell apart may still differ."
        )
    if (tested["pairs"] < n).any():
        said.append(
            "Some settings lack values that others have. They are compared on what both have, as "
            "the table says, so a difference need not be the difference of the two means."
        )
    if each == "folds":
        said.append(
            "The values are those of folds. The trainings of any two folds share most of their "
            "digits, so the intervals are too narrow and the p-values too small."
        )
    if each == "values":
        said.append(
            "Each run recorded several values, and the grid has several seeds. If two runs trained "
            "with the same seeds, some values count twice, and the intervals are too narrow."
        )
    return said


def _about_parameter(compared: pd.DataFrame, name: str) -> str:
    """Say in a sentence what the figure is with each value of a numeric parameter."""
    rows = compared[compared["n"] > 0]
    means = rows.groupby(name)["mean"].mean()
    unit, figure = compared.attrs["unit"], compared.attrs["figure"]
    if len(means) > 6:
        best = means.idxmin() if compared.attrs["smaller_is_better"] else means.idxmax()
        means = means.loc[sorted({means.index[0], best, means.index[-1]})]
    words = [
        f"{wording.in_unit(mean, unit)} with {name} = {wording.plain(at)}"
        for at, mean in means.items()
    ]
    return f"The mean of {figure} is {wording.listed(words)}."


def _line_parameter(compared: pd.DataFrame, varying: Sequence[str], name: str) -> str | None:
    """Choose the parameter whose values get a line each: the one with fewest, at most five."""
    others = [other for other in varying if other != name]
    counts = {other: len(wording.in_order(compared[other])) for other in others}
    return min((other for other in others if counts[other] <= 5), key=counts.get, default=None)


def _alt_of_settings(compared: pd.DataFrame) -> str:
    rows = compared[compared["n"] > 0]
    unit, labels = compared.attrs["unit"], wording.labels(rows)
    return (
        f"Dot plot of {compared.attrs['figure']}, a row a setting. The best is {labels[0]} with a "
        f"mean of {wording.in_unit(rows['mean'].iloc[0], unit)}, the worst {labels[-1]} with "
        f"{wording.in_unit(rows['mean'].iloc[-1], unit)}."
    )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _settings(count: int) -> str:
    return "one other setting" if count == 1 else f"{count:,} other settings"


def _md(words: str) -> str:
    """Write words from outside so that Markdown and HTML show them as they are."""
    words = html.escape(" ".join(words.split()), quote=False)
    # A hyphen, full stop or ampersand can't begin anything within a sentence.
    return "".join(f"\\{sign}" if sign in "\\`*_[]~|$#{}" else sign for sign in words)
