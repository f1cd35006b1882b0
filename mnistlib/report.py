"""What a sweep found, for people to read: tables, a page that grows with it, and a summary.

A sweep's folder holds ``sweep.json`` (the notebook, the grid and the names of the runs' folders), a
folder for each run that has ended (the executed notebook and ``result.json``, see ``outcomes``),
and what is written here: ``report.csv``, ``report.html``, ``summary.ipynb`` and ``summary.html``.

``table`` and ``settings`` give data frames, ``show_runs`` and ``show_settings`` put them into
words, ``draw_settings`` and ``draw_parameter`` draw them. ``write_live`` and ``summarize`` write
files. Imports without TensorFlow; only ``summarize`` needs Jupyter.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from mnistlib import comparison, outcomes, plots, results
from mnistlib.comparison import MISSING, PLAN, Sweep, load, settings, table
from mnistlib.outcomes import Outcome

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "PLAN",
    "Shown",
    "describe",
    "draw_parameter",
    "draw_settings",
    "load",
    "settings",
    "show_runs",
    "show_settings",
    "summarize",
    "table",
    "write_live",
]

_STYLE = Path(__file__).with_name("report.css")
_NONE = "–"
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
{style}</style>
{body}
</html>
"""


@dataclass(frozen=True)
class Shown:
    """A table in words, as text and as HTML.

    Attributes:
        columns: Their headings.
        rows: A text for each column.
        links: For each row the address that its first cell leads to, or None.
        kinds: For each row ``"lost"``, ``"missing"`` or ``""``.
        numbers: The columns that hold numbers, to be aligned on the right.
        caption: What the table says.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    links: tuple[str | None, ...]
    kinds: tuple[str, ...]
    numbers: frozenset[int]
    caption: str

    def __str__(self) -> str:
        cells = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for row in cells:
            padded = (
                f"{word:>{width}}" if place in self.numbers else f"{word:{width}}"
                for place, (word, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  ".join(padded).rstrip())
        return "\n".join([self.caption, *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        caption = html.escape(self.caption)
        # Only what has the focus can be scrolled from the keyboard.
        box = f'<div class="box" role="region" aria-label="{caption}" tabindex="0">'
        lines = [box, f"<table><caption>{caption}</caption>"]
        kinds = [self._class_of(place) for place in range(len(self.columns))]
        heads = (
            f'<th scope="col"{kind}>{html.escape(name)}</th>'
            for name, kind in zip(self.columns, kinds, strict=True)
        )
        lines.append(f"<thead><tr>{''.join(heads)}</tr></thead><tbody>")
        for row, link, kind in zip(self.rows, self.links, self.kinds, strict=True):
            words = [html.escape(word) for word in row]
            if link:
                words[0] = f'<a href="{html.escape(link)}">{words[0]}</a>'
            cells = (f"<td{one}>{word}</td>" for word, one in zip(words, kinds, strict=True))
            lines.append(f'<tr class="{kind}">{"".join(cells)}</tr>')
        return "\n".join([*lines, "</tbody></table></div>"])

    def _class_of(self, place: int) -> str:
        if place in self.numbers:
            return ' class="number"'
        longest = max((len(row[place]) for row in self.rows), default=0)
        return ' class="long"' if longest > 40 else ""


def describe(sweep: Sweep) -> str:
    """Say in a sentence how many runs finished, failed and are missing."""
    states = [run.status for run in sweep.runs]
    counts = {status: states.count(status) for status in (*outcomes.STATUSES, MISSING)}
    missing = "is missing" if counts[MISSING] == 1 else "are missing"
    words = {"timeout": "ran out of time", MISSING: missing}
    said = [
        f"{count:,} {words.get(status, status)}"
        for status, count in counts.items()
        if count or status in ("finished", "failed", MISSING)
    ]
    return f"Of {len(states):,} run{'' if len(states) == 1 else 's'}, {_and(said)}."


def show_runs(runs: pd.DataFrame, *, caption: str = "One row a run") -> Shown:
    """Put the runs of ``table`` into words; the first column leads to the executed notebook.

    Args:
        runs: From ``table``, all of its rows or some.
        caption: What the table says.
    """
    units, spreads = (runs.attrs.get(name, {}) for name in ("units", "spreads"))
    parameters = [name for name in runs.attrs.get("parameters", []) if name in runs]
    failed = runs["error"].notna().any()
    columns: dict[str, list[str]] = {"run": [_short(name) for name in runs["run"]]}
    columns["status"] = list(runs["status"])
    columns |= {name: [_plain(value) for value in runs[name]] for name in parameters}
    numbers = {"seconds"} | {name for name in parameters if _is_numeric(runs[name])}
    for name, unit in units.items():
        spread = runs[spreads[name]] if name in spreads else [math.nan] * len(runs)
        heading = _heading(name, unit, columns)
        columns[heading] = [_with_sd(*pair, unit) for pair in zip(runs[name], spread, strict=True)]
        numbers.add(heading)
    columns["seconds"] = [
        _NONE if _is_none(value) else f"{value:,.1f}" for value in runs["seconds"]
    ]
    if failed:
        columns[_heading("error", "", columns)] = [
            "" if _is_none(value) else value for value in runs["error"]
        ]
    links = [None if _is_none(path) else f"./{quote(path)}" for path in runs["notebook"]]
    kinds = [{"finished": "", MISSING: "missing"}.get(status, "lost") for status in runs["status"]]
    return _shown(columns, numbers, caption, links, kinds)


def show_settings(compared: pd.DataFrame, *, most: int | None = None) -> Shown:
    """Put the comparison of ``settings`` into words, best first.

    Differences of shares are in percentage points. A p-value is of its comparison alone.

    Args:
        compared: From ``settings``.
        most: Show no more rows than this. None: all.
    """
    unit, figure = compared.attrs["unit"], compared.attrs["figure"]
    reference = "the best" if compared.attrs["reference"] == "best" else "the baseline"
    rows = compared if most is None else compared.head(most)
    columns = {"rank": list(map(str, rows.index))}
    numbers = {"rank"}
    for name in compared.attrs["parameters"]:
        heading = _heading(name, "", columns)
        columns[heading] = [_plain(value) for value in rows[name]]
        if _is_numeric(rows[name]):
            numbers.add(heading)
    several = rows["low"].notna().any()
    parts: dict[str, list[str]] = {
        "values": [str(count) for count in rows["n"]],
        f"mean ± sd, {unit}" if rows["sd"].notna().any() else f"mean, {unit}": [
            _with_sd(mean, sd, unit) for mean, sd in zip(rows["mean"], rows["sd"], strict=True)
        ],
    }
    if rows["difference"].notna().any():
        parts[f"difference from {reference}, {'points' if unit == '%' else unit}"] = [
            _signed(value, unit) for value in rows["difference"]
        ]
    if several:
        parts["95 % interval"] = [
            _NONE if _is_none(low) else f"{_signed(low, unit)} to {_signed(high, unit)}"
            for low, high in zip(rows["low"], rows["high"], strict=True)
        ]
        parts["p"] = [_p(value) for value in rows["p"]]
    for name, words in parts.items():
        heading = _heading(name, "", columns)
        columns[heading] = words
        numbers.add(heading)
    if any(rows["note"]):
        columns[_heading("note", "", columns)] = list(rows["note"])
    shown = "" if len(rows) == len(compared) else f", the first {len(rows)} of {len(compared):,}"
    kinds = ["missing" if _is_none(mean) else "" for mean in rows["mean"]]
    caption = f"Settings by {figure}, best first{shown}"
    return _shown(columns, numbers, caption, [None] * len(rows), kinds)


def write_live(
    folder: str | Path | Sweep, known: Mapping[str, Outcome] | None = None
) -> tuple[Path, Path]:
    """Write ``report.csv`` and ``report.html``: one row a run, as far as the sweep has come.

    Cheap enough to be called after every run. Each file is written completely or not at all.

    Args:
        folder: The sweep's folder, or what ``load`` has read of it.
        known: As for ``load``.

    Returns:
        The paths of the table and of the page.

    Raises:
        ValueError: As from ``load``.
    """
    sweep = folder if isinstance(folder, Sweep) else load(folder, known)
    runs = table(sweep)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    title = f"Sweep {sweep.folder.resolve().name} of {sweep.notebook}"
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(describe(sweep))}</p>",
        f'<p class="faint">As of {now}. A name in the first column opens the executed notebook. '
        "Several values of a run are shown as mean ± standard deviation.</p>",
        show_runs(runs)._repr_html_(),
    ]
    csv, page = sweep.folder / "report.csv", sweep.folder / "report.html"
    _replace(csv, runs.to_csv(index=False))
    _replace(page, _page(title, "\n".join(body)))
    return csv, page


def draw_settings(compared: pd.DataFrame, *, most: int = 20, ax: Axes | None = None) -> Axes:
    """Draw the values of each setting, their mean and its 95 % interval, best first.

    Args:
        compared: From ``settings``.
        most: Draw no more settings than this.
        ax: Where to draw.
    """
    rows = compared[compared["n"] > 0]
    figure, unit = compared.attrs["figure"], compared.attrs["unit"]
    named = dict(zip(_labels(rows), rows["values"], strict=True))
    chosen = dict(list(named.items())[:most])
    title = "Which settings differ, and which are within chance?"
    if len(chosen) < len(named):
        title = f"The first {len(chosen)} of {len(named):,} settings"
    percent = unit == "%"
    xlabel = figure if percent else f"{figure} ({unit})"
    return plots.intervals(chosen, title=title, xlabel=xlabel, percent=percent, ax=ax)


def draw_parameter(
    compared: pd.DataFrame, parameter: str, *, by: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the figure over a numeric parameter; a point is the mean of all settings it stands for.

    Args:
        compared: From ``settings``.
        parameter: The parameter on the horizontal axis, one of numbers.
        by: Another parameter; each of its values gets a line. None: one line.
        ax: Where to draw.

    Raises:
        ValueError: There is no such parameter, or it does not hold numbers.
    """
    known = compared.attrs["parameters"]
    for name, argument in ((parameter, "parameter"), (by, "by")):
        if name is not None and name not in known:
            raise ValueError(
                f"{argument} must be one of {', '.join(known) or 'none'}; received {name!r}"
            )
    if not _is_numeric(compared[parameter]):
        raise ValueError(f"parameter must hold numbers; received {parameter!r}, which holds others")
    rows = compared[compared["n"] > 0]
    drawn = {}
    for value in [None] if by is None else _in_order(rows[by]):
        group = rows if by is None else rows[rows[by].map(repr) == repr(value)]
        means = group.groupby(parameter)["mean"].mean()
        label = "mean of all settings" if by is None else f"{by} = {_plain(value)}"
        drawn[plots.wrapped(label)] = (list(means.index), list(means))
    figure, unit = compared.attrs["figure"], compared.attrs["unit"]
    percent = unit == "%"
    axes = plots.lines(
        drawn,
        title=plots.wrapped(f"What does {parameter} change?", width=60),
        xlabel=plots.wrapped(parameter, width=60),
        ylabel=plots.wrapped(figure if percent else f"{figure} ({unit})"),
        percent="y" if percent else "",
        ax=ax,
    )
    values = sorted(set(rows[parameter]))
    if values[0] > 0 and values[-1] >= 10 * values[0]:
        axes.set_xscale("log")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    if len(values) <= 8:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    return axes


