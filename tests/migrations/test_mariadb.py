"""MariaDB commits each CREATE: what a setup left that failed is finished by the next one, however its URL is spelled."""

from collections.abc import Iterator

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from adapters.engines import open_engine
from adapters.read_store.sql import open_read_store
from migrations.schema.read_store import metadata
from migrations.upgrade import current, head, upgrade
from tests.support.read_store import POLICY, START, TOPICS

pytestmark = pytest.mark.mariadb


class Died(Exception):
    pass


@pytest.fixture
def engine(mariadb_url: str) -> Iterator[Engine]:
    opened = open_engine(mariadb_url)
    yield opened
    opened.dispose()


@pytest.fixture
def url(mariadb_url: str) -> str:
    """As SQLAlchemy spells it for MariaDB alone."""
    return f"mariadb+pymysql:{mariadb_url.partition(':')[2]}"


def whole(engine: Engine) -> bool:
    names = set(metadata.tables)
    with engine.connect() as connection:
        options = {
            "compare_type": True,
            "include_object": lambda _o, name, kind, *_: kind != "table" or name in names,
        }
        context = MigrationContext.configure(connection, opts=options)
        return not compare_metadata(context, metadata)


def half_done(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setup that dies after some of its tables."""

    def dies(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(op, "create_index", dies)
        with pytest.raises(Died):
            upgrade(url, "read_store")


def test_a_url_of_mariadb_makes_the_tables_of_the_metadata(engine: Engine, url: str) -> None:
    upgrade(url, "read_store")
    assert current(url, "read_store") == head("read_store")
    assert whole(engine)
    store = open_read_store(url)
    assert store.create(POLICY, TOPICS, START).serving
    store.close()


def test_a_setup_that_failed_halfway_is_finished_by_the_next_one(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_done(url, monkeypatch)
    with engine.begin() as connection:
        assert inspect(connection).has_table("strangler_projection")
        connection.execute(text("ALTER TABLE strangler_projection MODIFY detail VARCHAR(9) NOT NULL"))
    assert current(url, "read_store") is None
    upgrade(url, "read_store")
    assert current(url, "read_store") == head("read_store")
    assert whole(engine)
    upgrade(url, "read_store")


def test_tables_with_rows_are_never_taken_away(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_done(url, monkeypatch)
    row = "INSERT INTO strangler_projection VALUES ('policy', 1, 1, 1, 0, 'running', '', NULL, NULL, NULL)"
    with engine.begin() as connection:
        connection.execute(text(row))
    with pytest.raises(Exception, match="already exists"):
        upgrade(url, "read_store")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM strangler_projection")) == 1
