"""Capture by snapshot: what a row is when it is looked at is found, once, and nothing is invented (R1, R2, R3, R4)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.fetching import HOLD, POLICY, TABLES, Watched, brief, hold, install, policy, watched
from toolkit.core.errors import UsageError
from toolkit.inbox import Underway
from toolkit.ports import CapturedTable, Cursor

__all__ = ["watched"]


def test_the_first_pass_finds_what_is_there_and_the_next_what_became_of_it(watched: Watched) -> None:
    watched.run(policy(1), policy(2), hold(1, of=1))
    capture = install(watched.snapshot())
    assert sorted(brief(watched.look(capture))) == [
        ("snapshot", "POLHOLD", "P0001"),
        ("snapshot", "POLMAST", "P0001"),
        ("snapshot", "POLMAST", "P0002"),
    ]
    assert watched.look(capture) == []

    watched.run("UPDATE POLMAST SET STAT_CD = 'C' WHERE POL_NO = 'P0001   '", policy(3))
    watched.run("DELETE FROM POLMAST WHERE POL_NO = 'P0002   '")
    updated, inserted, deleted = sorted(
        watched.look(capture), key=lambda one: (one.op != "update", one.op == "delete")
    )
    assert (updated["PREM"], updated.changed("STAT_CD"), updated.changed("PREM")) == (
        Decimal("100.10"),
        True,
        False,
    )
    assert (inserted.op, inserted.subject, inserted.before) == ("insert", "P0003", None)
    assert (deleted.op, deleted.subject, deleted.after) == ("delete", "P0002", None)
    assert (deleted.before or {})["STAT_CD"] is not None


def test_a_row_that_comes_back_is_new(watched: Watched) -> None:
    capture = install(watched.snapshot())
    watched.look(capture)
    positions = set()
    for _ in range(2):
        watched.run(policy(1))
        found = watched.look(capture)
        watched.run("DELETE FROM POLMAST")
        found += watched.look(capture)
        assert brief(found) == [("insert", "POLMAST", "P0001"), ("delete", "POLMAST", "P0001")]
        positions |= {one.position for one in found}
    assert len(positions) == 4


def test_what_moved_and_moved_back_between_two_looks_did_not_change(watched: Watched) -> None:
    watched.run(policy(1))
    capture = install(watched.snapshot())
    watched.look(capture)
    watched.run("UPDATE POLMAST SET STAT_CD = 'C'")
    watched.run("UPDATE POLMAST SET STAT_CD = 'A'")
    assert watched.look(capture) == []


def test_a_subject_is_read_whole_and_offered_together_parents_first(watched: Watched) -> None:
    watched.run(policy(1), policy(2))
    capture = install(watched.snapshot())
    watched.look(capture)
    watched.run(hold(7, of=1), "UPDATE POLMAST SET STAT_CD = 'H' WHERE POL_NO = 'P0001   '", hold(8, of=2))
    found = watched.look(capture)
    assert brief(found) == [
        ("update", "POLMAST", "P0001"),
        ("insert", "POLHOLD", "P0001"),
        ("insert", "POLHOLD", "P0002"),
    ]
    assert found[0].transaction == found[1].transaction is not None


def test_a_row_that_takes_the_place_of_another_is_there_in_the_end(watched: Watched) -> None:
    """The new row would be found by an earlier step than the old one is missed: read whole, the subject tells both."""
    watched.run(policy(1), hold(5, of=1))
    capture = install(watched.snapshot())
    watched.look(capture)
    watched.run("DELETE FROM POLHOLD", hold(1, of=1))
    watched.run("UPDATE POLHOLD SET POL_NO = 'P0001'")
    assert brief(watched.look(capture)) == [("delete", "POLHOLD", "P0001"), ("insert", "POLHOLD", "P0001")]


def test_a_row_that_moves_leaves_one_subject_and_comes_to_another(watched: Watched) -> None:
    watched.run(policy(1), policy(2), hold(1, of=1))
    capture = install(watched.snapshot())
    watched.look(capture)
    watched.run("UPDATE POLHOLD SET POL_NO = 'P0002'")
    assert sorted(brief(watched.look(capture))) == [
        ("delete", "POLHOLD", "P0001"),
        ("insert", "POLHOLD", "P0002"),
    ]
    watched.run("UPDATE POLHOLD SET POL_NO = NULL")
    assert sorted(brief(watched.look(capture))) == [("delete", "POLHOLD", "P0002"), ("insert", "POLHOLD", "")]
    watched.run("DELETE FROM POLHOLD")
    assert brief(watched.look(capture)) == [("delete", "POLHOLD", "")]


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_the_size_of_the_chunks_makes_no_difference(watched: Watched, chunk: int) -> None:
    watched.run(
        *(policy(number) for number in range(5)), *(hold(number, of=number % 3) for number in range(7))
    )
    capture = install(watched.snapshot(chunk=chunk))
    assert len(watched.look(capture)) == 12
    watched.run("DELETE FROM POLHOLD WHERE HLD_ID IN (0, 3, 6)", "UPDATE POLMAST SET STAT_CD = 'X'")
    assert len(watched.look(capture)) == 8
    assert watched.look(capture) == []


def test_a_pass_is_gone_on_with_by_the_next_process(watched: Watched) -> None:
    watched.run(*(policy(number) for number in range(9)))
    install(watched.snapshot())
    found = []
    for _ in range(20):  # each process dies after one call
        capture = watched.snapshot(chunk=2)
        changes = capture.pending(1, [])
        for change in changes:
            watched.mirror.take(change)
        capture.mark([change.number for change in changes])
        found += changes
    assert sorted(one.subject for one in found) == [f"P{number:04}" for number in range(9)]


def test_nothing_is_promised_before_a_pass_that_began_later_has_ended(watched: Watched) -> None:
    watched.run(*(policy(number) for number in range(4)))
    capture = install(watched.snapshot(chunk=1))
    early = capture.horizon()
    assert capture.behind(early) > 0
    while capture.behind(early):
        capture.mark([one.number for one in capture.pending(1, [])])
    late = capture.horizon()
    assert capture.behind(late) > 0
    assert capture.behind(early) == 0


def test_a_change_behind_the_pass_under_way_is_not_promised_by_it(watched: Watched) -> None:
    """R3: a pass that began before the horizon may have read the row before it changed."""
    watched.run(*(policy(number) for number in range(4)))
    capture = install(watched.snapshot(chunk=1))
    watched.look(capture)
    passes, progress = capture._ready(())
    assert passes is not None
    assert progress is not None
    progress = passes.sweep(passes.sweep(progress))  # begun, and P0000 was read
    watched.run("UPDATE POLMAST SET STAT_CD = 'Z' WHERE POL_NO = 'P0000   '")
    horizon = capture.horizon()
    while progress.sweep is not None:
        progress = passes.sweep(progress)
    assert capture.behind(horizon) > 0
    assert capture.pending(10, [])[0]["STAT_CD"] is not None
    assert capture.behind(horizon) == 1


def test_an_older_pass_promises_nothing_of_a_table_that_came_later(watched: Watched) -> None:
    watched.run(policy(1), hold(1, of=1))
    capture = install(watched.snapshot(), [POLICY])
    horizon = capture.horizon()
    watched.look(capture)
    watched.look(capture)
    assert capture.behind(horizon) == 0
    install(capture, TABLES)
    while not capture.pending(100, []):
        pass
    assert capture.behind(horizon) > 0


def test_a_drain_knows_that_a_pass_is_under_way(watched: Watched) -> None:
    watched.run(policy(1))
    capture = install(watched.snapshot())
    assert isinstance(capture, Underway)
    assert capture.underway()
    watched.look(capture)
    assert not capture.underway()


def test_a_pass_waits_for_its_interval_but_not_for_the_first_one_of_a_process(watched: Watched) -> None:
    import msgspec

    from adapters.legacy.fetching.snapshot import open_snapshot
    from toolkit.settings import SnapshotSection

    install(watched.snapshot())
    fetching = watched.fetching(capture="snapshot", snapshot=SnapshotSection(interval="1h"))
    for _ in range(2):
        capture = watched._open(open_snapshot(fetching))
        before = capture.horizon()
        capture.pending(10, [])
        assert capture.behind(before) == 0
        late = capture.horizon()
        capture.pending(10, [])
        assert capture.behind(late) == 1
    assert msgspec.structs.asdict(late)["token"] == ""


def test_what_waits_for_a_backfill_is_left_out_and_the_backfill_is_done_at_once(watched: Watched) -> None:
    watched.run(policy(1), hold(1, of=1))
    capture = install(watched.snapshot())
    names = ("POLMAST", "POLHOLD")
    cursor = Cursor(tables=names, installation=capture.installation(names) or "")
    assert capture.pending(10, [cursor]) == []
    chunk = capture.chunk(TABLES, cursor, 10)
    assert (chunk.changes, chunk.absorbed, chunk.cursor.done, capture.count(TABLES, cursor)) == (
        [],
        [],
        True,
        0,
    )
    assert len(capture.pending(10, [chunk.cursor])) == 2


def test_with_hashes_alone_a_change_has_no_before_and_a_deletion_its_key(watched: Watched) -> None:
    watched.run(policy(1), policy(2))
    capture = install(watched.snapshot(keep="hash"))
    first = capture.pending(10, [])
    capture.mark([one.number for one in first])
    watched.run("UPDATE POLMAST SET STAT_CD = 'C' WHERE POL_NO = 'P0001   '")
    watched.run("DELETE FROM POLMAST WHERE POL_NO = 'P0002   '")
    updated, deleted = capture.pending(10, [])
    assert (updated.op, updated.before, updated.changed("PREM")) == ("update", None, True)
    assert (deleted.op, set(deleted.before or {})) == ("delete", {"POL_NO"})


def test_capture_writes_nothing_into_the_legacy_database(watched: Watched) -> None:
    capture = watched.snapshot()
    plan = capture.plan(TABLES)
    assert (plan.statements, plan.removal) == ((), ())
    assert {
        "loss",
        "order",
        "deletes",
        "intermediate states",
        "transactions",
        "stalls",
        "schema changes",
        "cost",
        "rights",
    } <= (plan.guarantees.keys())
    with pytest.raises(Exception, match=r"(?i)read.?only"), capture._sessions.reading() as connection:
        connection.exec_driver_sql("DELETE FROM POLMAST")


def test_removal_forgets_and_installed_anew_nothing_comes_twice(watched: Watched) -> None:
    watched.run(policy(1), hold(1, of=1))
    capture = install(watched.snapshot())
    before = watched.look(capture)
    capture.remove(capture.plan([HOLD]))
    assert capture.installed() == ("POLMAST",)
    assert watched.inbox.seen("POLHOLD", limit=9) == []
    capture.remove(capture.plan([POLICY]))
    assert capture.installed() == ()
    assert capture.installation(["POLMAST"]) is None
    assert capture.pending(10, []) == []
    install(capture)
    again = capture.pending(10, [])
    assert {one.position for one in again}.isdisjoint(one.position for one in before)
    assert min(one.number for one in again) > max(one.number for one in before)


def test_installed_again_nothing_begins_anew(watched: Watched) -> None:
    watched.run(policy(1), hold(1, of=1))
    capture = install(watched.snapshot(), [POLICY])
    watched.look(capture)
    since = capture.installation(["POLMAST"])
    install(capture)
    assert capture.installation(["POLMAST"]) == since
    assert capture.installation(["POLMAST", "POLHOLD"]) != since
    assert brief(watched.look(capture)) == [("snapshot", "POLHOLD", "P0001")]


def test_rows_that_get_another_subject_leave_the_former_one(watched: Watched) -> None:
    watched.run(hold(1, of=1))
    capture = install(watched.snapshot(), [HOLD])
    watched.look(capture)
    install(capture, [CapturedTable(table="POLHOLD", subject="HLD_ID")])
    found = watched.look(capture)
    assert sorted(brief(found)) == [("delete", "POLHOLD", "P0001"), ("snapshot", "POLHOLD", "1")]


def test_a_table_without_a_key_is_refused_with_the_reason(watched: Watched) -> None:
    watched.run("CREATE TABLE NOKEY (POL_NO CHAR(8), X INTEGER)")
    with pytest.raises(UsageError, match="NOKEY: no primary key"):
        watched.snapshot().plan([CapturedTable(table="NOKEY", subject="POL_NO")])


def test_an_outbox_is_refused_with_the_reason(watched: Watched) -> None:
    with pytest.raises(UsageError, match="in which order"):
        watched.snapshot().plan([CapturedTable(table="OUTBOX", subject="AGGREGATEID", outbox=True)])


def test_a_key_that_is_a_binary_fraction_is_refused(watched: Watched) -> None:
    watched.run("CREATE TABLE RATIOS (R FLOAT NOT NULL PRIMARY KEY, X INTEGER)")
    with pytest.raises(UsageError, match="binary fraction"):
        watched.snapshot().plan([CapturedTable(table="RATIOS", subject="X")])


def test_a_column_that_comes_with_null_changes_no_row_and_is_a_hole(watched: Watched) -> None:
    watched.run(policy(1), policy(2))
    capture = install(watched.snapshot())
    watched.look(capture)
    watched.run("ALTER TABLE POLMAST ADD COLUMN LATER INTEGER")
    assert watched.look(capture) == []
    assert [(hole.where, hole.what) for hole in capture.holes()] == [
        (
            "POLMAST",
            f"columns came since capture was installed: {'later' if watched.dialect == 'postgresql' else 'LATER'}",
        )
    ]
    watched.run("UPDATE POLMAST SET LATER = 6 WHERE POL_NO = 'P0001   '")
    (change,) = capture.pending(10, [])
    assert change["LATER"] == 6
    install(capture)
    assert capture.holes() == []


def test_what_is_gone_or_not_installed_is_a_hole(watched: Watched) -> None:
    assert [hole.what for hole in watched.snapshot().holes()] == ["capture is not installed"]
    capture = install(watched.snapshot())
    watched.run("DROP TABLE POLHOLD")
    (hole,) = capture.holes()
    assert "there is no such table" in hole.what


def test_rows_without_a_key_are_a_hole(watched: Watched) -> None:
    if watched.dialect != "sqlite":
        pytest.skip("only SQLite lets NULL into a primary key")
    watched.run("CREATE TABLE LOOSE (A TEXT, B TEXT, X INTEGER, PRIMARY KEY (A, B))")
    capture = install(watched.snapshot(chunk=1), [CapturedTable(table="LOOSE", subject="X")])
    watched.run(
        "INSERT INTO LOOSE VALUES ('a', 'b', 1), ('a', NULL, 2), (NULL, 'b', 3), ('a', 'c', 4), ('b', 'a', 5)"
    )
    assert sorted(one.subject for one in watched.look(capture)) == ["1", "4", "5"]
    assert ["NULL in their key" in hole.what for hole in capture.holes()] == [True]


def test_a_subject_of_several_columns_is_read_whole_by_them(watched: Watched) -> None:
    watched.run(
        "CREATE TABLE BOOK (CMP CHAR(3) NOT NULL, NO INTEGER NOT NULL, PREM INTEGER, PRIMARY KEY (CMP, NO))",
        "CREATE TABLE LINE (ID INTEGER NOT NULL PRIMARY KEY, CMP VARCHAR(9), NO INTEGER, KIND VARCHAR(9))",
        "CREATE INDEX LINE_BOOK ON LINE (CMP, NO)",
        "INSERT INTO BOOK VALUES ('A/B', 7, 1), ('A', 7, 1)",
        "INSERT INTO LINE VALUES (1, 'A/B', 7, 'x'), (2, 'A', NULL, 'x'), (3, NULL, NULL, 'x')",
    )
    group = [CapturedTable(table=name, subject=("CMP", "NO")) for name in ("BOOK", "LINE")]
    capture = install(watched.snapshot(), group)
    assert {one.subject for one in watched.look(capture)} == {"A%2FB/7", "A/7", "A/", ""}
    watched.run("UPDATE LINE SET CMP = 'A' WHERE ID = 1", "UPDATE BOOK SET PREM = 2 WHERE CMP = 'A'")
    assert sorted(brief(watched.look(capture))) == [
        ("delete", "LINE", "A%2FB/7"),
        ("insert", "LINE", "A/7"),
        ("update", "BOOK", "A/7"),
    ]
    assert watched.look(capture) == []


def test_a_row_that_comes_beside_one_with_the_same_key_but_for_blanks_is_told_of_it(watched: Watched) -> None:
    """Both would be one subject: the change names the other one's key, so that neither overwrites the other in silence."""
    varying = {
        "postgresql": "ALTER TABLE POLMAST ALTER COLUMN POL_NO TYPE VARCHAR(12)",
        "mysql": "ALTER TABLE POLMAST MODIFY POL_NO VARCHAR(12) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL",
    }
    if alter := varying.get(watched.dialect):
        watched.run(alter)
    insert = "INSERT INTO POLMAST (POL_NO, STAT_CD) VALUES (:key, 'A')"
    capture = install(watched.snapshot())
    watched.run(insert, key="P1 ")
    assert [one.beside for one in watched.look(capture)] == [()]
    watched.run(insert, key="P1")
    watched.run(insert, key="P2 ")
    found = {str(one["POL_NO"]): one.beside for one in watched.look(capture)}
    assert found == {"P1": ("P1 ",), "P2 ": ()}
