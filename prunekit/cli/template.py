"""A new plugin as a package of its own: `prunekit plugins new NAME` writes it.

The folder `template/` beside this file holds the files of the package prunekit-mymethod; for
another name that name is written in its place.
"""

from __future__ import annotations

import re
from pathlib import Path

from prunekit.errors import SpecError, StorageError
from prunekit.resolve.plugins import builtin_sources

TEMPLATE = Path(__file__).parent / "template"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write(name: str, folder: str | Path | None = None) -> Path:
    """Write the package of a plugin called `name`, and return its folder.

    name: lower-case letters, digits and hyphens, starting with a letter. folder: new; by default
    `prunekit-<name>` where you are. Raises SpecError for a bad or taken name and for a folder that
    exists, StorageError when it cannot be written.
    """
    if not NAME.fullmatch(name):
        raise SpecError(
            f"a plugin's name is lower-case letters, digits and hyphens, like my-method: {name!r}"
        )
    if name in (source.name for source in builtin_sources()):
        raise SpecError(f"prunekit has a plugin named {name!r} already; choose another name")
    target = Path(folder) if folder is not None else Path(f"prunekit-{name}")
    if target.exists() or target.is_symlink():
        raise SpecError(f"{target} exists; name a new folder, or remove it")
    try:
        target.mkdir(parents=True)
        for path, text in files(name).items():
            (target / path).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}") from None
    return target


def files(name: str) -> dict[str, str]:
    """File name -> text of the package of plugin `name`."""
    return {
        filled(source.name.removesuffix(".in"), name): filled(source.read_text("utf-8"), name)
        for source in sorted(TEMPLATE.glob("*.in"))
    }


def filled(text: str, name: str) -> str:
    """`text` with `name` in place of mymethod: as a module, as a class, and as it is."""
    written = {
        "prunekit_mymethod": f"prunekit_{name.replace('-', '_')}",
        "Mymethod": "".join(part.capitalize() for part in name.split("-")),
        "mymethod": name,
    }
    return re.sub("|".join(written), lambda found: written[found[0]], text)  # in one pass
