"""What one statement can do to many rows, captured by row and by statement alike on PostgreSQL (R1, R2)."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.legacy import Legacy
from toolkit.core.changes import Change, Op
from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable, Cursor

pytestmark = pytest.mark.postgres

SCHEMA = (
    "CREATE TABLE T (ID int PRIMARY KEY, S text, V int, UPPERV int GENERATED ALWAYS AS (V * 2) STORED)",
    (
        "CREATE TABLE CHILD (ID int PRIMARY KEY, S text, T_ID int REFERENCES T ON UPDATE CASCADE ON DELETE CASCADE"
        " DEFERRABLE INITIALLY DEFERRED)"
    ),
    "INSERT INTO T SELECT i, 'S' || i % 3, i FROM generate_series(1, 9) i",
    "INSERT INTO CHILD SELECT i, 'S' || i % 3, 1 + i % 9 FROM generate_series(1, 18) i",
)
ROUND = {
    "bulk update": ("UPDATE T SET V = V + 1",),
    "one row, then many, with the plan made for one": (
        *(f"UPDATE T SET V = V + 1 WHERE ID = {at}" for at in range(1, 9)),
        "UPDATE T SET V = V + 1",
    ),
    "nothing": ("UPDATE T SET V = 0 WHERE ID = 99", "DELETE FROM T WHERE ID = 99"),
    "key change": ("UPDATE T SET ID = ID + 100",),
    "keys passed on, highest first": (
        "UPDATE T SET ID = ID + 1 WHERE ID = 9",
        "UPDATE T SET ID = ID + 1 WHERE ID = 8",
    ),
    "subjects change": ("UPDATE T SET S = S || 'x', ID = -ID WHERE V < 5",),
    "delete with cascade": ("DELETE FROM T WHERE ID IN (2, 5)",),
    "on conflict": (
        (
            "INSERT INTO T SELECT i, 'N', 0 FROM generate_series(8, 12) i"
            " ON CONFLICT (ID) DO UPDATE SET V = 77, S = 'M'"
        ),
    ),
    "merge": (
        (
            "MERGE INTO T USING (SELECT generate_series(7, 11) AS I) N ON T.ID = N.I"
            " WHEN MATCHED AND T.ID = 7 THEN DELETE WHEN MATCHED THEN UPDATE SET V = 0, S = 'M'"
            " WHEN NOT MATCHED THEN INSERT (ID, S, V) VALUES (N.I, 'N', N.I)"
        ),
    ),
    "one statement that deletes and inserts one key": (
        (
            "WITH GONE AS (DELETE FROM CHILD WHERE ID = 3 RETURNING ID, S, T_ID)"
            " INSERT INTO CHILD SELECT ID, 'again', T_ID FROM GONE"
        ),
    ),
    "savepoints and exceptions": (
        "SAVEPOINT A",
        "UPDATE T SET V = -1",
        "ROLLBACK TO A",
        (
            "DO $$ BEGIN BEGIN UPDATE T SET V = -2; RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END;"
            " UPDATE T SET V = -3 WHERE ID = 1; END $$"
        ),
    ),
    "deferred constraint": ("INSERT INTO CHILD VALUES (50, 'S', 60)", "INSERT INTO T VALUES (60, 'S', 1)"),
    "truncate cascade": ("INSERT INTO T VALUES (70, 'S', 1)", "TRUNCATE T RESTART IDENTITY CASCADE"),
    "triggers silenced": ("SET LOCAL session_replication_role = replica", "UPDATE T SET V = 9"),
}


@pytest.fixture
def legacy_url(postgres_url: str, tmp_path: Path) -> str:
    return postgres_url


@pytest.fixture(params=[False, True], ids=["row", "statement"])
def begun(request: pytest.FixtureRequest, legacy: Legacy) -> Legacy:
    legacy.run(*SCHEMA)
    legacy.install(
        [CapturedTable(table=name, subject="S", statement=request.param) for name in ("T", "CHILD")]
    )
    return legacy


def rows(legacy: Legacy, table: str) -> dict[object, dict[str, object]]:
    with legacy.engine.connect() as connection:
        found = connection.execute(text(f"SELECT * FROM {table}")).mappings()
        return {row["id"]: {name.upper(): value for name, value in row.items()} for row in found}


def fold(changes: list[Change], kept: dict[str, dict[object, dict[str, object]]]) -> None:
    """As a projection would: each change takes away the row it had and puts there the row it has."""
    for change in changes:
        table = kept[change.table]
        if change.before is not None:
            assert table.pop(change.before["ID"]) == change.before, change
        if change.after is not None:
            assert change.after["ID"] not in table, change
            table[change.after["ID"]] = dict(change.after)


@pytest.mark.parametrize("statements", ROUND.values(), ids=ROUND.keys())
def test_a_fold_of_the_changes_is_the_table(begun: Legacy, statements: tuple[str, ...]) -> None:
    kept = {table: rows(begun, table) for table in ("T", "CHILD")}
    begun.run(*statements)
    fold(begun.source.capture.pending(1000, []), kept)
    assert kept == {table: rows(begun, table) for table in ("T", "CHILD")}


def test_copy_is_captured(begun: Legacy) -> None:
    with begun.engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor().copy("COPY T (ID, S, V) FROM STDIN") as copy:
            for at in range(100, 150):
                copy.write_row([at, "S", at])
    assert [one["ID"] for one in begun.source.capture.pending(1000, [])] == list(range(100, 150))


def test_a_change_of_the_key_shows_both(begun: Legacy) -> None:
    begun.run("UPDATE T SET ID = 100 + ID WHERE ID < 3")
    changes = [one for one in begun.source.capture.pending(10, []) if one.table == "T"]
    assert [(one.op, (one.before or {})["ID"], one["ID"]) for one in changes] == [
        (Op.UPDATE, 1, 101),
        (Op.UPDATE, 2, 102),
    ]


def test_both_subjects_hear_of_a_row_that_moves(begun: Legacy) -> None:
    begun.run("UPDATE T SET S = 'new' WHERE ID < 3")
    changes = begun.source.capture.pending(10, [])
    assert [(one.op, one.subject, one["ID"]) for one in changes] == [
        (Op.DELETE, "S1", 1),
        (Op.INSERT, "new", 1),
        (Op.DELETE, "S2", 2),
        (Op.INSERT, "new", 2),
    ]


def test_a_prepared_transaction_is_captured_when_it_commits(begun: Legacy) -> None:
    begun.run("UPDATE T SET V = 5 WHERE ID = 1", "PREPARE TRANSACTION 'two'")
    assert begun.source.capture.pending(10, []) == []
    with begun.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("COMMIT PREPARED 'two'")
    assert [one["V"] for one in begun.source.capture.pending(10, [])] == [5]


@pytest.mark.parametrize("statement", [False, True], ids=["row", "statement"])
@pytest.mark.parametrize(
    "options", [{"columns": ("V",)}, {"ignore": ("NOTE", 'Odd \' \\ "x"')}], ids=["columns", "ignore"]
)
def test_only_chosen_columns_are_captured_and_what_changes_none_gives_no_change(
    legacy: Legacy, statement: bool, options: dict[str, Any]
) -> None:
    legacy.run('CREATE TABLE T (ID int PRIMARY KEY, S text, V int, NOTE text, "Odd \' \\ ""x""" int)')
    legacy.install([CapturedTable(table="T", subject="S", statement=statement, **options)])
    legacy.run(
        "INSERT INTO T VALUES (1, 'S', 1, 'secret', 7)", 'UPDATE T SET NOTE = \'x\', "Odd \' \\ ""x""" = 8'
    )
    legacy.run("UPDATE T SET V = 2, NOTE = 'y'", "UPDATE T SET S = 'moved'", "TRUNCATE T")
    changes = legacy.source.capture.pending(100, [])
    assert [one.op for one in changes] == [Op.INSERT, Op.UPDATE, Op.DELETE, Op.INSERT, Op.DELETE]
    assert {name for one in changes for name in one.row} == {"ID", "S", "V"}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (
            "CREATE TABLE T (ID int PRIMARY KEY, S text) PARTITION BY RANGE (ID)",
            "a statement that names a partition",
        ),
        (
            "CREATE TABLE P (ID int, S text); CREATE TABLE T (PRIMARY KEY (ID)) INHERITS (P)",
            "a statement that names the parent",
        ),
    ],
)
def test_where_statements_pass_the_table_by_its_trigger_is_refused(
    legacy: Legacy, made: str, says: str
) -> None:
    legacy.run(*made.split(";"))
    with pytest.raises(UsageError, match=f"statement = true is not possible: {says}"):
        legacy.source.capture.plan([CapturedTable(table="T", subject="S", statement=True)])
    legacy.install([CapturedTable(table="T", subject="S")])


