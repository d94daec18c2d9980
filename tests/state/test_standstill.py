"""A process that stands still in the midst of a transaction, frozen or cut off, must not keep others from its place."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, select, update

from adapters import engines
from adapters.engines import open_engine, reading, writing
from toolkit.core.errors import Infrastructure

_place = Table("standstill", MetaData(), Column("id", Integer, primary_key=True), Column("value", Integer))


@pytest.fixture(params=["postgres_url", "mariadb_url"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    url: str = request.getfixturevalue(request.param)
    monkeypatch.setattr(engines, "STANDSTILL_S", 1)
    opened = open_engine(url)
    _place.drop(opened, checkfirst=True)
    _place.create(opened)
    with writing(opened) as connection:
        connection.execute(_place.insert(), [{"id": 1, "value": 0}])
    yield opened
    _place.drop(opened)
    opened.dispose()


def set_to(engine: Engine, value: int) -> None:
    with writing(engine) as connection:
        connection.execute(update(_place).values(value=value))


def frozen(engine: Engine, *, goes_on: bool) -> None:
    """Stands still within its transaction for as long as another one has to wait for its lock."""
    with writing(engine) as connection:
        connection.execute(update(_place).values(value=1))
        set_to(engine, 2)
        if goes_on:
            connection.execute(update(_place).values(value=3))


@pytest.mark.parametrize("goes_on", [True, False], ids=["writes on", "only commits"])
def test_its_locks_are_free_after_a_while_and_it_finds_its_work_undone(engine: Engine, goes_on: bool) -> None:
    with pytest.raises(Infrastructure, match="cannot be used"):
        frozen(engine, goes_on=goes_on)
    with reading(engine) as connection:
        assert connection.scalar(select(_place.c.value)) == 2
