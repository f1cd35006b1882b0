"""The runs of a sweep read back, and its settings compared over the same seeds.

A *sweep* is a grid of runs of one notebook; a *setting* is a point of the grid without its seed.
Imports without TensorFlow.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlib import metrics, outcomes, wording
from mnistlib.outcomes import Outcome
from mnistlib.results import Figure

if TYPE_CHECKING:
    import pandas as pd

PLAN = "sweep.json"
"""What a sweep's folder holds beside a folder for each finished run."""

MISSING = "missing"
"""The status of a run that has not ended."""

SEED = "SEED"
"""The parameter that is no part of a setting."""

SMALL_NAMES = frozenset(
    ("brier", "error", "errors", "loss", "mistake", "mistakes", "seconds", "time", "wrong")
)
"""A figure with one of these words in its name is better small."""

SMALL_UNITS = frozenset(("errors", "min", "mistakes", "ms", "nats", "s", "seconds", "wrong"))
"""A figure in one of these units is better small."""


@dataclass(frozen=True)
class Run:
    """One point of the grid.

    Attributes:
        name: The name of its folder.
        point: The parameters that the grid set; empty where they cannot be told.
        outcome: What came of it; None where it has not ended.
    """

    name: str
    point: dict[str, Any]
    outcome: Outcome | None

    @property
    def status(self) -> str:
        """One of ``outcomes.STATUSES``, or ``MISSING``."""
        return self.outcome.status if self.outcome else MISSING


@dataclass(frozen=True)
class Sweep:
    """A grid of runs of one notebook.

    Attributes:
        folder: Where it lies.
        notebook: The notebook's name.
        grid: Parameter → its values.
        runs: In the order of the grid.
    """

    folder: Path
    notebook: str
    grid: dict[str, list[Any]]
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.resolve().name


@dataclass(frozen=True)
class _Setting:
    """The values of one figure with one setting, each by its seed and its place in the run."""

    parameters: dict[str, Any]
    values: dict[tuple[str, int], float]
    figure: Figure | None
    runs: int
    lost: dict[str, int]


def load(folder: str | Path, known: Mapping[str, Outcome] | None = None) -> Sweep:
    """Read what a sweep has left in its folder; opens no notebook.

    Args:
        folder: Holds ``sweep.json`` and a folder for each run that has ended.
        known: The outcomes of the runs that have ended, by the name of their folder; the others
            count as missing. None: read them.

    Raises:
        ValueError: The folder is none of a sweep, or a file in it is damaged; says which.
    """
    folder = Path(folder)
    path = folder / PLAN
    if not path.is_file():
        raise ValueError(
            f"folder must be one that `mnistlib sweep` wrote, with {PLAN} in it; received "
            f"{str(folder)!r}: name the sweep's own folder, such as runs/NAME"
        )
    notebook, grid, names = _read_plan(path)
    read = known.get if known is not None else lambda name: _read_outcome(folder / name)
    found = [read(name) for name in names]
    points = _points(grid, found)
    runs = zip(names, points, found, strict=True)
    return Sweep(folder, notebook, grid, tuple(Run(*run) for run in runs))


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
    return f"Of {len(states):,} run{'' if len(states) == 1 else 's'}, {wording.listed(said)}."