@pytest.mark.parametrize("statement", [False, True], ids=["row", "statement"])
def test_json_that_no_text_can_hold_does_not_break_the_application(legacy: Legacy, statement: bool) -> None:
    legacy.run('CREATE TABLE T (ID int PRIMARY KEY, "S:s" text, J json)')
    table = CapturedTable(table="T", subject="S:s", statement=statement)
    legacy.install([table])
    with legacy.engine.begin() as connection:
        nul, kept = "\\u0000", "\\\\u0000"  # the second is a backslash and four digits
        for sql in (
            f"""INSERT INTO t VALUES (1, 'S', '{{"a": "{nul}{nul}", "b": "{kept}"}}')""",
            "SET LOCAL standard_conforming_strings = off",
            "UPDATE t SET id = 2",
        ):
            connection.exec_driver_sql(sql)
    capture = legacy.source.capture
    (found,) = capture.chunk([table], Cursor(tables=("T",)), 10).changes
    legacy.run("SET LOCAL standard_conforming_strings = off", "TRUNCATE T")
    changes = capture.pending(10, [])
    assert [(one.op, one.subject) for one in changes] == [
        (op, "S") for op in (Op.INSERT, Op.UPDATE, Op.DELETE)
    ]
    assert found.row == changes[1].row == changes[2].row
    assert found["J"] == {"a": "\x01\x01", "b": "\\u0000"}


