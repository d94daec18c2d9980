"""From the log to the rows of one read model, in one process, beside a loop written by hand.

- upsert: events of so many keys are consumed, folded, and written with the checkpoint; batches as the projector takes them
- rebuild: the same events from the archive into an empty table

The peer consumes the same topic, decodes with `json`, keeps a row for each key, and writes with `executemany` and a
checkpoint in the same transaction. It knows no versions, parks nothing, and trusts whatever it is given.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import time
import uuid
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adapters.read_store.sql import SqlReadStore, open_read_store
from benchmarks import hand_written, options
from benchmarks.figures import Figure
from benchmarks.places import Places, database, places
from benchmarks.policies import CATALOGUE, PolicyView, records
from migrations.upgrade import upgrade
from toolkit import registry
from toolkit.loops.project import Projector
from toolkit.ports import Log
from toolkit.settings import LogSection

PARTITIONS = 4
BATCH = 5_000


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    chosen = options.read(".projector", "From the log to rows.", arguments)
    with places(chosen) as where, _filled(where) as (log, topic):
        for engine in ("sqlite", "postgresql") if chosen.engine == "postgresql" else ("sqlite",):
            with _store(where, engine) as url:
                ours = _ours(chosen, log, topic, url)
            theirs = None
            if chosen.log == "kafka":
                with _store(where, engine) as url:
                    theirs = hand_written.project(where.kafka or "", topic, PARTITIONS, url, chosen.events)
            Figure(
                figure=f"projector.upsert [{engine}+{chosen.log}]",
                value=ours,
                unit="events/s",
                peer=None if theirs is None else "hand-written consume and executemany",
                peer_value=theirs,
            ).show(chosen.json)


@contextmanager
def _filled(where: Places) -> Iterator[tuple[Log, str]]:
    """A log with a topic that holds the events."""
    chosen, topic = where.options, f"bench.{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        state = f"sqlite:///{Path(folder) / 'state.db'}"
        upgrade(state, "state")
        section = LogSection(url="sql:" if where.kafka is None else f"kafka://{where.kafka}")
        log: Log = registry.adapter(registry.LOG, section.url)(section, state)
        log.create(topic, PARTITIONS)
        publisher = log.publisher(topic)
        for some in records(chosen.events, chosen.keys, PARTITIONS, BATCH):
            publisher.publish(some)
        publisher.close()
        yield log, topic
        log.close()


@contextmanager
def _store(where: Places, engine: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if engine == "sqlite" or where.postgres is None:
            yield f"sqlite:///{Path(folder) / 'read.db'}"
        else:
            with database(where.postgres) as url:
                yield url


def _ours(chosen: Namespace, log: Log, topic: str, url: str) -> float:
    upgrade(url, "read_store")
    store: SqlReadStore = open_read_store(url)
    projector = Projector(
        PolicyView.definition, CATALOGUE, store, log, {topic: PARTITIONS}, lambda: dt.datetime.now(dt.UTC)
    )
    projector.start()
    began, applied = time.monotonic(), 0
    while applied < chosen.events:
        applied += projector.advance(BATCH).applied
    took = time.monotonic() - began
    projector.close()
    store.close()
    return float(chosen.events / took)


if __name__ == "__main__":
    main()
