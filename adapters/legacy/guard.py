"""What guards the legacy system: a bound on reads at once, a time limit, and errors that say what to do."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, StatementError

from toolkit import commands
from toolkit.core.errors import BadValue, Infrastructure, ReadTimeout, StranglerError, UsageError

CAPTURE_TIMEOUT = dt.timedelta(seconds=60)
"""Limit of one statement of capture itself; it reads in chunks, so that reaching it means trouble."""
LOCK_TIMEOUT = dt.timedelta(seconds=5)
"""How long a statement of ours may stand in a lock's queue, where others of the application queue behind it."""


class Slots:
    """At most so many reads at once; who finds no slot in time is told so, and legacy is not asked."""

    def __init__(self, name: str, slots: int) -> None:
        self._name, self._count = name, slots
        self._free = threading.BoundedSemaphore(slots)

    @contextmanager
    def one(self, timeout: dt.timedelta) -> Iterator[None]:
        """Hold one slot. Raises ReadTimeout."""
        if not self._free.acquire(timeout=timeout.total_seconds()):
            raise ReadTimeout(
                f"legacy source {self._name}: all {self._count} read slots were busy for {timeout.total_seconds():g} s "
                f"(legacy.{self._name}.max_reads)"
            )
        try:
            yield
        finally:
            self._free.release()


@contextmanager
def judged(
    name: str,
    timeout: dt.timedelta,
    cancelled: Callable[[DBAPIError], bool],
    refused: Callable[[DBAPIError], bool] = lambda _: False,
) -> Iterator[None]:
    """Turn a driver's errors into ours; `cancelled` knows how the engine says that the time was up, `refused` which
    errors the driver takes for the server's are the statement's own.
    """
    try:
        yield
    except StatementError as error:
        raise _ours(name, timeout, cancelled, refused, error) from error
    except (
        Infrastructure
    ) as error:  # `adapters.engines` says what is not there, but not whose read it was, or its limit
        if not isinstance(error.__cause__, StatementError):
            raise
        raise _ours(name, timeout, cancelled, refused, error.__cause__) from error


def _ours(
    name: str,
    timeout: dt.timedelta,
    cancelled: Callable[[DBAPIError], bool],
    refused: Callable[[DBAPIError], bool],
    error: StatementError,
) -> StranglerError:
    cause = str(getattr(error, "orig", None) or error).strip()
    if isinstance(error, DBAPIError) and cancelled(error):
        return ReadTimeout(f"legacy source {name}: cancelled after {timeout.total_seconds():g} s: {cause}")
    if isinstance(error, OperationalError | InterfaceError) and not refused(error):
        return Infrastructure(f"legacy source {name} cannot be read: {cause}")
    if isinstance(error, DataError):
        return BadValue(f"legacy source {name} refuses a value: {cause.splitlines()[0]}")
    return UsageError(f"legacy source {name} refuses the statement: {cause}{_grants(cause)}")


def _grants(cause: str) -> str:
    """All that is needed to read, or to install, where the server says that a right is missing: it names one at a time."""
    said = cause.lower()
    if "permission denied for database" in said or "must be owner of" in said:
        return (
            ". To install capture, it takes: GRANT CREATE ON DATABASE <database> TO <role>, for the schema strangler, "
            f"and a role that owns the captured tables: let their owner install it; `{commands.CAPTURE_PLAN}` says more"
        )
    if "command denied to user" in said or "lack privileges for underlying" in said:
        rights = "GRANT SELECT, SHOW VIEW ON <database>.* TO <user> (SHOW VIEW to explain reads of views)"
    elif "permission denied for" in said:
        rights = "GRANT USAGE ON SCHEMA <schema> TO <role>, and GRANT SELECT ON ALL TABLES IN SCHEMA <schema> TO <role>"
    else:
        return ""
    return f". To read, it takes: {rights}; what capture takes besides is in `{commands.CAPTURE_PLAN}`"
