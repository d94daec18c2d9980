"""One database for state, log and read store, on each engine."""

from collections.abc import Iterator

import pytest

from adapters.log.sql import SqlLog
from adapters.read_store.sql import open_read_store
from adapters.state.store import open_state
from migrations.schema.read_store import metadata as store_tables
from migrations.schema.state import metadata as state_tables
from tests.retention.world import World
from tests.support.state import state_url

__all__ = ["state_url"]


@pytest.fixture
def world(state_url: str) -> Iterator[World]:
    state, store = open_state(state_url), open_read_store(state_url)
    state_tables.create_all(state.engine)
    store_tables.create_all(store.engine)
    world = World(state, SqlLog(state.engine), store)
    world.lead()
    yield world
    store.close()
    state.close()
