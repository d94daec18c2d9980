"""Several write a version: who joins them, or claims a partition, neither waits for healthy work nor ends it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection

from adapters import standstill
from adapters.engines import writing
from adapters.read_store import claims
from adapters.read_store.sql import SqlReadStore
from tests.support.read_store import POLICY, START, TOPIC, TOPICS
from toolkit.core.errors import Infrastructure

NAME, VERSION = POLICY.name, POLICY.version
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)


@pytest.fixture
def epoch(read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(standstill, "PATIENCE_S", 1)
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
