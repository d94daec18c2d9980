"""One installation of capture at a time in a database, by a lock that its server keeps and takes back from who dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, Engine

from adapters.engines import reading
from toolkit import commands
from toolkit.core.errors import Refused

PATIENCE_S = 60.0
_AGAIN_S = 0.1
_NAME = "concat('strangler capture ', md5(coalesce(database(), '')))"
"""MariaDB's locks are the server's: one name for each database."""


@contextmanager
def alone(name: str, engine: Engine, judged: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Hold the lock. SQLite has none that would not keep the installation itself from writing: there it is one transaction."""
    if engine.dialect.name == "sqlite":
        yield
        return
    with judged(), reading(engine) as connection:
        _wait(name, connection)
        try:
            yield
        finally:
            _release(connection)


def _wait(name: str, connection: Connection) -> None:
    until = time.monotonic() + PATIENCE_S
    while not _claimed(connection):
        if time.monotonic() > until:
            raise Refused(
                f"legacy source {name}: another installation of capture has been under way for {PATIENCE_S:g} s; look again "
                f"when it is done: {commands.CAPTURE_PLAN}"
            )
        time.sleep(_AGAIN_S)


def _claimed(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        # Kept by a transaction, since a pooler may give the next one to another session; it idles while others write.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        return bool(
            connection.exec_driver_sql(
                "SELECT pg_try_advisory_xact_lock(hashtext('strangler capture'))"
            ).scalar()
        )
    claimed = connection.exec_driver_sql(f"SELECT GET_LOCK({_NAME}, 0)").scalar() == 1
    connection.commit()  # the session keeps it, and an idle transaction would be ended
    return claimed


def _release(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        connection.exec_driver_sql(f"SELECT RELEASE_LOCK({_NAME})")
    connection.rollback()