def summarize(
    folder: str | Path,
    *,
    figure: str | None = None,
    seed: str = comparison.SEED,
    baseline: Mapping[str, Any] | None = None,
    smaller_is_better: bool | None = None,
) -> tuple[Path, Path]:
    """Write ``summary.ipynb``, executed, and ``summary.html``: what was run and what came of it.

    The notebook reads the folder with this module, so that a reader can go on from it. The page
    needs no other file and asks no host for anything. Each is written completely or not at all.

    Args:
        folder: The sweep's folder.
        figure: As for ``settings``, as are the next three.
        seed: The parameter that is no part of a setting.
        baseline: What to compare with.
        smaller_is_better: Whether the smallest mean is the best.

    Returns:
        The paths of the notebook and of the page.

    Raises:
        ValueError: As from ``settings``; that no run recorded a figure is said in the summary.
        ImportError: Jupyter is not installed; says what to install.
    """
    sweep = load(folder)
    compared = None
    if figure is not None or comparison.choose_figure(sweep.runs):
        given = {"seed": seed, "baseline": baseline, "smaller_is_better": smaller_is_better}
        compared = settings(sweep, figure, **given)
        usual = {"seed": comparison.SEED, "baseline": None, "smaller_is_better": None}
        options = {name: value for name, value in given.items() if value != usual[name]}
        cells = _summary_cells(sweep, compared, options)
    else:
        cells = _summary_cells(sweep, None, {})
    try:
        return _write_notebook(sweep, cells)
    except ImportError as error:
        raise ImportError(
            f"{error}. A summary needs: pip install papermill ipykernel nbconvert"
        ) from error


