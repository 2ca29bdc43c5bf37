"""What commands print, in README.md and docs/tutorial.md: `python docs/shown.py` writes it anew.

A ```text block under `<!-- printed -->` is what the last command above it printed on a pipe: the
commands of the page's ```sh blocks are carried out one after another in an empty folder (of the
README, which shows only its first command's output, no others). Times and the names of run folders
are made equal, blank lines left out. The tests carry the commands out too: words must be the same,
numbers near, as two machines differ in the last bits of a training.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "tutorial.md")
PART = re.compile(
    r"^```sh\n(.*?)^```$|^<!-- printed -->\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
SAME = (
    (re.compile(r"^(  seconds +).*$", re.MULTILINE), r"\1..."),
    (re.compile(r"runs/\d+-\d+-"), "runs/<date>-<time>-"),
    (re.compile(r"-[0-9a-f]{6}(?=/seed-)"), "-<id>"),
    (re.compile(r" +$", re.MULTILINE), ""),
    (re.compile(r"\n\n+"), "\n"),
)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?")
NEAR = 0.1
"""How far apart two numbers may be, as a share of the larger; 0.05 is allowed in any case."""


def commands(block: str) -> list[str]:
    """The prunekit commands of a ```sh block; `pip install . &&` is left out, lines are joined."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line.removeprefix("pip install . && ") for line in lines if "prunekit" in line]


def carried_out(page: str) -> Iterator[tuple[str, str]]:
    """(as shown, as printed now) of each text block that shows what a command printed."""
    parts = list(PART.finditer(page))
    last = max((n for n, part in enumerate(parts) if part[2] is not None), default=-1)
    printed = ""
    for part in parts[: last + 1]:
        if part[2] is not None:
            yield part[2], printed
        else:
            for command in commands(part[1]):
                printed = printed_by(command)


def printed_by(command: str) -> str:
    """What a command prints on stdout, with times and names of folders made equal."""
    from prunekit.cli.entry import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main([word for part in shlex.split(command)[1:] for word in expanded(part)])
    assert code == 0, f"{command}: exit code {code}"
    text = out.getvalue()
    for pattern, same in SAME:
        text = pattern.sub(same, text)
    return text.strip("\n") + "\n"


def expanded(word: str) -> list[str]:
    """The files that a word with a `*` is of, as a shell has it; else the word."""
    return sorted(glob.glob(word)) or [word]


def differences(shown: str, printed: str) -> list[str]:
    """Lines whose words differ or whose numbers are not near; empty where the two agree."""
    ours, theirs = shown.splitlines(), printed.splitlines()
    pairs = zip([*ours, *[""] * len(theirs)], [*theirs, *[""] * (len(ours) - len(theirs))])
    return [f"shown {a!r}, printed {b!r}" for a, b in pairs if not alike(a, b)]


def alike(a: str, b: str) -> bool:
    """Whether two lines have the same words and near numbers; spaces and rules may differ."""
    words = [re.sub(r"[\s─]+", " ", NUMBER.sub("#", line)).strip() for line in (a, b)]
    return words[0] == words[1] and all(
        abs(x - y) <= max(0.05, NEAR * max(x, y))
        for x, y in zip(*([float(n.replace(",", "")) for n in NUMBER.findall(s)] for s in (a, b)))
    )


def write() -> None:
    """Put what is printed now in the place of what is shown."""
    for path in PAGES:
        page = path.read_text("utf-8")
        for shown, printed in carried_out(page):
            page = page.replace(f"```text\n{shown}```", f"```text\n{printed}```", 1)
        path.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write()
