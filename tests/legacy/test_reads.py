"""Reads of the legacy source are guarded: they cannot write, end in time, and are few at once (R10, R8)."""

import datetime as dt
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.legacy import open_legacy
from tests.support.legacy import Legacy, policy
from tests.support.parameters import GIVEN, NOON, parameters
from toolkit.core.errors import Infrastructure, ReadTimeout, UsageError
from toolkit.ports import LegacySource
from toolkit.settings import LegacySection

LONG = dt.timedelta(seconds=20)
SHORT = dt.timedelta(milliseconds=100)
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mysql": "SELECT sleep(60)",
}

NAPS = {
    "sqlite": "SELECT count(*) FROM POLMAST",
    "postgresql": "SELECT pg_sleep({})",
    "mysql": "SELECT sleep({})",
}


@pytest.fixture
def narrow(legacy: Legacy) -> Iterator[LegacySource]:
    """A source that may be read once at a time."""
    source = legacy.open(max_reads=1)
    yield source
    source.close()


def endless(legacy: Legacy) -> str:
    return ENDLESS[legacy.engine.dialect.name]


def test_rows_come_with_lower_case_names_and_their_padding(legacy: Legacy) -> None:
    legacy.run(policy(1))
    sql = "SELECT POL_NO AS Policy, STAT_CD FROM POLMAST WHERE POL_NO = :number"
    answer = legacy.source.query(sql, {"number": "P0001   "}, timeout=LONG)
    assert answer.rows == [{"policy": legacy.padded("P0001   "), "stat_cd": legacy.padded("A ")}]


def test_a_parameter_that_the_statement_does_not_use_is_no_fault(legacy: Legacy) -> None:
    assert legacy.source.query("SELECT 1 AS x", {"today": "2024-01-01"}, timeout=LONG).rows == [{"x": 1}]


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_a_parameter_means_what_it_means_to_the_caller(legacy: Legacy, given: dict[str, object]) -> None:
    legacy.run(
        "CREATE TABLE FACTS (TXT VARCHAR(20), AMT NUMERIC(12,2), NUM INTEGER, DAY DATE, AT TIMESTAMP NULL)",
        "INSERT INTO FACTS VALUES ('request', 12.50, 7, '2024-02-29', '2024-02-03 12:00:00')",
    )
    if legacy.postgres:
        legacy.run("ALTER TABLE FACTS ALTER AT TYPE timestamptz USING AT AT TIME ZONE 'UTC'")
    at = "datetime(AT) = datetime(:at)" if legacy.sqlite else "AT = :at"
    if legacy.postgres and given.get("at") == NOON.replace(tzinfo=None):
        at = "AT AT TIME ZONE 'UTC' = :at"  # a column of local times
    sql = f"SELECT count(*) AS n FROM FACTS WHERE TXT = :text AND AMT = :amount AND NUM = :number AND DAY = :day AND {at}"
    assert legacy.source.query(sql, parameters(given), timeout=LONG).rows == [{"n": 1}]


def test_the_instant_is_taken_after_the_read(legacy: Legacy) -> None:
    before = legacy.source.clock()
    sql = NAPS[legacy.engine.dialect.name].format(0.05)
    answer = legacy.source.query(sql, {}, timeout=LONG)
    assert before <= answer.instant <= legacy.source.clock()
    if not legacy.sqlite:
        assert answer.instant - before >= dt.timedelta(milliseconds=50)
    assert answer.instant.tzinfo is dt.UTC


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM POLMAST",
        "DROP TABLE POLMAST",
        "CREATE TABLE X (Y INTEGER)",
        "COMMIT; DELETE FROM POLMAST",
    ],
)
def test_a_read_that_writes_is_refused(legacy: Legacy, statement: str) -> None:
    legacy.run(policy(1))
    with pytest.raises((UsageError, Infrastructure)):
        legacy.source.query(statement, {}, timeout=LONG)
    with legacy.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM POLMAST")) == 1


def test_a_read_that_takes_too_long_is_cancelled(legacy: Legacy) -> None:
    with pytest.raises(ReadTimeout, match=r"policy_admin: cancelled after 0\.1 s"):
        legacy.source.query(endless(legacy), {}, timeout=SHORT)
    assert legacy.source.query("SELECT 1 AS x", {}, timeout=LONG).rows == [{"x": 1}]


def test_one_reads_limit_is_not_the_next_ones(legacy: Legacy, narrow: LegacySource) -> None:
    with pytest.raises(ReadTimeout):
        narrow.query(endless(legacy), {}, timeout=SHORT)
    slow = NAPS[legacy.engine.dialect.name].format(0.3)
    assert len(narrow.query(slow, {}, timeout=LONG).rows) == 1


def test_no_more_than_so_many_reads_at_once(legacy: Legacy, narrow: LegacySource) -> None:
    errors: list[Exception] = []

    def read() -> None:
        try:
            narrow.query(endless(legacy), {}, timeout=dt.timedelta(seconds=1))
        except ReadTimeout as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    while narrow._slots._free._value:  # type: ignore[attr-defined]
        pass
    with pytest.raises(
        ReadTimeout, match=r"all 1 read slots were busy for 0.1 s \(legacy.policy_admin.max_reads\)"
    ):
        narrow.query("SELECT 1", {}, timeout=SHORT)
    thread.join()
    assert "cancelled" in str(errors[0])
    assert narrow.query("SELECT 1 AS x", {}, timeout=LONG).rows == [{"x": 1}]


def test_a_statement_at_fault_says_so(legacy: Legacy) -> None:
    with pytest.raises((UsageError, Infrastructure), match=r"(?i)policy_admin.*nosuch"):
        legacy.source.query("SELECT * FROM NOSUCH", {}, timeout=LONG)
    with pytest.raises(UsageError, match="number"):
        legacy.source.query("SELECT :number", {}, timeout=LONG)


def test_numbers_are_the_engines(legacy: Legacy) -> None:
    legacy.run(policy(1, premium="0.10"))
    (row,) = legacy.source.query("SELECT PREM FROM POLMAST", {}, timeout=LONG).rows
    assert Decimal(str(row["prem"])) == Decimal("0.1")


def test_reading_leaves_a_sqlite_file_as_it_was(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "old.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE T (X INTEGER PRIMARY KEY)")
    made.close()
    before = path.read_bytes()
    url = f"sqlite:///{path}"
    source = open_legacy("old", url, LegacySection(url=url, context="x"))
    assert source.query("SELECT count(*) AS n FROM T", {}, timeout=LONG).rows == [{"n": 0}]
    assert source.capture.pending(10, []) == []
    source.close()
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["old.db"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///nowhere/legacy.db", "there is no file nowhere/legacy.db"),
        ("sqlite://", "a SQLite source is a file"),
        ("oracle://x", "oracle is not an engine that capture knows"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_the_reason(url: str, says: str) -> None:
    with pytest.raises((Infrastructure, UsageError), match=says):
        open_legacy("old", url, LegacySection(url=url, context="x"))


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/x", "mariadb://nobody@127.0.0.1:1/x"])
def test_a_server_that_is_not_there_is_infrastructure(url: str) -> None:
    source = open_legacy("old", url, LegacySection(url=url, context="x"))
    with pytest.raises(Infrastructure, match="old"):
        source.clock()
    with pytest.raises(Infrastructure, match="old"):
        source.capture.pending(1, [])
    source.close()