def _write_notebook(sweep: Sweep, cells: Sequence[_Cell]) -> tuple[Path, Path]:
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    from mnistlib import batch

    made = []
    for number, cell in enumerate(cells):
        make = nbformat.v4.new_code_cell if cell.code else nbformat.v4.new_markdown_cell
        made.append(make(cell.source, id=f"summary-{number}"))
        if cell.alt:
            made[-1].metadata["alt"] = cell.alt
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernelspec})
    NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=batch.KernelManager,
        resources={"metadata": {"path": str(sweep.folder.resolve())}},
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    ).execute()
    # The template without a page around it: nbconvert's pages load scripts from other hosts.
    exporter = HTMLExporter(
        template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True
    )
    body, _ = exporter.from_notebook_node(notebook)
    light, dark = (
        HtmlFormatter(style=style).get_style_defs(".highlight")
        for style in ("default", "github-dark")
    )
    style = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
    path, page = sweep.folder / "summary.ipynb", sweep.folder / "summary.html"
    _replace(path, nbformat.writes(notebook) + "\n")
    _replace(page, _page(f"Summary of the sweep {_name(sweep)}", body, style))
    return path, page


@dataclass(frozen=True)
class _Cell:
    source: str
    code: bool = False
    alt: str = ""


def _summary_cells(
    sweep: Sweep, compared: pd.DataFrame | None, options: Mapping[str, Any]
) -> list[_Cell]:
    """Write the cells of the summary: its numbers are those that its code cells print."""
    cells = [
        _Cell(f"# Summary of the sweep {_md(_name(sweep))}\n\n" + "\n\n".join(_what_ran(sweep))),
        _Cell(
            "from mnistlib import plots, report\n\nplots.use_style()\n"
            'runs = report.table(".")\n'
            'report.show_runs(runs.head(), caption="The first runs, in the grid\'s order")',
            code=True,
        ),
    ]
    if compared is None:
        cells.append(_Cell("No finished run recorded a figure, so there is nothing to compare."))
    else:
        cells += _comparison_cells(sweep, compared, options)
    if any(run.outcome and run.status != "finished" for run in sweep.runs):
        cells += [
            _Cell(
                "## Which runs failed?\n\nThe first column opens the notebook, which is executed "
                "up to the cell that stopped it."
            ),
            _Cell(
                'lost = runs[~runs["status"].isin(["finished", "missing"])]\n'
                f'report.show_runs(lost.head({_MOST}), caption="Runs that failed")',
                code=True,
            ),
        ]
    names = (
        "`runs` is a pandas data frame"
        if compared is None
        else ("`runs` and `compared` are pandas data frames")
    )
    cells.append(
        _Cell(
            f"## Go on from here\n\n{names}, and this notebook is yours to change. "
            "`mnistlib report` writes it anew, so save your own under another name."
        )
    )
    return cells


