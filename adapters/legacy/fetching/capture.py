"""What `poll` and `snapshot` do alike: look in bounded steps while changes are asked for, and promise what was looked at."""

from __future__ import annotations

import datetime as dt
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from adapters.legacy.fetching.passes import Manner, Passes
from adapters.legacy.fetching.progress import POSITION, Ended, Progress, TableState, read, told
from adapters.legacy.fetching.reads import Reads
from adapters.legacy.fetching.sessions import Sessions
from adapters.legacy.fetching.tables import Fetched, find_table
from adapters.legacy.wanted import every
from toolkit.core.changes import Change
from toolkit.core.errors import UsageError
from toolkit.inbox import Fetching
from toolkit.ports import CapturedTable, Chunk, Cursor, Hole, Horizon, Plan

BUDGET = 1.0
"""Seconds that one call of `pending` may look: the leader renews its lease between two calls."""
_FORGOTTEN_AT_ONCE = 1000


class FetchPlan(Plan, frozen=True, kw_only=True):
    """A plan that changes nothing in the legacy database: which tables are looked at from now on is noted on our side."""

    tables: tuple[CapturedTable, ...] = ()


class Schedule:
    """When a kind of pass is due. A process that starts makes the promised kind at once, so that a single run promises."""

    def __init__(self, interval: dt.timedelta, *, at_once: bool) -> None:
        self.interval, self._next = interval.total_seconds(), -float("inf") if at_once else None
        self.waits = at_once

    def due(self, now: float, ended: Ended | None, clock: Callable[[], dt.datetime]) -> bool:
        """Is it time to begin a pass? `now` is monotonic."""
        if self._next is None:
            since = self.interval if ended is None else (clock() - ended.began).total_seconds()
            self._next = now + max(0.0, self.interval - since)
        return now >= self._next

    def begun(self, now: float) -> None:
        """A pass of this process has begun."""
        self._next, self.waits = now + self.interval, False


