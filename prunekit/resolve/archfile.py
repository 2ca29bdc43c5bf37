"""Your own network: `--arch path/to/file.py:build`."""

from __future__ import annotations

import hashlib
import inspect
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from prunekit.errors import SpecError
from prunekit.spec.options import option

if TYPE_CHECKING:
    from torch import nn


@attrs.frozen
class FileArchitecture:
    """A function in a Python file that returns an nn.Module.

    It is called with those of `input_shape` and `classes` that it has as parameters.
    """

    source: str = option("", help="path/to/file.py:function", path=True)

    def sha256(self) -> str:
        """Hash of the file's content; SpecError when it cannot be read."""
        path = Path(self.source.rpartition(":")[0])
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise SpecError(f"cannot read the architecture {path}: {error.strerror}") from None

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        path, _, name = self.source.rpartition(":")
        self.sha256()  # refuses what cannot be read
        try:
            build = runpy.run_path(path).get(name)
        except ImportError as error:
            raise SpecError(
                f"cannot run {path} ({error}); an architecture is one file, for it is hashed: put "
                "what it needs into it, or install that"
            ) from None
        if not callable(build):
            raise SpecError(
                f"{path} defines no function {name!r}; name the one that builds the net"
            )
        return build(**self.arguments(build, input_shape, classes))

    def arguments(
        self, function: Callable[..., Any], input_shape: tuple[int, ...], classes: int
    ) -> dict[str, Any]:
        """Those of the two that `function` takes; SpecError where it needs others."""
        offered: dict[str, Any] = {"input_shape": input_shape, "classes": classes}
        wanted = inspect.signature(function).parameters
        for key, parameter in wanted.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                return offered
            several = parameter.kind is parameter.VAR_POSITIONAL
            if key not in offered and parameter.default is parameter.empty and not several:
                raise SpecError(
                    f"{self.source} must do with input_shape and classes, by these names, or with "
                    f"one or none of them: {key!r}"
                )
        return {key: value for key, value in offered.items() if key in wanted}
