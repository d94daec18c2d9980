"""Chunks of a backfill: every row once, subjects whole, in an order that is the engine's, whatever the keys are like (R1)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.support.legacy import HOLD, POLICY, START, TABLES, Legacy, hold, outbox, policy
from toolkit.core.changes import Change, Op
from toolkit.ports import CapturedTable, Chunk, Cursor


def chunks(legacy: Legacy, tables: list[CapturedTable], size: int) -> list[Chunk]:
    """A whole backfill; it must come to an end."""
    cursor, made = Cursor(tables=tuple(one.table for one in tables)), list[Chunk]()
    while not cursor.done:
        made.append(legacy.source.capture.chunk(tables, cursor, size))
        assert made[-1].cursor != cursor
        cursor = made[-1].cursor
    return made


def rows(made: list[Chunk]) -> list[Change]:
    return [change for chunk in made for change in chunk.changes]


def mark_all(legacy: Legacy) -> None:
    legacy.source.capture.mark([one.number for one in legacy.source.capture.pending(10_000, [])])


def test_a_chunk_has_the_next_subjects_with_all_their_rows(captured: Legacy) -> None:
    captured.run(*(policy(number) for number in (3, 1, 2)), hold(1, of=2), hold(2, of=1), outbox(1, of=3))
    first, last = chunks(captured, TABLES, 2)
    assert [(one.table, one.subject) for one in first.changes] == [
        ("POLMAST", "P0001"),
        ("POLMAST", "P0002"),
        ("POLHOLD", "P0002"),
        ("POLHOLD", "P0001"),
    ]
    assert [(one.table, one.subject) for one in last.changes] == [("POLMAST", "P0003"), ("OUTBOX", "P0003")]
    assert (first.cursor.after, first.cursor.done, last.cursor.done) == ("P0002", False, True)


def test_a_row_is_what_its_change_would_show(captured: Legacy) -> None:
    captured.run(policy(1, premium="0.10"), hold(1, of=1), outbox(1, of=1))
    captured_rows = [one.after for one in captured.source.capture.pending(10, [])]
    found = rows(chunks(captured, TABLES, 10))
    assert [one.after for one in found] == captured_rows
    assert [(one.op, one.number, one.before) for one in found] == [(Op.SNAPSHOT, 0, None)] * 3


def test_positions_name_rows_and_never_change(captured: Legacy) -> None:
    captured.run(policy(1), hold(1, of=1), hold(2, of=1))
    first, second = rows(chunks(captured, TABLES, 1)), rows(chunks(captured, TABLES, 5))
    assert [one.position for one in first] == [one.position for one in second]
    assert len({one.position for one in first}) == 3


def test_installed_anew_the_same_row_is_a_new_fact(captured: Legacy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happened in between was not captured, so an event about the row as it is now must not be taken for known."""
    captured.run(policy(1))
    before = rows(chunks(captured, TABLES, 5))
    schema = "strangler." if captured.postgres else ""
    zone = "" if captured.mariadb else "+00:00"
    captured.run(f"UPDATE {schema}strangler_captured SET installed_at = '2020-01-01T00:00:00.000000{zone}'")
    assert rows(chunks(captured, TABLES, 5))[0].position != before[0].position


def test_rows_without_a_parent_or_a_subject_are_found_in_the_last_chunk(captured: Legacy) -> None:
    captured.run(policy(5), policy(6), hold(1, of=1), hold(2, of=9))
    captured.run("INSERT INTO POLHOLD VALUES (3, NULL, 'P')", "INSERT INTO POLHOLD VALUES (4, '  ', 'P')")
    made = chunks(captured, [POLICY, HOLD], 1)
    found = [one for one in rows(made) if one.table == "POLHOLD"]
    assert sorted(str(one["HLD_ID"]) for one in found) == ["1", "2", "3", "4"]
    assert {one.subject for one in made[-1].changes} == {"P0009", ""}


def test_an_empty_table_is_done_at_once(captured: Legacy) -> None:
    (only,) = chunks(captured, TABLES, 10)
    assert (only.changes, only.absorbed, only.cursor.done) == ([], [], True)


def test_the_absorbed_changes_are_those_whose_effect_the_rows_contain(captured: Legacy) -> None:
    captured.run(policy(1), policy(2))
    mark_all(captured)
    captured.run("UPDATE POLMAST SET STAT_CD = 'X '", hold(1, of=1), hold(2, of=2))
    unmarked = captured.source.capture.pending(10, [])
    first, second = chunks(captured, TABLES, 1)[:2]
    of_first = [one.number for one in unmarked if one.subject == "P0001"]
    assert first.absorbed == of_first
    assert second.absorbed == [one.number for one in unmarked if one.subject == "P0002"]


