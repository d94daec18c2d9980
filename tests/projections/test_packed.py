"""Rows that a replay holds come out as they went in, and are nobody's but its own."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from toolkit.loops.packed import PackedRows

ROW: dict[str, object] = {
    "policy_no": "P-1",
    "premium": Decimal("1.10"),
    "since": dt.date(2024, 2, 29),
    "at": dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),
    "holds": [1, 2],
    "notes": {"é": None},
    "ended": False,
    "broker": None,
}


def rows(**given: dict[str, object]) -> PackedRows:
    made = PackedRows(list(ROW))
    made.update({key: row for key, row in given.items()})  # noqa: C416 - the keys are strings, and need not be
    return made


def test_a_row_comes_out_as_it_went_in_with_its_types() -> None:
    (out,) = rows(one=ROW).values()
    assert out == ROW
    assert [type(value) for value in out.values()] == [type(value) for value in ROW.values()]
    assert str(out["premium"]) == "1.10"


def test_what_is_done_to_a_row_that_came_out_or_went_in_changes_nothing() -> None:
    given = {**ROW, "holds": [1, 2]}
    packed = rows(one=given)
    given["holds"].append(3)  # type: ignore[attr-defined]
    packed["one"]["holds"].append(4)  # type: ignore[attr-defined]
    assert packed["one"] == ROW


def test_a_row_that_is_gone_is_gone_and_one_never_there_may_go() -> None:
    packed = rows(one=ROW, other=ROW)
    packed.update({"one": None, "never": None})
    assert list(packed) == ["other"]
    assert len(packed) == 1
    assert packed.get("one") is None


def test_two_that_hold_equal_rows_are_equal_however_these_came_about() -> None:
    name = "P-" + str(1)
    assert rows(one={**ROW, "policy_no": name, "broker": name}) == rows(
        one={**ROW, "policy_no": "P-1", "broker": "P-" + str(1)}
    )
