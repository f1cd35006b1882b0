"""The contract that every notebook of the series keeps; what a reader of one may count on."""

import ast
import json
import re
import tomllib
from itertools import groupby, pairwise
from pathlib import Path
from urllib.parse import unquote

import badges
import nbformat
import pytest

from mnistlib import results

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
SERIES = sorted(FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"),
    *(ROOT / "benchmarks" / "README.md", FOLDER / "README.md", FOLDER / "glossary.md"),
]

SECTIONS = ("You will learn", "Exercises", "What we found")
# One literal a line; a second "=" in the line would make papermill overlook the parameter.
PARAMETER = re.compile(r"[A-Z][A-Z0-9_]*: (int|float|bool|str) = ([^=#]+?)  # [^=]+")
# Everything in plots but these two returns Axes.
DRAWS = r"\bplots\.(?!table\b|use_style\b)"
# What belongs to the tests of a lesson, not into it.
SCAFFOLDING = re.compile(
    r"NBVAL_|nbval-|PYTEST_VALIDATE|fmt: (skip|off|on)|\bnoqa\b"
    r"|\b(STANDARD|UNLESS|SMALLER|BOUNDS)\b|\bat_(least|most)\b|\.expect\("
)
TEST_SET = {"digits.x_test", "digits.y_test"}
BOUNDS = results.load_bounds(ROOT / "tests" / "bounds.toml")


def names(paths):
    return [path.stem for path in paths]


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def statements(cell):
    """Parse a cell; IPython's own lines, which begin with % or !, become pass."""
    return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", cell.source, flags=re.MULTILINE))


def is_setup(cell):
    return "google.colab" in cell.source


def attributes(cell):
    """Find the attributes of plain names in a cell, as ``digits.x_test``."""
    found = (node for node in ast.walk(statements(cell)) if isinstance(node, ast.Attribute))
    return [node for node in found if isinstance(node.value, ast.Name)]


