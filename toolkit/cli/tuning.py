"""How the interpreter divides its time, in a process that is ours: measured, and the same for every command."""

from __future__ import annotations

import gc
import sys

_SWITCH_INTERVAL = 0.0005
"""Seconds that a thread computes before another one is let: what waits for a database comes to its turn soon."""
_COLLECT_AFTER = 50_000
"""Objects that are made before the garbage collector looks. Rows that are kept are not looked through all the time."""


def tune() -> None:
    """Set it for this process."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.set_threshold(_COLLECT_AFTER)
