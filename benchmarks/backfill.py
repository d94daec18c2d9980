"""A backfill of two tables beside a plain copy of their rows: rows a second, and the memory it takes, at two sizes.

Half of the rows are policies with a CHAR key, half their endorsements with a composite one. Ours is the command
`strangler backfill` in a process of its own: chunks by key, translated, archived as events with their cursor. The peer is
what somebody writes first: `SELECT *` by a server-side cursor, written into a table of the same columns by COPY
(SQLite: executemany). It has no events, nothing joins it to the stream, and killed it begins again.
If memory grew with the table, the full size would show it beside a tenth.

    python -m benchmarks.backfill --servers --engine postgresql --rows 10000000
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from adapters.engines import open_engine
from benchmarks import options
from benchmarks.figures import Figure
from benchmarks.places import database, places
from tests.support import python_child

PATIENCE = 4 * 3600.0
PEER = "SELECT * and COPY"
_PROJECT = Path(__file__).parent / "backfill_project"
_TABLES = """
CREATE TABLE policy (
  pol_no CHAR(12) NOT NULL PRIMARY KEY, stat CHAR(2), prem NUMERIC(12,2), note VARCHAR(100), eff DATE, agent INT);
CREATE TABLE endorsement (
  pol_no CHAR(12) NOT NULL, end_no INT NOT NULL, kind CHAR(2), amount NUMERIC(12,2), eff DATE,
  PRIMARY KEY (pol_no, end_no));
"""
_SERIES = {
    "postgresql": "generate_series(1, {0}) AS s(i)",
    "sqlite": "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {0}) SELECT i FROM s) AS s",
}
_FILL = {
    "postgresql": (
        "INSERT INTO policy SELECT 'P' || lpad(i::text, 9, '0'), 'A', i * 0.5, 'note ' || i, '2024-01-01', i % 99 FROM {0}",
        "INSERT INTO endorsement SELECT 'P' || lpad(((i + 1) / 2)::text, 9, '0'), i % 2, 'E', i * 0.5, '2024-01-01' FROM {0}",
        "ANALYZE",
    ),
    "sqlite": (
        "INSERT INTO policy SELECT printf('P%09d', i), 'A', i * 0.5, 'note ' || i, '2024-01-01', i % 99 FROM {0}",
        "INSERT INTO endorsement SELECT printf('P%09d', (i + 1) / 2), i % 2, 'E', i * 0.5, '2024-01-01' FROM {0}",
    ),
}


class Ran(msgspec.Struct, frozen=True):
    """What a process of a contender says of itself when it ends."""

    rows: int
    seconds: float
    processor: float
    peak_mb: float


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    made = options.parser(".backfill", "A backfill beside a plain copy.")
    made.add_argument(
        "--rows", type=int, default=200_000, help="rows of the full size; a tenth is taken, too"
    )
    chosen = options.checked(made, arguments)
    with places(chosen) as where:
        for figure in figures(where.postgres, chosen.rows):
            figure.show(chosen.json)


def figures(server: str | None, rows: int) -> Iterator[Figure]:
    """All figures, at a tenth and at the full size, each in databases of its own."""
    engine = "sqlite" if server is None else "postgresql"
    peaks = []
    for size in (rows // 10, rows):
        ours, peer = _both(server, size)
        peaks.append(ours.peak_mb)
        told: tuple[tuple[str, str, float, float], ...] = (
            ("speed", "rows/s", ours.rows / ours.seconds, peer.rows / peer.seconds),
            (
                "processor time of the client",
                "us/row",
                1e6 * ours.processor / ours.rows,
                1e6 * peer.processor / peer.rows,
            ),
            ("peak RSS", "MB", ours.peak_mb, peer.peak_mb),
        )
        for what, unit, value, beside in told:
            yield Figure(
                figure=f"backfill.{what} of {size:,} rows [{engine}]",
                value=value,
                unit=unit,
                peer=PEER,
                peer_value=beside,
            )
    yield Figure(
        figure=f"backfill.peak RSS at the full size [{engine}]",
        value=peaks[1],
        unit="MB",
        peer="the same at a tenth",
        peer_value=peaks[0],
    )


def _both(server: str | None, size: int) -> tuple[Ran, Ran]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

        def named(name: str) -> str:
            if server is None:
                return f"sqlite:///{folder / name}.db"
            return stack.enter_context(database(server))

        legacy = named("legacy")
        _fill(legacy, size)
        return _ran("ours", legacy, named("state")), _ran("peer", legacy, named("copy"))


def _fill(url: str, size: int) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.exec_driver_sql(statement)
        for statement in _FILL[engine.dialect.name]:
            connection.execution_options(no_parameters=True).exec_driver_sql(
                statement.format(_SERIES[engine.dialect.name].format(size // 2))
            )
    engine.dispose()


def _ran(contender: str, legacy: str, target: str) -> Ran:
    with python_child(
        "-m", "benchmarks.backfill_contenders", contender, str(_PROJECT), legacy, target
    ) as child:
        if child.wait(PATIENCE) != 0:
            sys.stderr.write(child.output)
            raise SystemExit(1)
        return msgspec.json.decode(child.lines[-1], type=Ran)


if __name__ == "__main__":
    main()
