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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mnistlib import comparison, plots, summary, wording, writing
from mnistlib.comparison import MISSING, PLAN, Sweep, load, settings, table
from mnistlib.outcomes import Outcome

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "PLAN",
    "Shown",
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
    columns |= {name: [wording.plain(value) for value in runs[name]] for name in parameters}
    numbers = {"seconds"} | {name for name in parameters if wording.is_numeric(runs[name])}
    for name, unit in units.items():
        spread = runs[spreads[name]] if name in spreads else [math.nan] * len(runs)
        heading = _heading(name, unit, columns)
        pairs = zip(runs[name], spread, strict=True)
        columns[heading] = [wording.with_sd(mean, sd, unit) for mean, sd in pairs]
        numbers.add(heading)
    columns["seconds"] = [
        wording.NONE if wording.is_none(value) else f"{value:,.1f}" for value in runs["seconds"]
    ]
    if failed:
        columns[_heading("error", "", columns)] = [
            "" if wording.is_none(value) else value for value in runs["error"]
        ]
    links = [None if wording.is_none(path) else f"./{quote(path)}" for path in runs["notebook"]]
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
        columns[heading] = [wording.plain(value) for value in rows[name]]
        if wording.is_numeric(rows[name]):
            numbers.add(heading)
    means = zip(rows["mean"], rows["sd"], strict=True)
    parts: dict[str, list[str]] = {
        "values": [str(count) for count in rows["n"]],
        f"mean ± sd, {unit}" if rows["sd"].notna().any() else f"mean, {unit}": [
            wording.with_sd(mean, sd, unit) for mean, sd in means
        ],
    }
    if rows["difference"].notna().any():
        parts[f"difference from {reference}, {'points' if unit == '%' else unit}"] = [
            wording.signed(value, unit) for value in rows["difference"]
        ]
    if rows["low"].notna().any():
        limits = ([wording.signed(value, unit) for value in rows[end]] for end in ("low", "high"))
        parts["95 % interval"] = [
            low if low == wording.NONE else f"{low} to {high}"
            for low, high in zip(*limits, strict=True)
        ]
        parts["p"] = [wording.p_value(value) for value in rows["p"]]
    for name, words in parts.items():
        heading = _heading(name, "", columns)
        columns[heading] = words
        numbers.add(heading)
    if any(rows["note"]):
        columns[_heading("note", "", columns)] = list(rows["note"])
    shown = "" if len(rows) == len(compared) else f", the first {len(rows)} of {len(compared):,}"
    kinds = ["missing" if wording.is_none(mean) else "" for mean in rows["mean"]]
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
    title = f"Sweep {sweep.name} of {sweep.notebook}"
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(comparison.describe(sweep))}</p>",
        f'<p class="faint">As of {now}. A name in the first column opens the executed notebook. '
        "Several values of a run are shown as mean ± standard deviation.</p>",
        show_runs(runs)._repr_html_(),
    ]
    csv, page = sweep.folder / "report.csv", sweep.folder / "report.html"
    writing.write(csv, runs.to_csv(index=False))
    writing.write(page, _page(title, "\n".join(body)))
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
    named = dict(zip(wording.labels(rows), rows["values"], strict=True))
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
    if not wording.is_numeric(compared[parameter]):
        raise ValueError(f"parameter must hold numbers; received {parameter!r}, which holds others")
    rows = compared[compared["n"] > 0]
    drawn = {}
    for value in [None] if by is None else wording.in_order(rows[by]):
        group = rows if by is None else rows[rows[by].map(repr) == repr(value)]
        means = group.groupby(parameter)["mean"].mean()
        label = "mean of all settings" if by is None else f"{by} = {wording.plain(value)}"
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
    sweep, compared = load(folder), None
    given = {"seed": seed, "baseline": baseline, "smaller_is_better": smaller_is_better}
    if figure is not None or comparison.choose_figure(sweep.runs):
        compared = settings(sweep, figure, **given)
    usual = {"seed": comparison.SEED, "baseline": None, "smaller_is_better": None}
    options = {name: value for name, value in given.items() if value != usual[name]}
    cells = summary.cells(sweep, compared, options)
    try:
        return _write_notebook(sweep, cells)
    except ImportError as error:
        raise ImportError(
            f"{error}. A summary needs: pip install papermill ipykernel nbconvert"
        ) from error


def _write_notebook(sweep: Sweep, cells: Sequence[summary.Cell]) -> tuple[Path, Path]:
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    from mnistlib import kernels

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
        kernel_manager_class=kernels.KernelManager,
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
    writing.write(path, nbformat.writes(notebook) + "\n")
    writing.write(page, _page(f"Summary of the sweep {sweep.name}", body, style))
    return path, page


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


def _page(title: str, body: str, style: str = "") -> str:
    style = _STYLE.read_text(encoding="utf-8") + style
    return _PAGE.format(title=html.escape(title), style=style, body=body)