def table(
    folder: str | Path | Sweep, *, known: Mapping[str, Outcome] | None = None
) -> pd.DataFrame:
    """List the runs of a sweep, one row a run, in the order of the grid.

    Args:
        folder: The sweep's folder, or what ``load`` has read of it.
        known: As for ``load``.

    Returns:
        Columns ``run``; the parameters that the grid set; ``status``, one of
        ``outcomes.STATUSES`` or ``missing``; ``seconds``; for each figure its mean, under the
        figure's name, with its standard deviation (``…, sd``) where a run recorded several values;
        ``notebook``, the path of the executed notebook from the folder; and ``error``. A figure in
        % is a share, 0–1. A parameter or figure that has the name of another column is called
        ``parameter …`` or ``figure …``.

    Raises:
        ValueError: As from ``load``.
    """
    import pandas as pd

    sweep = folder if isinstance(folder, Sweep) else load(folder, known)
    runs = sweep.runs
    reserved = {"run", "status", "seconds", "notebook", "error"}
    columns: dict[str, list[Any]] = {"run": [run.name for run in runs]}
    parameters = {}
    for name in sweep.grid:
        parameters[name] = column = _free(name, reserved | columns.keys(), "parameter")
        columns[column] = [run.point.get(name) for run in runs]
    columns["status"] = [run.status for run in runs]
    columns["seconds"] = [run.outcome.seconds if run.outcome else None for run in runs]
    recorded = [
        {one.name: one for one in run.outcome.figures} if run.outcome else {} for run in runs
    ]
    units, spreads = {}, {}
    for name in dict.fromkeys(itertools.chain(*recorded)):
        figures = [each.get(name) for each in recorded]
        column = _free(name, reserved | columns.keys(), "figure")
        columns[column] = [figure and figure.value for figure in figures]
        units[column] = next(figure.unit for figure in figures if figure)
        if any(figure and figure.sd is not None for figure in figures):
            spreads[column] = spread = _free(f"{column}, sd", reserved | columns.keys(), "figure")
            columns[spread] = [figure and figure.sd for figure in figures]
    columns["notebook"] = [
        f"{run.name}/{run.outcome.output.name}" if run.outcome else None for run in runs
    ]
    columns["error"] = [
        str(run.outcome.error) if run.outcome and run.outcome.error else None for run in runs
    ]
    # As objects first: whole numbers stay whole where one is missing.
    frame = pd.DataFrame(columns, dtype=object).infer_objects()
    frame.attrs = {"parameters": list(parameters.values()), "units": units, "spreads": spreads}
    return frame


def choose_figure(runs: Sequence[Run]) -> str | None:
    """Name the figure that settings are compared by where none is named.

    Returns:
        The first that has "validation" in its name, else the first; None where no finished run
        recorded one.
    """
    names = list(_figures(runs))
    return next((name for name in names if "validation" in name.lower()), next(iter(names), None))


def is_better_small(figure: Figure) -> bool:
    """Say whether a figure is better small, by ``SMALL_NAMES`` and ``SMALL_UNITS``."""
    words = set(re.findall(r"[^\W\d_]+", figure.name.lower()))
    return bool(words & SMALL_NAMES) or figure.unit.lower() in SMALL_UNITS


def is_of_test_set(figure: str) -> bool:
    """Say whether a figure's name has the word "test" in it."""
    return "test" in re.findall(r"[a-z]+", figure.lower())


def settings(
    source: str | Path | Sweep | Sequence[Outcome],
    figure: str | None = None,
    *,
    seed: str = SEED,
    baseline: Mapping[str, Any] | None = None,
    smaller_is_better: bool | None = None,
) -> pd.DataFrame:
    """Compare the settings of a sweep by one figure, best mean first.

    A setting is a point of the grid without the seed. It has every value that its finished runs
    recorded: one from each run of a grid over seeds, or several from one run. Two settings are
    compared on the seeds that both have, by ``metrics.paired_difference``; values of one run are
    paired by their place.

    Args:
        source: The sweep's folder, or what ``load`` has read of it, or outcomes.
        figure: The figure's name. None: as ``choose_figure`` has it.
        seed: The parameter that is no part of a setting.
        baseline: Parameters of the setting to compare with; as many as tell it from the others.
            None: compare with the best.
        smaller_is_better: Whether the smallest mean is the best. None: by ``is_better_small``.

    Returns:
        One row a setting. Columns: its parameters; ``n``, how many values it has; ``mean`` and
        ``sd`` of them; ``difference``, mean of its values − those of the best or of the baseline;
        ``low`` and ``high``, the 95 % interval of the difference; ``p`` of the paired t-test;
        ``pairs``, how many values were compared; ``note``, what else there is to know in words; and
        ``values``. Figures in % are shares, 0–1. What does not exist is nan, and ``note`` says why:
        of one value there is no sd, of one pair no interval. Settings without a value come last.
        ``attrs`` has ``figure``, ``unit``, ``each``, ``smaller_is_better``, ``reference`` (``best``
        or ``baseline``) and ``parameters``, the names of the parameters' columns.

    Raises:
        ValueError: No finished run recorded the figure, the baseline is not one setting with
            values, or a file is damaged.
    """
    import pandas as pd

    runs, names = _runs(source)
    figure = _known_figure(runs, figure)
    recorded = _figures(runs)[figure]
    if smaller_is_better is None:
        smaller_is_better = is_better_small(recorded)
    sign = 1 if smaller_is_better else -1
    found = _gather(runs, [name for name in names if name != seed], seed, figure)
    # Settings without a value come last; of equal means, the first in the grid is first.
    ranked = sorted(found, key=lambda one: sign * one.figure.value if one.figure else math.inf)
    reference = ranked[0] if baseline is None else _baseline(ranked, baseline)
    word = "best" if baseline is None else "baseline"
    each = recorded.each
    if seed in names:
        each = "seeds" if len(recorded.values) == 1 else "values"
    columns = {name: _free(name, set(_COLUMNS), "parameter") for name in names if name != seed}
    rows = [
        {column: setting.parameters.get(name) for name, column in columns.items()}
        | _row(setting, reference, word, each)
        for setting in ranked
    ]
    index = pd.RangeIndex(1, len(rows) + 1, name="rank")
    frame = pd.DataFrame(rows, index=index, columns=[*columns.values(), *_COLUMNS])
    frame.attrs = {
        "figure": figure,
        "unit": recorded.unit,
        "each": each,
        "smaller_is_better": smaller_is_better,
        "reference": word,
        "parameters": list(columns.values()),
    }
    return frame