def is_word(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.fixture(params=SERIES, ids=names(SERIES))
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return read(path)


def test_the_series_is_there_and_numbered_without_gaps():
    numbers = [path.stem[:3] for path in SERIES]
    assert numbers == [f"{number:02}_" for number in range(1, len(SERIES) + 1)]
    assert len(SERIES) >= 5


@pytest.mark.parametrize(
    "path", SERIES + SOLUTIONS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_file_is_a_valid_small_notebook_without_widgets(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert "papermill" not in notebook.metadata
    assert path.stat().st_size < 1_000_000


def test_every_solution_belongs_to_a_notebook():
    assert set(names(SOLUTIONS)) <= set(names(SERIES))


def test_cells_carry_no_times_of_execution(notebook):
    for cell in notebook.cells:
        assert not {"execution", "papermill"} & cell.metadata.keys()


def test_the_only_h1_opens_the_notebook_with_its_badge(notebook, path):
    headings = re.findall(r"^# .+", markdown(notebook), re.MULTILINE)
    assert len(headings) == 1
    first = notebook.cells[0].source
    assert first.startswith(headings[0])
    address = f"{badges.repository()}/blob/main/{path.relative_to(ROOT).as_posix()}"
    assert f"](https://colab.research.google.com/github/{address})" in first


def test_the_sections_are_there(notebook):
    text = markdown(notebook)
    for section in SECTIONS:
        assert re.search(rf"^(#+ |\*\*){section}", text, re.MULTILINE), section


def test_the_last_cell_links_to_the_neighbours(notebook, path):
    place = SERIES.index(path)
    for neighbour in SERIES[max(place - 1, 0) : place] + SERIES[place + 1 : place + 2]:
        assert f"]({neighbour.name})" in notebook.cells[-1].source, neighbour.name


def test_the_first_code_cell_is_the_set_up_cell(notebook, path):
    assert code_cells(notebook)[0].source == badges.setup_cell(stem=path.stem)


def test_one_cell_holds_the_parameters_as_literals(notebook):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        match = PARAMETER.fullmatch(line)
        assert match, line
        assert type(ast.literal_eval(match[2])).__name__ == match[1], line


def test_every_code_cell_was_executed_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_cell_failed_or_wrote_to_standard_error(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text


def test_logic_lives_in_the_library(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(statements(cell)):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef), (
                cell.source
            )
        for node in statements(cell).body:
            named_lambda = isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
                node.value, ast.Lambda
            )
            assert not named_lambda, cell.source


def test_no_path_leads_to_a_file_of_the_author(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(statements(cell)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.match(r"(\.{1,2}|~|[A-Za-z]:)?[/\\]\w|\.\.", node.value), node.value


def test_no_cell_hides_its_value_with_a_semicolon(notebook):
    # nbval executes outside IPython's history, where the semicolon has no effect: the comparison
    # would find a value that the committed notebook does not show (nbval issue 194). Assign it.
    for cell in code_cells(notebook):
        assert not cell.source.rstrip().endswith(";"), cell.source


def test_the_length_suits_one_sitting(notebook):
    # A heading opens a cell for the sake of the talk; such neighbours in prose count as one.
    # 02 carries both Keras and how learning works.
    kinds = [cell.cell_type for cell in notebook.cells]
    assert 25 <= sum(a == "code" or a != b for a, b in pairwise([*kinds, "end"])) <= 60
    for cell in code_cells(notebook):
        assert is_setup(cell) or len(cell.source.splitlines()) <= 14, cell.source
    runs = [
        list(run) for kind, run in groupby(c.cell_type for c in notebook.cells) if kind == "code"
    ]
    # Set-up, imports, parameters and what follows from them open every notebook.
    assert all(len(run) <= 3 for run in runs[1:])
    assert len(runs[0]) <= 4


@pytest.mark.parametrize("path", SERIES + SOLUTIONS, ids=lambda path: path.parent.name + path.stem)
def test_no_scaffolding_of_tests_stands_in_a_lesson(path):
    for cell in read(path).cells:
        marks = cell.source + json.dumps(cell.metadata)
        assert not SCAFFOLDING.search(marks), cell.source


def test_lesson_shows_its_digits_and_records_its_figures(notebook):
    record = results.read(notebook)
    assert record.is_mnist is True, "committed outputs are of the full MNIST"
    assert record.figures
    names = [figure.name for figure in record.figures]
    assert len(set(names)) == len(names)


def test_committed_figures_are_within_their_bounds(notebook, path):
    assert BOUNDS[path.stem], "every lesson promises something"
    assert results.check(path.stem, results.read(notebook).figures, BOUNDS) == []


def test_few_cells_are_left_out_of_the_comparison():
    measured = tomllib.loads((ROOT / "tests" / "measured.toml").read_text("utf-8"))
    for name, ids in measured.items():
        cells = code_cells(read(FOLDER / f"{name}.ipynb"))
        assert set(ids) <= {cell.id for cell in cells if cell.outputs}
        assert len(ids) <= len(cells) / 2


def test_every_bound_belongs_to_a_lesson():
    assert BOUNDS.keys() <= set(names(SERIES))


def test_the_test_set_is_used_only_where_the_lesson_says_so(notebook):
    """Cells that touch it are tagged; a network meets it after a sentence in bold, and once."""
    said, uses = False, []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            said = said or bool(re.search(r"\*\*[^*]*\btest (set|digits)\b[^*]*\*\*", cell.source))
            continue
        names = {f"{node.value.id}.{node.attr}" for node in attributes(cell)}
        words = {node.value for node in ast.walk(statements(cell)) if is_word(node)}
        touches = names & TEST_SET or words & {"x_test", "y_test"}
        assert bool(touches) == ("test-set" in cell.metadata.get("tags", [])), cell.source
        if touches and re.search(r"training\.|tuning\.|predict", cell.source):
            assert said, "say in bold that the test set is used, before it is"
            uses.append(cell.id)
    assert len(uses) <= 1, uses


@pytest.mark.parametrize("path", SERIES + SOLUTIONS, ids=lambda path: path.parent.name + path.stem)
def test_every_figure_has_alternative_text(path):
    for cell in code_cells(read(path)):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            text = cell.metadata.get("alt", "")
            assert len(text.split()) >= 12, cell.source
            assert text.endswith("."), text
        else:
            assert "alt" not in cell.metadata, "a text without a figure"


@pytest.mark.parametrize(
    ("number", "calls"),
    [
        (
            "02",
            "Input Rescaling Flatten Dense compile fit evaluate predict save load_model summary",
        ),
        ("03", "Input Rescaling Flatten Dense Dropout BatchNormalization add"),
        ("04", "Input Rescaling Reshape Conv2D MaxPooling2D Dense compile fit evaluate summary"),
    ],
)
def test_keras_is_written_out(number, calls):
    (path,) = (path for path in SERIES if path.stem.startswith(number))
    first = {}
    for place, cell in enumerate(code_cells(read(path))):
        for node in ast.walk(statements(cell)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                first.setdefault(ast.unparse(node.func), place)
    called = {name.rpartition(".")[2] for name in first if not name.startswith("training.")}
    assert {"Sequential", *calls.split()} <= called
    if number == "02":
        assert first["model.compile"] < first["model.fit"] < first["training.fit"]


def test_every_call_that_draws_has_its_figure(notebook):
    drawing = [cell for cell in code_cells(notebook) if re.search(DRAWS, cell.source)]
    assert drawing
    for cell in drawing:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source


@pytest.mark.parametrize(
    "path", [*SERIES, *SOLUTIONS, *PAGES], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_relative_links_and_pictures_exist(path):
    text = markdown(read(path)) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose)
    for link in links:
        if not re.match(r"[a-z]+:|#", link):
            target = path.parent / unquote(link.partition("#")[0])
            assert target.exists(), link


def test_every_measured_figure_of_the_readme_stands_in_a_notebook():
    measured = re.findall(r"\d+\.\d+ ± \d+\.\d+ %", (ROOT / "README.md").read_text("utf-8"))
    assert measured
    outputs = "".join(path.read_text("utf-8") for path in SERIES)
    for figure in measured:
        assert figure in outputs, figure