def _comparison_cells(
    sweep: Sweep, compared: pd.DataFrame, options: Mapping[str, Any]
) -> list[_Cell]:
    figure = compared.attrs["figure"]
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    cells = [
        _Cell("## Which setting is best?\n\n" + "\n\n".join(_about_the_figure(compared))),
        _Cell(
            f'compared = report.settings(".", {figure!r}{given})\n'
            f"report.show_settings(compared, most={_MOST})",
            code=True,
        ),
        _Cell("\n\n".join(_which_differ(compared))),
    ]
    if (compared["n"] > 0).sum() > 1:
        cells += [
            _Cell("report.draw_settings(compared);", code=True, alt=_alt_of_settings(compared)),
            _Cell(
                "Each row is a setting, each grey dot a value, and the diamond with its line the "
                "mean and its 95 % interval. Two intervals may overlap although the paired "
                "comparison tells the settings apart: pairing takes out what a seed does to both."
            ),
        ]
    varying = [name for name in compared.attrs["parameters"] if len(_in_order(compared[name])) > 1]
    numeric = [name for name in varying if _is_numeric(compared[name])]
    for place, name in enumerate(numeric):
        by = _line_parameter(compared, varying, name)
        option = f", by={by!r}" if by else ""
        sentence = _about_parameter(compared, name)
        heading = "## What does each parameter change?\n\n" if place == 0 else ""
        others = [other for other in varying if other not in (name, by)]
        over = f" Each point is the mean over the values of {_md(_and(others))}." if others else ""
        lines = f", one line for each value of {by}" if by else ""
        alt = f"Line plot of {figure} over {name}{lines}. {sentence}"
        cells += [
            _Cell(heading + _md(sentence) + over),
            _Cell(f"report.draw_parameter(compared, {name!r}{option});", code=True, alt=alt),
        ]
    return cells


