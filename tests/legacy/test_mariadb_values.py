"""Values of every type of MariaDB: exact, and the same in a trigger, in a backfill, and in whatever session writes them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.support.legacy import Legacy
from tests.support.scripts import statements
from toolkit.core.changes import Change
from toolkit.ports import CapturedTable, Cursor

pytestmark = pytest.mark.mariadb
FULL = CapturedTable(table="full_types", subject="id")
INVENTORY = ("products", "products_on_hand", "customers", "addresses", "orders", "geom")
HOSTILE = (
    "SET time_zone = '+09:30'",
    "SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'",
    "SET NAMES latin1",
    "SET collation_connection = latin1_german2_ci",
    "SET div_precision_increment = 0, lc_time_names = 'de_DE'",
)


@pytest.fixture
def legacy_url(mariadb_url: str, tmp_path: Path) -> str:
    return mariadb_url


def captured_rows(legacy: Legacy) -> list[Change]:
    return legacy.source.capture.pending(10_000, [])


def backfilled(legacy: Legacy, table: CapturedTable) -> list[dict[str, object]]:
    chunk = legacy.source.capture.chunk([table], Cursor(tables=(table.table,)), 1000)
    return [change.after or {} for change in chunk.changes]


def test_every_type_is_what_it_is(legacy: Legacy) -> None:
    create, insert = statements("flink-cdc/mysql_column_type_test")[:2]
    legacy.run(create)
    legacy.install([FULL])
    legacy.run(insert)
    row = dict(captured_rows(legacy)[0].row)
    assert {name: row[name] for name in EXPECTED} == EXPECTED
    assert str(row["DECIMAL_C"]) == "123.4567"
    assert isinstance(row["NUMERIC_C"], int)
    assert row == backfilled(legacy, FULL)[0]


EXPECTED: dict[str, object] = {
    "TINY_UN_Z_C": 255,
    "INT_UN_Z_C": 4294967295,
    "BIG_C": 2**63 - 1,
    "BIG_UN_C": 2**64 - 1,
    "BIG_UN_Z_C": 2**64 - 1,
    "REAL_C": Decimal("123.102"),
    "FLOAT_UN_Z_C": Decimal("123.104"),
    "DECIMAL_UN_Z_C": Decimal("123.4569"),
    "NUMERIC_C": 346,
    "BIG_DECIMAL_C": Decimal("34567892.1"),
    "BIT1_C": 0,
    "BOOLEAN_C": 1,
    "DATE_C": "2020-07-17",
    "TIME_C": "18:00:22",
    "DATETIME3_C": "2020-07-17T18:00:22.123",
    "DATETIME6_C": "2020-07-17T18:00:22.123456",
    "TIMESTAMP_C": "2020-07-17T18:00:22+00:00",
    "FILE_UUID": "651AED08390F4893B2F136923E7B7400",
    "BIT_C": 0x0404040404040404,
    "BLOB_C": "10",
    "YEAR_C": 2021,
    "ENUM_C": "red",
    "SET_C": "a,b",
    "JSON_C": '{\n    "key1": "value1"\n  }',
    "VARCHAR_LEN0_C": "",
}


def test_the_session_that_writes_makes_no_difference(legacy: Legacy) -> None:
    create, insert = statements("flink-cdc/mysql_column_type_test")[:2]
    legacy.run(create)
    legacy.install([FULL])
    legacy.run(insert)
    legacy.run(*HOSTILE, "UPDATE full_types SET varchar_c = 'x' WHERE varchar_c <> 'x'")
    inserted, updated = captured_rows(legacy)
    assert updated.before == inserted.after
    assert updated.after == backfilled(legacy, FULL)[0]


def test_a_database_that_others_made_is_captured_as_backfill_reads_it(legacy: Legacy) -> None:
    made = [
        one
        for one in statements("debezium-inventory/mariadb_inventory")
        if one.startswith(("CREATE TABLE", "ALTER", "INSERT"))
    ]
    legacy.run(*(one for one in made if not one.startswith("INSERT")))
    tables = [CapturedTable(table=name, subject=SUBJECTS.get(name, "id")) for name in INVENTORY]
    legacy.install(tables)
    legacy.run("SET sql_mode = ''", *(one for one in made if one.startswith("INSERT")))
    changes = captured_rows(legacy)
    assert len(changes) == 9 + 9 + 4 + 7 + 4 + 3
    for table in tables:
        streamed = [change.after for change in changes if change.table == table.table.upper()]
        assert streamed == backfilled(legacy, table)
    assert [hole.what for hole in legacy.source.capture.holes()] == []


SUBJECTS = {"products_on_hand": "product_id", "orders": "order_number"}


@pytest.mark.parametrize("value", ["0000-00-00", "2024-00-15"])
def test_a_date_that_is_none_arrives_as_the_text_it_is(legacy: Legacy, value: str) -> None:
    legacy.run("CREATE TABLE ODD (ID INT PRIMARY KEY, D DATE, T DATETIME(3), S TIMESTAMP NULL)")
    odd = CapturedTable(table="ODD", subject="ID")
    legacy.install([odd])
    at = f"{value} 00:00:00"
    stamp = at if value.startswith("0000") else "2024-01-01 00:00:00"
    legacy.run("SET sql_mode = ''", f"INSERT INTO ODD VALUES (1, '{value}', '{at}', '{stamp}')")
    row = captured_rows(legacy)[0].row
    shown = f"{at}.000" if value.startswith("0000") else f"{value}T00:00:00.000"
    assert row["D"] == value
    assert row["T"] == shown
    assert row["S"] == (at if value.startswith("0000") else "2024-01-01T00:00:00+00:00")
    assert row == backfilled(legacy, odd)[0]
    answer = legacy.source.query("SELECT D FROM ODD", {}, timeout=dt.timedelta(seconds=20))
    assert str(answer.rows[0]["d"]) == value


def test_the_hour_that_comes_twice_is_told_apart(legacy: Legacy) -> None:
    """01:30 UTC and 00:30 UTC are both 02:30 in Berlin on that day."""
    legacy.run("CREATE TABLE ODD (ID INT PRIMARY KEY, S TIMESTAMP(6) NULL)")
    odd = CapturedTable(table="ODD", subject="ID")
    legacy.install([odd])
    zone = "INSERT IGNORE INTO mysql.time_zone_name VALUES ('Test/Berlin', 990)"
    legacy.run(
        zone,
        "INSERT IGNORE INTO mysql.time_zone VALUES (990, 'N')",
        "INSERT IGNORE INTO mysql.time_zone_transition VALUES (990, 1711846800, 0), (990, 1729990800, 1)",
        "INSERT IGNORE INTO mysql.time_zone_transition_type VALUES (990, 0, 7200, 1, 'CEST'), (990, 1, 3600, 0, 'CET')",
    )
    for number, at in enumerate(("2024-10-27 00:30:00.000001", "2024-10-27 01:30:00.5")):
        legacy.run("SET time_zone = '+00:00'", f"INSERT INTO ODD VALUES ({number}, '{at}')")
    legacy.run("SET time_zone = 'Test/Berlin'", "UPDATE ODD SET ID = ID + 10")
    changes = captured_rows(legacy)
    assert [one["S"] for one in changes if one.after] == [
        "2024-10-27T00:30:00.000001+00:00",
        "2024-10-27T01:30:00.500000+00:00",
    ] * 2


def test_text_of_every_character_set_arrives_whole(legacy: Legacy) -> None:
    sets = {"L": "latin1", "U": "utf8mb3", "M": "utf8mb4", "G": "cp1251", "W": "ucs2"}
    legacy.run(
        "CREATE TABLE ODD (ID INT PRIMARY KEY, "
        + ", ".join(f"{name} VARCHAR(40) CHARACTER SET {charset}" for name, charset in sets.items())
        + ")"
    )
    odd = CapturedTable(table="ODD", subject="ID")
    legacy.install([odd])
    values = {"L": "Größe € \\ \"'", "U": "日本\t\x00", "M": "𝄞 😀\n\x1f", "G": "Привет", "W": "ž"}
    with legacy.engine.begin() as connection:
        connection.execute(text("INSERT INTO ODD VALUES (1, :L, :U, :M, :G, :W)"), values)
    row = captured_rows(legacy)[0].row
    assert row == {"ID": 1, **values} == backfilled(legacy, odd)[0]


ROWS = st.fixed_dictionaries(
    {
        "t": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
        "c": st.none() | st.text(alphabet="aB \\\"'%:\t", max_size=5).map(str.rstrip),
        "n": st.none() | st.decimals(-(10**20), 10**20, places=6),
        "b": st.none() | st.binary(max_size=12),
        "u": st.none() | st.integers(0, 2**64 - 1),
        "f": st.none() | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
        "d": st.none() | st.datetimes().filter(lambda at: at.year >= 1000),
    }
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(row=ROWS)
def test_whatever_a_row_holds_trigger_and_backfill_agree_and_lose_nothing(
    legacy: Legacy, row: dict[str, object]
) -> None:
    legacy.run(
        "CREATE TABLE IF NOT EXISTS ANY_ROW (ID INT PRIMARY KEY, T TEXT, C CHAR(5), N DECIMAL(30,6), B VARBINARY(12),"
        " U BIGINT UNSIGNED, F DOUBLE, D DATETIME(6))"
    )
    table = CapturedTable(table="ANY_ROW", subject="ID")
    legacy.install([table])
    legacy.source.capture.mark([one.number for one in captured_rows(legacy)])
    with legacy.engine.begin() as connection:
        connection.execute(text("DELETE FROM ANY_ROW"))
        connection.execute(text("INSERT INTO ANY_ROW VALUES (1, :t, :c, :n, :b, :u, :f, :d)"), row)
    found = captured_rows(legacy)[-1].row
    assert found == backfilled(legacy, table)[0]
    assert (found["T"], found["C"], found["U"]) == (row["t"], row["c"], row["u"])
    assert found["N"] == row["n"]
    if row["f"] is not None:
        assert float(str(found["F"])) == row["f"]
    if row["b"] is not None:
        assert bytes.fromhex(str(found["B"])) == row["b"]
