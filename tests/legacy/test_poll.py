"""Capture by poll: the watermark finds what is new, the window what is late, the sweep what neither tells (R1, R3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from adapters.legacy.fetching.capture import FetchingCapture
from adapters.legacy.fetching.watermarks import Window, ahead, instead
from tests.support.fetching import TABLES, Watched, brief, hold, install, instant, policy, watched
from toolkit.core.changes import Change, Op
from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable

__all__ = ["watched"]
NOON = dt.datetime(2026, 3, 1, 12)  # noqa: DTZ001 - as a column without a zone has it


def swept(watched: Watched, **poll: Any) -> list[Change]:
    """What a sweep finds that polls did not."""
    return watched.look(watched.poll(sweep="0s", promise="sweep", **poll))


def touch(number: int, at: int, status: str = "C") -> str:
    return f"UPDATE POLMAST SET STAT_CD = '{status}', UPD_AT = {instant(at)} WHERE POL_NO = 'P{number:04}   '"


def test_the_first_pass_finds_what_is_there_and_polls_what_is_new(watched: Watched) -> None:
    watched.run(policy(1), policy(2), hold(1, of=1))
    capture = install(watched.poll())
    assert {one.op for one in watched.look(capture)} == {Op.SNAPSHOT}
    assert len(watched.mirror.rows) == 3
    assert watched.look(capture) == []
    watched.run(touch(1, at=10), policy(3, at=11), hold(2, of=3, at=11))
    found = watched.look(capture)
    assert sorted(brief(found)) == [
        ("insert", "POLHOLD", "P0003"),
        ("insert", "POLMAST", "P0003"),
        ("update", "POLMAST", "P0001"),
    ]
    assert [one.changed("STAT_CD", "PREM") for one in found if one.op is Op.UPDATE] == [True]
    assert [one.changed("PREM") for one in found if one.op is Op.UPDATE] == [False]


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_ties_at_the_watermark_are_all_found(watched: Watched, chunk: int) -> None:
    capture = install(watched.poll(chunk=chunk, window="0s"))
    watched.look(capture)
    watched.run(
        *(policy(number, at=5) for number in range(7)),
        *(hold(number, of=number, at=5) for number in range(7)),
    )
    assert len(watched.look(capture)) == 14
    watched.run(policy(8, at=5))
    assert brief(watched.look(capture)) == [("insert", "POLMAST", "P0008")]
    watched.run(*(touch(number, at=5) for number in range(7)))
    assert len(watched.look(capture)) == 7


def test_what_lies_in_the_window_is_found_and_what_lies_before_it_by_the_sweep(watched: Watched) -> None:
    watched.run(policy(1), policy(2, at=1000))
    capture = install(watched.poll(window="60s"))
    watched.look(capture)
    watched.run(policy(3, at=950), policy(4, at=930))
    assert brief(watched.look(capture)) == [("insert", "POLMAST", "P0003")]
    assert brief(swept(watched, window="60s")) == [("insert", "POLMAST", "P0004")]


def test_deletes_are_found_by_the_sweep(watched: Watched) -> None:
    watched.run(policy(1), policy(2), hold(1, of=1))
    capture = install(watched.poll())
    watched.look(capture)
    watched.run("DELETE FROM POLMAST WHERE POL_NO = 'P0001   '", "DELETE FROM POLHOLD")
    assert watched.look(capture) == []
    assert sorted(brief(swept(watched, chunk=1))) == [
        ("delete", "POLHOLD", "P0001"),
        ("delete", "POLMAST", "P0001"),
    ]


def test_rows_that_do_not_move_the_column_are_found_by_a_sweep_that_compares_rows(watched: Watched) -> None:
    watched.run(policy(1))
    capture = install(watched.poll(window="0s"))
    watched.look(capture)
    watched.run(policy(2, at=50))
    watched.look(capture)
    watched.run("UPDATE POLMAST SET STAT_CD = 'Q' WHERE POL_NO = 'P0001   '")
    assert watched.look(capture) == []
    keys = watched.poll(window="0s", compare="keys", sweep="0s")
    assert watched.look(keys) == []
    assert brief(swept(watched)) == [("update", "POLMAST", "P0001")]


@pytest.mark.parametrize("compare", ["rows", "keys"])
def test_rows_without_a_watermark_are_found_by_the_sweep_and_are_a_hole(
    watched: Watched, compare: str
) -> None:
    capture = install(watched.poll(sweep="0s", compare=compare))
    watched.look(capture)
    watched.run("INSERT INTO POLMAST VALUES ('P0001   ', 'A', 1, NULL)")
    assert brief(watched.look(capture)) == [("insert", "POLMAST", "P0001")]
    watched.look(capture)
    assert [hole.what for hole in capture.holes()] == [
        f"1 rows have no {column(watched)}: polls do not see them"
    ]


def test_a_watermark_of_the_future_does_not_blind_the_polls(watched: Watched) -> None:
    """One row from the year 9999 would otherwise be the highest watermark for ever."""
    watched.run("INSERT INTO POLMAST VALUES ('P0001   ', 'A', 1, '9999-12-31 00:00:00')")
    capture = install(watched.poll())
    watched.look(capture)
    today = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S}"
    watched.run(f"INSERT INTO POLMAST VALUES ('P0002   ', 'A', 1, '{today}')")
    assert brief(watched.look(capture)) == [("insert", "POLMAST", "P0002")]
    assert [(hole.escapes, "in the future" in hole.what) for hole in capture.holes()] == [(False, True)]


def test_a_growing_number_is_a_watermark_with_a_window_of_its_own(watched: Watched) -> None:
    watched.run("CREATE TABLE VERSIONED (ID INTEGER NOT NULL PRIMARY KEY, RV INTEGER NOT NULL, X CHAR(1))")
    capture = watched.poll(marks={"VERSIONED": "RV"}, window_count=10)
    install(capture, [CapturedTable(table="VERSIONED", subject="ID")])
    watched.run("INSERT INTO VERSIONED VALUES (1, 100, 'a')")
    watched.look(capture)
    watched.run("INSERT INTO VERSIONED VALUES (2, 95, 'b')", "INSERT INTO VERSIONED VALUES (3, 85, 'c')")
    assert [one.subject for one in watched.look(capture)] == ["2"]
    told = [("no index begins with the watermark" in hole.what, hole.escapes) for hole in capture.holes()]
    assert told == [(True, False)]


def test_a_table_without_a_watermark_is_swept_and_promises_wait_for_that(watched: Watched) -> None:
    watched.run(policy(1), hold(1, of=1))
    marks = {"POLMAST": "UPD_AT"}
    capture = install(watched.poll(marks=marks))
    while capture.pending(10, []) and not watched.inbox.waiting():
        pass
    capture.mark(range(1, 10))
    late = capture.horizon()
    capture.pending(10, [])
    capture.pending(10, [])
    assert capture.behind(late) == 1  # polled since, but not swept
    assert "POLHOLD" in capture.plan(TABLES).guarantees["without a watermark"]


def test_nothing_is_promised_before_the_first_pass_and_a_poll_that_began_later(watched: Watched) -> None:
    watched.run(*(policy(number) for number in range(4)))
    capture = install(watched.poll(chunk=1))
    early = capture.horizon()
    while capture.behind(early):
        capture.mark([one.number for one in capture.pending(1, [])])
    assert len(watched.inbox.seen("POLMAST", limit=9)) == 4
    late = capture.horizon()
    assert capture.behind(late) == 1
    capture.pending(10, [])
    assert capture.behind(late) == 0


def test_a_poll_that_is_killed_is_gone_on_with(watched: Watched) -> None:
    watched.run(policy(0))
    watched.look(install(watched.poll()))
    watched.run(*(policy(number, at=number) for number in range(1, 8)))
    found = []
    for _ in range(12):
        capture = watched.poll(chunk=2, window="0s")
        changes = capture.pending(1, [])
        for change in changes:
            watched.mirror.take(change)
        capture.mark([one.number for one in changes])
        found += changes
    assert sorted(one.subject for one in found) == [f"P{number:04}" for number in range(1, 8)]


@pytest.mark.parametrize(
    ("marks", "poll", "says"),
    [
        ({}, {}, "no table has a watermark column"),
        ({"POLMAST": "NOSUCH"}, {}, "there is no column NOSUCH"),
        ({"POLMAST": "UPD_AT"}, {"compare": "keys"}, "POLHOLD without a watermark column"),
    ],
)
def test_what_cannot_be_polled_is_refused_with_the_reason(
    watched: Watched, marks: dict[str, str], poll: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        watched.poll(marks=marks, **poll).plan(TABLES)


def test_the_plan_says_which_index_is_missing(watched: Watched) -> None:
    assert "missing indexes" not in watched.poll().plan(TABLES).guarantees
    on = " ON POLMAST" if watched.dialect == "mysql" else ""
    watched.run(f"DROP INDEX POLMAST_UPD{on}")
    assert "POLMAST" in watched.poll().plan(TABLES).guarantees["missing indexes"]


# --- the late commit, held by hand


def naive(watched: Watched) -> Callable[[], list[str]]:
    """The poller that everybody writes first: what is above the highest watermark that was seen."""
    last: list[object] = [NOON]

    def poll() -> list[str]:
        with watched.engine.connect() as connection:
            sql = text("SELECT POL_NO, UPD_AT FROM POLMAST WHERE UPD_AT > :last ORDER BY UPD_AT")
            rows = connection.execute(sql, {"last": last[0]}).all()
        if rows:
            last[0] = rows[-1].upd_at
        return [str(row.pol_no).rstrip() for row in rows]

    return poll


@pytest.mark.parametrize(("window", "polled"), [("1m", True), ("0s", False)])
def test_a_transaction_that_commits_late_is_found_in_the_window_or_by_the_sweep(
    watched: Watched, window: str, polled: bool
) -> None:
    if watched.dialect != "postgresql":
        pytest.skip("two transactions at once, each with its now(): PostgreSQL's")
    insert = "INSERT INTO POLMAST VALUES ('{}', 'A', 1, now())"
    peer = naive(watched)
    capture = install(watched.poll(window=window))
    watched.look(capture)
    with watched.engine.connect() as late:
        late.execute(text(insert.format("P0001")))  # its now() is earlier than that of the next one
        watched.run(insert.format("P0002"))
        assert brief(watched.look(capture)) == [("insert", "POLMAST", "P0002")]
        assert peer() == ["P0002"]
        late.commit()
    assert peer() == []
    assert brief(watched.look(capture)) == ([("insert", "POLMAST", "P0001")] if polled else [])
    assert brief(swept(watched, window=window)) == ([] if polled else [("insert", "POLMAST", "P0001")])


def test_a_transaction_longer_than_the_window_is_a_hole(watched: Watched) -> None:
    if watched.dialect != "postgresql":
        pytest.skip("PostgreSQL tells it to everybody")
    capture: FetchingCapture = install(watched.poll(window="0s"))
    watched.look(capture)
    assert capture.holes() == []
    with watched.engine.connect() as late:
        late.execute(text(policy(1)))
        watched.look(capture)
        late.rollback()
    assert ["longer than the longest transaction" in hole.next for hole in capture.holes()] == [True]


# --- what a watermark may be


def column(watched: Watched) -> str:
    return "upd_at" if watched.dialect == "postgresql" else "UPD_AT"


@pytest.mark.parametrize(
    ("high", "low"),
    [
        (NOON, NOON - dt.timedelta(minutes=5)),
        (NOON.date(), dt.date(2026, 2, 28)),
        ("2026-03-01 12:00:00", "2026-03-01 11:55:00"),
        ("2026-03-01T12:00:00.250000+00:00", "2026-03-01T11:55:00"),
        ("2026-03-01", "2026-02-28"),
        (100, 90),
        (b"\x00\x00\x01\x00", b"\x00\x00\x00\xf6"),
        (b"\x00\x05", b"\x00\x00"),
    ],
)
def test_a_poll_begins_a_window_below_the_highest_watermark(high: object, low: object) -> None:
    assert Window(time=dt.timedelta(minutes=5), count=10).below(high, "T") == low


@pytest.mark.parametrize("high", ["01.03.2026", True, 1.5])
def test_what_is_no_watermark_is_refused_with_the_reason(high: object) -> None:
    with pytest.raises(UsageError, match=r"choose another column"):
        Window(time=dt.timedelta(minutes=5), count=10).below(high, "T")


@pytest.mark.parametrize(
    "like", [NOON, NOON.replace(tzinfo=dt.UTC), NOON.date(), "2026-03-01 12:00:00", "2026-03-01"]
)
def test_a_watermark_a_day_ahead_is_a_mistake_in_its_row(like: object) -> None:
    now = NOON.replace(tzinfo=dt.UTC)
    assert not ahead(like, now)
    assert ahead(like, now - dt.timedelta(days=3))
    assert type(instead(like, now)) is type(like)
    assert not ahead(instead(like, now), now)
