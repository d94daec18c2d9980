"""Each set of tables comes and goes by its own Alembic environment, the same on every engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, text

from adapters.engines import open_engine
from migrations.environment import ENVIRONMENTS
from migrations.upgrade import current, downgrade, head, offline_sql, upgrade
from toolkit.core.errors import UsageError

NAMES = tuple(ENVIRONMENTS)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = (
        f"sqlite:///{tmp_path / 'x.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    engine = create_engine(url)
    yield engine
    engine.dispose()


def catalogue(engine: Engine) -> list[tuple[object, ...]]:
    """Everything in the database that somebody could have made."""
    if engine.dialect.name == "sqlite":
        sql = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
    else:
        sql = (
            "SELECT nspname, relname, relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
            " UNION ALL SELECT nspname, '', '' FROM pg_namespace ORDER BY 1, 2"
        )
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def differences(connection: Connection, name: str) -> list[object]:
    environment = ENVIRONMENTS[name]
    dialect = connection.dialect.name
    metadata = environment.metadata(dialect)
    names = {table.name for table in metadata.tables.values()}
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "include_schemas": environment.schema(dialect) is not None,
            "include_object": lambda _o, name, kind, *_: kind != "table" or name in names,
        },
    )
    return list(compare_metadata(context, metadata))


@pytest.mark.parametrize("name", NAMES)
def test_upgrading_makes_exactly_the_tables_of_the_metadata(engine: Engine, name: str) -> None:
    upgrade(engine, name)
    with engine.connect() as connection:
        assert differences(connection, name) == []
    assert current(engine, name) == head(name)


@pytest.mark.parametrize("name", NAMES)
def test_downgrading_leaves_no_trace(engine: Engine, name: str) -> None:
    before = catalogue(engine)
    upgrade(engine, name)
    assert catalogue(engine) != before
    downgrade(engine, name)
    assert catalogue(engine) == before
    assert current(engine, name) is None


@pytest.mark.parametrize("name", NAMES)
def test_going_up_or_down_twice_is_going_once(engine: Engine, name: str) -> None:
    upgrade(engine, name)
    upgrade(engine, name)
    downgrade(engine, name)
    downgrade(engine, name)
    upgrade(engine, name)
    assert current(engine, name) == head(name)


def test_the_three_share_a_database_and_go_one_by_one(engine: Engine) -> None:
    for name in NAMES:
        upgrade(engine, name)
    downgrade(engine, "read_store")
    assert [current(engine, name) for name in NAMES] == [head("state"), None, head("capture")]


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_statements_do_what_the_upgrade_does(engine: Engine, name: str) -> None:
    before = catalogue(engine)
    upgrade(engine, name)
    upgraded = catalogue(engine)
    downgrade(engine, name)
    with engine.begin() as connection:
        for statement in offline_sql(engine.dialect.name, name):
            connection.exec_driver_sql(statement)
    assert current(engine, name) == head(name)
    assert [row[:2] for row in catalogue(engine)] == [row[:2] for row in upgraded]
    with engine.begin() as connection:
        for statement in offline_sql(engine.dialect.name, name, down=True):
            connection.exec_driver_sql(statement)
    assert catalogue(engine) == before


def test_a_connection_keeps_its_transaction(engine: Engine) -> None:
    ours = open_engine(engine.url.render_as_string(hide_password=False))
    with ours.connect() as connection:
        upgrade(connection, "state")
        connection.rollback()
    ours.dispose()
    assert current(engine, "state") is None


def test_an_unknown_set_of_tables_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="there are: state, read_store, capture"):
        offline_sql("sqlite", "stat")
