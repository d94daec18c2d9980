"""One of the processes that follow a version together: one_worker LOG_URL TOPIC STATE_URL READ_STORE_URL."""

from __future__ import annotations

import datetime as dt
import logging
import os
import signal
import sys
import threading

from adapters.read_store.sql import open_read_store
from adapters.state.lease_list import SqlLeaseList
from adapters.state.store import open_state
from benchmarks.filling import PARTITIONS
from benchmarks.policies import CATALOGUE, SOURCE, PolicyView, policies
from toolkit import registry
from toolkit.cli.tuning import tune
from toolkit.core.apart import Apart
from toolkit.loops.leased import members
from toolkit.loops.worker import Worker, strayed
from toolkit.ports import Log
from toolkit.settings import LogSection


def run(log_url: str, topic: str, state_url: str, read_store_url: str) -> None:
    """Follow until SIGTERM."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    tune()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    section = LogSection(url=log_url)
    log: Log = registry.adapter(registry.LOG, section.url)(section, state_url)
    state, definition, owner = open_state(state_url), PolicyView.definition, f"bench:{os.getpid()}"
    leases, known = state.leases, SqlLeaseList(state.engine)
    topics = {topic: PARTITIONS}
    worker = Worker(
        definition,
        CATALOGUE,
        open_read_store(read_store_url),
        topics,
        strayed(Apart(definition, CATALOGUE, {SOURCE: policies.name}), topic),
        members(log, definition, topics, leases, known, owner, _now),
        leases,
        known,
        owner,
        _now,
    )
    worker.run(stop)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


if __name__ == "__main__":
    run(*sys.argv[1:])
