"""What MariaDB shows before it is on disk is not told to anybody: a crash would undo it, and give its numbers away (R1)."""

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.servers.mariadb import MariaDBServer
from tests.support.legacy import Legacy, policy

pytestmark = pytest.mark.mariadb


@pytest.fixture
def legacy_url(mariadb_url: str, tmp_path: Path) -> str:
    return mariadb_url


def test_a_change_that_was_offered_is_there_after_the_server_is_killed(
    captured: Legacy, mariadb_server: MariaDBServer
) -> None:
    with captured.engine.connect() as connection:
        # A commit is acknowledged and seen at once, and written within a second.
        connection.execute(text("SET GLOBAL innodb_flush_log_at_trx_commit = 0"))
    captured.run(policy(1))
    offered = captured.source.capture.pending(100, [])
    mariadb_server.kill()
    mariadb_server.start()
    assert len(offered) == 1
    assert captured.source.capture.pending(100, []) == offered