def test_only_established_subjects_are_offered(captured: Legacy) -> None:
    captured.run(policy(1), policy(2), "INSERT INTO POLHOLD VALUES (1, NULL, 'P')")
    capture = captured.source.capture

    def offered(cursor: Cursor) -> list[str]:
        return [one.subject for one in capture.pending(10, [cursor])]

    assert offered(START) == []
    assert offered(Cursor(tables=START.tables, after="P0001")) == ["P0001"]
    assert offered(Cursor(tables=START.tables, after="P0002", done=True)) == ["P0001", "P0002", ""]
    assert offered(Cursor(tables=("POLHOLD",))) == ["P0001", "P0002"]


def test_the_tables_may_pad_one_subject_differently(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE CHILD (ID INTEGER PRIMARY KEY, POL_NO VARCHAR(40))",
        "CREATE INDEX CHILD_POL ON CHILD (POL_NO)",
    )
    child = CapturedTable(table="CHILD", subject="POL_NO")
    legacy.install([POLICY, child])
    legacy.run(*(policy(number) for number in range(1, 5)))
    for number, pad in enumerate(("", " ", "   ", " " * 20), 1):
        legacy.run(f"INSERT INTO CHILD VALUES ({number}, 'P{number:04}{pad}')")
    for size in (1, 2, 3):
        for made in chunks(legacy, [POLICY, child], size):
            parents = [one.subject for one in made.changes if one.table == "POLMAST"]
            children = [one.subject for one in made.changes if one.table == "CHILD"]
            assert parents == children


@pytest.mark.parametrize(
    "kinds",
    [
        ("INTEGER", "INTEGER"),
        ("BIGINT", "SMALLINT"),
        ("INTEGER", "VARCHAR(20)"),
        ("NUMERIC(12)", "NUMERIC(12)"),
    ],
)
def test_numbers_are_compared_as_what_they_are(legacy: Legacy, kinds: tuple[str, str]) -> None:
    parent, child = CapturedTable(table="PARENT", subject="NO"), CapturedTable(table="CHILD", subject="NO")
    legacy.run(
        f"CREATE TABLE PARENT (NO {kinds[0]} PRIMARY KEY)",
        f"CREATE TABLE CHILD (ID INTEGER PRIMARY KEY, NO {kinds[1]})",
    )
    legacy.install([parent, child])
    numbers = [1, 2, 9, 10, 11, 99, 100, -5]
    legacy.run(*(f"INSERT INTO PARENT VALUES ({one})" for one in numbers))
    legacy.run(*(f"INSERT INTO CHILD VALUES ({at}, '{one}')" for at, one in enumerate([*numbers, 1000, -7])))
    for size in (1, 3, 8):
        made = chunks(legacy, [parent, child], size)
        assert sorted(one.subject for one in rows(made)) == sorted(
            [str(one) for one in numbers] * 2 + ["-7", "1000"]
        )
        whole: dict[str, int] = {}
        for at, chunk in enumerate(made):
            for change in chunk.changes:
                assert whole.setdefault(change.subject, at) == at
        assert len({number for chunk in made for number in chunk.absorbed}) == 18
    after = made[0].cursor.after
    offered = legacy.source.capture.pending(100, [Cursor(tables=("PARENT", "CHILD"), after=after)])
    assert {one.subject for one in offered} >= {one.subject for one in made[0].changes}


