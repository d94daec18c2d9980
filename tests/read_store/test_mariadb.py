"""Where MariaDB is unlike the others: it commits beside each CREATE and DROP, and a read does not go through the view."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from sqlalchemy import text

from adapters.read_store.mariadb import MariadbRows
from adapters.read_store.sql import SqlReadStore, open_read_store
from migrations.schema.read_store import metadata
from tests.read_store.test_sql import ask
from tests.read_store.test_store import Writer, row, version_two
from tests.support.read_store import POLICY, START, TOPICS

pytestmark = pytest.mark.mariadb


@pytest.fixture
def store(mariadb_url: str) -> Iterator[SqlReadStore]:
    opened = open_read_store(mariadb_url)
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


class Died(Exception):
    pass


def dies(*_: object) -> None:
    raise Died


def through_the_view(store: SqlReadStore) -> list[Decimal]:
    """What a report sees that knows nothing of the toolkit."""
    with store.engine.connect() as connection:
        return list(connection.scalars(text("SELECT premium FROM policy_view")))


def test_who_dies_in_a_switch_leaves_reads_right_and_the_view_to_the_next_one(
    store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    Writer(store).write(row(premium=Decimal(1)))
    Writer(store, version_two()).write({"policy_no": "P-1", "premium": Decimal(2)})
    with monkeypatch.context() as patched:
        patched.setattr(MariadbRows, "replace_view", dies)
        with pytest.raises(Died):
            store.switch("policy_view", 2)
    # All that is before CREATE VIEW was rolled back; died after it had committed, the mark would be there.
    assert ask(store, "SELECT premium FROM policy_view").rows == [{"premium": Decimal(1)}]
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE strangler_projection SET serving = version = 2"))
    assert ask(store, "SELECT premium FROM policy_view").rows == [{"premium": Decimal(2)}]
    assert through_the_view(store) == [Decimal(1)]
    store.create(version_two(), TOPICS, START)
    assert through_the_view(store) == [Decimal(2)]


def test_rows_that_a_died_drop_left_are_not_taken_for_a_new_versions(store: SqlReadStore) -> None:
    Writer(store)
    second = version_two()
    Writer(store, second).write({"policy_no": "P-1", "premium": Decimal(2)})
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM strangler_checkpoint WHERE version = 2"))
        connection.execute(text("DELETE FROM strangler_projection WHERE version = 2"))
    Writer(store, second)
    assert store.rows(second, None, 5) == []


@pytest.mark.parametrize(
    "sql",
    [
        "-- the cheap ones\nWITH cheap AS (SELECT premium FROM policy_view) SELECT premium FROM cheap",
        "/* with */ with recursive n(i) as (select 1) select premium from policy_view, n",
        "SELECT premium FROM `policy_view`",
    ],
)
def test_a_read_may_name_its_own_parts(store: SqlReadStore, sql: str) -> None:
    Writer(store).write(row(premium=Decimal("1.50")))
    assert ask(store, sql).rows == [{"premium": Decimal("1.5")}]


def test_a_text_that_differs_in_case_or_in_a_blank_at_its_end_is_another_key(store: SqlReadStore) -> None:
    writer = Writer(store)
    writer.write(row("p-1"), row("P-1"), row("P-1 "), row("Þ-1"))
    assert len(store.load(POLICY, ["p-1", "P-1", "P-1 ", "P-1  "])) == 3


def test_text_of_any_length_is_kept(store: SqlReadStore) -> None:
    writer = Writer(store)
    writer.write(row(reason="ü" * 100_000))
    assert store.load(POLICY, ["P-1"])["P-1"]["reason"] == "ü" * 100_000
