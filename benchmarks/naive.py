"""The peer: the pipeline that people write first, by hand, in an afternoon.

It polls the change table that capture by triggers fills (the same one, with the same triggers) by `number > last`,
every 0.2 s while there is nothing, and applies each change in a transaction of its own: the row image into one table,
and the position into another. The databases have the same settings as ours.

What it does not do, and ours does: domain events with a checked contract, eight read models instead of one copy of
the rows, history from before the capture, an archive to rebuild from, a log that others read, a promise of how
current a view is, parking of what cannot be read, fencing of a second instance. Its rows are kept by (table, subject),
so of two endorsements of one policy it shows the last. And it is wrong where writers overlap: a transaction that draws
a low number and commits late is never seen (PostgreSQL; on SQLite there is one writer).

    python -m benchmarks.naive LEGACY_URL READ_URL
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from sqlalchemy import Engine, text

from adapters.engines import open_engine, reading, writing
from migrations.schema.capture import schema_of

INTERVAL = 0.2
"""Seconds between two looks while there is nothing: what our relay waits, too."""
BATCH = 1000

_TABLES = (
    "CREATE TABLE IF NOT EXISTS naive_row (what TEXT, subject TEXT, body TEXT, PRIMARY KEY (what, subject))",
    "CREATE TABLE IF NOT EXISTS naive_position (one INTEGER PRIMARY KEY, number BIGINT NOT NULL)",
    "INSERT INTO naive_position VALUES (1, 0) ON CONFLICT DO NOTHING",
)
_UPSERT = text(
    "INSERT INTO naive_row (what, subject, body) VALUES (:what, :subject, :body)"
    " ON CONFLICT (what, subject) DO UPDATE SET body = excluded.body"
)
_MOVE = text("UPDATE naive_position SET number = :number")
_WHERE = text("SELECT number FROM naive_position")


def change_table(engine: Engine) -> str:
    """The change table's name, as SQL spells it on this engine."""
    schema = schema_of(engine.dialect.name)
    return f"{schema}.strangler_change" if schema else "strangler_change"


class Naive:
    """Copies changes, one transaction each."""

    def __init__(self, legacy: str, read: str) -> None:
        self._legacy, self.read = open_engine(legacy), open_engine(read)
        self._next = text(
            f"SELECT number, table_name, subject, after FROM {change_table(self._legacy)}"
            " WHERE number > :last ORDER BY number LIMIT :batch"
        )
        with writing(self.read) as connection:
            for statement in _TABLES:
                connection.execute(text(statement))
        self._last = self.position()

    def position(self) -> int:
        """The number of the last change applied."""
        with reading(self.read) as connection:
            return int(connection.scalar(_WHERE) or 0)

    def step(self) -> int:
        """Apply what is new; returns how much that was."""
        with reading(self._legacy) as connection:
            rows = connection.execute(self._next, {"last": self._last, "batch": BATCH}).all()
        for row in rows:
            self._apply(row)
        return len(rows)

    def _apply(self, row: Any) -> None:
        with writing(self.read) as connection:
            values = {"what": row.table_name, "subject": row.subject, "body": row.after}
            connection.execute(_UPSERT, values)
            connection.execute(_MOVE, {"number": row.number})
        self._last = row.number

    def run(self, stop: threading.Event) -> None:
        """Until stopped."""
        while not stop.is_set():
            if not self.step():
                stop.wait(INTERVAL)

    def close(self) -> None:
        """Give back the connections."""
        self._legacy.dispose()
        self.read.dispose()


if __name__ == "__main__":
    Naive(*sys.argv[1:3]).run(threading.Event())
