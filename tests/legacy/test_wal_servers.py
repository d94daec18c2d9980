"""Reading the log of a server that dies, is restored from a copy, fails over, or cannot be read at all (R1)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.legacy.wal.guarding import SlotBroken
from tests.conftest import IN_CI
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerUnavailable, run_as
from tests.support.legacy import HOLD, POLICY, SOURCE, hold, policy
from tests.support.wal import LogLegacy
from toolkit.core.errors import Infrastructure, UsageError

pytestmark = pytest.mark.postgres


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own, to be harmed."""
    try:
        made = PostgresServer(autovacuum="off")
    except ServerUnavailable as reason:
        if IN_CI:
            raise
        pytest.skip(str(reason))
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def log(server: PostgresServer, tmp_path: Path) -> Iterator[LogLegacy]:
    made = LogLegacy(server.url(server.create_database()), f"sqlite:///{tmp_path}/state.db")
    made.install([POLICY])
    yield made
    made.close()


def take(log: LogLegacy) -> list[str]:
    changes = log.capture.pending(1000, [])
    log.capture.mark([one.number for one in changes])
    return [one.subject for one in changes]


def reconnect(log: LogLegacy) -> None:
    log.engine.dispose()
    log.again()


def test_a_server_that_dies_forgets_how_far_it_was_read_and_nothing_comes_twice(
    log: LogLegacy, server: PostgresServer
) -> None:
    server.sql("CHECKPOINT")
    log.run(policy(1))
    log.run(policy(2))
    assert take(log) == ["P0001", "P0002"]
    server.kill()
    server.start()
    reconnect(log)
    confirmed = log.ask(
        f"SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{log.slot}'"
    )
    assert int(str(confirmed)) < log.capture._fetcher.position.lsn or take(log) == []
    log.run(policy(3))
    assert take(log) == ["P0003"]
    assert log.state.inbox(SOURCE).last() == 3


def test_a_server_that_is_restored_from_a_copy_is_not_read_on(log: LogLegacy, server: PostgresServer) -> None:
    """Its log has other transactions where ours were, and its slot stands before them, as if nothing had happened."""
    log.run(policy(1))
    assert take(log) == ["P0001"]
    copy = server.directory / "copy"
    server.stop()
    run_as(server._owner, ["cp", "-a", str(server._data), str(copy)], cwd=server.directory, needs="cp")
    server.start()
    reconnect(log)
    log.run(policy(2))
    assert take(log) == ["P0002"]
    server.stop()
    shutil.rmtree(server._data)
    copy.rename(server._data)
    server.start()
    reconnect(log)
    with pytest.raises(SlotBroken, match="restored"):
        take(log)
    log.run(
        "CREATE TABLE NOISE AS SELECT n FROM generate_series(1, 5000) n"
    )  # its log is longer now than ours was
    with pytest.raises(SlotBroken, match=r"it is not there any more|that never was"):
        take(log)
    log.run(policy(10))
    with pytest.raises(SlotBroken, match="history is another one"):
        take(log)
    log.install([POLICY])
    log.run(policy(3))
    assert take(log) == ["P0003"]


def test_after_a_failover_nothing_is_read_on(log: LogLegacy, server: PostgresServer) -> None:
    log.run(policy(1))
    assert take(log) == ["P0001"]
    server.stop()
    run_as(
        server._owner, ["touch", str(server._data / "standby.signal")], cwd=server.directory, needs="touch"
    )
    server.start()
    with pytest.raises(UsageError, match="the server is a standby"):
        log.capture.plan([POLICY])
    server.sql("SELECT pg_promote()")
    reconnect(log)
    with pytest.raises(SlotBroken, match="timeline"):
        take(log)
    log.install([POLICY])
    log.run(policy(2))
    assert take(log) == ["P0002"]


def test_a_server_without_logical_log_says_what_to_do(tmp_path: Path) -> None:
    server = PostgresServer(wal_level="replica")
    server.start()
    try:
        log = LogLegacy(server.url(server.create_database()), f"sqlite:///{tmp_path}/state.db")
        with pytest.raises(UsageError, match=r"wal_level is replica.*ALTER SYSTEM SET wal_level = logical"):
            log.capture.plan([POLICY])
        log.close()
    finally:
        server.stop()


def test_what_is_in_the_inbox_flows_while_the_server_is_away(log: LogLegacy, server: PostgresServer) -> None:
    """But for what is to be compared with the rows that are there, and what follows it of its subject."""
    log.run("ALTER TABLE POLMAST ALTER COLUMN POL_NO TYPE VARCHAR(12)")
    log.install([POLICY, HOLD])
    log.run(policy(1), hold(1, of=1), hold(2, of=2), policy(3))
    assert len(log.capture.pending(1000, [])) == 4
    server.kill()
    assert [one.subject for one in log.capture.pending(1000, [])] == ["P0002"]
    assert [one.subject for one in log.capture.pending(1000, [])] == ["P0002"], "as long as it is not marked"
    log.capture.mark([3])
    with pytest.raises(Infrastructure):
        log.capture.pending(1000, [])
    server.start()
    reconnect(log)
    assert take(log) == ["P0001", "P0001", "P0003"]
