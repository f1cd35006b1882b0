"""Make the site: lessons, guide, glossary, library, talks, drawing page. Run by ``make site``.

The pages of the repository are laid out in a scratch folder, with what only a site needs (forms for
questions, links to the talk and the notebook), and Sphinx makes HTML of them as ``docs/conf.py``
says. Nothing is executed, and no page asks another host for anything. The site takes the place of
the one before when, and only when, it is complete.
"""

from __future__ import annotations

import ast
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import badges
import click
import nbformat
import slides

from mnistlib import cli, questions, recognizer, webpage

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "runs" / "site"
# Pages, and what they show or link to.
COPIED = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"),
    *(".github/*.png", "benchmarks/README.md", "benchmarks/*.png", "benchmarks/results.json"),
    "benchmarks/trials.csv",
    *("notebooks/*.md", "tests/README.md", "docs/**/*.md"),
)
_BADGE = re.compile(r"\[!\[[^]]*\]\([^)]*\)\]\(([^)]*)\)")
_CHECK = re.compile(r'check\("([\w-]+)", (?:""|None)\)\)?(?: *# *(.*))?')
_START = time.monotonic()
_PAD = """\
<p>Here, the network that comes with the library answers; in JupyterLab or Colab, the lesson's.</p>
<iframe class="pad" src="{up}digit.html" loading="lazy" title="Draw a digit"></iframe>
"""


