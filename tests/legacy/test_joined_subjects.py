"""Subjects of several columns (company and policy number): one text for each, in triggers and chunks alike (R1, R2)."""

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from tests.legacy.test_chunks import chunks, mark_all, rows
from tests.support.legacy import Legacy
from toolkit.core.changes import Op
from toolkit.ports import CapturedTable, Cursor

BOOK = CapturedTable(table="BOOK", subject=("CMP", "NO"))
LINE = CapturedTable(table="LINE", subject=("BOOK_CMP", "BOOK_NO"))
GROUP = [BOOK, LINE]


@pytest.fixture
def books(legacy: Legacy) -> Legacy:
    legacy.run(
        "CREATE TABLE BOOK (CMP CHAR(3) NOT NULL, NO INTEGER NOT NULL, PREM INTEGER, PRIMARY KEY (CMP, NO))",
        "CREATE TABLE LINE (ID INTEGER NOT NULL PRIMARY KEY, BOOK_CMP VARCHAR(9), BOOK_NO INTEGER, KIND VARCHAR(9))",
        "CREATE INDEX LINE_BOOK ON LINE (BOOK_CMP, BOOK_NO)",
    )
    legacy.install(GROUP)
    return legacy


def test_changes_have_the_joined_text_and_a_move_is_told_to_both(books: Legacy) -> None:
    books.run("INSERT INTO BOOK VALUES ('A', 7, 1)", "INSERT INTO LINE VALUES (1, 'A  ', 7, 'x')")
    books.run("UPDATE BOOK SET PREM = 2", "UPDATE LINE SET BOOK_NO = 8", "UPDATE LINE SET BOOK_CMP = NULL")
    books.run("UPDATE LINE SET BOOK_NO = NULL", "DELETE FROM LINE", "DELETE FROM BOOK")
    changes = books.source.capture.pending(20, [])
    assert [(one.table, one.op, one.subject) for one in changes] == [
        ("BOOK", Op.INSERT, "A/7"),
        ("LINE", Op.INSERT, "A/7"),
        ("BOOK", Op.UPDATE, "A/7"),
        ("LINE", Op.DELETE, "A/7"),
        ("LINE", Op.INSERT, "A/8"),
        ("LINE", Op.DELETE, "A/8"),
        ("LINE", Op.INSERT, "/8"),
        ("LINE", Op.DELETE, "/8"),
        ("LINE", Op.INSERT, ""),
        ("LINE", Op.DELETE, ""),
        ("BOOK", Op.DELETE, "A/7"),
    ]