_COLUMNS = ("n", "mean", "sd", "difference", "low", "high", "p", "pairs", "note", "values")


def _read_plan(path: Path) -> tuple[str, dict[str, list[Any]], list[str]]:
    """Read ``sweep.json``: the notebook, the grid, and the names of the runs' folders."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold notebook, grid and runs; received {content!r:.200}")
    notebook, grid, runs = (content.get(name) for name in ("notebook", "grid", "runs"))
    if not isinstance(notebook, str):
        raise ValueError(f"{path}: notebook must be a name; received {notebook!r:.200}")
    lists = isinstance(grid, dict) and all(isinstance(one, list) for one in grid.values())
    if not lists:
        raise ValueError(
            f"{path}: grid must hold a list of values for each parameter; received {grid!r:.200}"
        )
    if not isinstance(runs, list) or not all(map(_is_folder_name, runs)):
        raise ValueError(f"{path}: runs must list names of folders; received {runs!r:.200}")
    if len(set(runs)) < len(runs):
        raise ValueError(f"{path}: runs must differ; received {runs!r:.200}")
    return notebook, grid, runs


def _is_folder_name(name: Any) -> bool:
    # A path could lead out of the sweep's folder.
    return isinstance(name, str) and name not in ("", ".", "..") and not re.search(r"[/\\\0]", name)


def _read_outcome(folder: Path) -> Outcome | None:
    try:
        return outcomes.read(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _points(
    grid: Mapping[str, Sequence[Any]], found: Sequence[Outcome | None]
) -> list[dict[str, Any]]:
    """Give each run its point, also a missing one where the order of the grid tells it."""
    known = [outcome and outcome.point for outcome in found]
    # Counted first: a damaged file could ask for more points than there is memory.
    if math.prod(map(len, grid.values())) == len(known):
        product = [dict(zip(grid, each, strict=True)) for each in itertools.product(*grid.values())]
        if all(point in (None, there) for point, there in zip(known, product, strict=True)):
            return product
    return [point or {} for point in known]


def _free(name: str, taken: Iterable[str], kind: str) -> str:
    """Give a column a name that no other has."""
    taken = set(taken)
    while name in taken:
        name = f"{kind} {name}"
    return name


def _runs(source: str | Path | Sweep | Sequence[Outcome]) -> tuple[tuple[Run, ...], list[str]]:
    """Give the runs and the names of the grid's parameters."""
    if isinstance(source, str | Path):
        source = load(source)
    if isinstance(source, Sweep):
        return source.runs, list(source.grid)
    runs = tuple(Run(one.output.parent.name, one.point, one) for one in source)
    return runs, list(dict.fromkeys(name for run in runs for name in run.point))


def _figures(runs: Iterable[Run]) -> dict[str, Figure]:
    """Give the figures of finished runs by name, each as it was first recorded."""
    finished = (run.outcome for run in runs if run.status == "finished")
    found: dict[str, Figure] = {}
    for outcome in finished:
        for figure in outcome.figures:
            found.setdefault(figure.name, figure)
    return found


def _known_figure(runs: Sequence[Run], figure: str | None) -> str:
    known = _figures(runs)
    if not known:
        raise ValueError("no finished run has recorded a figure, so there is nothing to compare")
    if figure is None:
        return choose_figure(runs)
    if figure not in known:
        names = ", ".join(map(repr, known))
        raise ValueError(f"figure must be one that the runs recorded: {names}; received {figure!r}")
    return figure


