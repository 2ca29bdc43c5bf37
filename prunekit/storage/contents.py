"""By what files that a spec names are known: sha256 of what a run opens of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from prunekit.errors import StorageError
from prunekit.storage.files import open_file, reason
from prunekit.storage.runfolder import RunFolder

NAMED = ("weights", "prune.masks")
"""Keys of a spec that name files: what lies in them counts, and not where they lie."""


def sha256_of(key: str, path: str) -> str:
    """Over the files that are opened where this key of a spec has this value.

    Raises StorageError for a file that cannot be read, and for a folder without weights.
    """
    place = Path(path)
    if key == "weights":
        from prunekit.storage.pretrained import weight_files  # which needs torch

        files = weight_files(place)
    else:
        files = [RunFolder(place).masks if os.path.isdir(place) else place]
    sums = [_sha256(file) for file in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _sha256(file: Path) -> str:
    try:
        with open_file(file) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"cannot read {file}: {reason(error)}") from None
