"""`.ci/run` takes its commands from the README."""

from __future__ import annotations

import re
import shutil
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


@pytest.mark.parametrize(
    ("user", "answer", "says"),
    [
        ("0", "echo done", ["== Debian's Chromium"]),
        ("0", "echo E: no network; exit 100", ["== Debian's Chromium", "E: no network", "none;"]),
        ("1000", "echo it was asked", []),
    ],
)
def test_a_chromium_is_installed_by_root_alone_and_none_is_no_failure(user, answer, says, tmp_path):
    """In a folder of commands that has no Chromium, with an `id` and an `apt-get` of its own."""
    for name in ("bash", "timeout", "tail", "grep"):
        (tmp_path / name).symlink_to(shutil.which(name))
    (tmp_path / "release").write_text("ID=debian\n")
    for name, body in {"id": f"echo {user}", "apt-get": answer}.items():
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
        (tmp_path / name).chmod(0o755)
    script = (ROOT / ".ci" / "run").read_text()
    part = re.search(r"^a_browser\(\) .*?^fi$", script, re.DOTALL | re.MULTILINE)[0]
    part = part.replace("/etc/os-release", str(tmp_path / "release"))
    begin = "set -euo pipefail\nstep() { printf '== %s\\n' \"$*\"; }\nplace=$1\n"
    done = subprocess.run(
        ["bash", "-c", begin + part, "ci", str(tmp_path)],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(says)
    assert all(line.startswith(text) for line, text in zip(lines, says))


def test_the_tests_come_last():
    last = (ROOT / ".ci" / "run").read_text().rstrip().splitlines()[-1]
    assert last == 'bash -euo pipefail -c "$(readme 2)"'
