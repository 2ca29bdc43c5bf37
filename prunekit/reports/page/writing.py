"""The page of runs and sweeps: everything of it is read, then one file is written."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from prunekit.errors import LONGEST, printable
from prunekit.reports.page.content import Page, read_page
from prunekit.storage.files import require_folder_of, write_bytes
from prunekit.storage.runfolder import refuse_kept

PIECES = Path(__file__).parent


def write_page(folders: Sequence[str | Path], out: str | Path, version: str) -> None:
    """Write the page of run folders and sweeps to `out`, an HTML file that loads nothing.

    version: of prunekit, which the page names. Raises SpecError for a folder that holds neither
    and for an `out` that is a file of a run, StorageError for what cannot be read or written.
    """
    refuse_kept(out)
    require_folder_of(out)
    write_bytes(out, rendered(read_page(folders), version).encode())


def rendered(page: Page, version: str) -> str:
    """The page as HTML: every text of it is escaped, and no script but ours may run."""
    script = _piece("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    made = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_shown, keep_trailing_newline=True
    )
    return made.from_string(_piece("page.html")).render(
        page=page,
        version=version,
        style=Markup(_piece("page.css")),
        script=Markup(script),
        script_hash=digest,
    )


def _piece(name: str) -> str:
    return (PIECES / name).read_text("utf-8")


def _shown(value: Any) -> Any:
    """What stands in the page for a value: not endless, and without what a reader would obey."""
    if isinstance(value, Markup):
        return value
    text, half = printable(str(value)), LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"
