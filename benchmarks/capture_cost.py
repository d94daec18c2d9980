"""What capture by triggers costs the legacy writer: the same writes to the same table, without and with triggers.

The peer is the writer without triggers, so that the ratio is its share of speed that is left. Three tables of one
database (without, by row, by statement) are written in turns by one client, and the medians of the turns are compared:
what else the machine does meets all three. Single rows: one UPDATE, one transaction, as fast as commits go.
Bulk: one statement that writes 10,000 rows, and its commit.

    python -m benchmarks.capture_cost --servers --engine postgresql
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine

from adapters.legacy import open_legacy
from benchmarks import options
from benchmarks.figures import Figure
from benchmarks.places import database, places
from toolkit.ports import CapturedTable
from toolkit.settings import LegacySection

ROUNDS = 7
ROWS = 10_000
SINGLE_TURNS, SINGLE_ROWS = 200, 10
PEER = "the same writer without triggers"
WAYS = ("without", "by row", "by statement")
_TABLE = """
CREATE TABLE {0} (
  id int PRIMARY KEY, pol_no char(12), stat char(2), prem numeric(12,2), note varchar(100), eff date,
  cre timestamptz, upd timestamp, street varchar(40), city varchar(40), agent int, holder bigint);
INSERT INTO {0} SELECT i, 'P' || i, 'A', i * 1.5, 'note ' || i, '2024-01-01', now(), now(), 'street ' || i,
  'city ' || i, i, i FROM generate_series(1, 10000) i
"""


def alone(arguments: Sequence[str] | None = None) -> None:
    """The command line. Only PostgreSQL has both kinds of triggers; elsewhere there is nothing to choose."""
    chosen = options.read(".capture_cost", "What triggers cost the legacy writer.", arguments)
    with places(chosen) as where:
        if where.postgres is not None:
            for figure in figures(where.postgres):
                figure.show(chosen.json)


def figures(server: str, rounds: int = ROUNDS) -> Iterator[Figure]:
    """All figures, in a database of their own on this server."""
    with database(server) as url, _tables(url) as cursor:
        for what, unit, turns, write in (
            ("single row", "transactions/s", SINGLE_TURNS, _single),
            (f"UPDATE of {ROWS:,} rows", "rows/s", rounds, _update),
            (f"COPY of {ROWS:,} rows", "rows/s", rounds, _copy),
        ):
            taken = _turns(cursor, turns, write)
            for way in WAYS[1:]:
                yield Figure(
                    figure=f"capture.cost.{what}, {way} [postgresql]",
                    value=statistics.median(taken[way]),
                    unit=unit,
                    peer=PEER,
                    peer_value=statistics.median(taken["without"]),
                )


def _turns(cursor: Any, turns: int, write: Callable[[Any, str], int]) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(turns):
        if write is not _single:
            for sql in (
                *(f"VACUUM {_name(way)}" for way in WAYS),
                "TRUNCATE strangler.strangler_change",
                "CHECKPOINT",
            ):
                cursor.execute(sql)
        for at in range(len(WAYS)):
            way = WAYS[(turn + at) % len(WAYS)]
            began = time.perf_counter()
            done = write(cursor, _name(way))
            taken[way].append(done / (time.perf_counter() - began))
    return taken


def _name(way: str) -> str:
    return f"policy_{way.replace(' ', '_')}"


@contextmanager
def _tables(url: str) -> Iterator[Any]:
    """A cursor of the legacy writer, each statement its own transaction, and the three tables."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    source = open_legacy("bench", url, LegacySection(url=url, context="bench"))
    with engine.connect() as connection:
        for way in WAYS:
            for sql in (*_TABLE.format(_name(way)).split(";"), f"VACUUM ANALYZE {_name(way)}"):
                connection.exec_driver_sql(sql)
        captured = [
            CapturedTable(table=_name(way), subject="pol_no", statement=way == "by statement")
            for way in WAYS[1:]
        ]
        source.capture.install(source.capture.plan(captured))
        driver: Any = connection.connection.driver_connection
        yield driver.cursor()
    source.close()
    engine.dispose()


def _single(cursor: Any, table: str) -> int:
    for at in range(SINGLE_ROWS):
        cursor.execute(
            f"UPDATE {table} SET prem = prem + 1, stat = 'B' WHERE id = %s", (1 + at * 7919 % ROWS,)
        )
    return SINGLE_ROWS


def _update(cursor: Any, table: str) -> int:
    cursor.execute(f"UPDATE {table} SET prem = prem + 1")
    return ROWS


def _copy(cursor: Any, table: str) -> int:
    cursor.execute(f"SELECT max(id) FROM {table}")
    last = cursor.fetchone()[0]
    with cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for at in range(last + 1, last + 1 + ROWS):
            copy.write(
                f"{at}\tP{at}\tA\t{at}.5\tnote {at}\t2024-01-01\t2024-01-01 12:00Z\t2024-01-01 12:00"
                f"\tstreet {at}\tcity {at}\t{at}\t{at}\n"
            )
    return ROWS


if __name__ == "__main__":
    alone()
