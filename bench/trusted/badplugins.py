"""R11: a plugin that is broken in any way costs one line, and harms only those who name it."""

from __future__ import annotations

import importlib
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
from trusted.forks import Lost, command, ended, started
from trusted.rows import SHOWN, Row

RUN = ("run", "--device", "cpu", "--train.epochs", "1")
NET = ("--arch", "mlp", "--arch.hidden", "8")
HEAD = """
import attrs, os, sys
import prunekit
"""
SCORER = (
    HEAD
    + """
@attrs.frozen
class Bad:
    def score(self, network, batches, rng):
        {}

@prunekit.hookimpl
def prunekit_scorers():
    return {{"bad": Bad}}
"""
)
PART = (
    HEAD
    + """
import torch

@attrs.frozen
class Bad:
    def {}(self, *given, **named):
        {}

@prunekit.hookimpl
def {}():
    return {{"bad": Bad}}
"""
)
OBSERVER = (
    HEAD
    + """
class Bad:
    def start(self, plan):
        {}
    def record(self, line):
        {}
    def finish(self, summary):
        {}

@prunekit.hookimpl
def prunekit_observers():
    return [Bad()]
"""
)
HOOK = (
    HEAD
    + """
@prunekit.hookimpl
def prunekit_{}():
    {}
"""
)
RAISES = {
    "an error": "raise RuntimeError('of mine')",
    "exit 0": "sys.exit(0)",
    "exit": "raise SystemExit",
    "a base error": "raise type('Mine', (BaseException,), {})('of mine')",
    "recursion": "return self.score(network, batches, rng)",
    "a generator's end": "raise StopIteration",
    "an assertion": "assert False",
    "bad words": "raise ValueError('\\x1b[31m\\n\\nred \\udcff')",
}
RAISED = {
    "an error": "RuntimeError: of mine",
    "exit 0": "SystemExit: 0",
    "exit": "SystemExit",
    "a base error": "Mine: of mine",
    "recursion": "RecursionError",
    "a generator's end": "StopIteration",
    "an assertion": "AssertionError",
    "bad words": "ValueError: .*red",
    "a raising hook": "ValueError: hook",
    "an exiting hook": "SystemExit: 3",
    "no import": "no_such_module",
    "an exit at import": "SystemExit: 0",
    "no syntax": "SyntaxError",
    "an error at import": "ZeroDivisionError",
}
"""What the line says of the exception, as a pattern, by what is broken."""
ANSWERS = {
    "nothing": "return None",
    "NaN": "return {n: w * float('nan') for n, w in network.weights.items()}",
    "other shapes": "return {n: w[:1] for n, w in network.weights.items()}",
    "other names": "return {n + 'x': w for n, w in network.weights.items()}",
    "lists": "return {n: w.tolist() for n, w in network.weights.items()}",
    "integers": "return {n: w.int() for n, w in network.weights.items()}",
    "a mapping of numbers": "return {3: 4}",
}
PARTS = {
    "sampler": ("sample", "prunekit_samplers"),
    "init": ("quantile", "prunekit_inits"),
    "arch": ("build", "prunekit_architectures"),
    "dataset": ("load", "prunekit_datasets"),
}
OFFERS = {
    "a raising hook": "raise ValueError('hook')",
    "an exiting hook": "sys.exit(3)",
    "a number for a name": "return {3: type('A', (), {})}",
    "a list": "return [1, 2]",
    "no answer": "return None",
    "no class": "return {'bad': 3}",
    "another's name": "return {'snip': attrs.frozen(type('A', (), {'score': lambda s, *a: {}}))}",
}
IMPORTS = {
    "no import": "import no_such_module",
    "an exit at import": "import sys; sys.exit(0)",
    "no syntax": "def",
    "no hook": "x = 1",
    "a misspelt hook": HOOK.format("scorer", "return {}"),
    "an error at import": "1 / 0",
    "no UTF-8": "# \udcff\udcfe",
    "a hook of other arguments": HOOK.format("scorers", "return {}").replace("s():", "s(config):"),
}


@attrs.frozen
class Bad:
    """A broken plugin, named `bad`, and how a run asks for it."""

    what: str
    code: str
    asked: tuple[str, ...] = ("--scorer", "bad")
    entry: str = "[prunekit]\nbad = {module}\n"
    raised: str = ""
    """What its code raises, as a pattern; then the line tells plugin, package, version, place."""


