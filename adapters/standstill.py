"""Taking over from a process that stands still in the midst of a transaction, frozen or cut off, with a lock in its hand.

The server ends a transaction that waits for its client (`adapters.engines.STANDSTILL_S`), but not one that is in the midst
of a COPY: PostgreSQL reads on, for ever. Whoever is to take its place ends it then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Table, Text, cast, literal_column, select

from adapters.engines import wait_at_most, waited_in_vain, writing
from adapters.statements import Statements
from toolkit.core.errors import Infrastructure

log = logging.getLogger("strangler.state")

PATIENCE_S = 10
"""How long one who takes over waits for a lock."""

_end = Statements(__file__).query("end_who_stands_still")
T = TypeVar("T")


def taking_over(
    engine: Engine, act: Callable[[Connection], T], *rows: tuple[Table, ColumnElement[bool]], what: str
) -> T:
    """Do it in a transaction. Where a lock is not given in time, whoever stands still with one of these rows is ended first.

    `rows` are locked by whoever writes under them, and by nobody else for long.
    """
    try:
        return _act(engine, act)
    except Infrastructure as error:
        if not waited_in_vain(error):
            raise
    _end_holders(engine, rows, what)
    return _act(engine, act)


def _act(engine: Engine, act: Callable[[Connection], T]) -> T:
    with writing(engine) as connection:
        wait_at_most(connection, PATIENCE_S)
        return act(connection)


def _end_holders(engine: Engine, rows: tuple[tuple[Table, ColumnElement[bool]], ...], what: str) -> None:
    with writing(engine) as connection:
        holders = [
            holder
            for table, which in rows
            for holder in connection.scalars(
                select(cast(literal_column(f"{table.name}.xmax"), Text)).select_from(table).where(which)
            )
        ]
        ended = connection.execute(_end, {"holders": holders, "patience": PATIENCE_S}).scalars().all()
    if ended:
        log.warning("%s: ended %d transactions of processes that stand still", what, len(ended))
