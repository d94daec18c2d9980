"""A projector that stands still in the midst of a commit, frozen or cut off, does not keep its version for ever."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from adapters import standstill
from adapters.engines import writing
from adapters.read_store import bookkeeping, claims
from adapters.read_store.sql import SqlReadStore
from tests.support.read_store import POLICY, START, TOPICS
from toolkit.core.errors import Infrastructure

NAME, VERSION = POLICY.name, POLICY.version


pytestmark = pytest.mark.postgres


@pytest.fixture
def read_store_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def epoch(read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(standstill, "PATIENCE_S", 1)
    monkeypatch.setattr(standstill, "STILL_S", 1)
    read_store.create(POLICY, TOPICS, START)
    return read_store.seize(NAME, VERSION)


def test_whoever_takes_the_version_over_ends_a_commit_that_stands_still(
    read_store: SqlReadStore, epoch: int
) -> None:
    def stands_still() -> None:
        with writing(read_store.engine) as frozen:
            bookkeeping.fence(frozen, NAME, VERSION, epoch, updated_at=START)
            driver: Any = frozen.connection.driver_connection
            with driver.cursor().copy(f"COPY {NAME}__v{VERSION} FROM STDIN"):
                assert read_store.seize(NAME, VERSION) == epoch + 1

    with pytest.raises(Infrastructure, match="cannot be used"):
        stands_still()
    assert read_store.rows(POLICY, None, 1) == []


@pytest.mark.timeout(60)
def test_whoever_tells_how_a_shared_version_is_doing_ends_it_too(
    read_store: SqlReadStore, epoch: int
) -> None:
    """He has the turn of all who would claim, and would wait for ever."""
    shared = read_store.join(NAME, VERSION)
    place = next((one.topic, one.partition) for one in read_store.checkpoints(NAME, VERSION))
    (mine,) = read_store.claim(NAME, VERSION, [place], epoch=shared)

    def stands_still() -> None:
        with writing(read_store.engine) as frozen:
            claims.hold(frozen, NAME, VERSION, shared, {place: mine.epoch})
            driver: Any = frozen.connection.driver_connection
            with driver.cursor().copy(f"COPY {NAME}__v{VERSION} FROM STDIN"):
                read_store.tell(NAME, VERSION, "running", "", epoch=shared, now=START)

    with pytest.raises(Infrastructure, match="cannot be used"):
        stands_still()
    assert read_store.versions(NAME)[0].state == "running"


@contextmanager
def going_on(copy: Any) -> Iterator[None]:
    """Rows come, slowly, until whoever looks has had his patience."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.1):
            copy.write("9\t" + "x" * 100_000 + "\n")

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        stop.set()
        sending.join()


def test_a_slow_commit_that_goes_on_is_waited_for_and_not_ended(read_store: SqlReadStore, epoch: int) -> None:
    with writing(read_store.engine) as slow:
        slow.exec_driver_sql("CREATE TEMP TABLE much (id int, text text)")
        bookkeeping.fence(slow, NAME, VERSION, epoch, updated_at=START)
        driver: Any = slow.connection.driver_connection
        with (
            driver.cursor().copy("COPY much FROM STDIN") as copy,
            going_on(copy),
            pytest.raises(Infrastructure, match="lock timeout"),
        ):
            read_store.seize(NAME, VERSION)
    assert read_store.versions(NAME)[0].epoch == epoch


def test_a_statement_that_runs_for_long_is_not_ended(read_store: SqlReadStore, epoch: int) -> None:
    def run(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(6)")

    with writing(read_store.engine) as slow:
        bookkeeping.fence(slow, NAME, VERSION, epoch, updated_at=START)
        running = threading.Thread(target=run, args=(slow,))
        running.start()
        with pytest.raises(Infrastructure, match="lock timeout"):
            read_store.seize(NAME, VERSION)
        running.join()


def test_who_stands_still_and_is_in_nobodys_way_is_left_alone(read_store: SqlReadStore, epoch: int) -> None:
    """Even one that holds another version's row, and waits in a COPY for longer than the one who is ended."""
    name = "innocent"
    with writing(read_store.engine) as connection:
        bookkeeping.enter(connection, name, 1, TOPICS, START)
    with writing(read_store.engine) as innocent:
        bookkeeping.seize(innocent, name, 1)
        driver: Any = innocent.connection.driver_connection
        with driver.cursor().copy(f"COPY {NAME}__v{VERSION} FROM STDIN"):
            test_whoever_takes_the_version_over_ends_a_commit_that_stands_still(read_store, epoch)
