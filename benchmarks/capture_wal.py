"""Reading PostgreSQL's log: row changes a second, from the slot to parsed messages, to changes, and into the inbox."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine

from adapters.legacy.wal.capture import WalCapture, open_capture
from adapters.legacy.wal.messages import parse
from adapters.state.store import open_state
from benchmarks.figures import Figure
from benchmarks.places import database as private_database
from migrations.schema.state import metadata
from tests.servers.postgres import PostgresServer
from toolkit.inbox import Fetching
from toolkit.ports import CapturedTable
from toolkit.settings import LegacySection, WalSection

REFERENCE = 26_600
"""Row changes a second of a plain reader that parses, and does nothing with what it has parsed."""
TABLES = [CapturedTable(table="POLMAST", subject="POL_NO")]
_SCHEMA = "CREATE TABLE polmast (pol_no char(12) PRIMARY KEY, stat_cd char(2), prem numeric(12,2), since timestamp, note text)"
_INSERT = (
    "INSERT INTO polmast SELECT 'P' || n, 'A', n * 1.25, now(), 'a note of some length for policy ' || n"
    " FROM generate_series({}, {}) n"
)


@contextmanager
def capturing(legacy_url: str, state_url: str) -> Iterator[WalCapture]:
    """Capture, installed; taken away afterwards."""
    state = open_state(state_url)
    metadata.create_all(state.engine)
    wal = WalSection(slot=f"bench_{uuid.uuid4().hex[:12]}")
    section = LegacySection(url=legacy_url, context="bench", capture="wal", wal=wal)
    capture = open_capture(
        Fetching(source="bench", url=legacy_url, section=section, inbox=state.inbox("bench"))
    )
    try:
        plan = capture.plan(TABLES)
        capture.install(plan)
        yield capture
        capture.remove(plan)
    finally:
        capture.close()
        state.close()


def write(url: str, rows: int, transactions: int) -> None:
    """Rows that are inserted, evenly over so many transactions."""
    engine = create_engine(url)
    each = rows // transactions
    with engine.connect() as connection:
        for at in range(transactions):
            connection.exec_driver_sql(_INSERT.format(at * each, (at + 1) * each - 1))
            connection.commit()
    engine.dispose()


def parsed(capture: WalCapture) -> int:
    """Read and parse what the slot holds, and move nothing."""
    stream, count = capture._slot.peek(10**9), 0
    while data := stream.read(2000):
        for one in data:
            parse(one)
        count += len(data)
    stream.close()
    return count


def stored(capture: WalCapture) -> int:
    """Fetch all into the inbox."""
    while capture._fetcher.step():
        pass
    return capture._inbox.last()


def timed(work: Callable[[WalCapture], int], capture: WalCapture) -> tuple[int, float]:
    started = time.perf_counter()
    count = work(capture)
    return count, time.perf_counter() - started


def figures(postgres: str, rows: int) -> Iterator[Figure]:
    """Each in a database of its own."""
    for shape, transactions in (("transactions of 50", rows // 50), ("one transaction", 1)):
        for state in ("sqlite", "postgresql"):
            with tempfile.TemporaryDirectory() as folder, private_database(postgres) as legacy:
                engine = create_engine(legacy)
                with engine.begin() as connection:
                    connection.exec_driver_sql(_SCHEMA)
                engine.dispose()
                with private_database(postgres) as other:
                    url = f"sqlite:///{Path(folder)}/state.db" if state == "sqlite" else other
                    with capturing(legacy, url) as capture:
                        write(legacy, rows, transactions)
                        if state == "sqlite":
                            count, took = timed(parsed, capture)
                            yield _figure(f"wal.parsed ({shape})", rows / took)
                        count, took = timed(stored, capture)
                        if count != rows:
                            raise SystemExit(f"{count} of {rows} rows were stored")
                        yield _figure(f"wal.stored in {state} ({shape})", rows / took)


def _figure(name: str, value: float) -> Figure:
    return Figure(figure=name, value=value, unit="rows/s", peer="plain reader", peer_value=REFERENCE)


def alone(arguments: list[str]) -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.capture_wal", description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object a line")
    options.add_argument("--servers", action="store_true", help="start a private PostgreSQL")
    options.add_argument("--postgres-url", default="", help="or use this one (wal_level = logical)")
    options.add_argument("--rows", type=int, default=100_000)
    given, _ = options.parse_known_args(arguments)
    if not given.servers and not given.postgres_url:
        return  # like the other benchmarks, nothing is started unasked
    with contextlib.ExitStack() as stack:
        url = given.postgres_url
        if not url:
            server = PostgresServer()
            stack.callback(server.stop)
            server.start()
            url = server.url()
        for one in figures(url, given.rows):
            one.show(given.json)


if __name__ == "__main__":
    alone(sys.argv[1:])
