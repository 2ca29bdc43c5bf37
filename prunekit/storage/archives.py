"""Published archives that a data set may ask for: fetched, checked, and unpacked as a whole."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
import urllib.request
import zlib
from pathlib import Path
from typing import IO

from prunekit.errors import DataError

TROUBLE = (OSError, EOFError, ValueError, zlib.error, tarfile.TarError)
"""What a download that fails and an archive that is damaged raise."""


def fetch_archive(url: str, folder: str | Path, *, md5: str, keep: str = "") -> None:
    """Download a tar archive and put its top folder at `folder`, whole or not at all.

    md5: of the archive, in hex. keep: only members whose name begins with this pattern are
    unpacked. Raises DataError, one line, when it cannot be had or is not the published one.
    """
    folder = Path(folder)
    with tempfile.TemporaryFile() as archive:
        try:
            actual = copy(url, archive)
            if actual != md5:
                raise ValueError(f"its MD5 is {actual}, not {md5}")
            unpack(archive, folder, keep)
        except TROUBLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"cannot fetch {url} ({reason}); download it elsewhere and unpack it to {folder}"
            ) from None


def copy(url: str, archive: IO[bytes]) -> str:
    """Write what `url` gives to `archive`; returns its MD5 in hex."""
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=30) as response:
        while block := response.read(1 << 20):
            digest.update(block)
            archive.write(block)
    archive.seek(0)
    return digest.hexdigest()


def unpack(archive: IO[bytes], folder: Path, keep: str) -> None:
    """Unpack the one top folder of `archive` beside `folder`, then give it that name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
        tarfile.open(fileobj=archive) as members,
    ):
        for member in members:
            if member.isfile() and re.match(keep, member.name):
                unpack_file(members, member, Path(scratch).resolve())
        (top,) = Path(scratch).iterdir()
        top.rename(folder)


def unpack_file(members: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one file below `folder`; ValueError where its name leads out of it."""
    path = (folder / member.name).resolve()
    if not path.is_relative_to(folder):
        raise ValueError(f"{member.name} is outside the destination")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = members.extractfile(member)
    assert content is not None  # it is a file
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
