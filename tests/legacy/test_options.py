"""How a table is captured where the settings say so: chosen columns, a chosen key; what cannot be is refused with the reason."""

from typing import Any

import pytest

from tests.support.legacy import POLICY, Legacy, policy
from toolkit.core.changes import Op
from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable, Cursor


def wanted(table: str = "T", subject: str = "S", **options: Any) -> CapturedTable:
    return CapturedTable(table=table, subject=subject, **options)


def refusal(legacy: Legacy, *tables: CapturedTable) -> str:
    with pytest.raises(UsageError) as caught:
        legacy.source.capture.plan(tables)
    return str(caught.value)


@pytest.mark.parametrize("options", [{"columns": ("v",)}, {"ignore": ("NOTE",)}], ids=["columns", "ignore"])
def test_live_changes_and_backfill_show_the_chosen_columns(legacy: Legacy, options: dict[str, Any]) -> None:
    legacy.run("CREATE TABLE T (ID INTEGER PRIMARY KEY, S VARCHAR(9), V INTEGER, NOTE VARCHAR(9))")
    table = wanted(**options)
    legacy.install([table])
    legacy.run("INSERT INTO T VALUES (1, 'S', 1, 'secret')")
    legacy.run("UPDATE T SET NOTE = 'x'")
    legacy.run("UPDATE T SET V = 2, NOTE = 'y'")
    capture = legacy.source.capture
    changes = capture.pending(10, [])
    assert [one.op for one in changes] == [Op.INSERT, Op.UPDATE]
    (found,) = capture.chunk([table], Cursor(tables=("T",)), 10).changes
    assert {name for one in (*changes, found) for name in one.row} == {"ID", "S", "V"}
    assert found.row == changes[-1].row
    assert capture.holes() == []


def test_other_columns_are_installed_in_place_of_the_first_and_the_backfill_stays_valid(
    legacy: Legacy,
) -> None:
    legacy.install([POLICY])
    since = legacy.source.capture.installation(["POLMAST"])
    legacy.install([CapturedTable(table="POLMAST", subject="POL_NO", ignore=("NOTE",))])
    legacy.run(policy(1))
    assert "NOTE" not in legacy.source.capture.pending(10, [])[0].row
    assert legacy.source.capture.installation(["POLMAST"]) == since


def test_all_that_is_wrong_with_a_table_is_told_at_once(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE T (V INTEGER)")
    said = refusal(legacy, wanted(columns=("nope",)))
    assert "there is no column S;" in said
    assert "there is no column nope;" in said
    assert "no primary key" in said


def test_what_is_wrong_with_each_of_several_tables_is_told_at_once(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE T (S VARCHAR(9), V INTEGER)")
    said = refusal(legacy, wanted(), POLICY, wanted("NOWHERE"), wanted("POLMAST", "NOPE")).splitlines()
    assert [line.split(": ")[0].rsplit(" ", 1)[1] for line in said] == ["T", "NOWHERE", "POLMAST"]


def test_a_key_that_the_settings_name_has_to_be_one(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE T (A INTEGER, B INTEGER, S VARCHAR(9))", "INSERT INTO T VALUES (1, 1, 'x')")
    table = wanted(key=("A", "B"))
    legacy.install([table])
    legacy.run("INSERT INTO T VALUES (1, 1, 'y')")
    found = legacy.source.capture.chunk([table], Cursor(tables=("T",)), 10).changes
    assert len({one.position for one in found}) == 2, "rows of two subjects share no position"
    assert found[0].key == ("A", "B", "S")
    legacy.run("INSERT INTO T VALUES (1, 1, 'y')")
    assert "two rows hold the same" in refusal(legacy, table)
    legacy.run("DELETE FROM T", "INSERT INTO T VALUES (NULL, 1, 'y')")
    assert "a row has no" in refusal(legacy, table)


def test_key_and_subject_cannot_be_ignored(legacy: Legacy) -> None:
    said = refusal(legacy, CapturedTable(table="POLHOLD", subject="POL_NO", ignore=("HLD_ID",)))
    assert "cannot be ignored" in said


def test_a_backfill_that_meets_one_key_twice_stops_with_the_key(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE T (A INTEGER, S VARCHAR(9))", "INSERT INTO T VALUES (1, 'x')")
    table = wanted(key=("A",))
    legacy.install([table])
    legacy.run("INSERT INTO T VALUES (1, 'x')")
    with pytest.raises(UsageError, match="two rows have the key A=1, S=x"):
        legacy.source.capture.chunk([table], Cursor(tables=("T",)), 10)


def test_a_view_is_refused(legacy: Legacy) -> None:
    legacy.run("CREATE VIEW T AS SELECT 1 AS S")
    assert "view" in refusal(legacy, wanted())


def test_capture_by_statement_is_refused_where_there_is_none(legacy: Legacy) -> None:
    table = CapturedTable(table="POLMAST", subject="POL_NO", statement=True)
    if legacy.sqlite or legacy.mariadb:
        assert "row triggers only" in refusal(legacy, table)
    else:
        assert legacy.source.capture.plan([table]).statements


def test_what_postgresql_cannot_capture_whole_is_refused_and_schemas_are_told_apart(legacy: Legacy) -> None:
    if legacy.sqlite or legacy.mariadb:
        pytest.skip("PostgreSQL's inheritance, deferrable keys, schemas, and names in two cases")
    legacy.run(
        "CREATE TABLE P (ID int PRIMARY KEY, S text)",
        "CREATE TABLE C () INHERITS (P)",
        "CREATE TABLE D (ID int PRIMARY KEY DEFERRABLE, S text)",
        'CREATE TABLE "Two" ("Id" int PRIMARY KEY, id int, "S" text)',
        "CREATE SCHEMA sales",
        "CREATE TABLE sales.orders (ID int PRIMARY KEY, S text)",
        "CREATE TABLE orders (ID int PRIMARY KEY, S text)",
    )
    assert "other tables inherit from it" in refusal(legacy, wanted("P"))
    assert "its key is deferrable" in refusal(legacy, wanted("D"))
    assert "the columns Id, id are one to translators" in refusal(legacy, wanted("Two"))
    assert "are both" in refusal(legacy, wanted("orders"), wanted("public.orders"))
    legacy.install([wanted("sales.orders"), wanted("orders")])
    legacy.run("INSERT INTO sales.orders VALUES (1, 'far')", "INSERT INTO orders VALUES (1, 'near')")
    changes = legacy.source.capture.pending(10, [])
    assert [(one.table, one.subject) for one in changes] == [("SALES.ORDERS", "far"), ("ORDERS", "near")]
