"""Image files that cannot be decoded: some may be left out, and it is said which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import attrs

from prunekit.data.decoding import BadImage
from prunekit.errors import DataError, warn

T = TypeVar("T")

NAMED = 3  # bad files that a line names


@attrs.define(eq=False)
class BadFiles:
    """Bad files of a data set, of which `allowed` may be left out; with 0 the first is refused."""

    allowed: int
    found: dict[Path, BadImage] = attrs.field(factory=dict)

    def __contains__(self, file: Path) -> bool:
        return file in self.found

    def tried(self, read: Callable[[Path], T], file: Path) -> T | None:
        """What `read` gives; None for a bad file, which is noted. BadImage where none may be."""
        try:
            return read(file)
        except BadImage as error:
            if not self.allowed:
                raise
            self.found[file] = error
        return None

    def good(self, read: Callable[[Path], object], files: Iterable[Path]) -> None:
        """Note those of `files` that `read` refuses."""
        for file in files:
            if file not in self.found:
                self.tried(read, file)

    @property
    def names(self) -> tuple[str, ...]:
        """The bad files, sorted."""
        return tuple(sorted(map(str, self.found)))

    def told(self, among: int) -> None:
        """Say in one line which of `among` files are left out; DataError where they are too many.

        It names the first few.
        """
        count = len(self.found)
        if not count:
            return
        first = [f"{file} {self.found[file].reason}" for file in sorted(self.found)[:NAMED]]
        more = f", and {count - NAMED} more" if count > NAMED else ""
        which = ", ".join(first) + more
        if count > self.allowed:
            raise DataError(
                f"{count} of {among} image files cannot be decoded and data.skip_bad is "
                f"{self.allowed}: {which}; replace or delete them, or set data.skip_bad to {count}"
            )
        warn(
            f"{count} of {among} image files cannot be decoded and are left out, as data.skip_bad "
            f"= {self.allowed} allows: {which}"
        )
