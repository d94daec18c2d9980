"""What time partitions cost the archive, and what pruning costs: on PostgreSQL, beside the default partition alone.

Twelve months of events lie in the archive. Then: a batch is archived whose ids cannot be there, as the relay does it;
one whose ids might be, as a backfill does it; a page is read as a rebuild does it, and a subject as a repair does.
Last, half of it is pruned, by dropping time partitions or, where there are none, by deleting rows.

    python -m benchmarks.retention --servers --events 600000
"""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import text

from adapters.state.retention import SqlRetention
from adapters.state.store import State, open_state
from benchmarks import options
from benchmarks.figures import Figure
from benchmarks.places import database, places
from migrations.upgrade import upgrade
from tests.support.state import SECOND, SOURCE, START, draft
from toolkit.core.records import Draft, Run
from toolkit.loops.relay import lease_name

TOPIC, PARTITIONS, BATCH, MONTHS = "bench", 4, 10_000, 12
PEER = "the default partition alone"
_DAY = dt.timedelta(days=1)


class _Archive:
    """An archive of a year, in time partitions or not."""

    def __init__(self, url: str, events: int, *, parted: bool) -> None:
        upgrade(url, "state")
        self.state: State = open_state(url)
        self.retention = SqlRetention(self.state.engine, rest=0)
        self.today = dt.datetime.now(dt.UTC).date()
        self.number, self.parted = 0, parted
        self.epoch = self.state.leases.acquire(lease_name(SOURCE), "bench", 3600 * SECOND, START)
        if parted:
            first = (self.today - MONTHS * 30 * _DAY).replace(day=1)
            while first <= self.today:
                self.retention.prepare(first, monthly=True)
                first = (first + 32 * _DAY).replace(day=1)
        for month in range(MONTHS, 0, -1):
            self._month(month, events // MONTHS)
        self.append(doubtful=False)
        with self.state.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE strangler_event"))

    def _month(self, back: int, events: int) -> None:
        """Archived in batches, then put where its month belongs."""
        for _ in range(events // BATCH):
            self.append(doubtful=False)
        day = self.today - back * 30 * _DAY
        moved = text("UPDATE strangler_event SET archived_on = :day WHERE archived_on = :today")
        with self.state.engine.begin() as connection:
            connection.execute(moved, {"day": day, "today": self.today})

    def drafts(self, count: int) -> list[Draft]:
        found = [draft(self.number + at, f"P-{(self.number + at) % 100_000}") for at in range(count)]
        self.number += count
        return found

    def append(self, *, doubtful: bool, count: int = BATCH) -> float:
        """Milliseconds to archive a batch, and to note that it was published."""
        given = self.drafts(count)
        began = time.perf_counter()
        records = self.state.archive.append(
            SOURCE, TOPIC, given, partitions=PARTITIONS, epoch=self.epoch, doubtful=doubtful
        )
        took = time.perf_counter() - began
        first: dict[int, int] = {}
        counts: dict[int, int] = {}
        for one in records:
            first.setdefault(one.partition, one.sequence)
            counts[one.partition] = counts.get(one.partition, 0) + 1
        runs = [Run(partition=at, sequence=low, offset=low, count=counts[at]) for at, low in first.items()]
        self.state.archive.published(TOPIC, runs, source=SOURCE, epoch=self.epoch)
        return took * 1000

    def prune(self) -> tuple[float, int]:
        """Seconds to remove the older half, and how many events that were."""
        day = self.retention.whole(self.today - MONTHS * 15 * _DAY)
        self.retention.cut(TOPIC, self.retention.before(TOPIC, day))
        began = time.perf_counter()
        events = sum(one.events for one in self.retention.sweep())
        return time.perf_counter() - began, events


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _measures(one: _Archive, other: _Archive) -> Iterator[tuple[str, str, float, float]]:
    """The two in turns, so that what else the machine does is the same for both."""

    def turns(work: Callable[[_Archive], float], times: int = 14) -> tuple[float, float]:
        mine: list[float] = []
        theirs: list[float] = []
        for turn in range(times):
            for at in (one, other) if turn % 2 else (other, one):
                (mine if at is one else theirs).append(work(at))
        return statistics.median(mine), statistics.median(theirs)

    scan = dict.fromkeys(range(PARTITIONS), 1000)
    yield f"a batch of {BATCH:,} new events", "ms", *turns(lambda at: at.append(doubtful=False))
    yield "a backfill's chunk of 1,000", "ms", *turns(lambda at: at.append(doubtful=True, count=1000))
    yield (
        "a rebuild's page of 5,000",
        "ms",
        *turns(lambda at: _milliseconds(lambda: at.state.archive.scan(TOPIC, scan, 5000))),
    )
    yield (
        "one subject",
        "ms",
        *turns(lambda at: _milliseconds(lambda: at.state.archive.of_subject(TOPIC, "P-77"))),
    )
    (took, events), (peer, rows) = one.prune(), other.prune()
    yield "pruned", "events/s", events / took, rows / peer


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both and print a figure for each."""
    read = options.read(".retention", __doc__ or "", arguments)
    read.engine = "postgresql"
    with places(read) as at, database(at.server) as parted, database(at.server) as alone:
        one, other = (_Archive(url, read.events, parted=url == parted) for url in (parted, alone))
        for figure, unit, value, peer in _measures(one, other):
            Figure(
                figure=f"{figure}, {MONTHS} months", value=value, unit=unit, peer=PEER, peer_value=peer
            ).show(read.json)
        one.state.close()
        other.state.close()


if __name__ == "__main__":
    main()
