"""Your own network: `--arch path/to/file.py:build`."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import attrs

from prunekit.errors import SpecError
from prunekit.spec.options import option

if TYPE_CHECKING:
    from torch import nn


@attrs.frozen
class FileArchitecture:
    """A function in a Python file that returns an nn.Module.

    It is called with those of `input_shape` and `classes` that it has as parameters. content: the
    bytes that are executed, once they are `read`; the file may change after that.
    """

    source: str = option("", help="path/to/file.py:function", path=True)
    _content: bytes | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def path(self) -> Path:
        return Path(self.source.rpartition(":")[0])

    def read(self) -> FileArchitecture:
        """The same with the file's content of now; SpecError when it cannot be read."""
        return attrs.evolve(self, content=self.content)

    @property
    def content(self) -> bytes:
        """What is executed: as it was read, or as it stands now."""
        if self._content is not None:
            return self._content
        try:
            if self.path.exists() and not self.path.is_file():  # a pipe would be waited for
                raise ValueError("it is no file")
            return self.path.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            what = f"cannot read the architecture {self.path}: {reason}"
            raise SpecError(f"{what}; restore it, or name it again where it is now") from None

    def sha256(self) -> str:
        """Hash of the file's content; SpecError when it cannot be read."""
        return hashlib.sha256(self.content).hexdigest()

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        path, _, name = self.source.rpartition(":")
        try:
            code = compile(self.content, path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise SpecError(f"{path} is no Python: {error}") from None
        try:
            build = executed(path, code).get(name)
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


def executed(path: str, code: CodeType) -> dict[str, Any]:
    """The names that the code of a file defines; nothing is read from disk.

    While it runs it is the module "<run_path>", as runpy has it: data classes look theirs up.
    """
    module = ModuleType("<run_path>")
    module.__file__ = path
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        exec(code, vars(module))
    finally:
        del sys.modules[module.__name__]
        if before is not None:
            sys.modules[module.__name__] = before
    return vars(module)
