"""Whose clock leases are dated by: the state database's, which all processes share, and none of their own.

A process whose clock is an hour ahead would take every lease from the others, and keep them from what it led for an hour
after it has died. No epoch would be wrong by that, but nothing would go on.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

from sqlalchemy import Engine

from adapters.engines import reading

EVERY = 60.0
"""Seconds between two looks."""
TRIES = 3
NO_MATTER = dt.timedelta(seconds=1)
"""What is less than this makes no difference to a lease of ten seconds."""
NONE = dt.timedelta()


def _local() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Skew:
    """How far the state database's clock is ahead of this machine's, as last seen. A file has this machine's.

    It is seen anew every minute, and at once where this machine's clock was set meanwhile. Where the database's is set, all
    who use it are right again within a minute.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        local: Callable[[], dt.datetime] = _local,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._local, self._monotonic = engine, local, monotonic
        self._looked, self._then, self._ahead = -float("inf"), local(), NONE

    def __call__(self) -> dt.timedelta:
        """Raises Infrastructure when it has to be seen, and cannot."""
        if self._engine.dialect.name == "postgresql" and self._is_old():
            self._ahead = self._look()
            self._looked, self._then = self._monotonic(), self._local()
        return self._ahead

    def _is_old(self) -> bool:
        """Was it seen long ago, or has this machine's clock been set since (as by NTP, or by what was suspended)?"""
        passed = self._monotonic() - self._looked
        return passed >= EVERY or abs(self._local() - self._then - dt.timedelta(seconds=passed)) >= NO_MATTER

    def _look(self) -> dt.timedelta:
        """By the shortest of a few round trips."""
        seen = []
        with reading(self._engine) as connection:
            connection.exec_driver_sql("SELECT 1")  # begins the transaction
            for _ in range(TRIES):
                before = self._local()
                there: dt.datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
                after = self._local()
                seen.append((after - before, there - before - (after - before) / 2))
        ahead = min(seen)[1]
        return ahead if abs(ahead) >= NO_MATTER else NONE
