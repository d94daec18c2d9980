"""State databases for the route tests: SQLite and PostgreSQL, empty, with the toolkit's tables."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from adapters.engines import open_engine
from adapters.state.routes import SqlRoutes
from migrations.schema import state
from tests.routes.world import World
from tests.servers.postgres import PostgresServer


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
def routes(state_engine: Engine) -> SqlRoutes:
    return SqlRoutes(state_engine)


@pytest.fixture(params=["sqlite", "postgres"])
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Worlds whose legacy database and whose own databases are two of the same engine."""
    made: list[World] = []
    with ExitStack() as stack:
        if request.param == "sqlite":
            urls = (f"sqlite:///{tmp_path}/legacy.db", f"sqlite:///{tmp_path}/own.db")
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            urls = (stack.enter_context(server.database()), stack.enter_context(server.database()))

        def make(**contract: str) -> World:
            made.append(World(tmp_path, *urls, **contract))
            return made[-1]

        yield make
        for world in made:
            world.close()
