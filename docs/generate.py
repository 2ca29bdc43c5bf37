"""Write what the docs can say from the code: `python docs/generate.py`.

Pages below docs/components are written whole. In the other pages, and in the README, the text
between `<!-- generated: NAME -->` and `<!-- end -->` is replaced by what `BLOCKS[NAME]` returns.
The tests compare all of it with what is committed.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "docs")]

import picture  # noqa: E402
import python_names  # noqa: E402
import rooms  # noqa: E402
from as_markdown import markdown, options_of, signature, table  # noqa: E402
from rooms_svg import svg  # noqa: E402

from prunekit import contracts, errors, hookspecs  # noqa: E402
from prunekit.cli import entry, listing  # noqa: E402
from prunekit.network import laws  # noqa: E402
from prunekit.resolve.plugins import KINDS, Plugins, builtin_sources  # noqa: E402
from prunekit.spec.options import fields_of  # noqa: E402
from prunekit.spec.sections import SECTIONS, Spec  # noqa: E402

PLUGINS = Plugins(builtin_sources())
MARKED = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
CONTRACTS: Mapping[str, tuple[type, ...]] = {
    "prunekit_scorers": (contracts.Scorer, contracts.LearnedScorer),
    "prunekit_samplers": (contracts.MaskSampler, contracts.FollowingSampler, contracts.Follower),
    "prunekit_reinitializers": (contracts.Reinitializer, contracts.CoinReinitializer),
    "prunekit_architectures": (contracts.Architecture,),
    "prunekit_inits": (laws.CountedInit, laws.DrawnInit),
    "prunekit_datasets": (contracts.Dataset,),
    "prunekit_observers": (contracts.Observer,),
    "prunekit_engines": (contracts.Engine,),
}
"""Hook -> the contracts of what it returns: a component keeps the first, or what it says."""
COMMANDS = (
    (), ("run",), ("run", "--scorer", "snip", "--sampler", "sketch"), ("resume",), ("show",),
    ("sweep",), ("results",), ("plot",), ("report",), ("compare",),
    ("eval",), ("export",), ("ticket",), ("ticket", "save"), ("ticket", "load"),
    ("ticket", "info"), ("plugins",), ("plugins", "show"), ("plugins", "new"),
    ("theory",), ("theory", "bound"), ("theory", "bound", "orseau_layer_width"),
    ("theory", "advise"), ("theory", "study"),
)  # fmt: skip


def component_page(name: str) -> str:
    """The page of one plugin: its paper, its components, their options."""
    module, source = PLUGINS.load(name), PLUGINS.source(name)
    path = source.module.replace(".", "/")
    parts = [f"# {name}", markdown(module.__doc__), f"Source: `plugins/{path}.py`."]
    for kind, key, cls in components_of(name):
        parts += [f"## {kind} `{key}`", markdown(cls.__doc__)]
        parts += [options_of(cls, listing.prefix_of(kind))]
        if suggests := listing.suggestions_of(cls):
            rows = [(f"`{item}`", f"`{listing.plain(value)}`") for item, value in suggests.items()]
            parts += ["It suggests, where you leave it open:", table(("key", "value"), rows)]
    if hasattr(module, listing.OBSERVERS):
        parts += [f"## observer `{name}`", f"Choose it with `--observers {name}`."]
    return "\n\n".join(parts) + "\n"


def components_of(name: str) -> Iterator[tuple[str, str, type]]:
    """(kind, name, class) of each component that a plugin offers."""
    for kind in KINDS:
        for key, cls in sorted(PLUGINS.offers(name, kind).items()):
            yield kind, key, cls


def component_table(folder: str) -> str:
    """Every built-in component with its summary; `folder` is where the pages are."""
    found = [item for name in PLUGINS.names() for item in components_of(name)]
    rows = [
        (kind, f"[`{key}`]({folder}{key}.md)", listing.summary(cls))
        for kind, key, cls in sorted(found, key=lambda item: (list(KINDS).index(item[0]), item[1]))
    ]
    rows += [
        ("observer", f"[`{name}`]({folder}{name}.md)", listing.summary(PLUGINS.load(name)))
        for name in listing.observers(PLUGINS)
    ]
    return table(("kind", "name", "what it does"), rows)


def help_texts() -> str:
    """`--help` of every command, as it is printed on 80 columns."""
    return "\n\n".join(
        f"## `{' '.join(('prunekit', *words))}`\n\n"
        f"```console\n$ {' '.join(('prunekit', *words, '--help'))}\n{help_of(words)}```"
        for words in COMMANDS
    )


def help_of(words: tuple[str, ...]) -> str:
    """What `prunekit WORDS --help` prints on a terminal of 80 columns without colors."""
    before = dict(os.environ)
    os.environ.update(COLUMNS="80", NO_COLOR="1")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            entry.main([*words, "--help"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return printed.getvalue().rstrip("\n") + "\n"


def spec_reference() -> str:
    """Every key of the spec that no component brings."""
    top = [field for field in fields_of(Spec) if field.name not in SECTIONS]
    rows = [
        (
            f"`{field.name}`",
            f"`{listing.plain(listing.shown_default(field))}`",
            field.metadata.get("help", ""),
        )
        for field in top
    ]
    parts = ["## Top level", table(("key", "default", "meaning"), rows)]
    for name, cls in SECTIONS.items():
        parts += [f"## `[{name}]`", markdown(cls.__doc__), options_of(cls, name)]
    return "\n\n".join(parts)


def hook_reference() -> str:
    """Every hook with its exact signature, its question, and the contract of what it returns."""
    parts = []
    for hook, choices in CONTRACTS.items():
        function = getattr(hookspecs, hook)
        parts += [f"## `{signature(function)}`", markdown(function.__doc__)]
        for contract in choices:
            parts += [f"**{contract.__name__}**: {markdown(contract.__doc__)}"]
            for name, method in vars(contract).items():
                if inspect.isfunction(method) and not name.startswith("_"):
                    parts += [f"```text\n{signature(method)}\n```", markdown(method.__doc__)]
    return "\n\n".join(parts)


def attribute_reference() -> str:
    """The table of class attributes, as the contracts state it."""
    lines = (contracts.__doc__ or "").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def exit_codes() -> str:
    """Exit code, error and meaning, from the errors themselves."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    known = [kind for kind in kinds if hasattr(kind, "exit_code")]
    rows = [
        (str(kind.exit_code), f"`{kind.__name__}`", listing.summary(kind))
        for kind in sorted(known, key=lambda kind: int(kind.exit_code))
        if kind is not errors.Interrupted
    ]
    stopped = (
        "130, 143",
        "`Interrupted`",
        "SIGINT (130), another signal that asks for a stop (143): it saved first.",
    )
    return table(("code", "error", "meaning"), [("0", "", "Done."), *rows, stopped])