def test_merge_that_moves_rows_between_partitions_is_a_deletion_and_an_insertion(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE T (ID int, S int, V int, PRIMARY KEY (ID, S)) PARTITION BY LIST (S)",
        "CREATE TABLE T1 PARTITION OF T FOR VALUES IN (1)",
        "CREATE TABLE T2 PARTITION OF T FOR VALUES IN (2)",
        "INSERT INTO T VALUES (1, 1, 0), (2, 1, 0)",
    )
    legacy.install([CapturedTable(table="T", subject="ID")])
    legacy.run(
        "MERGE INTO T USING (VALUES (1, 2), (2, 1), (3, 1)) AS w (ID, S) ON T.ID = w.ID"
        " WHEN MATCHED THEN UPDATE SET S = w.S, V = 9 WHEN NOT MATCHED THEN INSERT VALUES (w.ID, w.S, 9)"
    )
    told = [(one.op, one.subject, one["S"]) for one in legacy.source.capture.pending(10, [])]
    assert told == [
        (Op.DELETE, "1", 1),
        (Op.INSERT, "1", 2),
        (Op.UPDATE, "2", 1),
        (Op.INSERT, "3", 1),
    ]


def test_a_table_captured_by_statement_that_becomes_a_partition_is_a_hole(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE P (ID int NOT NULL, S text) PARTITION BY RANGE (ID)")
    legacy.run("CREATE TABLE T (ID int PRIMARY KEY, S text)")
    legacy.install([CapturedTable(table="T", subject="S", statement=True)])
    assert legacy.source.capture.holes() == []
    legacy.run("ALTER TABLE P ATTACH PARTITION T FOR VALUES FROM (1) TO (9)")
    assert any("a part of another table" in one.what for one in legacy.source.capture.holes())
