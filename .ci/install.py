"""Install into the virtual environment and show how far it is. Run by ``make install``.

Needs nothing but the standard library. What pip says goes into a file in the virtual environment,
and is printed where it fails. Before, ``make run`` has the names of lessons checked: whoever
mistypes one hears of it before the minutes of an installation.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def check(names: list[str]) -> None:
    """Refuse a notebook that is not there."""
    known = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    for name in names:
        if not any(name in (stem, stem[:2]) for stem in known):
            sys.exit(f"make run {name}: there is no such lesson; choose from {', '.join(known)}")


def install(python: Path, extras: str, constraints: str, log: Path) -> int:
    """Run pip, one line of progress on a terminal, a line a half-minute elsewhere.

    Returns:
        pip's exit code.
    """
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "-c", constraints, "-e", f".[{extras}]"]
    start, shown, found = time.monotonic(), 0.0, set()
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as pip,
    ):
        for line in pip.stdout:
            kept.write(line)
            if match := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line):
                found.add(match.group(1))
                state = f"{len(found)} packages found, now {match.group(1)}"
            elif line.startswith("Installing collected packages"):
                state = f"unpacking {len(found)} packages; this is the longest step"
            else:
                continue
            shown = show(state, time.monotonic() - start, shown)
    if sys.stdout.isatty():
        print()
    return pip.returncode


def show(state: str, seconds: float, shown: float) -> float:
    """Say how far it is, unless a log has heard it lately; returns when it was said last."""
    words = f"{seconds:4.0f} s: {state}"
    if sys.stdout.isatty():
        print(f"\r{words:70.70}", end="", flush=True)
    elif seconds - shown > 30 or state.startswith("unpacking"):
        print(words, flush=True)
    else:
        return shown
    return seconds


def main(what: str, *arguments: str) -> int:
    """Check names, or install; returns the exit code."""
    if what == "check":
        check(list(arguments))
        return 0
    venv, extras, constraints = arguments
    print(f"Installing into {venv}: some minutes the first time", flush=True)
    log = Path(venv) / "install.log"
    code = install(Path(venv) / "bin" / "python", extras, constraints, log)
    if code:
        print(log.read_text(encoding="utf-8")[-5_000:], file=sys.stderr)
        print(f"The installation failed; all that pip said is in {log}.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
