"""Compare(old, new): where answers differ, aligned by key, in that order and no other."""

import datetime as dt
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shadow.compare import RECORD, Flaw, compare
from shadow.values import ABSENT, Unmapped
from tests.shadow.builders import naive, rules

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.dates() | st.floats()
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
answers = st.lists(
    st.fixed_dictionaries({"line": st.integers(0, 9), "amount": scalars, "document": documents}), max_size=5
)


@given(answers)
def test_an_answer_does_not_differ_from_itself(rows: list[dict[str, object]]) -> None:
    assert compare(rows, rows, rules(rows=("line",))).equal


@given(answers, answers, st.randoms())
def test_alignment_does_not_depend_on_order(
    old: list[dict[str, object]], new: list[dict[str, object]], random: Any
) -> None:
    made = rules(rows=("line",))
    mixed = [old.copy(), new.copy()]
    for rows in mixed:
        random.shuffle(rows)
    plain = compare(old, new, made).differences
    shuffled = compare(mixed[0], mixed[1], made).differences
    assert len(shuffled) == len(plain)
    assert all(one in plain for one in shuffled)


@given(answers, answers)
def test_old_is_always_on_the_left(old: list[dict[str, object]], new: list[dict[str, object]]) -> None:
    """R8. What turns up on the left came from the legacy answer, on the right from the projection's."""
    made = rules(rows=("line",))
    there = {(one.path, one.row, repr(one.legacy), repr(one.projection)) for one in _all(old, new, made)}
    back = {(one.path, one.row, repr(one.projection), repr(one.legacy)) for one in _all(new, old, made)}
    assert {one[:2] for one in there} == {one[:2] for one in back}
    for found in compare([{"line": 1, "x": "old"}], [{"line": 1, "x": "new"}], made).differences:
        assert (found.legacy, found.projection) == ("old", "new")


def _all(old: Any, new: Any, made: Any) -> Any:
    return compare(old, new, made).differences


def test_an_inserted_record_makes_one_difference_not_many() -> None:
    old = [{"line": n, "amount": n} for n in (1, 2, 3)]
    new = [{"line": n, "amount": n} for n in (0, 1, 2, 3)]
    (found,) = compare(old, new, rules(rows=("line",))).differences
    assert (found.flaw, found.row, found.path, found.legacy) == (Flaw.EXTRA, (0,), RECORD, ABSENT)
    (found,) = compare(new, old, rules(rows=("line",))).differences
    assert (found.flaw, found.row, found.projection) == (Flaw.MISSING, (0,), ABSENT)


def test_an_empty_answer_is_a_missing_record() -> None:
    (found,) = compare([{"x": 1}], [], rules()).differences
    assert found.flaw is Flaw.MISSING
    assert compare([], [], rules()).equal


def test_row_keys_are_columns_of_the_projection_whatever_legacy_calls_them() -> None:
    made = rules(rows=("line",), line={"legacy": "LINE_NO"})
    assert compare([{"LINE_NO": 2}, {"LINE_NO": 1}], [{"line": 1}, {"line": 2}], made).equal


def test_row_keys_may_be_compared_without_case() -> None:
    made = rules(rows=("code",), code={"case": False})
    found = compare([{"code": "AB"}], [{"code": "ab"}], made)
    assert found.equal
    assert [one.excuse for one in found.excused] == ["case"]


def test_duplicates_of_a_row_key_are_a_finding_of_their_own() -> None:
    old = [{"line": 1, "x": 1}, {"line": 1, "x": 2}]
    (found,) = compare(old, [{"line": 1, "x": 1}], rules(rows=("line",))).differences
    assert found.flaw is Flaw.DUPLICATE
    assert (found.legacy, found.projection) == (old, [{"line": 1, "x": 1}])


def test_several_records_without_a_row_key_are_duplicates() -> None:
    (found,) = compare([{"x": 1}, {"x": 2}], [{"x": 1}, {"x": 3}], rules()).differences
    assert found.flaw is Flaw.DUPLICATE


def test_a_code_without_a_mapping_is_a_finding_of_its_own() -> None:
    made = rules(status={"map": {"A": "in_force"}})
    (found,) = compare([{"status": "X"}], [{"status": "in_force"}], made).differences
    assert (found.flaw, found.legacy) == (Flaw.UNMAPPED, Unmapped("X"))


def test_a_column_that_one_side_lacks_is_a_difference() -> None:
    found = {one.path: one for one in compare([{"a": None}], [{"b": 1}], rules()).differences}
    assert (found["a"].legacy, found["a"].projection) == (None, ABSENT)
    assert (found["b"].legacy, found["b"].projection) == (ABSENT, 1)


def test_the_path_into_a_document_has_no_indices() -> None:
    old = [{"doc": {"lines": [{"amount": 1}, {"amount": 2}, {"amount": 3}]}}]
    new = [{"doc": {"lines": [{"amount": 1}, {"amount": 5}, {"amount": 6}]}}]
    found = compare(old, new, rules()).differences
    assert {one.path for one in found} == {"doc.lines[].amount"}
    assert [(one.legacy, one.projection) for one in found] == [(2, 5), (3, 6)]


def test_what_equality_tells_apart_is_never_lost_in_the_explanation() -> None:
    local, aware = naive("2024-01-01T00:00:00"), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    (found,) = compare([{"doc": {"at": local}}], [{"doc": {"at": aware}}], rules()).differences
    assert found.path.startswith("doc")


def test_a_tolerance_excuses_and_is_told() -> None:
    made = rules(at={"tolerance": "1s"}, amount={"tolerance": "0.05"}, day={"tolerance": "1d"})
    old = {"at": "2024-01-01T10:00:00Z", "amount": Decimal("1.00"), "day": "2024-01-01"}
    near = {"at": "2024-01-01T10:00:01Z", "amount": Decimal("1.05"), "day": "2024-01-02"}
    far = {"at": "2024-01-01T10:00:01.1Z", "amount": Decimal("1.06"), "day": "2024-01-03"}
    assert compare([old], [near], made).equal
    assert {one.excuse for one in compare([old], [near], made).excused} == {"tolerance"}
    assert {one.path for one in compare([old], [far], made).differences} == {"at", "amount", "day"}


def test_a_declared_collapse_of_states_excuses_both_ways_and_no_other() -> None:
    made = rules(status={"collapse": [["on_hold", "payment_hold"]]})
    for pair in (("on_hold", "payment_hold"), ("payment_hold", "on_hold")):
        found = compare([{"status": pair[0]}], [{"status": pair[1]}], made)
        assert found.equal
        assert found.excused[0].excuse == "collapse"
    assert not compare([{"status": "on_hold"}], [{"status": "cancelled"}], made).equal


def test_an_excuse_in_one_column_does_not_excuse_another() -> None:
    made = rules(at={"tolerance": "1s"})
    old, new = {"at": "2024-01-01T10:00:00Z", "x": 1}, {"at": "2024-01-01T10:00:01Z", "x": 2}
    found = compare([old], [new], made)
    assert [one.path for one in found.differences] == ["x"]
    assert [one.path for one in found.excused] == ["at"]
