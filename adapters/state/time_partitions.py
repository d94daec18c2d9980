"""PostgreSQL's partitions of the archive by time: made ahead of need, dropped whole, and nobody waits long for either.

An event whose day has no partition goes to the default one and is never lost; it is removed row by row later.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from adapters.engines import reading, writing
from adapters.state.queries import query
from toolkit import commands
from toolkit.core.errors import Infrastructure

AHEAD = {True: dt.timedelta(days=62), False: dt.timedelta(days=7)}
"""How far the time partitions reach into the days to come: those of a month, and those of a day."""
LOCK_TIMEOUT_MS = 200
"""How long a statement that needs a table for itself may wait, and keep others waiting behind it."""
TRIES = 20
FULL = 1_000_000
"""Events in the default partition with which no other is attached any more: it would be read meanwhile."""
Place = tuple[str, int]
"""Topic and partition."""
_BOUNDS = re.compile(r"FROM \('([0-9-]+)'\) TO \('([0-9-]+)'\)")
_LOCK = 5706254
_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True, order=True)
class TimePartition:
    """The events that were archived from `since` until the day before `until`."""

    since: dt.date
    until: dt.date
    name: str


def spans(since: dt.date, until: dt.date, *, monthly: bool) -> list[TimePartition]:
    """Time partitions without a gap, from one day on, until the last of them begins after another."""
    found = []
    while since <= until:
        end = (since.replace(day=1) + dt.timedelta(days=31)).replace(day=1)
        end = end if monthly else since + dt.timedelta(days=1)
        found.append(TimePartition(since, end, f"strangler_event_{since:%Y%m%d}"))
        since = end
    return found


class TimePartitions:
    """The partitions of strangler_event."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def known(self) -> list[TimePartition]:
        """In order of their time; the default one is none."""
        with reading(self._engine) as connection:
            return _known(connection)

    def size(self) -> int:
        """Bytes of all of them, with their indexes."""
        with reading(self._engine) as connection:
            return int(connection.scalar(query("events_size")) or 0)

    def stray(self) -> int:
        """How many events lie in the default one, counted up to a little more than FULL."""
        with reading(self._engine) as connection:
            return int(connection.scalar(query("stray_events")) or 0)

    def held(self, connection: Connection, one: TimePartition) -> dict[Place, tuple[int, int]]:
        """First and last sequence in it, by topic and partition: two index probes each."""
        found = text(str(query("held_sequences")).replace("strangler_event_leaf", _quoted(connection, one)))
        return {(topic, at): (first, last) for topic, at, first, last in connection.execute(found)}

    # --- dropping

    def drop(self, one: TimePartition, ends: Mapping[Place, int]) -> bool:
        """Drop it, if it still holds nothing beyond `ends`. False when others would not let go of it in time."""
        return self._tries(partial(self._drop, one=one, ends=ends))

    def _drop(self, connection: Connection, one: TimePartition, ends: Mapping[Place, int]) -> None:
        # The parent first, as everybody else does: in the other order we would wait for each other.
        connection.execute(text("LOCK TABLE ONLY strangler_event IN ACCESS EXCLUSIVE MODE"))
        held = self.held(connection, one)
        if all(last <= ends.get(place, 0) for place, (_, last) in held.items()):
            connection.execute(text(f"DROP TABLE {_quoted(connection, one)}"))

    # --- making

    def prepare(self, today: dt.date, *, monthly: bool) -> list[str]:
        """Make the partitions of the days to come. Returns the names of those that were made."""
        with reading(self._engine) as connection:
            known = _known(connection)
            empty = not connection.scalar(text("SELECT EXISTS (SELECT FROM strangler_event)"))
        # An event of today may be on its way into the default one, unless nobody has archived anything yet.
        first = today if empty else today + dt.timedelta(days=1)
        if monthly and empty:
            first = first.replace(day=1)
        since = max([first, *(one.until for one in known)])
        if self.stray() > FULL:
            return []  # attaching reads the default one, and others would wait for it
        wanted = spans(since, today + AHEAD[monthly], monthly=monthly)
        return [one.name for one in wanted if self._tries(partial(_make, one=one))]

    def _tries(self, work: Callable[[Connection], object]) -> bool:
        """Do it in a transaction that gives up rather than let others wait behind it; again, for a while."""
        for _ in range(TRIES):
            try:
                with writing(self._engine) as connection:
                    connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
                    work(connection)
            except Infrastructure as error:
                if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
                time.sleep(LOCK_TIMEOUT_MS / 1000)
            except IntegrityError:
                return False  # events of those days are in the default one already, and stay there
            except ProgrammingError as error:
                what = f"the tables of the archive belong to somebody else: {str(error.orig).splitlines()[0]}"
                raise Infrastructure(f"{what} (let their owner run `{commands.SETUP}` and prune)") from error
            else:
                return True
        return False


def _make(connection: Connection, one: TimePartition) -> None:
    """Several processes may want to make it: the first one does."""
    if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}):
        return
    if any(known.since < one.until and one.since < known.until for known in _known(connection)):
        return
    table = _quoted(connection, one)
    alike = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
    connection.execute(text(f"CREATE TABLE {table} (LIKE strangler_event {alike})"))
    bounds = f"FOR VALUES FROM ('{one.since}') TO ('{one.until}')"
    connection.execute(text(f"ALTER TABLE strangler_event ATTACH PARTITION {table} {bounds}"))


def _known(connection: Connection) -> list[TimePartition]:
    found = []
    for name, bounds in connection.execute(query("time_partitions")):
        if match := _BOUNDS.search(bounds):
            since, until = map(dt.date.fromisoformat, match.groups())
            found.append(TimePartition(since, until, name))
    return sorted(found)


def _quoted(connection: Connection, one: TimePartition) -> str:
    return connection.dialect.identifier_preparer.quote(one.name)