def _gather(runs: Iterable[Run], names: Sequence[str], seed: str, figure: str) -> list[_Setting]:
    """Put the runs of each setting together, in the order of the grid."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        if run.point or not names:
            # By their text: to Python, 1, 1.0 and True are one key.
            key = tuple(repr(run.point.get(name)) for name in names)
            groups.setdefault(key, []).append(run)
    found = []
    for group in groups.values():
        values, last = {}, None
        lost: dict[str, int] = {}
        for run in group:
            recorded = {one.name: one for one in run.outcome.figures} if run.outcome else {}
            if run.status != "finished" or figure not in recorded:
                why = _LOST.get(run.status, run.status)
                lost[why] = lost.get(why, 0) + 1
                continue
            last = recorded[figure]
            at = repr(run.point.get(seed))
            values |= {(at, place): value for place, value in enumerate(last.values)}
        all_values = last and Figure(figure, tuple(values.values()), last.unit, last.each)
        parameters = {name: group[0].point.get(name) for name in names}
        found.append(_Setting(parameters, values, all_values, len(group), lost))
    return found


_LOST = {"finished": "did not record it", "timeout": "ran out of time"}


def _baseline(found: Sequence[_Setting], baseline: Mapping[str, Any]) -> _Setting:
    """Find the one setting with these parameters; text stands for the value it is written as."""
    known = list(found[0].parameters)
    for name in baseline:
        if name not in known:
            raise ValueError(
                f"baseline must name parameters of the settings: {', '.join(known) or 'none'}; "
                f"received {name!r}"
            )
    matching = [
        setting
        for setting in found
        if all(_same(setting.parameters[name], value) for name, value in baseline.items())
    ]
    words = ", ".join(f"{name}={value}" for name, value in baseline.items())
    if len(matching) != 1:
        raise ValueError(
            f"baseline must match one setting; received {words!r}, which matches {len(matching)} "
            f"of {len(found)}: give values of {', '.join(known)} that were in the grid"
        )
    if matching[0].figure is None:
        raise ValueError(
            f"baseline must be a setting with values; received {words!r}, and none of its runs has "
            "finished with the figure: choose another"
        )
    return matching[0]


def _same(value: Any, given: Any) -> bool:
    if isinstance(given, np.generic):
        given = given.item()  # from a data frame
    if not isinstance(given, str) or isinstance(value, str):
        return value == given and isinstance(value, bool) == isinstance(given, bool)
    if isinstance(value, bool):
        return given.lower() == str(value).lower()
    try:
        return float(given) == value
    except ValueError:
        return False


def _row(setting: _Setting, reference: _Setting, word: str, each: str) -> dict[str, Any]:
    nan = math.nan
    row: dict[str, Any] = dict.fromkeys(_COLUMNS, nan)
    row |= {"n": len(setting.values), "pairs": 0, "values": tuple(setting.values.values())}
    notes = [word] if setting is reference else []
    if setting.figure:
        sd = setting.figure.sd
        row |= {"mean": setting.figure.value, "sd": nan if sd is None else sd}
        if setting is not reference:
            more, said = _compare(setting.values, reference.values, each)
            row |= more
            notes += said
        if sd is None:
            notes.append("one value: no spread")
    notes += [f"{count} of {setting.runs} runs {why}" for why, count in setting.lost.items()]
    return row | {"note": "; ".join(notes)}


def _compare(
    values: Mapping[tuple[str, int], float], others: Mapping[tuple[str, int], float], each: str
) -> tuple[dict[str, Any], list[str]]:
    """Give the paired difference where there is one, and what to say of it."""
    common = [key for key in values if key in others]
    said = []
    if not common:
        return {"pairs": 0}, [f"no {each} in common: no difference"]
    if len(common) < max(len(values), len(others)):
        said.append(f"compared on {len(common)} of {max(len(values), len(others))} {each}")
    first, second = ([one[key] for key in common] for one in (values, others))
    if len(common) == 1:
        return (
            {"pairs": 1, "difference": first[0] - second[0]},
            [*said, "one pair: no interval"],
        )
    found = metrics.paired_difference(first, second)
    row = {"difference": found.mean, "low": found.low, "high": found.high, "p": found.p_value}
    return row | {"pairs": len(common)}, said
