"""What is visible need not last: InnoDB shows a commit before its log is written, and a server that is killed in between
comes back without it, and gives the numbers of its changes to others.

So what was read waits until the log is written as far as it was when it was read. A server that writes its log at each
commit is at it by then; only what nobody waits for (its own housekeeping) stays unwritten for up to a second, and cannot
be told apart: after a while, no commit can have been meant. One that writes once a second is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection

WRITING_S = 0.05
"""How long writing the log for a commit takes at most, where each commit waits for it."""
EACH_SECOND_S = 3.0
"""How long it takes where the server writes once a second."""
_LOOK_EVERY_S = 0.002
_ASK = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_lsn_current', 'Innodb_lsn_flushed')"  # MariaDB's names


def until_durable(
    connection: Connection,
    *,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Come back when what this connection has read would survive a crash of the server. MySQL does not tell."""
    written, wanted = _log(connection)
    if written >= wanted:
        return
    at_commit = connection.exec_driver_sql("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").scalar()
    end = monotonic() + (WRITING_S if at_commit in (1, 3) else EACH_SECOND_S)
    while written < wanted and monotonic() < end:
        sleep(_LOOK_EVERY_S)
        written, _ = _log(connection)


def _log(connection: Connection) -> tuple[int, int]:
    """How far the log is written, and how long it is."""
    told = {str(row[0]).lower(): int(row[1]) for row in connection.exec_driver_sql(_ASK)}
    return told.get("innodb_lsn_flushed", 0), told.get("innodb_lsn_current", 0)
