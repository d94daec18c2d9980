"""Taking over from a process that stands still in the midst of a transaction, frozen or cut off, with a lock in its hand.

The server ends a transaction that waits for its client (`adapters.engines.STANDSTILL_S`), but not one that is in the midst
of a COPY: PostgreSQL reads on, for ever. Whoever is to take its place ends it then. Who is in the way is what the server
itself says of the one who waits, and never guessed from a row: nobody is ended who only looks alike. Whoever still does
something, however long it takes, is not standing still: neither a statement that runs nor a COPY that grows.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import DBAPIError

from adapters.engines import reading, wait_at_most, waited_in_vain, writing
from adapters.statements import Statements
from toolkit.core.errors import Infrastructure

log = logging.getLogger("strangler.state")

PATIENCE_S = 10
"""How long one who takes over waits for a lock before it looks who has it."""
STILL_S = 5
"""How long whoever has it must have done nothing at all, while somebody looked."""
LOOK_EVERY = 0.25

_look = Statements(__file__).query("who_stands_in_the_way")
_end = Statements(__file__).query("end_who_stands_still")
T = TypeVar("T")


def taking_over(
    engine: Engine,
    act: Callable[[Connection], T],
    *,
    what: str,
    may_end: Callable[[Connection], bool] = lambda _: True,
) -> T:
    """Do it in a transaction. Where a lock is not given in time, whoever stands still and is in the way is ended.

    `may_end`: is what is to be taken over free to be taken?
    """
    try:
        with writing(engine) as connection:
            wait_at_most(connection, PATIENCE_S)
            return act(connection)
    except Infrastructure as error:
        if not waited_in_vain(error):
            raise
        with reading(engine) as connection:
            if not may_end(connection):
                raise
    with writing(engine) as connection:
        wait_at_most(connection, PATIENCE_S + STILL_S)
        with _clearing(engine, connection, what):
            return act(connection)


@contextmanager
def _clearing(engine: Engine, connection: Connection, what: str) -> Iterator[None]:
    """Meanwhile, whoever is in this connection's way and stands still is ended."""
    waiter = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(engine, waiter, what, done), name="standstill", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def _watch(engine: Engine, waiter: int, what: str, done: threading.Event) -> None:
    since: dict[Row[tuple[object, ...]], float] = {}
    try:
        while not done.wait(LOOK_EVERY):
            with reading(engine) as connection:
                found = connection.execute(_look, {"waiter": waiter, "patience": PATIENCE_S}).all()
            now = time.monotonic()
            since = {one: since.get(one, now) for one in found}
            for one in [one for one, seen in since.items() if now - seen >= STILL_S]:
                with writing(engine) as connection:
                    ended = connection.execute(_end, {"pid": one.pid, "begun": one.begun}).scalars().all()
                if any(ended):
                    log.warning("%s: ended the transaction of a process that stands still", what)
    except (Infrastructure, DBAPIError) as error:  # such as a server before PostgreSQL 14
        log.warning("%s: who stands in the way cannot be told: %s", what, error)
