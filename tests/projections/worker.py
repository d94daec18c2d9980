"""A projector as a process of its own, for tests that kill it: worker.py STATE_URL READ_STORE_URL."""

import datetime as dt
import sys
import threading

from adapters.engines import open_engine
from adapters.log.sql import SqlLog
from tests.support.read_store import BOOK, CATALOGUE, TOPICS, open_any_store
from toolkit.loops.project import Advanced, Pace, Projector


def told(done: Advanced) -> None:
    if done.applied:
        sys.stdout.write(f"applied {done.applied}\n")


def main(state_url: str, read_store_url: str) -> None:
    log = SqlLog(open_engine(state_url))
    pace = Pace(smallest=5, largest=5, patience=0.05)
    projector = Projector(
        BOOK,
        CATALOGUE,
        open_any_store(read_store_url),
        log,
        TOPICS,
        lambda: dt.datetime.now(dt.UTC),
        pace,
    )
    projector.run(threading.Event(), report=told)


if __name__ == "__main__":
    main(*sys.argv[1:])
