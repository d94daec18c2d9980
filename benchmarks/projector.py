"""From the log to the rows of one read model, in one process, beside what others offer.

- upsert: events of so many keys are consumed, folded, and written with the checkpoint
- rebuild: a history of as many rows as events, from the archive into an empty table
- memory: what the projector holds after each fifth of the events (`--memory N`)
- workers: two processes that share the partitions, beside one (`--workers`)

The first peer consumes the same topic, decodes with `json`, keeps a row for each key, and writes with `executemany` and a
checkpoint in the same transaction. It knows no versions, parks nothing, and trusts whatever it is given. The second is
the projection runner of the `eventsourcing` library, on the same PostgreSQL, with its own store of events.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import threading
import time
import uuid
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from adapters.read_store.sql import SqlReadStore, open_read_store
from adapters.state.store import State, open_state
from benchmarks import event_sourced, hand_written, options, workers
from benchmarks.figures import Figure
from benchmarks.filling import PARTITIONS, Filled, fill, resident
from benchmarks.places import Places, database, places
from benchmarks.policies import CATALOGUE, PolicyView
from migrations.upgrade import upgrade
from toolkit import registry
from toolkit.loops.project import Advanced, Projector
from toolkit.loops.rebuild import Rebuild
from toolkit.ports import Log
from toolkit.settings import LogSection

SHARES = 5
"""How often the memory is looked at, evenly over the events."""
EVENT_SOURCED = 3_000
"""Events for the library's runner, which takes about a millisecond for each."""
HAND_WRITTEN = "hand-written consume and executemany"
LIBRARY = "eventsourcing's projection runner"
DEFINITION = PolicyView.definition


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    made = options.parser(".projector", "From the log to rows.")
    made.add_argument(
        "--memory", type=int, default=0, metavar="N", help="project N events and tell the memory"
    )
    made.add_argument("--workers", action="store_true", help="two processes beside one, and nothing else")
    chosen = options.checked(made, arguments)
    with places(chosen) as where, _world(where) as (log, state):
        filled = fill(log, _topic(), chosen.events, chosen.keys)
        if chosen.workers:
            _workers(where, filled, state.engine.url.render_as_string(hide_password=False))
            return
        history = fill(log, _topic(), chosen.events, 0, state)
        for engine in ("sqlite", "postgresql") if chosen.engine == "postgresql" else ("sqlite",):
            _upsert(where, engine, filled)
            _rebuild(where, engine, history)
        if chosen.memory:
            _memory(where, fill(log, _topic(), chosen.memory, chosen.keys))


def _topic() -> str:
    return f"bench.{uuid.uuid4().hex[:8]}"


@contextmanager
def _world(where: Places) -> Iterator[tuple[Log, State]]:
    """A log, and a state database with an archive."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        state = f"sqlite:///{Path(folder) / 'state.db'}"
        if where.postgres is not None:
            state = stack.enter_context(database(where.postgres))
        upgrade(state, "state")
        section = LogSection(url="sql:" if where.kafka is None else f"kafka://{where.kafka}")
        log: Log = registry.adapter(registry.LOG, section.url)(section, state)
        stack.callback(log.close)
        opened = open_state(state)
        stack.callback(opened.close)
        yield log, opened


@contextmanager
def _store(where: Places, engine: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if engine == "sqlite" or where.postgres is None:
            yield f"sqlite:///{Path(folder) / 'read.db'}"
        else:
            with database(where.postgres) as url:
                yield url


@contextmanager
def _opened(where: Places, engine: str) -> Iterator[SqlReadStore]:
    with _store(where, engine) as url:
        upgrade(url, "read_store")
        store = open_read_store(url)
        yield store
        store.close()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


# --- upsert


def _upsert(where: Places, engine: str, filled: Filled) -> None:
    chosen, name = where.options, f"[{engine}+{where.options.log}]"
    with _opened(where, engine) as store:
        ours = _project(store, filled)
    if chosen.log == "kafka":
        with _store(where, engine) as url:
            peer = hand_written.project(where.kafka or "", filled.topic, PARTITIONS, url, filled.events)
        _told(chosen, f"projector.upsert {name}", ours, "events/s", HAND_WRITTEN, peer)
    else:
        _told(chosen, f"projector.upsert {name}", ours, "events/s")
    if engine == "postgresql":
        with _store(where, engine) as url:
            peer = event_sourced.project(url, min(filled.events, EVENT_SOURCED))
        _told(chosen, f"projector.upsert {name}", ours, "events/s", LIBRARY, peer)


def _told(
    chosen: Namespace,
    figure: str,
    value: float,
    unit: str,
    peer: str | None = None,
    peer_value: float | None = None,
) -> None:
    Figure(figure=figure, value=value, unit=unit, peer=peer, peer_value=peer_value).show(chosen.json)


def _project(store: SqlReadStore, filled: Filled, look: Callable[[int], None] = lambda _: None) -> float:
    """Run until all is applied; returns events a second, from the first poll to the last commit."""
    projector = Projector(DEFINITION, CATALOGUE, store, filled.log, {filled.topic: PARTITIONS}, _now)
    projector.start()
    stop, applied, ended = threading.Event(), 0, 0.0

    def report(done: Advanced) -> None:
        nonlocal applied, ended
        applied += done.applied
        look(applied)
        if applied >= filled.events:
            ended = time.monotonic()
            stop.set()

    began = time.monotonic()
    projector.run(stop, report=report)
    return filled.events / (ended - began)


# --- rebuild


def _rebuild(where: Places, engine: str, history: Filled) -> None:
    assert history.state is not None
    with _opened(where, engine) as store:
        rebuild = Rebuild(
            DEFINITION,
            CATALOGUE,
            store,
            history.state.archive,
            history.log,
            {history.topic: PARTITIONS},
            _now,
        )
        done = rebuild.run()
        if not done.complete or done.events != history.events:
            raise RuntimeError(f"the rebuild came to {done}")
    rate = history.events / done.took.total_seconds()
    _told(where.options, f"projector.rebuild into an empty table [{engine}]", rate, "rows/s")


# --- workers


def _workers(where: Places, filled: Filled, state_url: str) -> None:
    chosen = where.options
    log_url = "sql:" if where.kafka is None else f"kafka://{where.kafka}"
    rates = []
    for count in (1, 2):
        with _store(where, chosen.engine) as url:
            rates.append(workers.rate(count, filled, log_url, state_url, url))
    figure = f"projector.two workers [{chosen.engine}+{chosen.log}]"
    _told(chosen, figure, rates[1], "events/s", "one worker", rates[0])


# --- memory


def _memory(where: Places, filled: Filled) -> None:
    engine = where.options.engine
    seen: dict[int, float] = {}

    def look(applied: int) -> None:
        while len(seen) < SHARES and applied >= (share := filled.events * (len(seen) + 1) // SHARES):
            seen[share] = resident()

    with _opened(where, engine) as store:
        rate = _project(store, filled, look)
    _told(where.options, f"projector.upsert of {filled.events:,} events [{engine}]", rate, "events/s")
    for share, megabytes in seen.items():
        _told(where.options, f"projector.memory after {share:,} events [{engine}]", megabytes, "MB")


if __name__ == "__main__":
    main()
