"""`strangler project`, killed by itself at one of its steps: python -m tests.races.dying_projector FOLDER NAME SEED WHEN STEP NUMBER.

A step is a call of the log's consumer, of the read store, of its statements and commits, of the leases, of what keeps a
version, or of a report. NAME is a projection, or empty for all of them together. SEED chooses the sizes of its batches,
how few rows it keeps in memory, and how far before its checkpoint the log is read again; empty, all of that is as usual.
"""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import psycopg

from adapters.read_store import bookkeeping, claims
from tests.races.dying import Steps
from toolkit.app import App, open_project
from toolkit.cli.flow import projectors
from toolkit.cli.stopping import stop_on_signals
from toolkit.cli.telling import Telling, log_to_stderr
from toolkit.loops.keeping import Keeper, Pace
from toolkit.loops.supervise import Supervisor
from toolkit.loops.worker import Worker

LOOK_EVERY = 0.2
AGAIN = 400
"""deliveries that are read again at most, of a partition"""


def watch(app: App, steps: Steps) -> None:
    """Everything that a projector touches, by what it is to the projector: the same names on every engine."""
    store: Any = app.store
    consumer = app.log.consumer()
    consumer.close()
    for part, called in (
        (consumer, "consumer"),
        (store, "store"),
        (store._rows, "rows"),
        (app.state.leases, "leases"),
        (Keeper, "keeper"),
        (Worker, "worker"),
    ):
        steps.watch(part, called)
    for name in ("fence", "move", "park"):
        setattr(bookkeeping, name, steps.counted(f"bookkeeping.{name}", getattr(bookkeeping, name)))
    for name in ("join", "claim", "hold", "note"):
        setattr(claims, name, steps.counted(f"claims.{name}", getattr(claims, name)))
    dialect = store.engine.dialect
    for name in ("do_execute", "do_execute_no_params", "do_executemany", "do_commit"):
        setattr(dialect, name, steps.counted(f"transaction.{name}", getattr(dialect, name)))
    copy: Any = psycopg.Copy
    copy.write = steps.counted("transaction.copy", copy.write)
    telling: Any = Telling
    telling.__call__ = steps.counted("report", telling.__call__)


def disturb(app: App, random_: random.Random) -> None:
    """Batches of any size, few rows in memory, and deliveries that have been there before."""
    smallest = random_.choice((3, 20, 200))
    pace = Pace(
        smallest=smallest,
        largest=smallest * random_.choice((1, 3, 20)),
        patience=random_.choice((0.02, 0.1)),
        known_rows=random_.choice((3, 40, 100_000)),
    )
    cls: Any = type(app)
    cls._pace = property(lambda _self: pace)
    consumer: Any = app.log.consumer()
    consumer.close()
    consumer = type(consumer)
    assign = consumer.assign

    def back(offsets: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        return {at: max(0, offset - random_.choice((0, 1, AGAIN))) for at, offset in offsets.items()}

    consumer.assign = lambda self, offsets: assign(self, back(offsets))
    worker: Any = Worker
    take = worker.take
    worker.take = lambda self, places: back(take(self, places))


def main(folder: str, name: str, seed: str, when: str, step: str, number: str) -> None:
    steps, before = Steps(when, step, int(number)), Counter[str]()
    log_to_stderr()
    with open_project(folder) as app, stop_on_signals() as stop:
        if seed:
            disturb(app, random.Random(int(seed)))
        watch(app, steps)
        threading.Thread(target=lambda: (stop.wait(), before.update(steps.seen)), daemon=True).start()
        sys.stdout.write("runs\n")
        supervisor = Supervisor(lambda: projectors(app, name), look_every=LOOK_EVERY, after_fenced=LOOK_EVERY)
        supervisor.run(stop)
    for title, error in supervisor.failures.items():
        sys.stdout.write(f"failed {title}: {error!r}\n")
    for one, count in before.items():
        sys.stdout.write(f"step {one} {count}\n")
    sys.exit(1 if supervisor.failures else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