def lay_out(folder: Path, root: Path = ROOT) -> None:
    """Write the site's pages, as Sphinx is to read them, into an empty folder."""
    address = badges.repository(root)
    for pattern in COPIED:
        for path in root.glob(pattern):
            target = folder / path.relative_to(root / "docs" if "docs" in pattern else root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for path in folder.rglob("*.md"):
        up = "../" * (len(path.relative_to(folder).parts) - 1)
        _write(path, _page(path.read_text(encoding="utf-8"), address, up))
    for path in sorted((root / "notebooks").rglob("[0-9][0-9]_*.ipynb")):
        target = folder / path.relative_to(root)
        target.parent.mkdir(exist_ok=True)
        notebook = nbformat.read(path, as_version=4)
        _lesson(notebook, target.relative_to(folder), address)
        if path.parent.name == "notebooks":
            # The navigation has titles alone, and lessons have an order.
            notebook.cells[0].source = notebook.cells[0].source.replace(
                "# ", f"# {path.name[:2]} ", 1
            )
        nbformat.write(notebook, target)
    _reference(folder / "api", root)
    lessons = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    talks = [f'- <a href="talks/{path.stem}.html">{_title(path)}</a>' for path in lessons]
    listed = (folder / "talks.md").read_text(encoding="utf-8")
    _write(folder / "talks.md", listed + "\n" + "\n".join(talks) + "\n")


def build(site: Path = SITE, root: Path = ROOT) -> Path:
    """Make the site; returns its front page.

    Raises:
        subprocess.CalledProcessError: Sphinx found a fault, such as a link that leads nowhere, and
            said which.
    """
    new = site.with_name(site.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        pages = Path(scratch) / "pages"
        pages.mkdir()
        _say("laying out the pages")
        lay_out(pages, root)
        _say("reading them, the API reference among them")
        sphinx = [sys.executable, "-m", "sphinx", "--fail-on-warning"]
        sphinx += ["--conf-dir", str(root / "docs"), "--doctree-dir", str(Path(scratch) / "read")]
        environment = os.environ | {"SITE_ADDRESS": badges.site(badges.repository(root))}
        if not sys.stdout.isatty():
            sphinx.append("--quiet")
        subprocess.run([*sphinx, str(pages), str(new)], check=True, env=environment)
    _say("writing the talks")
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        slides.write(path, new / "talks")
    _say("adding the drawing page and the notebooks")
    webpage.write(recognizer.shipped(), new / "digit.html")
    for path in (root / "notebooks").rglob("[0-9][0-9]_*.ipynb"):
        shutil.copy(path, new / path.relative_to(root))
    shutil.rmtree(site, ignore_errors=True)
    new.replace(site)
    return site / "index.html"


def _page(text: str, address: str, up: str) -> str:
    """Adapt text: pictures of other hosts go, and links lead into the site where they can."""
    start, end = badges.MARKS
    text = re.sub(f"{start}.*?{end}", start + end, text, flags=re.DOTALL)
    text = re.sub(r"\(((?:notebooks/)?solutions)\)", r"(\1/index.md)", text)
    source = rf"https://github\.com/{re.escape(address)}/blob/main/mnistlib/(\w+)\.py"
    return re.sub(source, rf"{up}api/\1.md", text)


def _lesson(notebook: nbformat.NotebookNode, path: Path, address: str) -> None:
    """Adapt a notebook, at ``path`` in the site: links, texts of figures, questions, the pad."""
    up, cells = "../" * (len(path.parts) - 1), []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            text = _page(cell.source, address, up)
            cell.source = _BADGE.sub(lambda found: _links(path.stem, up, address, found[1]), text)
            continue
        if "alt" in cell.metadata:
            cell.metadata["mystnb"] = {"image": {"alt": cell.metadata["alt"]}}
        outputs = (_output(output, up) for output in cell.outputs)
        cell.outputs = [output for output in outputs if output]
        if path.parent.name != "solutions" and (asked := _CHECK.findall(cell.source)):
            text = "\n\n".join(form(name, label) for name, label in asked)
            cells.append(nbformat.v4.new_markdown_cell(text))
    notebook.cells = cells


def _links(stem: str, up: str, address: str, badge: str) -> str:
    """Word the line below a lesson's title: its talk, the notebook, and where to run it."""
    links = [f'<a href="{stem}.ipynb" download>Notebook</a>']
    if not up.endswith("../../"):
        links.insert(0, f'<a href="{up}talks/{stem}.html">Slides</a>')
    if badges.leads_somewhere(address):
        links.append(f'<a href="{badge}">Open in Colab</a>')
    return " · ".join(links)


def form(name: str, label: str = "") -> str:
    """Word a question or an exercise for a page, which then answers as ``questions.check`` does."""
    question = questions.questions()[name]
    if "right" in question:
        answers = "".join(
            f'<details name="{name}"><summary>{letter}</summary>'
            f"<p>{html.escape(str(questions.check(name, letter)))}</p></details>"
            for letter in questions.LETTERS
        )
        return f'<div class="check" id="{name}"><p>Your answer:</p>{answers}</div>'
    label = html.escape(label.removesuffix(" in place of None") or "your number")
    asked = html.escape(json.dumps(question))
    return (
        f'<form class="check" id="{name}" data-question="{asked}"><label>Your answer ({label}): '
        '<input inputmode="decimal" autocomplete="off" size="10"></label> '
        "<button>Check</button><output></output></form>"
    )


def _output(output: nbformat.NotebookNode, up: str) -> nbformat.NotebookNode | None:
    """Adapt an output: a form asks for the answer here, and here one can draw."""
    asks = (str(questions.check("01-fives", "")), str(questions.check("01-spread", None)))
    if output.output_type == "stream":
        lines = output.text.splitlines(keepends=True)
        output.text = "".join(line for line in lines if line.rstrip("\n") not in asks)
        return output if output.text else None
    data = output.get("data", {})
    if data.get("text/plain") in asks:
        return None
    if data.get("text/markdown") == webpage.INSTEAD:
        return nbformat.v4.new_output("display_data", {"text/html": _PAD.format(up=up)})
    return output


def _reference(folder: Path, root: Path) -> None:
    """Write a page for each module, and one that lists them as the README does."""
    folder.mkdir()
    modules = sorted(
        path.stem for path in (root / "mnistlib").glob("*.py") if not path.stem.startswith("_")
    )
    for name in modules:
        text = f"# {name}\n\n```{{eval-rst}}\n.. automodule:: mnistlib.{name}\n```\n"
        _write(folder / f"{name}.md", _commands() if name == "cli" else text)
    readme = (root / "README.md").read_text(encoding="utf-8")
    table = re.search(
        r"<summary>What is in which module</summary>\n+(.*?)\n+</details>", readme, re.S
    )
    linked = re.sub(
        r"`(\w+)`",
        lambda found: f"[{found[0]}]({found[1]}.md)" if found[1] in modules else found[0],
        table[1],
    )
    # The command line has a place of its own in the navigation.
    listed = [name for name in modules if name != "cli"]
    package = ast.get_docstring(ast.parse((root / "mnistlib/__init__.py").read_text("utf-8")))
    _write(
        folder / "index.md",
        "\n\n".join(
            [
                "# The library",
                package.splitlines()[0],
                linked,
                "```{toctree}\n:hidden:\n\n" + "\n".join(listed) + "\n```",
            ]
        ),
    )


def _commands() -> str:
    """Word the page of the command line: what ``mnistlib COMMAND --help`` says."""
    parts = ["# The command line"]
    top = click.Context(cli.main, info_name="mnistlib", max_content_width=88, terminal_width=88)
    for name, command in {"": cli.main, **cli.main.commands}.items():
        context = click.Context(command, info_name=name, parent=top) if name else top
        heading = f"## mnistlib {name}\n\n" if name else ""
        parts.append(f"{heading}```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"


def _title(path: Path) -> str:
    heading = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0]
    return f"{path.stem[:2]} {heading.removeprefix('# ')}"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _say(state: str) -> None:
    print(f"{time.monotonic() - _START:4.0f} s: {state}", flush=True)


if __name__ == "__main__":
    print(f"The site is complete: {build().as_uri()}")
