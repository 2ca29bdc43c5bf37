"""`.ci/run` takes its commands from the README."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("number", "command"),
    [
        (1, "pip install . && prunekit run"),
        (2, 'pip install ".[dev]" && pytest -n auto --dist worksteal'),
    ],
)
def test_the_commands_are_those_of_the_readme(number, command):
    script = (ROOT / ".ci" / "run").read_text()
    function = re.search(r"^readme\(\) \{.*?^\}", script, re.DOTALL | re.MULTILINE)[0]
    done = subprocess.run(
        ["bash", "-c", f"{function}\nreadme {number}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == command


def test_the_tests_come_last():
    last = (ROOT / ".ci" / "run").read_text().rstrip().splitlines()[-1]
    assert last == 'bash -euo pipefail -c "$(readme 2)"'
