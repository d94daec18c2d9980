"""Capture from Debezium's topics: `toolkit.ports.Capture` over what a session fetches into the inbox."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from adapters.kafka import Cluster
from adapters.legacy.debezium import positions as kept
from adapters.legacy.debezium.decoding import Decoder
from adapters.legacy.debezium.positions import Installed, at_name
from adapters.legacy.debezium.reader import partitions
from adapters.legacy.debezium.session import BEGIN_ANEW, Changed, Session
from adapters.legacy.debezium.topics import Roles, roles
from toolkit.core.changes import Change, Op
from toolkit.core.errors import UsageError
from toolkit.inbox import Fetching
from toolkit.ports import CapturedTable, Chunk, Cursor, Hole, Horizon, Plan

ANSWER = 10.0
"""Seconds that a request to Kafka may take: less than the relay's lease."""
WAIT = 0.1
"""Seconds that one step waits for messages when none are there."""
LONGEST, CONNECTING = 1.0, 6.0
"""Seconds that one call looks for a change while there are messages to read, and until every partition has been heard of:
the relay renews its lease in between, and takes an answer without changes for the end of what there is."""
_READ = "-- read the topic of "
_NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

GUARANTEES = {
    "loss": "none of what the connector wrote and Kafka still holds: positions by partition are stored with the changes, "
    "and a position that retention has passed is refused; what the connector lost itself nobody can see here",
    "order": "the changes of one row come in the order in which the database made them; those of different tables or rows "
    "come by their place in the source as far as they were there to be read, and transactions in their order where their "
    "metadata is read; a table that gets more partitions keeps the order of a row by that place alone",
    "deletes": "captured; TRUNCATE names no rows: it is the deletion of each row where the table is remembered, and "
    "otherwise a hole that stops every promise",
    "intermediate states": "all that the connector wrote; a topic that is compacted has lost some",
    "transactions": "known, and whole, where the topic of transaction metadata is read; otherwise each change stands alone",
    "duplicates": "what the connector sends again has the same position and is dropped, within a window of changes; beyond "
    "it the archive knows its events by their ids. A failover to another MySQL server changes positions",
    "stalls": "a transaction of which a change does not come; a topic that is not there (the others go on, but nothing is "
    "promised); without a heartbeat table an idle source does not look fresh",
    "as-of": "the commit of a change that was read, less a millisecond, once all partitions are read to where they ended "
    "in_flight later: so long may a message be on its way from the connector to Kafka",
    "rows before": "PostgreSQL gives them under REPLICA IDENTITY FULL only; without, a row that moves to another subject is "
    "not seen to leave the first, unless the table is remembered",
    "history": "the connector's snapshot, or what the topics hold; a backfill reads nothing",
    "cost": "none for the legacy database beside the connector's",
    "removal": "forgets the positions and what waits; the connector and its topics stay",
}


def open_capture(fetching: Fetching) -> DebeziumCapture:
    """The capture of `capture = "debezium"`."""
    return DebeziumCapture(fetching)


