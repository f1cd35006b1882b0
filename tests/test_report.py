"""A sweep's report: what stands in its files, and how they look in Chromium."""

import ast
import base64
import io
import itertools
import time
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import small_sweep
from chromium import SHOTS, needs_browser
from click.testing import CliRunner
from PIL import Image
from small_sweep import failed, outcome

from mnistlib import cli, comparison, report, summary
from mnistlib.results import Figure

HOSTILE = "<script>document.title='taken'</script>"
GRID = {
    f'{HOSTILE} "x"': ["\"'><img src=x onerror=alert(1)>", "$x_1$ `b` *c* | d\n# e"],
    "größe 大": [1, 200],
    "status": ["a"],
    "SEED": [0, 1, 2],
}
FIGURE = '<b onclick=alert(1)>wrong</b> & $\\alpha$ "it\'s" ```'


def write_hostile(folder):
    """Names and values that would be taken for HTML, Markdown, a formula or a path."""
    made, names = [], []
    for number, values in enumerate(itertools.product(*GRID.values())):
        point = dict(zip(GRID, values, strict=True))
        figures = (Figure(FIGURE, (0.1 + number / 100 + (number % 5) / 500,)),)
        changed = {"figures": figures, "cpu": HOSTILE, "versions": {"<i>keras</i>": "*3*"}}
        if number == 4:
            error = comparison.outcomes.Failure(None, HOSTILE, "<img src=x onerror=alert(2)>")
            changed = failed(error=error)
        made.append(outcome(point, number=number, output=Path("a b#c?%41.ipynb"), **changed))
        names.append(f"<i>{number} & 'q'#?%41:[x](y)-\"")
    return small_sweep.write(folder, GRID, made, names=names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = small_sweep.write_sweep(tmp_path_factory.mktemp("runs") / "first")
    report.write_live(folder)
    report.summarize(folder)
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = write_hostile(tmp_path_factory.mktemp("runs") / "<b>&amp; _x_ $y$")
    report.write_live(folder)
    report.summarize(folder)
    return folder


class Page(HTMLParser):
    """The cells of every table, every link, tag, and the text."""

    def __init__(self, path):
        super().__init__()
        self.rows, self.links, self.tags, self.said = [], [], set(), []
        self.images, self._inside = [], None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags |= {tag, *(name for name in attrs if name.startswith("on"))}
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "a":
            self.links.append(attrs["href"])
        elif tag == "img":
            self.images.append(attrs)
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None if tag in ("td", "th") else self._inside

    def handle_data(self, data):
        self.said.append(data)
        if self._inside in ("td", "th", "a") and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.said).split())


def cells_of(folder, kind):
    notebook = nbformat.read(folder / "summary.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def prose_of(folder):
    return "\n\n".join(cell.source for cell in cells_of(folder, "markdown"))


def test_the_page_has_a_row_and_a_link_for_each_run(folder):
    page = Page(folder / "report.html")
    head, *rows = page.rows
    assert head == [
        *("run", "status", "EPOCHS", "BATCH_SIZE", "SEED"),
        *("validation accuracy, %", "mistakes", "seconds", "error"),
    ]
    assert len(rows) == 30
    accuracy = small_sweep.accuracy({"EPOCHS": 2, "BATCH_SIZE": 32, "SEED": 0})
    mistakes = round(10_000 * (1 - accuracy))
    first = ["00000000", "finished", "2", "32", "0", f"{100 * accuracy:.2f}", f"{mistakes}"]
    assert rows[0] == [*first, "10.0", ""]
    (lost,) = [row for row in rows if row[1] == "failed"]
    assert lost[-1] == "failed in cell In [3]: ZeroDivisionError: division by zero"
    (missing,) = [row for row in rows if row[1] == "missing"]
    assert missing[2:] == ["4", "128", "1", "–", "–", "–", ""]
    assert "Of 30 runs, 28 finished, 1 failed and 1 is missing." in page.text
    assert len(page.links) == 29


def test_links_lead_to_the_notebooks(folder, hostile):
    from urllib.parse import unquote, urlsplit

    for sweep in (folder, hostile):
        for link in Page(sweep / "report.html").links:
            parts = urlsplit(link)
            assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
            assert (sweep / unquote(parts.path)).is_file()


def test_the_csv_says_the_same_as_the_table(folder):
    read = pd.read_csv(folder / "report.csv")
    expected = report.table(folder)
    assert list(read.columns) == list(expected.columns)
    # What is missing is nan in one and None in the other.
    read, expected = (table.astype(object).where(table.notna(), None) for table in (read, expected))
    pd.testing.assert_frame_equal(read, expected, rtol=1e-12)


def test_several_values_are_shown_with_their_spread(tmp_path):
    figures = (Figure("validation accuracy", (0.97, 0.98)),)
    folder = small_sweep.write(tmp_path / "s", {"A": [1]}, [outcome({"A": 1}, figures=figures)])
    _, page = report.write_live(folder)
    assert "97.50 ± 0.71" in Page(page).rows[1]


def test_a_page_is_written_whole_and_leaves_nothing_else(tmp_path, monkeypatch):
    folder = small_sweep.write(tmp_path / "s", {"A": [1]}, [outcome({"A": 1})])
    _, page = report.write_live(folder)
    before = page.read_text()

    def full(*_, **__):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="disk full"):
            report.write_live(folder)
    assert page.read_text() == before
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert names == {"sweep.json", "report.csv", "report.html"}


