"""Several write a version: who joins them, or claims a partition, neither waits for healthy work nor ends it."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition, Event

import pytest
from sqlalchemy import Connection

from adapters import standstill
from adapters.engines import writing
from adapters.read_store import claims
from adapters.read_store.sql import SqlReadStore
from tests.support.crew import PolicyViewAnew
from tests.support.read_store import POLICY, START, TOPIC, TOPICS
from toolkit.core.errors import Fenced, Infrastructure

NAME, VERSION = POLICY.name, POLICY.version
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)


@pytest.fixture
def epoch(read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(standstill, "PATIENCE_S", 1)
    monkeypatch.setattr(standstill, "STILL_S", 1)
    read_store.create(POLICY, TOPICS, START)
    return read_store.join(NAME, VERSION)


@contextmanager
def committing(store: SqlReadStore, epoch: int, number: int) -> Iterator[Connection]:
    """In the midst of a commit of what was read from this partition."""
    claimed = store.claim(NAME, VERSION, [(TOPIC, number)], epoch=epoch)[0]
    with writing(store.engine) as connection:
        claims.hold(connection, NAME, VERSION, epoch, {(TOPIC, number): claimed.epoch})
        yield connection


@pytest.mark.parametrize("read_store_url", [POSTGRES, MARIADB], indirect=True)
def test_who_joins_does_not_wait_for_those_who_write(read_store: SqlReadStore, epoch: int) -> None:
    with committing(read_store, epoch, 0):
        assert read_store.join(NAME, VERSION) == epoch


@pytest.mark.parametrize("read_store_url", [POSTGRES], indirect=True)
def test_who_waits_for_a_partition_ends_nobody_who_writes_another(
    read_store: SqlReadStore, epoch: int
) -> None:
    def stands_still() -> None:
        with committing(read_store, epoch, 0):
            read_store.claim(NAME, VERSION, [(TOPIC, 0)], epoch=epoch)

    with committing(read_store, epoch, 1) as other:
        with pytest.raises(Infrastructure, match="cannot be used"):
            stands_still()
        other.exec_driver_sql("SELECT 1")


@pytest.mark.parametrize("read_store_url", [POSTGRES, MARIADB], indirect=True)
def test_who_drops_a_version_waits_for_who_writes_it_and_takes_nothing_that_he_needs(
    read_store: SqlReadStore, epoch: int
) -> None:
    read_store.create(PolicyViewAnew.definition, TOPICS, START)
    read_store.switch(NAME, 2)
    first, second = [(TOPIC, number) for number in (0, 1)]
    claimed = {at: read_store.claim(NAME, VERSION, [at], epoch=epoch)[0].epoch for at in (first, second)}
    with ThreadPoolExecutor(1) as pool:
        with writing(read_store.engine) as connection:
            claims.hold(connection, NAME, VERSION, epoch, {second: claimed[second]})
            dropping = pool.submit(read_store.drop, NAME, VERSION)
            with pytest.raises(TimeoutError):
                dropping.result(0.5)
            claims.hold(connection, NAME, VERSION, epoch, claimed)
        dropping.result(30)
    assert [one.version for one in read_store.versions(NAME)] == [2]


@pytest.mark.parametrize("read_store_url", [POSTGRES, MARIADB], indirect=True)
def test_who_takes_the_whole_has_his_turn_though_others_write_without_a_pause(
    read_store: SqlReadStore, epoch: int
) -> None:
    """Each of two ends a commit when the other has begun one, so that the version is held at any time."""
    done, turns, under_way = Event(), Condition(), Counter[int]()

    def write(number: int) -> None:
        place = (TOPIC, number)
        claimed = {place: read_store.claim(NAME, VERSION, [place], epoch=epoch)[0].epoch}
        while not done.is_set():
            with writing(read_store.engine) as connection:
                claims.hold(connection, NAME, VERSION, epoch, claimed)
                with turns:
                    under_way[number] += 1
                    turns.notify_all()
                    mine = under_way[1 - number]
                    # Until the other one has begun, or it waits for its turn and will not.
                    turns.wait_for(lambda mine=mine: under_way[1 - number] > mine, 0.5)  # type: ignore[misc]

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, number) for number in (0, 1)]
        try:
            with turns:
                assert turns.wait_for(lambda: min(under_way[0], under_way[1]) > 3, 30)
            assert read_store.seize(NAME, VERSION) == epoch + 1
        finally:
            done.set()
        for one in writers:
            assert isinstance(one.exception(60), Fenced | None)
