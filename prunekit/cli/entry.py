"""`prunekit` on the command line: text in, one spec or one folder out. Imports no torch itself."""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from prunekit import __version__
from prunekit.cli import commands, studies
from prunekit.cli.flags import MORE, add_run_flags, joined, unknown_flag
from prunekit.cli.pages import add_report
from prunekit.cli.results import add_results
from prunekit.cli.theory import add_theory
from prunekit.errors import SpecError, printable
from prunekit.reports.displays import display, displays, occupy_standard_files
from prunekit.resolve.faults import ended

EPILOG = """\
exit codes: 0 done; 1 a fault of prunekit; 2 usage, spec, plugin or data; 3 out of memory;
4 storage; 5 the run folder is in use; 6 numerical failure; 7 trials of a sweep have failed;
130 and 143 stopped by a signal.
"""


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, whose mistakes are one line like all others."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        raise SpecError(f"{message.removeprefix('argument ')}; see `{self.prog} --help`")


def make_parser() -> Parser:
    """The whole command line, as argparse (the reference in the docs is made from it)."""
    parser = Parser(
        prog="prunekit",
        description="Prune neural networks: score, mask, redraw, train, report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"prunekit {__version__}")
    commands_ = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    run = commands_.add_parser(
        "run", help="run a spec, or the flags' spec", add_help=False, epilog=MORE
    )
    add_run_flags(run)
    run.set_defaults(call=commands.run, parser=run, leaves_files=True)
    studies.add_sweep(commands_)
    _add_folder_commands(commands_)
    add_results(commands_)
    add_report(commands_)
    _add_export(commands_)
    _add_tickets(commands_)
    _add_plugins(commands_)
    add_theory(commands_)
    return parser


def _add_folder_commands(commands_: Any) -> None:
    resume = commands_.add_parser("resume", help="continue a run that was stopped")
    resume.add_argument("run", metavar="RUN", help="a run folder")
    resume.add_argument(
        "--allow-changed", action="store_true", help="though a plugin's file has changed"
    )
    _add_trust(resume)
    resume.set_defaults(call=commands.resume, leaves_files=True)
    show = commands_.add_parser("show", help="print a run's results")
    show.add_argument("run", metavar="RUN", help="a run folder")
    show.set_defaults(call=commands.show)
    evaluate = commands_.add_parser("eval", help="measure a finished run's model anew")
    evaluate.add_argument("run", metavar="RUN", help="a run folder")
    evaluate.add_argument("--device", metavar="TEXT", help="cpu, cuda, mps [the run's]")
    _add_trust(evaluate)
    evaluate.set_defaults(call=commands.evaluate)


def _add_trust(parser: Any) -> None:
    """The flags that let code of a run folder run: naming its architecture, or all of it."""
    parser.add_argument(
        "--arch", metavar="NAME", help="the architecture, named again; file.py:build is executed"
    )
    parser.add_argument(
        "--trust", action="store_true", help="run the code that the folder names: any file, module"
    )


def _add_export(commands_: Any) -> None:
    export = commands_.add_parser("export", help="write the model of a finished run for others")
    export.add_argument("run", metavar="RUN", help="a run folder")
    export.add_argument("--to", required=True, choices=list(commands.EXPORTS), help="the format")
    export.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    _add_trust(export)
    export.set_defaults(call=commands.export, leaves_files=True)


def _add_tickets(commands_: Any) -> None:
    ticket = commands_.add_parser("ticket", help="a network as a seed and bits: save, load, info")
    actions = ticket.add_subparsers(metavar="ACTION", dest="action", required=True)
    save = actions.add_parser("save", help="write the ticket of a finished run")
    save.add_argument("run", metavar="RUN", help="a run folder")
    save.add_argument("--out", metavar="FILE", help="the file to write [RUN/ticket.safetensors]")
    _add_trust(save)
    save.set_defaults(call=commands.save_ticket, leaves_files=True)
    load = actions.add_parser("load", help="draw the weights again and write the network")
    load.add_argument("ticket", metavar="FILE", help="a ticket")
    load.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    load.add_argument(
        "--to", default="state-dict", choices=list(commands.TICKET_FORMS), help="[state-dict]"
    )
    load.add_argument(
        "--arch", metavar="FILE.PY:FUNCTION", help="where the ticket names none; it is executed"
    )
    load.add_argument("--device", default="cpu", metavar="TEXT", help="where to draw [cpu]")
    load.add_argument(
        "--most-weights", type=int, metavar="INT", help="refuse more [2^26, and 4096 a byte]"
    )
    load.set_defaults(call=commands.load_ticket, leaves_files=True)
    info = actions.add_parser("info", help="what a ticket says, and how its bytes are spent")
    info.add_argument("ticket", metavar="FILE", help="a ticket")
    info.set_defaults(call=commands.ticket_info)


def _add_plugins(commands_: Any) -> None:
    plugins = commands_.add_parser("plugins", help="list, show and write plugins")
    plugins.add_argument(
        "--components", action="store_true", help="kind, name and summary; imports every plugin"
    )
    plugins.set_defaults(call=commands.plugins)
    actions = plugins.add_subparsers(metavar="ACTION", dest="action")
    show = actions.add_parser("show", help="paper, options, file, package, version")
    show.add_argument("name", metavar="NAME", help="a plugin")
    show.set_defaults(call=commands.show_plugin)
    new = actions.add_parser("new", help="write a package with a plugin of your own")
    new.add_argument("name", metavar="NAME", help="the plugin's name")
    new.add_argument("--out", metavar="DIR", help="the folder to make [prunekit-NAME]")
    new.set_defaults(call=commands.new_plugin, leaves_files=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    if argv is None:  # a process of its own: those it starts look for no module where they are
        os.environ.setdefault("PYTHONSAFEPATH", "1")
    occupy_standard_files()
    with displays() as shown_on:
        try:
            return answered(list(sys.argv[1:] if argv is None else argv))
        finally:
            for stream in shown_on:
                stream.silence()


def answered(argv: list[str]) -> int:
    """The exit code of a command line; a mistake is a line on stderr."""
    shown, warnings.showwarning = warnings.showwarning, show
    try:
        return dispatch(argv)
    except BaseException as error:
        return told(error)
    finally:
        warnings.showwarning = shown


def told(error: BaseException) -> int:
    """Say in one line what ended the command; the exit code."""
    code, line = ended(error)
    print(f"prunekit: {line}", file=sys.stderr)
    return code


def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning in one line, with lists of patterns as the command line takes them."""
    text = printable(" ".join(str(message).split()))

    def flag(found: re.Match[str]) -> str:
        patterns = re.findall(r"""["']([^"']+)["']""", found[2])
        return f"--prune.{found[1]} '{','.join(patterns)}'"

    text = re.sub(r"\b(include|exclude)=\[([^\]]+)\]", flag, text)
    print(f"prunekit: warning: {text}", file=sys.stderr)


def dispatch(argv: list[str]) -> int:
    """Parse `argv` and call its command; StorageError where its text is all it makes, and lost."""
    args: Any = argparse.Namespace()
    try:
        code = obey(argv, args)
    except SystemExit:  # --help and --version have printed
        display(sys.stdout).require()
        raise
    if is_text(args):
        display(sys.stdout).require()
    return code


def is_text(args: argparse.Namespace) -> bool:
    """Whether what a command prints is all that it makes."""
    asked = getattr(args, "help", False) or getattr(args, "dry_run", False)
    return bool(asked or not getattr(args, "leaves_files", False))


def obey(argv: list[str], args: argparse.Namespace) -> int:
    """Call the command that `argv` names; `args` gets what was parsed."""
    parser = make_parser()
    if argv[:1] in (["run"], ["sweep"]):
        argv = [*argv[:1], *joined(argv[1:])]
    _, others = parser.parse_known_args(argv, args)
    if args.command is None and not others:
        parser.print_help()
        return 0
    if args.command in ("run", "sweep"):
        return int(args.call(args, others))
    if getattr(args, "takes_flags", False):
        args.arguments, others = others, []
    if others and not others[0].startswith("-"):
        raise SpecError(f"unexpected argument {others[0]!r}; see `prunekit {args.command} --help`")
    if others:
        own = ("command", "call", "action", "name", "leaves_files")
        raise unknown_flag(others[0], [name for name in vars(args) if name not in own])
    return int(args.call(args))