def test_a_thousand_runs_cost_little(tmp_path):
    grid = {"A": list(range(20)), "B": list(range(10)), "SEED": list(range(5))}
    points = [dict(zip(grid, each, strict=True)) for each in itertools.product(*grid.values())]
    folder = small_sweep.write(tmp_path / "s", grid, [None] * 1_000)
    names = [run.name for run in comparison.load(folder).runs]
    known = {name: outcome(point) for name, point in zip(names, points, strict=True)}
    took = []
    for _ in range(3):
        start = time.perf_counter()
        report.write_live(folder, known)
        took.append(time.perf_counter() - start)
    print(f"{min(took):.3f} s")
    # Measured: 0.14 s. A busy machine is no failure.
    assert min(took) < 1
    assert len(Page(folder / "report.html").rows) == 1_001


def test_a_sweep_without_a_grid_or_an_end(tmp_path):
    folder = small_sweep.write(tmp_path / "s", {}, [None], names=["x"])
    _, page = report.write_live(folder)
    assert "Of 1 run, 0 finished, 0 failed and 1 is missing." in Page(page).text
    folder = small_sweep.write(tmp_path / "t", {}, [outcome({})], names=["x"])
    report.write_live(folder)
    compared = report.settings(folder)
    assert (len(compared), compared.loc[1, "note"]) == (1, "best; one value: no spread")
    assert "nan" not in str(report.show_settings(compared)).lower()


def test_nothing_is_printed_as_nan(folder, tmp_path):
    made = [outcome({"A": 1}), outcome({"A": 2}, **failed()), None]
    sweep = small_sweep.write(tmp_path / "s", {"A": [1, 2, 3]}, made)
    for place in (folder, sweep):
        shown = report.show_runs(report.table(place)), report.show_settings(report.settings(place))
        for one in shown:
            text = f"{one} {one._repr_html_()}"
            assert not {"nan", "None", "NaN"} & set(
                text.replace("<", " ").replace(">", " ").split()
            )


def test_differences_are_in_words(folder):
    words = str(report.show_settings(report.settings(folder)))
    assert "difference from the best, points" in words
    assert "−0.43" in words
    assert "−0.50 to −0.37" in words
    assert "< 0.001" in words
    words = str(report.show_settings(report.settings(folder, "mistakes"), most=2))
    assert "difference from the best, mistakes" in words
    assert "Settings by mistakes, best first, the first 2 of 6" in words