def digits() -> str:
    """Test accuracy of three methods at each density, and the dense network's."""
    head = ("weights kept", *picture.METHODS, "n")
    dense, count = picture.cell("dense")
    made = f"Dense: {dense} (n = {count}). Made on {picture.facts()['made']}."
    return f"{table(head, picture.rows())}\n\n{made}"


def digits_row() -> str:
    """One of these rows, for the README."""
    head = ("MLP on digits, test accuracy in %", *picture.METHODS, "n")
    ((density, *cells),) = picture.rows((0.01,))
    return table(head, [(f"{density} of the weights kept", *cells)])


BLOCKS: Mapping[str, Callable[[], str]] = {
    "components": lambda: component_table(""),
    "help": help_texts,
    "spec": spec_reference,
    "hooks": hook_reference,
    "attributes": attribute_reference,
    "python-use": lambda: python_names.reference(python_names.USE),
    "python-method": lambda: python_names.reference(python_names.METHOD),
    "python-dataset": lambda: python_names.reference(python_names.DATASET),
    "exit-codes": exit_codes,
    "digits": digits,
    "digits-row": digits_row,
    "rooms": lambda: rooms.described(rooms.read()),
}


def pages() -> dict[Path, str]:
    """Path -> text of every page that is generated, whole or in part."""
    folder = ROOT / "docs" / "components"
    found = {rooms.PICTURE: svg(rooms.read())}
    found |= {folder / f"{name}.md": component_page(name) for name in PLUGINS.names()}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if path not in found and path.exists():
            found[path] = MARKED.sub(
                lambda part: f"{part[1]}\n{BLOCKS[part[2]]()}\n\n{part[3]}", path.read_text("utf-8")
            )
    return found


if __name__ == "__main__":
    for page, text in pages().items():
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8", newline="\n")
