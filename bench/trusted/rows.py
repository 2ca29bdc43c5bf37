"""What each row of the table comes to."""

from __future__ import annotations

import os

Row = tuple[str, str, bool]
"""The figure found, the figure aimed at, and whether the one reaches the other."""
SHOWN = int(os.environ.get("TRUST_SHOWN", "4"))
"""How many faults a figure tells of."""