def test_the_summary_is_executed_and_valid(folder):
    notebook = nbformat.read(folder / "summary.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = cells_of(folder, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"execute_result", "display_data"}
    assert "report.table(" in code[0].source
    assert "report.settings(" in code[1].source


def test_the_summary_says_what_was_run(folder):
    prose = " ".join(prose_of(folder).replace("\\", "").split())
    for words in (
        "The notebook 02_dense_baseline was to run 30 times",
        "EPOCHS (2, 4), BATCH_SIZE (32, 128, 512) and SEED (0, 1, 2, 3, 4)",
        "Of 30 runs, 28 finished, 1 failed and 1 is missing.",
        "SOURCE = mnist",
        "All runs that ended used the full MNIST.",
        "Some CPU (2 cores, 1 of them for each run)",
        "python 3.11.9, keras 3.15.1 and numpy 2.3.0",
        "2026-11-26 at 03:00 UTC",
        "flattered by the choice",
        "A comparison needs five seeds. Here there are as few as 4",
    ):
        assert words in prose
    # 10, 11, …, 39 seconds without the missing run's 31.
    assert f"all runs together {(sum(range(10, 40)) - 31) / 60:.1f} minutes" in prose
    assert "Measure it on the test set once, when nothing is left to choose." in prose
    assert "not for choosing" not in prose


def test_the_sentences_hold_the_numbers_of_the_table(folder):
    prose = prose_of(folder)
    compared = report.settings(folder)
    by_epochs = compared.groupby("EPOCHS")["mean"].mean()
    for epochs in (2, 4):
        assert f"{100 * by_epochs[epochs]:.2f} % with EPOCHS = {epochs}" in prose
    best = compared.iloc[0]
    assert f"The best has {100 * best['mean']:.2f} % ± {100 * best['sd']:.2f} %" in prose


def test_every_plot_has_its_text(folder, hostile):
    for sweep in (folder, hostile):
        plots = [
            (cell, output)
            for cell in cells_of(sweep, "code")
            for output in cell.outputs
            if "image/png" in output.get("data", {})
        ]
        assert len(plots) >= 2
        for cell, output in plots:
            assert len(cell.metadata["alt"]) > 60
            picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
            assert picture.width > 300
        images = Page(sweep / "summary.html").images
        assert [image["alt"] for image in images] == [cell.metadata["alt"] for cell, _ in plots]


def test_the_summary_names_the_test_set(tmp_path):
    figures = {a: (Figure("mean test accuracy", (0.9 + a / 100, 0.91 + a / 100)),) for a in (1, 2)}
    made = [outcome({"A": a}, figures=figures[a], is_mnist=False) for a in (1, 2)]
    folder = small_sweep.write(tmp_path / "s", {"A": [1, 2]}, made)
    report.summarize(folder)
    prose = prose_of(folder)
    assert "**This figure was measured on the test set, and the test set is not for" in prose
    assert "**None of the runs used the full MNIST.**" in prose
    assert "Here there are as few as 2" in prose


def test_a_summary_of_runs_that_all_failed(tmp_path):
    made = [outcome({"A": 1}, **failed()), None]
    folder = small_sweep.write(tmp_path / "s", {"A": [1, 2]}, made)
    report.summarize(folder)
    prose = prose_of(folder)
    assert "No finished run recorded a figure" in prose
    assert "Which runs failed?" in prose
    assert "ZeroDivisionError: division by zero" in Page(folder / "summary.html").text


def test_how_many_differ_is_worded():
    def said(*settings):
        runs = [
            outcome({"A": number}, figures=(Figure("accuracy", values),))
            for number, values in enumerate(settings)
        ]
        return summary._which_differ(report.settings(runs))[0]

    best, near, far = (0.90, 0.91, 0.92), (0.91, 0.90, 0.90), (0.50, 0.511, 0.52)
    assert "Every 95 % interval of a difference excludes zero." in said(best, far)
    assert "holds zero: each difference may be chance" in said(best, near)
    assert "excludes zero for 1 of 2; the remaining one may be chance" in said(best, far, near)
    assert "for 1 of 3; the other 2 differences may be chance" in said(best, far, near, near)
    assert said(best) == "Only one setting has values, so there is nothing to compare it with."
    assert "No other setting has two values with the same seeds" in said(best, (0.5,))


def test_means_of_unlike_settings_are_said(tmp_path):
    made = [outcome({"A": a, "B": b}) for a in (1, 2) for b in (1, 2)]
    made[3] = outcome({"A": 2, "B": 2}, **failed())
    for number, runs in enumerate(([*made[:3], outcome({"A": 2, "B": 2})], made)):
        sweep = comparison.load(
            small_sweep.write(tmp_path / f"s{number}", {"A": [1, 2], "B": [1, 2]}, runs)
        )
        cells = summary.cells(sweep, report.settings(sweep), {})
        said = "not of like settings" in " ".join(cell.source for cell in cells)
        assert said is bool(number)


def test_options_reach_the_notebook(tmp_path):
    made = [
        outcome({"A": a, "S": s}, figures=(Figure("loss", (a + s / 7,), "nats"),))
        for a in (1, 2)
        for s in (0, 1, 2)
    ]
    folder = small_sweep.write(tmp_path / "s", {"A": [1, 2], "S": [0, 1, 2]}, made)
    report.summarize(folder, seed="S", baseline={"A": 2}, smaller_is_better=False)
    call = ast.parse(cells_of(folder, "code")[1].source).body[0].value
    given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert given == {"seed": "S", "baseline": {"A": 2}, "smaller_is_better": False}
    assert "The baseline can be compared with one other setting" in prose_of(folder)


def test_hostile_names_stay_text(hostile):
    for name in ("report.html", "summary.html"):
        page = Page(hostile / name)
        assert not {"script", "i", "b", "onclick", "onerror"} & page.tags
        assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
        assert HOSTILE in page.text
        assert FIGURE in page.text
    page = Page(hostile / "summary.html")
    assert f"ran on {HOSTILE} (2 cores" in page.text
    assert f'for each combination of {HOSTILE} "x" ("' in page.text
    assert "$x_1$ `b` *c* | d # e), größe 大 (1, 200), status (a) and SEED (0, 1, 2)" in page.text
    assert f"Settings are compared by {FIGURE} , of which the smallest" in page.text
    assert not any(sign in page.text for sign in ("&#", "&lt;", "\\<", "\\*"))


def test_the_pages_name_no_address_that_is_asked(folder):
    for name in ("report.html", "summary.html"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "<script" not in text
        assert "@import" not in text
        assert "http://" not in text
        assert "https://" not in text


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["report", "summary"])
@pytest.mark.parametrize("which", ["first", "hostile"])
def test_the_pages_in_a_browser(browser, request, which, name, width, scheme):
    sweep = request.getfixturevalue("folder" if which == "first" else "hostile")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda line: said.append(line.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda sent: asked.append(sent.url))
    address = (sweep / f"{name}.html").as_uri()
    page.goto(address)
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert page.title() != "taken"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    light, dark = (
        sum(map(int, colour[4:-1].split(",")))
        for colour in ((paper, ink) if scheme == "light" else (ink, paper))
    )
    assert light > 700
    assert dark < 120
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"sweep-{which}-{name}-{width}-{scheme}.png"
    page.screenshot(path=path, full_page=True)
    context.close()


def call(*arguments):
    return CliRunner().invoke(cli.main, ["report", *map(str, arguments)])


def test_the_command_prints_the_best_first_and_where_the_files_are(tmp_path):
    folder = small_sweep.write_sweep(tmp_path / "first")
    done = call(folder, "--figure", "mistakes", "--baseline", "EPOCHS=2,BATCH_SIZE=32")
    assert (done.exit_code, done.exception) == (0, None)
    assert done.output.startswith("Of 30 runs, 28 finished, 1 failed and 1 is missing.")
    assert "Settings by mistakes, best first" in done.output
    assert "baseline" in done.output
    for name in ("report.csv", "report.html", "summary.ipynb", "summary.html"):
        assert f"Written: {folder / name}" in done.output
        assert (folder / name).is_file()


def test_the_command_without_a_summary(tmp_path):
    folder = small_sweep.write(tmp_path / "s", {"A": [1]}, [outcome({"A": 1}, **failed())])
    done = call(folder, "--no-summary")
    assert done.exit_code == 0
    assert "No finished run recorded a figure" in done.output
    assert not list(folder.glob("summary.*"))


def test_the_command_warns_of_choosing_by_the_test_set(tmp_path):
    figures = (Figure("latest accuracy", (0.5,)), Figure("mean test accuracy", (0.6,)))
    folder = small_sweep.write(tmp_path / "s", {"A": [1]}, [outcome({"A": 1}, figures=figures)])
    for figure, warned in (("mean test accuracy", True), ("latest accuracy", False)):
        done = call(folder, "--no-summary", "--figure", figure)
        assert done.exit_code == 0
        assert ("the test set is not for choosing" in done.output) is warned


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--figure", "nope"], "figure must be one that the runs recorded"),
        (["--baseline", "EPOCHS"], "--baseline must be PARAM=VALUE"),
        (["--baseline", "RATE=3"], "baseline must name parameters"),
        (["--baseline", "EPOCHS=3"], "baseline must match one setting"),
    ],
)
def test_wrong_wishes_are_refused_in_a_sentence(folder, arguments, said):
    done = call(folder, "--no-summary", *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert isinstance(done.exception, SystemExit)


def test_a_folder_of_no_sweep_and_a_damaged_result_are_refused(tmp_path):
    done = call(tmp_path)
    assert done.exit_code == 2
    assert "folder must be one that `mnistlib sweep` wrote" in " ".join(done.output.split())
    folder = small_sweep.write(tmp_path / "s", {"A": [1]}, [outcome({"A": 1})])
    (path,) = folder.glob("*/result.json")
    path.write_text("{")
    done = call(folder)
    assert done.exit_code == 2
    assert f"{path} is no JSON" in done.output
    assert isinstance(done.exception, SystemExit)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("A=1,B=2", {"A": "1", "B": "2"}),
        ("A = x, y ,B=2", {"A": "x, y", "B": "2"}),
        ("A=a=b", {"A": "a=b"}),
        ("B=", {"B": ""}),
    ],
)
def test_assignments(given, found):
    sweep = comparison.Sweep(Path(), "02", {"A": [1], "B": [2]}, ())
    assert cli._assignments(given, sweep) == found
