"""The two processes of benchmarks/backfill.py: each does its work, then says how long it took and how much memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import Any

import msgspec

from adapters.engines import open_engine, reading, writing
from toolkit.app import open_project
from toolkit.cli.app import run

_AT_ONCE = 1000
_COPIES = {
    "policy": "pol_no CHAR(12) PRIMARY KEY, stat CHAR(2), prem NUMERIC(12,2), note VARCHAR(100), eff DATE, agent INT",
    "endorsement": "pol_no CHAR(12), end_no INT, kind CHAR(2), amount NUMERIC(12,2), eff DATE, PRIMARY KEY (pol_no, end_no)",
}


def ours(project: str, legacy: str, state: str) -> tuple[int, float]:
    """Set up and install; only the backfill itself is timed."""
    os.environ.update(LEGACY_URL=legacy, READ_STORE_URL=state)
    with open_project(project) as app:
        app.setup()
        capture = app.legacy("bench").capture
        capture.install(capture.plan(app.project.captured("bench")))
        began = time.perf_counter()
        if run(["backfill", "--json", "--project", project]) != 0:
            raise SystemExit(1)
        taken = time.perf_counter() - began
        return sum(app.state.archive.last_sequences(app.project.topic("bench")).values()), taken


def peer(_project: str, legacy: str, target: str) -> tuple[int, float]:
    """Read all, write all."""
    source, copy = open_engine(legacy), open_engine(target)
    began, rows = time.perf_counter(), 0
    for table, columns in _COPIES.items():
        with writing(copy) as connection:
            connection.exec_driver_sql(f"CREATE TABLE {table} ({columns})")
        with reading(source) as connection, writing(copy) as written:
            found = connection.execution_options(
                stream_results=True, max_row_buffer=_AT_ONCE
            ).exec_driver_sql(f"SELECT * FROM {table}")
            rows += _copy(written, table, found)
    taken = time.perf_counter() - began
    source.dispose()
    copy.dispose()
    return rows, taken


def _copy(written: Any, table: str, found: Any) -> int:
    rows = 0
    if written.dialect.name != "postgresql":
        marks = ", ".join("?" * len(list(found.keys())))
        for some in found.partitions(_AT_ONCE):
            written.exec_driver_sql(f"INSERT INTO {table} VALUES ({marks})", [tuple(one) for one in some])
            rows += len(some)
        return rows
    with written.connection.driver_connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for row in found:
            copy.write_row(tuple(row))
            rows += 1
    return rows


if __name__ == "__main__":
    rows, seconds = {"ours": ours, "peer": peer}[sys.argv[1]](*sys.argv[2:])
    used = resource.getrusage(resource.RUSAGE_SELF)
    said = {
        "rows": rows,
        "seconds": seconds,
        "processor": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }
    sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
