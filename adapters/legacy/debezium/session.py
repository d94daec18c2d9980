"""One process's reading of the topics: read, merge, make changes, store them with the positions, prove how far it came.

All that it holds in memory is thrown away when anything fails: the inbox knows where to go on.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from adapters.kafka import Cluster, Partition
from adapters.legacy.debezium import positions as kept
from adapters.legacy.debezium.changes import Step
from adapters.legacy.debezium.decoding import Decoder
from adapters.legacy.debezium.envelope import Ignored, RowChanged
from adapters.legacy.debezium.merge import Item, Merge, Transactions
from adapters.legacy.debezium.positions import Positions, Proved, at_name, topic_name
from adapters.legacy.debezium.reader import Read, TopicReader, partitions
from adapters.legacy.debezium.rows import Places, Rows
from adapters.legacy.debezium.topics import Roles, of_ours, roles
from toolkit.core.errors import OffsetLost
from toolkit.inbox import Inbox
from toolkit.ports import CapturedTable
from toolkit.settings import DebeziumSection, duration

QUEUED = 5_000
"""Messages of one partition that wait in memory; a transaction that is longer is waited for all the same."""
LOOK_AGAIN = 10.0
"""Seconds between two looks for topics and partitions that came or went."""
_TICK = dt.timedelta(milliseconds=1)
BEGIN_ANEW = (
    "changes were lost between the connector and us. Begin anew: `strangler capture remove`, let the connector take a new "
    "snapshot into the topics, `strangler capture install`; rows that were deleted meanwhile show in a shadow run as extra"
)


@dataclass(slots=True)
class Candidate:
    """What is about to be proved: seen at `at` of our own clock; `ends` once what was in flight then has arrived."""

    instant: dt.datetime
    at: float
    ends: Mapping[Partition, int] | None = None


@dataclass(slots=True, kw_only=True)
class Topology:
    """What is read, as it was found."""

    roles: Roles
    described: dict[str, tuple[str, int]]
    data: list[Partition] = field(default_factory=list)


class Session:
    """Open on construction. `step` fetches; `close` gives the connections back."""

    def __init__(
        self,
        source: str,
        inbox: Inbox,
        section: DebeziumSection,
        tables: Mapping[str, CapturedTable],
        decoder: Decoder,
        cluster: Cluster,
        settings: Mapping[str, str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._inbox, self._section, self._tables = source, inbox, section, tables
        self._decoder, self._cluster, self._monotonic = decoder, cluster, monotonic
        self._in_flight = duration(section.in_flight).total_seconds()
        self._positions = Positions(inbox)
        self._told = kept.told(inbox)
        self._places = Places(inbox, section.window)
        self._merge = Merge()
        self._transactions = Transactions(self._merge, self._counted, lambda: self._topology.data)
        self._candidate: Candidate | None = None
        self._looked = monotonic()
        self._topology = self._found()
        self._reader = TopicReader(settings, self._lost)
        try:
            self._begin()
        except BaseException:
            self._reader.close()
            raise

    def close(self) -> None:
        """Leave the connections."""
        self._reader.close()

    @property
    def missing(self) -> tuple[str, ...]:
        """Topics that are not there."""
        return self._topology.roles.missing

    @property
    def stalled(self) -> str:
        """Which transaction is waited for, in words."""
        return self._transactions.waiting

    @property
    def ended(self) -> bool:
        """Was every partition read to its end?"""
        return self._reader.ended.issuperset(self._reader.reached)

    @property
    def connecting(self) -> bool:
        """Is there a partition of which nothing was heard yet?"""
        return bool(self._reader.silent)

    def step(self, limit: int, timeout: float) -> int:
        """Fetch once: read some messages, store the changes that are next; returns how many.

        Raises OffsetLost, Fenced, Infrastructure, and Changed.
        """
        self._reader.rest({at for at in self._topology.data if self._merge.held(at) >= QUEUED})
        for read in self._reader.poll(limit, timeout):
            self._sort(read)
        stored = self._store(*self._next(limit))
        if self._monotonic() - self._looked >= LOOK_AGAIN:
            self._look()
        self._prove()
        return stored

    # --- where to begin

    def _found(self) -> Topology:
        found = roles(self._section, list(self._tables.values()), self._cluster.topics())
        described = {topic: one for topic in found.all if (one := self._cluster.describe(topic)) is not None}
        tables = {topic: described[topic] for topic in found.tables if topic in described}
        return Topology(roles=found, described=described, data=list(partitions(tables)))

    def _begin(self) -> None:
        described = self._topology.described
        for topic, (identity, _) in described.items():
            known = self._positions.get(topic_name(topic))
            if known is not None and known != identity:
                raise OffsetLost(
                    topic, 0, 0, (0, 0), advice=f"the topic was deleted and made anew: {BEGIN_ANEW}"
                )
            self._positions.set(topic_name(topic), identity)
        offsets = self._offsets(list(partitions(described)))
        for at, offset in offsets.items():
            self._positions.set(at_name(at), str(offset))
        self._positions.set(kept.BEGAN, "yes")
        if self._positions.moved:
            self._inbox.put([], moved=self._positions.moved)
            self._positions.stored()
        self._reader.assign(offsets)

    def _offsets(self, every: list[Partition]) -> dict[Partition, int]:
        """Where each partition is read from. One that was not there when we began is read from its beginning."""
        first_time = self._positions.get(kept.BEGAN) is None
        late = first_time and self._section.start == "latest"
        bounds = self._cluster.bounds_of(every)
        if self._topology.roles.transactions:
            # Last, so that of a transaction whose BEGIN we get no event is passed over.
            own = [at for at in every if at[0] == self._topology.roles.transactions]
            bounds |= self._cluster.bounds_of(own)
        made = {}
        for at, (first, end) in bounds.items():
            known = self._positions.get(at_name(at))
            if known is None:
                made[at] = end if late else first
            elif first <= int(known) <= end:
                made[at] = int(known)
            else:
                raise OffsetLost(*at, int(known), (first, end), advice=BEGIN_ANEW)
        return made

    def _lost(self, at: Partition, offset: int) -> OffsetLost:
        return OffsetLost(*at, offset, self._cluster.bounds_of([at])[at], advice=BEGIN_ANEW)

    # --- one step

    def _sort(self, read: Read) -> None:
        """To its queue; what is no change of a row tells at once how far the connector is."""
        found = self._topology.roles
        if read.at[0] == found.transactions:
            self._transactions.add(self._decoder.plain(read))
        elif read.at[0] in found.heartbeats:
            instant = self._decoder.heartbeat(read)
            if instant is not None:
                self._note(*instant)
            self._count("heartbeat")
        else:
            self._merge.add(self._decoder.item(read, found.tables[read.at[0]]))

    def _next(self, limit: int) -> tuple[list[Item], list[str]]:
        if self._topology.roles.transactions:
            before = len(self._transactions.broken)
            taken, ended = self._transactions.take(limit, lambda one: _transaction_place(one) in self._places)
            self._told.broken += len(self._transactions.broken) - before
            return taken, ended
        ended_now = self._reader.ended
        return self._merge.take(limit, ended_now.__contains__, self._topology.data), []

    def _store(self, items: list[Item], ended: list[str]) -> int:
        rows = Rows(self._inbox, {table.upper() for table in self._section.remember})
        places = self._places.step()
        step = Step(self._source, self._tables, rows, places, dt.datetime.now(dt.UTC))
        step.take(items, self._topology.roles.tables)
        for one in ended:
            places.take(_transaction_place(one))
        for item in items:
            self._note_source(item)
        for kind, count in step.ignored.items():
            self._count(kind, count)
        self._told.truncated |= step.truncated
        for at in partitions(self._topology.described):
            self._positions.set(at_name(at), str(self._position(at)))
        if not self._positions.moved:
            return 0
        self._positions.set(kept.TOLD, msgspec.json.encode(self._told, order="deterministic").decode())
        seen, gone = rows.seen()
        more, less = places.seen()
        self._inbox.put(step.changes, moved=self._positions.moved, seen=[*seen, *more], gone=[*gone, *less])
        self._positions.stored()
        self._places.keep(more, less)
        return len(step.changes)

    def _position(self, at: Partition) -> int:
        """Up to where everything is in the inbox: before the first message that waits."""
        waiting = [self._merge.first(at), self._transactions.first(at)]
        return min([self._reader.reached[at], *(offset for offset in waiting if offset is not None)])

    def _count(self, kind: str, count: int = 1) -> None:
        self._told.ignored[kind] = self._told.ignored.get(kind, 0) + count

    def _counted(self, collections: Mapping[str, int]) -> int:
        tables = set(self._topology.roles.tables.values())
        return sum(count for name, count in collections.items() if of_ours(name, tables))

    # --- what may be promised

    def _note_source(self, item: Item) -> None:
        source = item.found.source if isinstance(item.found, RowChanged | Ignored) else None
        if source is not None and source.instant is not None and not source.snapshot:
            self._note(source.name, source.instant)

    def _note(self, connector: str, instant: dt.datetime) -> None:
        # A moment before: others of the same transaction, or of the same instant, may come behind it.
        before = instant - _TICK
        known = self._told.instants.get(connector)
        self._told.instants[connector] = before if known is None else max(known, before)

    def _prove(self) -> None:
        """Promise an instant once all that was written before the message that told it is in the inbox."""
        known = min(self._told.instants.values(), default=None)
        if known is None or self.missing or self._told.truncated:
            return
        now = self._monotonic()
        if self._candidate is None:
            last = kept.proved(self._inbox)
            if last is None or known > last.instant:
                self._candidate = Candidate(known, now)
            return
        if self._candidate.ends is None and now - self._candidate.at >= self._in_flight:
            self._candidate.ends = self._cluster.ends_of(self._look())
        ends = self._candidate.ends
        if ends is not None and all(self._position(at) >= end for at, end in ends.items()):
            proved = Proved(instant=self._candidate.instant, number=self._inbox.last())
            self._positions.set(kept.PROVED, msgspec.json.encode(proved).decode())
            self._inbox.put([], moved=self._positions.moved)
            self._positions.stored()
            self._candidate = None

    def _look(self) -> list[Partition]:
        """All partitions that there are now. Raises Changed when they are not those that we read."""
        self._looked = self._monotonic()
        found = self._found()
        if found != self._topology:
            raise Changed
        return list(partitions(found.described))


class Changed(Exception):
    """Topics or partitions came or went: begin again, from the positions that are stored."""


def _transaction_place(transaction: str) -> str:
    return f"transaction/{transaction}"