def every_one() -> list[Bad]:
    found = [
        Bad(f"score: {what}", SCORER.format(body), raised=RAISED[what])
        for what, body in RAISES.items()
    ]
    found += [Bad(f"score: {what}", SCORER.format(body)) for what, body in ANSWERS.items()]
    for kind, (method, hook) in PARTS.items():
        for body in ("raise SystemExit(0)", "raise RuntimeError('of mine')"):
            code, raised = PART.format(method, body, hook), "SystemExit: 0|RuntimeError: of mine"
            found.append(Bad(f"{kind}: {body}", code, (f"--{kind}", "bad"), raised=raised))
    fault = "raise RuntimeError('of mine')"
    for place in range(3):
        bodies = ["pass"] * 3
        bodies[place] = fault if place else "sys.exit(0)"
        asked, raised = ("--observers", "bad"), "SystemExit: 0|RuntimeError: of mine"
        found.append(Bad(f"observer {place}", OBSERVER.format(*bodies), asked, raised=raised))
    found += [
        Bad(f"hook: {what}", HOOK.format("scorers", body), raised=RAISED.get(what, ""))
        for what, body in OFFERS.items()
    ]
    found += [Bad(what, code, raised=RAISED.get(what, "")) for what, code in IMPORTS.items()]
    found.append(Bad("a missing module", "", entry="[prunekit]\nbad = not_there\n"))
    return found


def bad_plugins(count: int, place: Path) -> Row:
    """R11: for each the lists work, its name is refused in a line, and another method runs."""
    every, wrong = every_one(), []
    random.Random(11).shuffle(every)
    every = every[:count]
    for module in ("timm", "torchvision"):  # what a list of components imports, once
        importlib.import_module(module)
    for number, bad in enumerate(every):
        site = place / f"site-{number}"
        package = install(site, number, bad)
        for problem in problems(bad, package, site):
            wrong.append(f"{bad.what}: {problem}")
    figure = f"{len(every)} plugins, {len(wrong)} faults" + "".join(f"; {w}" for w in wrong[:SHOWN])
    return figure, "0 faults", not wrong


def install(site: Path, number: int, bad: Bad) -> str:
    """Write the plugin as pip would have left it; its package."""
    package, module = f"bad_package_{number}", f"bad_module_{number}"
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(bad.entry.format(module=module))
    (site / f"{module}.py").write_text(bad.code, errors="surrogateescape")
    return package


def problems(bad: Bad, package: str, site: Path) -> list[str]:
    """What is not as it should be with this plugin installed."""
    found, number = [], package.removeprefix("bad_package")
    for argv in (("plugins",), ("plugins", "--components"), ("plugins", "show", "snip")):
        code, said = beside(site, *argv)
        if code or "Traceback" in said:
            found.append(f"`prunekit {' '.join(argv)}` ends with {code}: {last(said)}")
    net = () if "--arch" in bad.asked else NET
    code, said = beside(site, *RUN, *net, *bad.asked, "--out", str(site / "asked"))
    if (code != 2 and not (code == 6 and "NaN" in said)) or "Traceback" in said:
        found.append(f"asked for, it ends with {code}: {last(said)}")
    elif missing := lacking(bad, number, said):
        found.append(f"its line tells no {', '.join(missing)}: {last(said)}")
    code, said = beside(site, *RUN, *NET, "--scorer", "magnitude", "--out", str(site / "other"))
    return found + ([f"another method ends with {code}: {last(said)}"] if code else [])


def lacking(bad: Bad, number: str, said: str) -> list[str]:
    """What the refusal of a plugin must tell and does not."""
    demanded = {
        "plugin": rf"'bad'|\b(bad_module{number}|not_there)\b",
        "package and version": rf"\bbad_package{number} 1\.0\b",
    }
    if bad.raised:
        demanded |= {"place": rf"/bad_module{number}\.py:\d+\b", "exception": bad.raised}
    return [what for what, pattern in demanded.items() if not re.search(pattern, said)]


def last(said: str) -> str:
    return (said.splitlines() or [""])[-1][:200]


def beside(site: Path, *argv: str) -> tuple[int, str]:
    """Exit code and words of a command where these packages are installed."""
    log = site / "log"
    try:
        code = ended(started(installed, site, argv, log=log), 60.0)
    except Lost as lost:
        return -1, str(lost)
    return code, log.read_text(errors="replace")


def installed(site: Path, argv: Sequence[str]) -> int:
    sys.path.insert(0, str(site))
    return command(*argv)
