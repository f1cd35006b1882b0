from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mnistlib"

# Every module of mnistlib, from the ground up: none imports a module of a higher level, and of its
# own level only what SAME_LEVEL lists. "mnistlib" is the package itself, its ``__init__``.
LEVELS = {
    -1: {"mnistlib", "_tensorflow"},
    0: {
        *("_rules", "cache", "data", "drawing", "floors", "folders", "forms", "guard", "kaggle"),
        *("kept", "kernels", "lines", "metrics", "packed", "pages", "paper", "parameters"),
        *("pendigits", "pictures", "questions", "repository", "results", "strokes", "touching"),
        *("turns", "writers", "writing"),
    },
    1: {
        *("allowlist", "augment", "doctor", "inputs", "outcomes", "preprocess", "provenance"),
        *("sizes", "wording"),
    },
    2: {
        "comparison",
        "execution",
        "handwriting",
        "inference",
        "loop",
        "models",
        "outliers",
        "saving",
    },
    3: {
        *("checkpoint", "compiling", "diagrams", "folds", "plots", "scales", "summary", "tracking"),
        "training",
    },
    4: {"recognizer", "tuning"},
    5: {"batch", "evaluation", "webpage"},
    6: {"app", "cli", "report", "sweep"},
    7: {"__main__"},
}
SAME_LEVEL = {
    "cache": {"writing"},
    "data": {"cache", "packed"},
    "folders": {"data"},
    "kaggle": {"data", "packed", "writing"},
    "kept": {"cache", "data", "packed"},
    "metrics": {"data"},
    "pendigits": {"cache", "data"},
    "results": {"data", "repository"},
    "strokes": {"lines", "pictures"},
    "touching": {"strokes"},
    "writers": {"cache", "data"},
    "allowlist": {"sizes"},
    "models": {"inference", "saving"},
    "training": {"checkpoint", "compiling"},
    "diagrams": {"plots"},
    "folds": {"training"},
    "cli": {"app", "report", "sweep"},
    "sweep": {"report"},
}
LEVEL = {module: number for number, modules in LEVELS.items() for module in modules}
WITHOUT_TENSORFLOW = sorted(
    LEVELS[0]
    | LEVELS[1]
    | {"batch", "comparison", "execution", "handwriting", "inference", "outliers", "plots"}
    | {"recognizer", "report", "summary", "sweep", "tracking", "webpage", "cli"}
)
MODULES = {
    "mnistlib" if path.stem == "__init__" else path.stem: path.read_text(encoding="utf-8")
    for path in PACKAGE.glob("*.py")
}


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter, where nothing is imported or silenced yet."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "KERAS"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=kept | environment,
    )


def imported(node: ast.AST) -> set[str]:
    """Find the modules of mnistlib that code imports, also within functions, but not for types."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return set().union(*map(imported, node.orelse))
    paths = []
    if isinstance(node, ast.Import):
        paths = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        start = "mnistlib" if node.level else ""
        start = ".".join(part for part in (start, node.module) if part)
        paths = [f"{start}.{alias.name}" for alias in node.names]
    found = set()
    for path in paths:
        package, *inner = path.split(".")
        if package == "mnistlib":
            # What is not a module is a name that the package defines.
            found.add(inner[0] if inner and inner[0] in MODULES else "mnistlib")
    return found.union(*map(imported, ast.iter_child_nodes(node)))


def forbidden(module: str, code: str) -> set[str]:
    """Find what a module imports of its own level or higher, and may not."""
    return {
        other
        for other in imported(ast.parse(code))
        if LEVEL[other] >= LEVEL[module] and other not in SAME_LEVEL.get(module, ())
    }


def test_every_module_has_its_place():
    assert sum(map(len, LEVELS.values())) == len(LEVEL), "a module stands on two levels"
    assert set(MODULES) == set(LEVEL)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_imports_one_that_stands_on_it(module):
    assert forbidden(module, MODULES[module]) == set()


@pytest.mark.parametrize("module", sorted(SAME_LEVEL))
def test_no_exception_is_listed_for_nothing(module):
    used = imported(ast.parse(MODULES[module]))
    assert SAME_LEVEL[module] <= {other for other in used if LEVEL[other] == LEVEL[module]}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import mnistlib.app", {"app"}),
        ("import mnistlib", set()),
        ("from mnistlib import DISTRIBUTION", set()),
        ("from mnistlib import data, app as page", {"app"}),
        ("from mnistlib.app import show", {"app"}),
        ("from . import app", {"app"}),
        ("from .app import show", {"app"}),
        ("def build():\n    from mnistlib import training", {"training"}),
        ("import appdirs, keras.models", set()),
        ("if TYPE_CHECKING:\n    from mnistlib.app import show", set()),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import mnistlib.app", {"app"}),
        ("from mnistlib import saving", set()),
        ("from mnistlib import loop", {"loop"}),
    ],
)
def test_a_forbidden_import_is_found(code, found):
    assert forbidden("models", code) == found


def test_everything_but_models_and_what_stands_on_them_imports_without_tensorflow():
    ran = python(
        "import sys, mnistlib\n"
        f"from mnistlib import {', '.join(WITHOUT_TENSORFLOW)}\n"
        "print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")


def test_importing_models_writes_nothing_to_standard_error():
    """Not even TensorFlow's C++ does, which passes Python's ``sys.stderr`` by."""
    ran = python("import os, mnistlib.models\nos.write(2, b'open again')")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "open again")


def test_failing_import_is_not_silenced():
    ran = python("import mnistlib.models", KERAS_BACKEND="none-such")
    assert ran.returncode == 1
    assert "none-such" in ran.stderr