class FetchingCapture(ABC):
    """Implements `toolkit.ports.Capture` and `toolkit.inbox.Underway`. A subclass knows how it looks, and what that promises."""

    def __init__(
        self,
        fetching: Fetching,
        manner: Manner,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._inbox, self._manner = fetching.source, fetching.inbox, manner
        self._section, self._pace = fetching.section, fetching.section.pace
        self._sessions = Sessions(fetching.source, fetching.url)
        self._clock = fetching.clock or self._sessions.clock
        self._sleep, self._monotonic = sleep, monotonic
        self._passes: Passes | None = None
        self._groups: tuple[tuple[str, ...], ...] = ()
        self._rested = -float("inf")
        self._running = False
        self._schedules = self._scheduled()

    # --- what poll and snapshot differ in

    @abstractmethod
    def _scheduled(self) -> dict[str, Schedule]:
        """The kinds of passes, those that go first first."""

    @abstractmethod
    def _promised(self, progress: Progress) -> Iterable[Ended | None]:
        """The ended passes that a promise may rest on."""

    @abstractmethod
    def _guarantees(self, tables: Sequence[Fetched]) -> dict[str, str]: ...

    def _watermark(self, table: str) -> str:  # noqa: ARG002 - for those that poll
        """The watermark column of a table, if polls read it."""
        return ""

    def _holes_of(self, table: Fetched, state: TableState) -> Iterator[Hole]:  # noqa: ARG002 - as above
        """Further holes of a table."""
        yield from ()

    def _more_holes(self, progress: Progress) -> Iterator[Hole]:  # noqa: ARG002 - as above
        """Further holes of the source."""
        yield from ()

    # --- what is captured

    def plan(self, tables: Sequence[CapturedTable]) -> Plan:
        """Nothing to be executed: see whether the tables can be looked at, and what that promises."""
        outbox = [one.table for one in tables if one.outbox]
        if outbox:
            raise UsageError(
                f"legacy source {self._name}: {', '.join(outbox)} is an outbox, and looking again does not tell in which order "
                "its rows came: capture it by trigger, wal or debezium"
            )
        with self._sessions.reading() as connection:
            found = every(
                tables,
                lambda one: find_table(connection, self._name, one, self._watermark(one.table)),
            )
        return FetchPlan(statements=(), removal=(), guarantees=self._guarantees(found), tables=tuple(tables))

    def install(self, plan: Plan) -> None:
        """Note the tables. Those that are noted already stay as they are, but for columns that came or went."""
        wanted = self._tables_of(plan)
        position = self._inbox.position(POSITION)
        known = read(position)
        at = self._clock().isoformat()
        progress = known or Progress(installation=at, tables={})
        tables = dict(progress.tables)
        with self._sessions.reading() as connection:
            for one in wanted:
                table = find_table(connection, self._name, one, self._watermark(one.table))
                tables[table.name] = _noted(table, tables.get(table.name), at)
        self._passes = None
        progress = msgspec.structs.replace(progress, tables=tables, sweep=None, poll=None)
        if not progress.whole:  # passes from before a table came saw nothing of it, and promise nothing
            progress = msgspec.structs.replace(progress, swept=None, polled=None)
        self._inbox.put([], moved={POSITION: (position, told(progress))})

    def remove(self, plan: Plan) -> None:
        """Forget the tables: how they were seen, and, with the last of them, what was not relayed yet."""
        position = self._inbox.position(POSITION)
        progress = read(position)
        self._passes = None
        if progress is None:
            return
        gone = {one.table.upper() for one in self._tables_of(plan)}
        left = {name: table for name, table in progress.tables.items() if name not in gone}
        if not left:
            self._inbox.forget()
            return
        becomes = msgspec.structs.replace(progress, tables=left, sweep=None, poll=None)
        self._inbox.put([], moved={POSITION: (position, told(becomes))})
        for name in gone:
            while some := self._inbox.seen(name, limit=_FORGOTTEN_AT_ONCE):
                self._inbox.put([], moved={}, gone=[(name, one.key) for one in some])

    def _tables_of(self, plan: Plan) -> tuple[CapturedTable, ...]:
        if not isinstance(plan, FetchPlan):
            raise UsageError(
                f"legacy source {self._name}: this plan was made for another way of capture: plan again"
            )
        return plan.tables

    def installed(self) -> tuple[str, ...]:
        """Tables that are looked at."""
        progress = read(self._inbox.position(POSITION))
        return () if progress is None else tuple(sorted(progress.tables))

    def installation(self, tables: Sequence[str]) -> str | None:
        """The instant at which the last of these tables came to be looked at; None when one of them is not."""
        progress = read(self._inbox.position(POSITION))
        known = {} if progress is None else progress.tables
        since = [known[table.upper()].installed_at for table in tables if table.upper() in known]
        return max(since) if since and len(since) == len(tables) else None

    # --- what is offered

    def pending(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        """Look until there is enough to do or the time is up, then give the first changes that are not marked.

        None may come although a pass is under way: `underway` says so.
        """
        cursors = [one.beside(self.installation(one.tables)) for one in cursors]
        groups = tuple(tuple(cursor.tables) for cursor in cursors)
        waits = {table for cursor in cursors if not cursor.done for table in cursor.tables}
        self._look(limit, groups)
        return self._inbox.pending(limit, lambda change: change.table in waits)

    def _look(self, limit: int, groups: tuple[tuple[str, ...], ...]) -> None:
        passes, progress = self._ready(groups)
        if passes is None or progress is None:
            return
        begun, ended = self._monotonic(), set[str]()
        try:
            while self._inbox.waiting() < limit and self._monotonic() - begun < BUDGET:
                kind = self._due(progress, ended)
                if kind is None:
                    break
                self._rest(begun + BUDGET)
                progress = self._step(passes, progress, kind, ended)
        except BaseException:
            self._passes = None  # what was known of tables and position may be the fault
            raise

    def _ready(self, groups: tuple[tuple[str, ...], ...]) -> tuple[Passes | None, Progress | None]:
        """The tables as they are now: read anew when a process or a sweep begins, or after a failure."""
        position = self._inbox.position(POSITION)
        progress = read(position)
        self._running = progress is not None and (progress.sweep or progress.poll) is not None
        if progress is None:
            return None, None
        if self._passes is None:
            tables = self._found(progress)
            self._passes = Passes(self._name, self._sessions, self._inbox, self._manner, tables, self._clock)
        self._passes.groups, self._passes.stored = groups, position
        return self._passes, progress

    def _found(self, progress: Progress) -> dict[str, Fetched]:
        with self._sessions.reading() as connection:
            found = {
                name: find_table(
                    connection, self._name, CapturedTable(table=name, subject=state.subject), state.watermark
                )
                for name, state in progress.tables.items()
            }
        for name, table in found.items():
            if table.keys != progress.tables[name].keys:
                raise UsageError(
                    f"legacy source {self._name}, table {name}: its key was ({', '.join(progress.tables[name].keys)}) and is "
                    f"({', '.join(table.keys)}): remove capture of it and install it again"
                )
        return found

    def _due(self, progress: Progress, ended: set[str]) -> str | None:
        for kind, schedule in self._schedules.items():
            if kind in ended:
                continue
            sweeps = kind == "sweep"
            if (progress.sweep if sweeps else progress.poll) is not None:
                return kind
            fresh = sweeps and not progress.whole
            if not sweeps and not any(one.whole and one.watermark for one in progress.tables.values()):
                continue
            last = progress.swept if sweeps else progress.polled
            if fresh or schedule.due(self._monotonic(), last, self._clock):
                return kind
        return None

    def _step(self, passes: Passes, progress: Progress, kind: str, ended: set[str]) -> Progress:
        started = self._monotonic()
        before = progress.sweep if kind == "sweep" else progress.poll
        progress = passes.sweep(progress) if kind == "sweep" else passes.poll(progress)
        after = progress.sweep if kind == "sweep" else progress.poll
        if before is None:
            self._schedules[kind].begun(started)
        if after is None:
            ended.add(kind)
            self._passes = None if kind == "sweep" else self._passes
        self._running = (progress.sweep or progress.poll) is not None
        self._rested = self._monotonic() + (self._monotonic() - started) * (1 / self._pace - 1)
        return progress

    def _rest(self, until: float) -> None:
        """Keep the share of time that `pace` leaves to the legacy database's own work."""
        pause = min(self._rested, until) - self._monotonic()
        if pause > 0:
            self._sleep(pause)

    def underway(self) -> bool:
        """Is a pass under way, or has this process still to begin the one that it promises by?"""
        return self._running or any(schedule.waits for schedule in self._schedules.values())

    def horizon(self) -> Horizon:
        """The source's clock. It is covered by the first pass that begins later, once what that finds is marked."""
        return Horizon(instant=self._clock(), token="")

    def behind(self, horizon: Horizon) -> int:
        """How many changes wait? At least one while no pass that began after the horizon's instant has ended."""
        progress = read(self._inbox.position(POSITION))
        if progress is None:
            return 0
        ended = [one for one in self._promised(progress) if one is not None and one.began >= horizon.instant]
        if not progress.whole or not ended:
            return self._inbox.waiting() + 1
        return self._inbox.waiting(up_to=min(one.number for one in ended))

    def mark(self, numbers: Iterable[int]) -> None:
        """Never offer these changes again. Idempotent."""
        self._inbox.mark(numbers)

    def count(self, tables: Sequence[CapturedTable], cursor: Cursor) -> int:  # noqa: ARG002 - the port's
        """None: the first pass finds what is there."""
        return 0

    def chunk(self, tables: Sequence[CapturedTable], cursor: Cursor, size: int) -> Chunk:  # noqa: ARG002 - the port's
        """Nothing, and done: the first pass finds what is there, and nothing is promised before it has ended."""
        missing = [one.table for one in tables if one.table.upper() not in self.installed()]
        if missing:
            raise UsageError(
                f"legacy source {self._name}: {', '.join(missing)} not captured: install capture first"
            )
        return Chunk(changes=[], absorbed=[], cursor=msgspec.structs.replace(cursor, done=True))

    def history(self) -> str:
        """Each row that is there is new to the first look."""
        progress = read(self._inbox.position(POSITION))
        looked = progress is not None and progress.whole
        return "the relay's first look at all rows " + ("has found it" if looked else "finds it")

    def close(self) -> None:
        """Close the connections to the legacy database."""
        self._sessions.close()

    # --- holes

    def holes(self) -> list[Hole]:
        """Tables that are not what they were, rows without a name, and whatever else cannot be seen by looking again."""
        progress = read(self._inbox.position(POSITION))
        if progress is None:
            return [Hole(where=self._name, what="capture is not installed", next="install capture")]
        found: list[Hole] = []
        for name, state in progress.tables.items():
            found.extend(self._table_holes(name, state))
        return [*found, *self._more_holes(progress)]

    def _table_holes(self, name: str, state: TableState) -> Iterator[Hole]:
        wanted = CapturedTable(table=name, subject=state.subject)
        try:
            with self._sessions.reading() as connection:
                table = find_table(connection, self._name, wanted, state.watermark)
                unnamed = Reads(connection, table, self._sessions.dialect).without_key()
        except UsageError as error:
            yield Hole(
                where=name,
                what=str(error),
                next="mend the table, or remove capture of it and install it again",
            )
            return
        if unnamed:
            what = f"rows with NULL in their key ({', '.join(table.nullable_keys)}) are not captured: they have no name"
            yield Hole(where=name, what=what, next="give them a key")
        if table.keys != state.keys:
            what = f"its key was ({', '.join(state.keys)}) and is ({', '.join(table.keys)})"
            yield Hole(where=name, what=what, next="remove capture of it and install it again")
        came, went = (
            sorted(set(table.columns) - set(state.columns)),
            sorted(set(state.columns) - set(table.columns)),
        )
        for what, columns in (("came", came), ("went", went)):
            if columns:
                yield Hole(
                    where=name,
                    what=f"columns {what} since capture was installed: {', '.join(columns)}",
                    next="see what the translators make of them, then install capture again: it notes the columns of now",
                )
        yield from self._holes_of(table, state)

    # --- guarantees that both give

    def _said(self, tables: Sequence[Fetched]) -> dict[str, str]:
        scattered = [f"{table.name} ({', '.join(table.subjects)})" for table in tables if not table.gathers]
        settled = (
            "not known: what one look found of a subject is offered together. A subject that is not as it was is read whole, in "
            "all its tables, in one snapshot of the engine"
        )
        if not self._sessions.dialect.isolation and not self._sessions.dialect.begin:
            settled = settled.replace(
                "in one snapshot of the engine",
                "but not in one snapshot: this engine is not known to give one",
            )
        if scattered:
            settled += f"; but new rows of {', '.join(scattered)} are found by later looks: no index begins with the subject"
        return {
            "transactions": settled,
            "order": "of the looks. In one look: what is gone first, then table by table as the aggregate declares them, parents "
            "before children; which came first is not known",
            "schema changes": "a column that comes or goes shows in the rows that a sweep finds changed, and is a hole until capture "
            "is installed again; a column that came with NULL changes no row",
            "rights": "SELECT on the captured tables; nothing is written to the legacy database",
            "reads": self._guarded(),
        }

    def _guarded(self) -> str:
        dialect = self._sessions.dialect
        said = [
            "read-only sessions"
            if dialect.read_only
            else "every transaction is rolled back, but nothing keeps a session "
            "from writing: give the account no right to"
        ]
        said.append(
            "cancelled by the server when their time is up"
            if dialect.limited
            else "cancelled through the driver when their time is up"
            if self._sessions.cancels
            else "without a limit of time: neither this engine nor its driver is known to cancel"
        )
        return (
            f"one at a time, {self._section.chunk} rows by key, resting as pace = {self._section.pace:g} says; "
            + "; ".join(said)
        )


def _noted(table: Fetched, before: TableState | None, at: str) -> TableState:
    """A table that is read in the same way goes on as it was; one that is not begins anew."""
    fresh = TableState(
        subject=table.subject,
        installed_at=at,
        keys=table.keys,
        columns=table.columns,
        watermark=table.watermark,
    )
    if before is None:
        return fresh
    if (before.subject, before.keys) != (fresh.subject, fresh.keys):
        # The rows that are kept under their former names are counted, or nobody would look for them again.
        return msgspec.structs.replace(fresh, rows=before.rows)
    kept = msgspec.structs.replace(before, columns=fresh.columns)
    if before.watermark == fresh.watermark:
        return kept
    return msgspec.structs.replace(kept, watermark=fresh.watermark, high=None, next_high=None)
