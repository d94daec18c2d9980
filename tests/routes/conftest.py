"""State databases for the route tests: SQLite and PostgreSQL, empty, with the toolkit's tables."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from adapters.engines import open_engine
from adapters.state.routes import RouteStore
from migrations.schema import state

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def state_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/state.db"
    else:
        url = request.getfixturevalue("postgres_url")
    engine = open_engine(url)
    state.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_state(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/state.db")
    state.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def routes(state_engine: Engine) -> RouteStore:
    return RouteStore(state_engine)