_MOST = 20  # rows of a table and of a figure in the summary


def _what_ran(sweep: Sweep) -> list[str]:
    """Say in sentences what was run, on what, and how long it took; in Markdown."""
    grid = _and([f"{name} ({_some(values)})" for name, values in sweep.grid.items()])
    ended = [run.outcome for run in sweep.runs if run.outcome]
    said = [
        f"The notebook {_md(sweep.notebook)} was to run {_times(len(sweep.runs))}, "
        + (f"once for each combination of {_md(grid)}. " if grid else "with its own parameters. ")
        + _md(describe(sweep))
    ]
    if not ended:
        return said
    others = {
        name: _different(outcome.parameters.get(name) for outcome in ended)
        for name in dict.fromkeys(name for outcome in ended for name in outcome.parameters)
        if name not in sweep.grid
    }
    if others:
        words = _and([f"{name} = {_some(values, ' or ')}" for name, values in others.items()])
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
    machines = _different(
        f"{one.cpu} ({one.cores} cores, {one.threads} of them for each run)" for one in ended
    )
    versions = {
        package: _different(one.versions[package] for one in ended if package in one.versions)
        for package in dict.fromkeys(name for outcome in ended for name in outcome.versions)
    }
    packages = _and([f"{name} {_some(values, ' or ')}" for name, values in versions.items()])
    seconds = [outcome.seconds for outcome in ended]
    said.append(
        f"{'The runs' if len(ended) > 1 else 'It'} ran on {_md(_and(machines))}"
        + (f" with {_md(packages)}" if packages else "")
        + f". The first started on {_md(_time(min(one.started for one in ended)))}. "
        + f"The median run took {_duration(float(np.median(seconds)))}, all runs together "
        + f"{_duration(sum(seconds))}."
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
            f"The best has {_in_unit(best['mean'], unit)}"
            + ("" if _is_none(best["sd"]) else f" ± {_in_unit(best['sd'], unit)}")
            + (f", with {_labels(compared)[0]}." if len(compared) > 1 else ".")
        )
    ]
    if "test" in re.findall(r"[a-z]+", figure.lower()):
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
    words = [f"{_in_unit(mean, unit)} with {name} = {_plain(at)}" for at, mean in means.items()]
    return f"The mean of {figure} is {_and(words)}."


def _line_parameter(compared: pd.DataFrame, varying: Sequence[str], name: str) -> str | None:
    """Choose the parameter whose values get a line each: the one with fewest, at most five."""
    others = [other for other in varying if other != name]
    counts = {other: len(_in_order(compared[other])) for other in others}
    return min((other for other in others if counts[other] <= 5), key=counts.get, default=None)


def _alt_of_settings(compared: pd.DataFrame) -> str:
    rows = compared[compared["n"] > 0]
    unit, labels = compared.attrs["unit"], _labels(rows)
    return (
        f"Dot plot of {compared.attrs['figure']}, a row a setting. The best is {labels[0]} with a "
        f"mean of {_in_unit(rows['mean'].iloc[0], unit)}, the worst {labels[-1]} with "
        f"{_in_unit(rows['mean'].iloc[-1], unit)}."
    )


