"""A process that follows two versions with others: shared_worker.py LOG TOPIC STATE_URL READ_STORE_URL."""

import logging
import os
import sys
import threading

from adapters.engines import open_engine
from adapters.log.kafka import KafkaLog
from adapters.log.sql import SqlLog
from adapters.read_store.sql import open_read_store
from adapters.state.lease_list import SqlLeaseList
from adapters.state.store import open_state
from tests.support.crew import SESSION, TALLY, VIEW, worker
from toolkit.loops.supervise import Supervisor
from toolkit.ports import Log


def opened(log: str) -> Log:
    """`classic@host:port`, `consumer@host:port`, or the URL of a database."""
    kind, _, bootstrap = log.partition("@")
    if kind == "classic":
        return KafkaLog(bootstrap, SESSION)
    if kind == "consumer":
        return KafkaLog(bootstrap, protocol="consumer")
    return SqlLog(open_engine(log))


def main(log: str, topic: str, state_url: str, read_store_url: str) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    state, store = open_state(state_url), open_read_store(read_store_url)
    known, reading = SqlLeaseList(state.engine), opened(log)
    loops = {
        definition.identity: worker(
            definition, store, reading, topic, state.leases, known, f"host:{os.getpid()}"
        ).run
        for definition in (TALLY, VIEW)
    }
    Supervisor(lambda: loops, look_every=0.1).run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