class DebeziumCapture:
    """Implements `toolkit.ports.Capture`."""

    def __init__(self, fetching: Fetching, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name, self._inbox, self._section = fetching.source, fetching.inbox, fetching.section
        self._clock, self._monotonic = fetching.clock, monotonic
        self._settings = {
            **self._section.debezium.settings,
            "bootstrap.servers": _bootstrap(fetching),
        }
        self._session: Session | None = None
        self._asked: Cluster | None = None

    # --- what is installed

    def plan(self, tables: Sequence[CapturedTable]) -> Plan:
        """Nothing is installed in the legacy database: we note which tables are read, and with which subjects."""
        upper = [msgspec.structs.replace(one, table=one.table.upper()) for one in tables]
        now = kept.installed(self._inbox)
        same = now is not None and now.tables == upper
        statements = [] if same else [_READ + msgspec.json.encode(one).decode() for one in upper]
        removal = ["-- forget which topics are read, and how far"]
        return Plan(
            statements=tuple(statements),
            removal=tuple(removal),
            guarantees=GUARANTEES,
            holes=tuple(self._moved(upper)),
        )

    def _moved(self, tables: Sequence[CapturedTable]) -> list[Hole]:
        """Tables whose subject would be another: their history was told under the former one, and would be told no more."""
        was = self._tables()
        return [
            Hole(
                where=f"legacy source {self._name}, table {one.table}",
                what=f"it is read with the subject {_columns(was[one.table])}, and is to be with {_columns(one)}: positions stay "
                "where they are, so that the history does not come under the new subjects",
                next="begin a source under a new name, which reads the topics from the beginning; or keep the former subject",
            )
            for one in tables
            if one.table in was and _columns(was[one.table]) != _columns(one)
        ]

    def install(self, plan: Plan) -> None:
        """Note the tables of the plan."""
        if not plan.statements:
            return
        tables = [msgspec.json.decode(one.removeprefix(_READ), type=CapturedTable) for one in plan.statements]
        Decoder(self._name, self._section, {one.table: one for one in tables})  # refuses hints that are none
        if moved := self._moved(tables):
            raise UsageError("; ".join(f"{one.where}: {one.what}; {one.next}" for one in moved))
        now = kept.installed(self._inbox)
        since = now.since if now is not None and _holds(now.tables, tables) else dt.datetime.now(dt.UTC)
        value = msgspec.json.encode(Installed(tables=tables, since=since)).decode()
        self._inbox.put([], moved={kept.INSTALLED: (self._inbox.position(kept.INSTALLED), value)})
        self._leave()

    def remove(self, plan: Plan) -> None:  # noqa: ARG002 - all of it goes
        """Forget everything. Changes that are not marked yet are gone with it."""
        self._leave()
        self._inbox.forget()

    def installed(self) -> tuple[str, ...]:
        """Tables that are read now."""
        return tuple(one.table for one in self._tables().values())

    def installation(self, tables: Sequence[str]) -> str | None:
        """The instant at which reading was installed; None when one of the tables is not read."""
        now = kept.installed(self._inbox)
        known = {one.table for one in now.tables} if now else set()
        if now is None or not {table.upper() for table in tables} <= known:
            return None
        return now.since.isoformat()

    def _tables(self) -> dict[str, CapturedTable]:
        now = kept.installed(self._inbox)
        return {one.table: one for one in now.tables} if now else {}

    # --- holes

    def holes(self) -> list[Hole]:
        """Topics that are not there, positions that are lost, tables that were truncated, an as-of that cannot move."""
        tables = self._tables()
        if not tables:
            return [Hole(where=self._name, what="capture is not installed", next="install capture")]
        found = self._roles(tables)
        return [
            *(
                Hole(
                    where=topic,
                    what="there is no such topic, so nothing is promised",
                    next="mend the name, or create the topic as the connector would; it is read as soon as it is there",
                )
                for topic in found.missing
            ),
            *self._lost(found),
            *self._told(),
        ]

    def _roles(self, tables: Mapping[str, CapturedTable]) -> Roles:
        return roles(self._section.debezium, list(tables.values()), self._cluster.topics())

    def _lost(self, found: Roles) -> list[Hole]:
        described = {topic: one for topic in found.all if (one := self._cluster.describe(topic)) is not None}
        bounds = self._cluster.bounds_of(list(partitions(described)))
        holes = []
        for at, (first, end) in bounds.items():
            stored = self._inbox.position(at_name(at))
            if stored is not None and not first <= int(stored) <= end:
                what = f"offset {stored} is next, but the topic holds {first} to {end} (exclusive)"
                holes.append(Hole(where=f"{at[0]}[{at[1]}]", what=what, next=BEGIN_ANEW))
        return holes

    def _told(self) -> list[Hole]:
        told = kept.told(self._inbox)
        holes = [
            Hole(
                where=table,
                what=f"was truncated ({where}): which rows went is not known, and nothing is promised since",
                next=f"list {table} under remember in [legacy.{self._name}.debezium], and begin anew "
                "(capture remove, capture install) with topics that hold its whole history",
            )
            for table, where in told.truncated.items()
        ]
        if told.broken:
            what = f"{told.broken} transactions did not come whole, and were translated change by change"
            then = "let no transform drop changes of the tables, and let the metadata's topic be kept as long as theirs"
            holes.append(Hole(where=self._section.debezium.transactions, what=what, next=then))
        if self._session is not None and self._session.stalled:
            then = "wait for the connector, or look for the transform that drops its changes"
            holes.append(Hole(where=self._name, what=self._session.stalled, next=then))
        return holes

    def ignored(self) -> dict[str, int]:
        """How many messages changed no row, by what they were: tombstones, heartbeats, what was sent again."""
        return kept.told(self._inbox).ignored

    # --- what was captured

    def pending(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        """What waits in the inbox; when nothing does, one bounded step of fetching is done first."""
        cursors = [one.beside(self.installation(one.tables)) for one in cursors]
        waiting = {table for cursor in cursors if not cursor.done for table in cursor.tables}

        def leave(change: Change) -> bool:
            return change.table in waiting

        found = self._inbox.pending(limit, leave)
        if not found:
            self._fetch(limit)
            found = self._inbox.pending(limit, leave)
        return before_second_snapshot(found)

    def _fetch(self, limit: int) -> None:
        tables = self._tables()
        if not tables:
            return
        try:
            if self._session is None:
                self._session = self._open(tables)
            begun = time.monotonic()
            while not self._session.step(limit, WAIT) and not self._session.ended:
                if time.monotonic() - begun > (CONNECTING if self._session.connecting else LONGEST):
                    break
        except Changed:
            self._leave()
        except BaseException:
            self._leave()
            raise

    def _open(self, tables: Mapping[str, CapturedTable]) -> Session:
        return Session(
            self._name,
            self._inbox,
            self._section.debezium,
            tables,
            Decoder(self._name, self._section, tables),
            self._cluster,
            self._settings,
            self._monotonic,
        )

    @property
    def _cluster(self) -> Cluster:
        if self._asked is None:
            self._asked = Cluster(self._settings, ANSWER, f"[legacy.{self._name}.debezium.settings]")
        return self._asked

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def horizon(self) -> Horizon:
        """What was proved last. The source's clock proves nothing here: the connector may be behind it."""
        proved = kept.proved(self._inbox)
        if proved is None:
            return Horizon(instant=_NEVER, token="")
        return Horizon(instant=proved.instant, token=str(proved.number))

    def behind(self, horizon: Horizon) -> int:
        """How many changes of the horizon wait? Where nothing was proved yet, there is always something."""
        if horizon.token:
            return self._inbox.waiting(up_to=int(horizon.token))
        return 0 if kept.proved(self._inbox) is not None else max(1, self._inbox.waiting())

    def mark(self, numbers: Iterable[int]) -> None:
        """Never offer these changes again."""
        self._inbox.mark(numbers)

    def repeats(self) -> bool:
        """The connector sends at least once, and our memory of what it sent is a window."""
        return True

    def close(self) -> None:
        """Leave Kafka."""
        self._leave()

    # --- what was there before capture

    def count(self, tables: Sequence[CapturedTable], cursor: Cursor) -> int:  # noqa: ARG002
        """None: the history is in the topics."""
        return 0

    def chunk(self, tables: Sequence[CapturedTable], cursor: Cursor, size: int) -> Chunk:  # noqa: ARG002
        """Nothing is read: the connector's snapshot is in the topics, in order with the changes."""
        return Chunk(changes=[], absorbed=[], cursor=msgspec.structs.replace(cursor, done=True))

    def history(self) -> str:
        """What the connector read when it began."""
        return "the connector's snapshot in its topics tells it, and the relay reads them"


def before_second_snapshot(changes: list[Change]) -> list[Change]:
    """Cut off where a row of a snapshot comes behind a change of its subject.

    All snapshot rows of a subject are translated together, in front of what follows the last one: a second snapshot must
    not drag the first one behind the changes between them.
    """
    changed: set[str] = set()
    for at, change in enumerate(changes):
        if change.op is Op.SNAPSHOT and change.subject in changed:
            return changes[:at]
        if change.op is not Op.SNAPSHOT:
            changed.add(change.subject)
    return changes


def _holds(before: Sequence[CapturedTable], after: Sequence[CapturedTable]) -> bool:
    """Were all of these read already, so that what their backfill found stays valid?"""
    return all(one in before for one in after)


def _columns(table: CapturedTable) -> str:
    return ", ".join(one.upper() for one in table.subjects)


def _bootstrap(fetching: Fetching) -> str:
    own = fetching.section.debezium.bootstrap
    if own:
        return own.removeprefix("kafka://").rstrip("/")
    if fetching.log_url.startswith("kafka://"):
        return fetching.log_url.removeprefix("kafka://").rstrip("/")
    raise UsageError(
        f"legacy source {fetching.source}: say in [legacy.{fetching.source}.debezium] bootstrap at which Kafka its topics "
        "are: the project's log is not Kafka"
    )
