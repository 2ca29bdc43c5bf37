"""What every error of prunekit has in common."""

from __future__ import annotations

import io
import sys
import warnings

import pytest

from prunekit import errors


@pytest.mark.parametrize("kind", [errors.SpecError, errors.StorageError])
def test_a_message_is_one_line_that_no_terminal_acts_on(kind):
    line = str(kind("it has evil\x1b[2J\nsecond, \u202emasks ±"))
    assert line == r"it has evil\x1b[2J second, \u202emasks ±"


def test_a_warning_that_nobody_can_read_ends_nothing(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: sys.stderr.write(str(message))
        errors.warn("said to nobody")
    with pytest.warns(UserWarning, match="heard"):
        errors.warn("heard")
