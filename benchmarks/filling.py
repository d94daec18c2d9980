"""A log and an archive with a history: what a projector and a rebuild read."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from adapters.state.store import State
from benchmarks.policies import SOURCE, records
from toolkit.core.records import Draft, Watermark
from toolkit.loops.relay import lease_name
from toolkit.ports import Log

PARTITIONS = 4
BATCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A topic with so many events, archived too where there is a state."""

    log: Log
    topic: str
    events: int
    state: State | None = None


def fill(log: Log, topic: str, events: int, keys: int, state: State | None = None) -> Filled:
    """Publish so many events about so many policies, and promise that this is all."""
    log.create(topic, PARTITIONS)
    publisher, ends = log.publisher(topic), dict.fromkeys(range(PARTITIONS), 0)
    epoch = 0
    if state is not None:
        name, ttl = lease_name(SOURCE), dt.timedelta(hours=1)
        epoch = state.leases.acquire(name, "benchmark", ttl, dt.datetime.now(dt.UTC))
    for some in records(events, keys, PARTITIONS, BATCH):
        if state is not None:
            drafts = [Draft(envelope=one.envelope, data=one.data) for one in some]
            state.archive.append(SOURCE, topic, drafts, partitions=PARTITIONS, epoch=epoch, doubtful=False)
        runs = publisher.publish(some)
        if state is not None:
            state.archive.published(topic, runs, source=SOURCE, epoch=epoch)
        ends |= {one.partition: one.sequence for one in some}
    now = dt.datetime.now(dt.UTC)
    publisher.watermark({at: Watermark(as_of=now, sequence=end) for at, end in ends.items()})
    publisher.close()
    return Filled(log=log, topic=topic, events=events, state=state)


def resident() -> float:
    """This process's memory, in MB."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - not a file of anybody's
        for line in status:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0