def _labels(compared: pd.DataFrame) -> list[str]:
    """Name each setting by the parameters in which settings differ."""
    known = compared.attrs["parameters"]
    varying = [name for name in known if len(_in_order(compared[name])) > 1] or known
    columns = [compared[name].map(_plain) for name in varying]
    labels = [
        ", ".join(f"{name} = {value}" for name, value in zip(varying, row, strict=True))
        for row in zip(*columns, strict=True)
    ]
    return labels or ["the notebook's own parameters"] * len(compared)


def _in_order(values: Any) -> list[Any]:
    """Give the different values, numbers by size."""
    different = list({repr(value): value for value in values}.values())
    return sorted(different) if _is_numeric(different) else different


def _is_numeric(values: Any) -> bool:
    return all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
        for value in values
    )


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> str:
    """Write a parameter as in its notebook: whole numbers whole, text as it is."""
    return _NONE if _is_none(value) else str(value)


def _in_unit(value: float, unit: str) -> str:
    return f"{results.in_words(value, unit)} {unit}"


def _with_sd(mean: float, sd: float, unit: str) -> str:
    if _is_none(mean):
        return _NONE
    shown = results.in_words(mean, unit)
    return shown if _is_none(sd) else f"{shown} ± {results.in_words(sd, unit)}"


def _signed(value: float, unit: str) -> str:
    if _is_none(value):
        return _NONE
    shown = results.in_words(abs(value), unit)
    zero = not any(digit in shown for digit in "123456789")
    return shown if zero else f"{'−' if value < 0 else '+'}{shown}"


def _p(value: float) -> str:
    if _is_none(value):
        return _NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _heading(name: str, unit: str, taken: Mapping[str, Any]) -> str:
    # "mistakes, mistakes" would say it twice.
    heading = name if not unit or unit in name.split() else f"{name}, {unit}"
    while heading in taken:
        heading += " "
    return heading


def _short(name: str) -> str:
    """Shorten a run's name to its hash: its parameters have columns of their own."""
    last = name.rpartition("-")[2]
    return last if len(last) == 8 and set(last) <= set("0123456789abcdef") else name


def _shown(
    columns: Mapping[str, Sequence[str]],
    numbers: set[str],
    caption: str,
    links: Sequence[str | None],
    kinds: Sequence[str],
) -> Shown:
    # In a line of its own, a row of the text stays a row.
    rows = [
        tuple(" ".join(word.split()) for word in row) for row in zip(*columns.values(), strict=True)
    ]
    places = frozenset(place for place, name in enumerate(columns) if name in numbers)
    return Shown(tuple(columns), tuple(rows), tuple(links), tuple(kinds), places, caption)


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _some(values: Sequence[Any], between: str = ", ") -> str:
    """List values, of many only the first and the last ones."""
    words = [_plain(value) for value in values]
    return between.join(words if len(words) <= 8 else [*words[:3], "…", *words[-2:]])


def _different(values: Any) -> list[Any]:
    return list({repr(value): value for value in values}.values())


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _settings(count: int) -> str:
    return "one other setting" if count == 1 else f"{count:,} other settings"


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _time(started: str) -> str:
    """Write a date and time of ISO 8601 without its seconds; what is none, as it is."""
    try:
        return datetime.fromisoformat(started).astimezone(UTC).strftime("%Y-%m-%d at %H:%M UTC")
    except ValueError:
        return started or "an unknown day"


def _name(sweep: Sweep) -> str:
    return sweep.folder.resolve().name


def _md(words: str) -> str:
    """Write words from outside so that Markdown and HTML show them as they are."""
    words = html.escape(" ".join(words.split()), quote=False)
    # A hyphen, full stop or ampersand can't begin anything within a sentence.
    return "".join(f"\\{sign}" if sign in "\\`*_[]~|$#{}" else sign for sign in words)


def _page(title: str, body: str, style: str = "") -> str:
    style = _STYLE.read_text(encoding="utf-8") + style
    return _PAGE.format(title=html.escape(title), style=style, body=body)


def _replace(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
