"""R12: a spec with a mistake is refused before data are read, in half a second, by its path."""

from __future__ import annotations

import random
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trusted.forks import answer, command, ran
from trusted.hostile import MEASURED
from trusted.kills import to_text
from trusted.rows import SHOWN, Row

WRONG: tuple[Any, ...] = (-1, 1e9, "x", True, [], {}, [3], {"a": 1}, -0.5, 2**70, "", float("nan"))


def bad_specs(count: int, place: Path) -> Row:
    """R12: a key of another type, out of range, unknown, or missing where it must be there."""
    wrong, done, skipped = list[str](), 0, 0
    mutated = list(mutations(resolved(place)))
    random.Random(12).shuffle(mutated)
    for number, (path, how, spec) in enumerate(mutated):
        if done == count:
            break
        file = place / f"{number}.toml"
        file.write_text(to_text(spec))
        problem = answer(refused, file, path, place / f"out-{number}")
        if problem == "legal":
            skipped += 1
            continue
        done += 1
        wrong += [f"{path} {how}: {problem}"] if problem else []
    figure = f"{done - len(wrong)} of {done} refused by name, {skipped} legal"
    return (
        figure + "".join(f"; {w}" for w in wrong[:SHOWN]),
        f"{count} of {count}, < 0.5 s",
        not wrong,
    )


def resolved(place: Path) -> dict[str, Any]:
    """A spec in which every key has its value: what a run writes."""
    (place / "spec.toml").write_text(to_text(MEASURED))
    ran("run", place / "spec.toml", "--out", place / "whole", log=place / "log")
    return tomllib.loads((place / "whole" / "spec.toml").read_text())


def mutations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The path of a key, what is wrong with it, and the spec that has it so."""
    for path, value in leaves(spec):
        for wrong in WRONG:
            if type(wrong) is not type(value) or isinstance(value, int | float | str):
                yield path, f"= {wrong!r}", changed(spec, path, wrong)
        unknown = f"{path}x"
        yield unknown, "is unknown", changed(spec, unknown, value)


def leaves(spec: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in spec.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def changed(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The spec with another value at a path."""
    key, _, rest = path.partition(".")
    return spec | {key: changed(spec[key], rest, value) if rest else value}


def refused(file: Path, path: str, out: Path) -> str:
    """What is wrong with the answer to this spec: "" if nothing, "legal" where it may run."""
    import contextlib
    import io

    said, read = io.StringIO(), list[str]()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith("digits.csv.gz"):
            read.append("data")
            raise Read

    sys.addaudithook(watch)
    start = time.process_time()
    try:
        with contextlib.redirect_stderr(said):
            code = command("run", file, "--out", out)
    except Read:
        return "legal"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    seconds, line = time.process_time() - start, said.getvalue().strip()
    if read:
        return "legal"
    if code != 2 or "Traceback" in line or "\n" in line:
        return f"ends with {code}: {line[-200:]}"
    if seconds > 0.5:
        return f"takes {seconds:.2f} s"
    key = path.removesuffix(".name").rpartition(".")[2]
    return "" if key in line else f"is not named: {line[:200]}"


class Read(BaseException):
    """Raised when data are read: the spec was let through."""