def test_no_two_subjects_have_one_text(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE PAIR (A VARCHAR(9) NOT NULL, B VARCHAR(9) NOT NULL, PRIMARY KEY (A, B))")
    pair = CapturedTable(table="PAIR", subject=("A", "B"))
    legacy.install([pair])
    pairs = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a", "b%2Fc"), ("a%252Fb", "c")]
    with legacy.engine.begin() as connection:
        for a, b in pairs:
            connection.execute(text("INSERT INTO PAIR VALUES (:a, :b)"), {"a": a, "b": b})
    told = ["a%2Fb/c", "a/b%2Fc", "a%252Fb/c", "a/b%252Fc", "a%25252Fb/c"]
    assert [one.subject for one in legacy.source.capture.pending(20, [])] == told
    assert sorted(one.subject for one in rows(chunks(legacy, [pair], 1))) == sorted(told)


def test_a_truncate_is_told_under_the_same_subjects(books: Legacy) -> None:
    if not books.postgres:
        pytest.skip("the other engines' triggers do not see it")
    books.run("INSERT INTO BOOK VALUES ('A', 7, 1)", "TRUNCATE BOOK")
    assert [(one.op, one.subject) for one in books.source.capture.pending(9, [])] == [
        (Op.INSERT, "A/7"),
        (Op.DELETE, "A/7"),
    ]


def test_columns_that_are_left_out_and_statements_know_the_subject_as_well(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE PART (CMP VARCHAR(3) NOT NULL, NO INTEGER NOT NULL, X INTEGER, Y INTEGER, PRIMARY KEY (CMP, NO))"
    )
    part = CapturedTable(table="PART", subject=("CMP", "NO"), ignore=("Y",), statement=legacy.postgres)
    legacy.install([part])
    legacy.run("INSERT INTO PART VALUES ('A', 1, 1, 1), ('A', 2, 1, 1)", "UPDATE PART SET Y = 2")
    legacy.run("UPDATE PART SET NO = 3 WHERE NO = 1", "DELETE FROM PART WHERE NO = 2")
    assert [(one.op, one.subject, "Y" in one.row) for one in legacy.source.capture.pending(9, [])] == [
        (Op.INSERT, "A/1", False),
        (Op.INSERT, "A/2", False),
        (Op.DELETE, "A/1", False),
        (Op.INSERT, "A/3", False),
        (Op.DELETE, "A/2", False),
    ]


def test_installed_again_there_is_nothing_to_do_and_another_subject_is_another_capture(books: Legacy) -> None:
    capture = books.source.capture
    assert capture.plan(GROUP).statements == ()
    assert capture.holes() == []
    assert capture.plan([CapturedTable(table="BOOK", subject=("NO", "CMP")), LINE]).statements


def test_a_part_of_the_subject_that_is_gone_is_a_hole(books: Legacy) -> None:
    if books.sqlite:
        pytest.skip("SQLite refuses to drop a captured column")
    books.run("DROP INDEX LINE_BOOK" + (" ON LINE" if books.mariadb else ""), "ALTER TABLE LINE DROP BOOK_NO")
    assert any("subject column" in one.what for one in books.source.capture.holes())


PARTS = st.text(alphabet=st.sampled_from("aAB0 -%/ä!\t"), min_size=1, max_size=3).map(str.rstrip).filter(bool)
PAIRS = st.lists(st.tuples(PARTS, st.integers(-3, 120)), min_size=1, max_size=10, unique=True)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pairs=PAIRS, size=st.integers(1, 4), pads=st.lists(st.integers(0, 3), min_size=10, max_size=10))
def test_whatever_the_parts_every_row_is_read_once_and_subjects_stay_whole(
    books: Legacy, pairs: list[tuple[str, int]], size: int, pads: list[int]
) -> None:
    books.run("DELETE FROM BOOK", "DELETE FROM LINE")
    with books.engine.begin() as connection:
        for at, ((cmp, no), pad) in enumerate(zip(pairs, pads, strict=False)):
            bound = {"id": at, "cmp": cmp, "no": no, "padded": cmp + " " * pad}
            connection.execute(text("INSERT INTO BOOK VALUES (:cmp, :no, 1)"), bound)
            connection.execute(text("INSERT INTO LINE VALUES (:id, :padded, :no, 'x')"), bound)
        connection.execute(
            text("INSERT INTO LINE VALUES (90, 'A', NULL, 'x'), (91, NULL, 1, 'x'), (92, '', 1, 'x')")
        )
    mark_all(books)
    books.run("UPDATE LINE SET KIND = 'y'")
    made = chunks(books, GROUP, size)
    whole = [one.replace("%", "%25").replace("/", "%2F") + f"/{no}" for one, no in pairs]
    assert sorted(one.subject for one in rows(made)) == sorted(whole * 2 + ["A/", "/1", "/1"])
    where: dict[str, int] = {}
    for at, chunk in enumerate(made):
        for change in chunk.changes:
            assert where.setdefault(change.subject, at) == at
    changes = books.source.capture.pending(100, [])
    for at, chunk in enumerate(made):
        absorbed = {one.subject for one in changes if one.number in chunk.absorbed}
        assert absorbed == {subject for subject, place in where.items() if place == at}
        if not chunk.cursor.done:
            offered = {one.subject for one in books.source.capture.pending(100, [chunk.cursor])}
            assert offered == {subject for subject, place in where.items() if place <= at}


def test_a_chunk_is_found_by_an_index_over_all_columns(books: Legacy) -> None:
    """A company has most of the policies: an index's first column alone would read all of them for each chunk."""
    capture = books.source.capture
    for cmp in ("A", "B"):
        books.run(
            *(
                f"INSERT INTO BOOK SELECT '{cmp}', {at}, 1"
                if books.mariadb
                else f"INSERT INTO BOOK VALUES ('{cmp}', {at}, 1)"
                for at in range(300)
            )
        )
        books.run(
            f"INSERT INTO LINE SELECT NO + {ord(cmp) * 1000}, CMP, NO, 'x' FROM BOOK WHERE CMP = '{cmp}'"
        )
    books.run(*(["ANALYZE"] if not books.mariadb else ["ANALYZE TABLE BOOK", "ANALYZE TABLE LINE"]))
    with books.engine.begin() as connection:
        order = capture._order_of(connection, ("BOOK", "LINE"))  # type: ignore[attr-defined]
        bounds = order.given({"low": "B/100", "high": "B/110"})
        for table in capture._needed(connection, ("BOOK", "LINE")):  # type: ignore[attr-defined]
            near = order.near(table, low=True, high=True)
            plans = {
                "rows": f"SELECT * FROM {table.relation} t WHERE {near} AND {order.rows(table, low=True, high=True)}",
                "edge": order.edge(table, low=True, high=False),
            }
            for name, sql in plans.items():
                told = _explained(books, connection, sql, {**bounds, "skip": 10})
                found = {
                    "sqlite": ",NO)>(?,?) AND" if name == "rows" else ",NO)>(?,?)",
                    "postgresql": "Index Cond: ((ROW(",
                    "mysql": "'range'",
                }[books.engine.dialect.name]
                assert found in told.replace("BOOK_NO", "NO"), told
    assert capture.count(GROUP, Cursor(tables=("BOOK", "LINE"), after="B/99")) == 200


def _explained(books: Legacy, connection: Connection, sql: str, bounds: Mapping[str, object]) -> str:
    if books.postgres:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
    explain = "EXPLAIN QUERY PLAN" if books.sqlite else "EXPLAIN"
    return str([tuple(row) for row in connection.execute(text(f"{explain} {sql}"), bounds)])
