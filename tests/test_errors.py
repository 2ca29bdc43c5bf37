"""What every error of prunekit has in common."""

from __future__ import annotations

import pytest

from prunekit import errors


@pytest.mark.parametrize("kind", [errors.SpecError, errors.StorageError])
def test_a_message_is_one_line_that_no_terminal_acts_on(kind):
    line = str(kind("it has evil\x1b[2J\nsecond, \u202emasks ±"))
    assert line == r"it has evil\x1b[2J second, \u202emasks ±"