def test_a_subject_with_many_rows_in_the_first_table_is_read_whole(captured: Legacy) -> None:
    captured.run(*(hold(number, of=1 + number // 5) for number in range(12)))
    made = chunks(captured, [HOLD], 2)
    assert [len(one.changes) for one in made if one.changes] == [5, 5, 2]


def test_the_count_is_what_is_left(captured: Legacy) -> None:
    captured.run(*(policy(number) for number in range(10)))
    capture = captured.source.capture
    made = chunks(captured, TABLES, 4)
    assert capture.count(TABLES, START) == 10
    assert [capture.count(TABLES, one.cursor) for one in made] == [6, 2, 0]


def test_a_large_table_is_not_counted_but_guessed(captured: Legacy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting a hundred million rows takes minutes, before the first row is read."""
    captured.run(*(policy(number) for number in range(500)))
    if not captured.sqlite:
        captured.run("ANALYZE POLMAST" if captured.postgres else "ANALYZE TABLE POLMAST")
    monkeypatch.setattr("adapters.legacy.capture._COUNTED_UP_TO", 20)
    assert 250 <= captured.source.capture.count(TABLES, START) <= 1000


KEYS = st.lists(
    st.text(alphabet=st.sampled_from("aAbB0 -_.äz!~\t"), min_size=1, max_size=5).map(str.rstrip).filter(bool),
    min_size=1,
    max_size=12,
    unique_by=lambda key: key.rstrip(),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(keys=KEYS, size=st.integers(1, 5), pads=st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_whatever_the_keys_every_row_is_read_once_and_subjects_stay_whole(
    captured: Legacy, keys: list[str], size: int, pads: list[int]
) -> None:
    captured.run("DELETE FROM POLMAST", "DELETE FROM POLHOLD")
    with captured.engine.begin() as connection:
        for at, (key, pad) in enumerate(zip(keys, pads, strict=False)):
            connection.execute(text("INSERT INTO POLMAST (POL_NO) VALUES (:key)"), {"key": key})
            connection.execute(
                text("INSERT INTO POLHOLD VALUES (:id, :key, 'P')"), {"id": at, "key": key + " " * pad}
            )
    mark_all(captured)
    captured.run("UPDATE POLHOLD SET HLD_TYP = 'C'")
    made = chunks(captured, [POLICY, HOLD], size)
    subjects = [one.subject for one in rows(made)]
    assert sorted(subjects) == sorted([key.rstrip() for key in keys] * 2)
    where: dict[str, int] = {}
    for at, chunk in enumerate(made):
        for change in chunk.changes:
            assert where.setdefault(change.subject, at) == at
    changes = captured.source.capture.pending(100, [])
    for at, chunk in enumerate(made):
        assert {one.subject for one in changes if one.number in chunk.absorbed} == {
            subject for subject, place in where.items() if place == at
        }
        if not chunk.cursor.done:
            offered = {one.subject for one in captured.source.capture.pending(100, [chunk.cursor])}
            assert offered == {subject for subject, place in where.items() if place <= at}


def test_a_chunk_is_found_by_the_tables_indexes(captured: Legacy) -> None:
    """Else each of a thousand chunks reads the whole table, and the legacy system feels it."""
    capture = captured.source.capture
    with captured.engine.begin() as connection:
        if captured.postgres:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        order = capture._order_of(connection, ("POLMAST", "POLHOLD"))  # type: ignore[attr-defined]
        for table in capture._needed(connection, ("POLMAST", "POLHOLD")):  # type: ignore[attr-defined]
            near = order.near(table, low=True, high=True) or order.rows(table, low=True, high=True)
            explain = "EXPLAIN QUERY PLAN" if captured.sqlite else "EXPLAIN"
            sql = f"{explain} SELECT * FROM {table.relation} t WHERE {near}"
            plan = connection.execute(text(sql), {"low": "P0001", "high": "P0002"}).all()
            found = ("SEARCH", "Index Cond", "'range'")
            assert any(word in str(line) for line in plan for word in found)
            sql = f"{explain} {order.edge(table, low=True, high=True)}"
            plan = connection.execute(text(sql), {"low": "P0001", "high": "P0002", "skip": 1000}).all()
            # The upper bound too: where fewer rows are in the range, the scan would go on to the table's end.
            bounded = ("POL_NO>? AND POL_NO<?", "<= 'P0002", "'range'")
            assert any(word in str(line) and "Filter" not in str(line) for line in plan for word in bounded)


def test_no_chunk_grows_with_the_rows_of_a_table_beside_nor_with_those_that_have_no_parent(
    captured: Legacy,
) -> None:
    """Whoever has one policy and ten thousand holds must not hold all of them in memory."""
    captured.run(policy(1), policy(2))
    captured.run(*(hold(number, of=1 + number // 3) for number in range(100)))
    made = chunks(captured, [POLICY, HOLD], 1)
    assert max(len(one.changes) for one in made) <= 10 + 2 + 1
    assert sorted(one.position for one in rows(made)) == sorted({one.position for one in rows(made)})
    assert len(rows(made)) == 2 + 100
    whole: dict[str, int] = {}
    for at, chunk in enumerate(made):
        for change in chunk.changes:
            assert whole.setdefault(change.subject, at) == at


def test_a_subject_may_be_a_column_that_the_database_computes(legacy: Legacy) -> None:
    joined = "concat(CMP, '/', NO)" if legacy.mariadb else "CMP || '/' || NO"
    legacy.run(
        "CREATE TABLE BOOK (CMP VARCHAR(2) NOT NULL, NO VARCHAR(6) NOT NULL, PREM INTEGER,"
        f" REF VARCHAR(10) GENERATED ALWAYS AS ({joined}) STORED, PRIMARY KEY (CMP, NO))",
        "CREATE INDEX BOOK_REF ON BOOK (REF)",
        *(f"INSERT INTO BOOK (CMP, NO, PREM) VALUES ('{cmp}', '{no}', 1)" for cmp in "AB" for no in range(4)),
    )
    book = CapturedTable(table="BOOK", subject="REF")
    legacy.install([book])
    legacy.run(
        "UPDATE BOOK SET PREM = 2 WHERE NO = '3'", "UPDATE BOOK SET CMP = 'C' WHERE NO = '0' AND CMP = 'A'"
    )
    changes = legacy.source.capture.pending(10, [])
    assert [(one.op, one.subject) for one in changes] == [
        (Op.UPDATE, "A/3"),
        (Op.UPDATE, "B/3"),
        (Op.DELETE, "A/0"),
        (Op.INSERT, "C/0"),
    ]
    found = [[one.subject for one in chunk.changes] for chunk in chunks(legacy, [book], 3)]
    assert found == [["A/1", "A/2", "A/3"], ["B/0", "B/1", "B/2"], ["B/3", "C/0"]]
