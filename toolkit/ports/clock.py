"""The wall clock, as everything that needs one is given it."""

from __future__ import annotations

import datetime as dt
from typing import Protocol


class Clock(Protocol):
    """The wall clock of this machine, in UTC. Only for leases, durations and stamps of our own rows."""

    def __call__(self) -> dt.datetime: ...
