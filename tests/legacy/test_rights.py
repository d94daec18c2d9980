"""Who may do what on PostgreSQL, and what nobody gains by our functions, which run with their owner's rights (R10)."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from tests.support.legacy import POLICY, TABLES, Legacy, policy
from toolkit.core.changes import Op
from toolkit.core.errors import BadValue, Infrastructure, UsageError
from toolkit.ports import Cursor

pytestmark = pytest.mark.postgres
ROLES = ("strangler_owner", "strangler_clerk")


@pytest.fixture
def legacy_url(postgres_url: str, tmp_path: Path) -> str:
    return postgres_url


@pytest.fixture
def owned(legacy: Legacy) -> Iterator[Legacy]:
    """The tables belong to a role without any other right, which installs; a clerk may write."""
    owner, clerk = ROLES
    database = make_url(legacy.url).database
    legacy.run(
        *(f"DROP ROLE IF EXISTS {role}" for role in ROLES),
        *(f"CREATE ROLE {role} LOGIN" for role in ROLES),
        f'GRANT CREATE ON DATABASE "{database}" TO {owner}',
        *(f"ALTER TABLE {table.table} OWNER TO {owner}" for table in TABLES),
        f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON POLMAST TO {clerk}",
    )
    plain = legacy.url
    legacy.source.close()
    legacy.url = make_url(plain).set(username=owner).render_as_string(hide_password=False)
    legacy.source = legacy.open()
    yield legacy
    legacy.source.close()
    legacy.run(*(f"DROP OWNED BY {role} CASCADE" for role in ROLES), *(f"DROP ROLE {role}" for role in ROLES))


def as_clerk(legacy: Legacy, *statements: str) -> None:
    legacy.run(f"SET LOCAL ROLE {ROLES[1]}", *statements)


def test_the_owner_of_the_tables_installs_without_any_other_right_and_removes_it(owned: Legacy) -> None:
    owned.install()
    as_clerk(owned, policy(1), "TRUNCATE POLMAST")
    capture = owned.source.capture
    assert [one.op for one in capture.pending(10, [])] == [Op.INSERT, Op.DELETE]
    assert capture.holes() == []
    capture.remove(capture.plan(TABLES))
    with owned.engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regnamespace('strangler')")) is None


def test_who_may_not_read_a_table_is_shown_the_plan_and_the_holes_and_its_changes_wait_aloud(
    owned: Legacy,
) -> None:
    """Looking for rows whose keys differ in blanks alone takes SELECT: without it, one might be lost in silence."""
    owned.run("ALTER TABLE POLMAST ALTER COLUMN POL_NO TYPE VARCHAR(12)")
    owned.install()
    owned.run(policy(1), f"REVOKE SELECT ON POLMAST FROM {ROLES[0]}")
    capture = owned.source.capture
    assert capture.plan(TABLES).holes == ()
    assert [one.what for one in capture.holes()] == [
        "the owner of capture may not read the table, so that TRUNCATE would fail"
    ]
    with pytest.raises(
        Infrastructure, match=r"POLMAST: other rows .* cannot be looked for: permission denied"
    ):
        capture.pending(10, [])
    owned.run(f"GRANT SELECT ON POLMAST TO {ROLES[0]}")
    assert [one.subject for one in capture.pending(10, [])] == ["P0001"]


def test_who_may_not_create_the_schema_is_told_what_installing_takes(owned: Legacy) -> None:
    owned.run(f'REVOKE CREATE ON DATABASE "{make_url(owned.url).database}" FROM {ROLES[0]}')
    with pytest.raises(UsageError, match="GRANT CREATE ON DATABASE <database>") as refused:
        owned.install()
    assert "To read" not in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM strangler.strangler_change",
        "INSERT INTO strangler.strangler_change (table_name, op, subject, captured_at) VALUES ('X', 'insert', '', now())",
        "DELETE FROM strangler.strangler_captured",
        "SELECT strangler.capture_statement()",
        "CREATE TABLE strangler.mine (x int)",
    ],
)
def test_who_writes_to_the_tables_neither_reads_nor_forges_changes(owned: Legacy, statement: str) -> None:
    owned.run("GRANT CREATE ON SCHEMA public TO PUBLIC")
    owned.install()
    with pytest.raises(Exception, match="permission denied"):
        as_clerk(owned, statement)


def test_nobodys_search_path_leads_our_functions_astray(owned: Legacy) -> None:
    """Functions of the clerk's own, in front of the server's and as temporary ones, never run as the owner."""
    owned.run(f"CREATE SCHEMA trap AUTHORIZATION {ROLES[1]}")
    owned.install()
    trap = "RETURNS {} LANGUAGE plpgsql AS $$ BEGIN RAISE 'run as %', current_user; END $$"
    as_clerk(
        owned,
        f"CREATE FUNCTION trap.rtrim(text) {trap.format('text')}",
        f"CREATE FUNCTION trap.row_to_json(record) {trap.format('json')}",
        f"CREATE FUNCTION trap.clock_timestamp() {trap.format('timestamptz')}",
        "GRANT USAGE ON SCHEMA trap TO PUBLIC",
        "CREATE TEMP TABLE strangler_change (x int)",
        "CREATE TEMP TABLE pg_class (x int)",
        "SET LOCAL search_path = trap, pg_temp, pg_catalog, public",
        policy(1),
        "UPDATE POLMAST SET STAT_CD = 'B '",
        "TRUNCATE POLMAST",
    )
    assert [one.op for one in owned.source.capture.pending(10, [])] == [Op.INSERT, Op.UPDATE, Op.DELETE]


def test_a_value_of_another_type_is_told_apart_from_a_statement_that_fails(legacy: Legacy) -> None:
    asked, limit = "SELECT 1 AS x WHERE 1 = :x", dt.timedelta(seconds=20)
    with pytest.raises(BadValue, match=r'refuses a value: .*"nosuch"'):
        legacy.source.query(asked, {"x": "nosuch"}, timeout=limit)
    with pytest.raises(UsageError, match="refuses the statement"):
        legacy.source.query("SELECT nosuch", {}, timeout=limit)


def test_rows_that_a_policy_hides_are_never_missed_in_silence(owned: Legacy) -> None:
    owned.install([POLICY])
    owned.run(
        policy(1),
        "ALTER TABLE POLMAST ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE POLMAST FORCE ROW LEVEL SECURITY",
    )
    capture = owned.source.capture
    assert [hole.what for hole in capture.holes()] == [
        "row security hides rows from this role: a backfill fails"
    ]
    with pytest.raises(UsageError, match="row-level security"):
        capture.chunk([POLICY], Cursor(tables=("POLMAST",)), 10)
    with pytest.raises(Exception, match="row-level security"):
        as_clerk(owned, "TRUNCATE POLMAST")
    with pytest.raises(UsageError, match="row security hides rows from this role"):
        capture.plan([POLICY])
