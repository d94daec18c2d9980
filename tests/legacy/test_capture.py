"""What triggers record, and what is offered of it (R1, R2)."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from tests.support.legacy import HOLD, OUTBOX, POLICY, TABLES, Legacy, hold, outbox, policy
from toolkit.core.changes import Change, Op
from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable


def pending(legacy: Legacy, limit: int = 100) -> list[Change]:
    return legacy.source.capture.pending(limit, [])


def test_a_change_shows_the_whole_row_before_and_after(captured: Legacy) -> None:
    captured.run(policy(1))
    captured.run("UPDATE POLMAST SET STAT_CD = 'C ', PREM = 0.1 WHERE POL_NO = 'P0001   '")
    captured.run("DELETE FROM POLMAST")
    inserted, updated, deleted = pending(captured)
    assert [one.op for one in (inserted, updated, deleted)] == [Op.INSERT, Op.UPDATE, Op.DELETE]
    assert inserted.before is None
    assert set(inserted.after or {}) == {"POL_NO", "STAT_CD", "PREM", "NOTE"}
    assert inserted.after == updated.before
    assert updated.after == deleted.before
    assert deleted.after is None
    assert (inserted.subject, inserted["POL_NO"], inserted["NOTE"]) == (
        "P0001",
        captured.padded("P0001   "),
        None,
    )
    assert updated.became("STAT_CD", captured.padded("C "))


def test_a_number_with_a_fraction_is_exact(captured: Legacy) -> None:
    captured.run(policy(1, premium="0.10"))
    premium = pending(captured)[0]["PREM"]
    assert isinstance(premium, Decimal)
    assert premium == Decimal("0.1")


def test_what_text_may_hold_is_captured_as_it_is(captured: Legacy) -> None:
    nasty = 'a "quoted" \\ line\nwith \x01, Umlaut ä, 𝄞 and a %s :name'
    with captured.engine.begin() as connection:
        connection.execute(text("INSERT INTO POLMAST (POL_NO, NOTE) VALUES ('P1', :note)"), {"note": nasty})
    assert pending(captured)[0]["NOTE"] == nasty


def test_changes_of_all_tables_and_the_outbox_come_in_one_order(captured: Legacy) -> None:
    captured.run(policy(1), hold(1, of=1), outbox(1, of=1))
    captured.run("DELETE FROM POLHOLD")
    assert [(one.table, one.subject) for one in pending(captured)] == [
        ("POLMAST", "P0001"),
        ("POLHOLD", "P0001"),
        ("OUTBOX", "P0001"),
        ("POLHOLD", "P0001"),
    ]


def test_an_outbox_gives_its_inserts_only(captured: Legacy) -> None:
    captured.run(outbox(1, of=1), "UPDATE OUTBOX SET TYPE = 'x'", "DELETE FROM OUTBOX")
    assert [(one.op, one["TYPE"]) for one in pending(captured)] == [(Op.INSERT, "HoldReleaseConfirmed")]


def test_a_transaction_that_is_rolled_back_leaves_nothing(captured: Legacy) -> None:
    with captured.engine.connect() as connection:
        connection.execute(text(policy(1)))
        connection.rollback()
    captured.run(policy(2))
    assert [one.subject for one in pending(captured)] == ["P0002"]


def test_a_marked_change_is_never_offered_again(captured: Legacy) -> None:
    captured.run(policy(1))
    captured.run(policy(2))
    first, second = pending(captured)
    captured.source.capture.mark([first.number])
    captured.source.capture.mark([first.number])
    assert pending(captured) == [second]


def test_offered_twice_a_change_is_the_same(captured: Legacy) -> None:
    captured.run(policy(1), hold(1, of=1))
    assert pending(captured) == pending(captured)
    assert [one.position for one in pending(captured)] == [
        f"change:{one.number}" for one in pending(captured)
    ]


def test_a_row_that_moves_leaves_one_subject_and_comes_to_another(captured: Legacy) -> None:
    captured.run(hold(1, of=1))
    captured.run("UPDATE POLHOLD SET POL_NO = 'P0002'")
    _, left, came = pending(captured)
    assert (left.op, left.subject, left["POL_NO"]) == (Op.DELETE, "P0001", "P0001")
    assert (came.op, came.subject, came["POL_NO"]) == (Op.INSERT, "P0002", "P0002")


def test_a_row_without_a_subject_does_not_break_the_application(captured: Legacy) -> None:
    captured.run("INSERT INTO POLHOLD VALUES (1, NULL, 'P')", "UPDATE POLHOLD SET HLD_TYP = 'C'")
    assert [one.subject for one in pending(captured)] == ["", ""]


def test_a_change_names_the_key_of_its_row(captured: Legacy) -> None:
    captured.run(policy(1), hold(1, of=1))
    assert [one.key for one in pending(captured)] == [("POL_NO",), ("HLD_ID",)]


def test_a_table_is_found_however_it_is_spelt(legacy: Legacy) -> None:
    legacy.install([CapturedTable(table="PolMast", subject="pol_no")])
    assert legacy.source.capture.installed() == ("POLMAST",)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (CapturedTable(table="POLMAS", subject="POL_NO"), "table POLMAS: there is no such table"),
        (CapturedTable(table="POLMAST", subject="POLNO"), "there is no column POLNO; there are"),
    ],
)
def test_what_is_not_there_is_refused_by_name(legacy: Legacy, wanted: CapturedTable, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        legacy.source.capture.plan([wanted])


def test_a_table_without_a_key_is_refused_with_the_reason(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE NOKEY (POL_NO CHAR(8), X INTEGER)")
    with pytest.raises(UsageError, match="NOKEY: no primary key"):
        legacy.source.capture.plan([CapturedTable(table="NOKEY", subject="POL_NO")])


def test_a_unique_index_over_filled_columns_is_a_key(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE OLDKEY (POL_NO CHAR(8) NOT NULL, SEQ INTEGER NOT NULL, X INTEGER)",
        "CREATE UNIQUE INDEX OLDKEY_U ON OLDKEY (POL_NO, SEQ)",
    )
    legacy.install([CapturedTable(table="OLDKEY", subject="POL_NO")])
    legacy.run("INSERT INTO OLDKEY VALUES ('P1', 2, 3)")
    assert pending(legacy)[0].key == ("POL_NO", "SEQ")


def test_a_wide_table_is_captured_whole(legacy: Legacy) -> None:
    columns = [f"C{number}" for number in range(300)]
    legacy.run(
        f"CREATE TABLE WIDE (ID INTEGER PRIMARY KEY, {', '.join(f'{one} INTEGER' for one in columns)})"
    )
    legacy.install([CapturedTable(table="WIDE", subject="ID")])
    legacy.run("INSERT INTO WIDE (ID, C299) VALUES (1, 7)")
    change = pending(legacy)[0]
    assert len(change.row) == 301
    assert change["C299"] == 7


def test_what_is_marked_is_gone_and_marking_again_changes_nothing(captured: Legacy) -> None:
    capture = captured.source.capture
    for number in range(4):
        captured.run(policy(number))
    marked = [one.number for one in pending(captured)[:3]]
    capture.mark(marked)
    capture.mark(marked)
    assert [one.subject for one in pending(captured)] == ["P0003"]
    assert capture.behind(capture.horizon()) == 1


def test_installed_anew_capture_never_gives_a_number_twice(captured: Legacy) -> None:
    capture = captured.source.capture
    captured.run(policy(1))
    before = pending(captured)[0].number
    capture.remove(capture.plan(TABLES))
    captured.run(policy(2))
    captured.install([POLICY, HOLD, OUTBOX])
    captured.run(policy(3))
    assert pending(captured)[0].number > before
    assert pending(captured)[0].subject == "P0003"


def test_the_horizon_counts_what_is_still_to_be_marked(captured: Legacy) -> None:
    capture = captured.source.capture
    captured.run(policy(1), hold(1, of=1))
    horizon = capture.horizon()
    captured.run(policy(2))
    assert capture.behind(horizon) == 2
    capture.mark([one.number for one in pending(captured)[:1]])
    assert capture.behind(horizon) == 1
    assert capture.behind(capture.horizon()) == 2


def test_the_horizons_instant_is_not_later_than_what_it_covers(captured: Legacy) -> None:
    before = captured.source.clock()
    horizon = captured.source.capture.horizon()
    assert before <= horizon.instant <= captured.source.clock()


def test_nothing_is_offered_where_nothing_is_captured(legacy: Legacy) -> None:
    assert pending(legacy) == []
    assert legacy.source.capture.installed() == ()
