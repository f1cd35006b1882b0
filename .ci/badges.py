"""Write the repository's address into every place that shows it. Run by ``make badges``.

The address stands once, in pyproject.toml. Colab badges, other links to the repository, the one to
its site and the notebooks' set-up cell follow it; ``stale`` tells which files do not. As long as
the address is a placeholder, the README shows no badges, CITATION.cff names no address, and the
set-up cell asks for the wheel: they would lead nowhere.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SETUP = """\
# In Colab this installs the package. Elsewhere: `make install`, then choose the kernel of .venv.
import sys
from pathlib import Path

if "google.colab" in sys.modules:
    wheels = [path.as_uri() for path in Path.cwd().glob("mnist_notebooks-*.whl")]
    if wheels:  # uploaded beside the notebook
        %pip install --quiet "mnist-notebooks{extra} @ {{wheels[-1]}}"
    else:
        {otherwise}
from mnistlib import DISTRIBUTION  # fails? Another project's mnistlib: pip uninstall mnistlib

print(DISTRIBUTION)\
"""

_OTHERWISE = (
    '%pip install --quiet "mnist-notebooks{extra} @ git+https://github.com/{address}@v{version}"'
)
_NOWHERE = 'raise ImportError("This copy has no address yet: upload its wheel (`make wheel`).")'

# What a lesson needs and Colab does not have.
_EXTRAS = {"08_tune_and_scale": "[tune]"}
MARKS = ("<!-- address -->\n", "<!-- /address -->")
_COLAB = re.compile(r"(https://colab\.research\.google\.com/github/)[^/\s]+/[^/\s]+(?=/blob/)")


def repository(root: Path = ROOT) -> str:
    """Read the repository's ``owner/name`` from pyproject.toml."""
    return _project(root)["urls"]["Repository"].removeprefix("https://github.com/")


def site(address: str) -> str:
    """Word the address at which GitHub Pages shows the site of ``owner/name``; "" if it can't."""
    if not leads_somewhere(address):
        return ""
    owner, name = address.split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def setup_cell(root: Path = ROOT, *, stem: str = "") -> str:
    """Word the set-up cell: the same in every notebook, but for what one installs beside.

    Args:
        root: The repository.
        stem: The notebook's name without folder and suffix.
    """
    version, extra = _project(root)["version"], _EXTRAS.get(stem, "")
    otherwise = _OTHERWISE if leads_somewhere(address := repository(root)) else _NOWHERE
    otherwise = otherwise.format(extra=extra, address=address, version=version)
    return SETUP.format(extra=extra, otherwise=otherwise)


def stale(root: Path = ROOT) -> list[Path]:
    """List the files whose address or set-up cell is not what pyproject.toml says."""
    return [path for path, new in _rewritten(root, repository(root)) if new != _read(path)]


def set_repository(new: str, root: Path = ROOT) -> list[Path]:
    """Write ``owner/name`` into pyproject.toml and everything that follows it.

    Returns:
        The files that changed.

    Raises:
        ValueError: ``new`` is not the name of a GitHub repository.
    """
    if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}/[A-Za-z0-9._-]{1,100}", new):
        raise ValueError(f"REPO must be owner/name, as GitHub writes it; received {new!r}")
    pyproject = root / "pyproject.toml"
    old = repository(root)
    changed = [pyproject] if new != old else []
    _replace(pyproject, _link(_read(pyproject), old, new))
    for path, text in _rewritten(root, old):
        if text != _read(path):
            changed.append(path)
            _replace(path, text)
    return changed


def _rewritten(root: Path, old: str) -> list[tuple[Path, str]]:
    """Pair every file that shows the address with the text it should have."""
    new = repository(root)
    lessons = sorted((root / "notebooks").rglob("[0-9][0-9]_*.ipynb"))
    pairs = []
    if (readme := root / "README.md").exists():
        names = [path.name for path in lessons if path.parent.name == "notebooks"]
        pairs.append((readme, _line(_link(_read(readme), old, new), new, names)))
    if (citation := root / "CITATION.cff").exists():
        text = re.sub(r"^repository-code:.*\n", "", _read(citation), flags=re.MULTILINE)
        cited = f"repository-code: https://github.com/{new}\n" if leads_somewhere(new) else ""
        pairs.append((citation, text + cited))
    for path in lessons:
        notebook, setup = json.loads(_read(path)), setup_cell(root, stem=path.stem)
        for cell in notebook["cells"]:
            source = "".join(cell["source"])
            is_setup = cell["cell_type"] == "code" and '"google.colab" in sys.modules' in source
            source = setup if is_setup else _link(source, old, new)
            cell["source"] = source.splitlines(keepends=True)
        pairs.append((path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"))
    return pairs


def _link(text: str, old: str, new: str) -> str:
    text = re.sub(rf"(https://github\.com/){re.escape(old)}(?![\w-])", rf"\g<1>{new}", text)
    return _COLAB.sub(rf"\g<1>{new}", text)


def leads_somewhere(address: str) -> bool:
    """Say whether an ``owner/name`` may exist, or is the placeholder."""
    return not address.startswith("-")


def _line(text: str, address: str, lessons: list[str]) -> str:
    """Put the state of the tests and a link to each lesson in Colab between the README's marks."""
    start, end = MARKS
    before, mark, rest = text.partition(start)
    if not mark:
        return text
    line = ""
    if leads_somewhere(address):
        tests = f"https://github.com/{address}/actions/workflows/ci.yml"
        colab = f"https://colab.research.google.com/github/{address}/blob/main/notebooks"
        links = [f"[{name[:2]}]({colab}/{name})" for name in lessons]
        line = f"[![Tests]({tests}/badge.svg)]({tests}) [Read it as a site]({site(address)}) · "
        line += f"Open in Colab: {' · '.join(links)}\n"
    return f"{before}{start}{line}{end}{rest.partition(end)[2]}"


def _project(root: Path) -> dict:
    return tomllib.loads(_read(root / "pyproject.toml"))["project"]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)


if __name__ == "__main__":
    try:
        changed = set_repository(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    print("\n".join(str(path.relative_to(ROOT)) for path in changed) or "Nothing to change.")
