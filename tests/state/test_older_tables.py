"""A database that an older version set up says so, and what to do, in place of the server's own words."""

import pytest
from sqlalchemy import text

from adapters.engines import open_engine, reading, writing
from tests.support.read_store import read_store_url
from toolkit.core.errors import NotSetUp

__all__ = ["read_store_url"]


def test_a_column_that_an_upgrade_adds_is_not_there_before_setup_was_run(read_store_url: str) -> None:
    engine = open_engine(read_store_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS strangler_checkpoint"))
        connection.execute(text("CREATE TABLE strangler_checkpoint (topic VARCHAR(9))"))
        connection.execute(text("CREATE TABLE theirs (topic VARCHAR(9))"))
    with (
        pytest.raises(NotSetUp, match="of an older version: run `strangler setup` first"),
        reading(engine) as one,
    ):
        one.execute(text("SELECT strangler_checkpoint.awaited FROM strangler_checkpoint"))
    with pytest.raises(Exception) as raised, writing(engine) as one:
        one.execute(text("SELECT theirs.awaited FROM theirs"))
    assert not isinstance(raised.value, NotSetUp)
    engine.dispose()
