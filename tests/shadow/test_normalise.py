"""Two engines, one form: what counts as the same before any difference is talked about."""

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.normalise import Form, legacy_form, projection_form
from shadow.values import NotANumber, Unmapped, canonical, shown
from tests.shadow.builders import column, naive, rules
from toolkit.core.columns import ColumnType
from toolkit.core.errors import ProjectError

UTC = dt.UTC


class Status(StrEnum):
    IN_FORCE = "in_force"


def one(form: Form) -> dict[str, Any]:
    (records,) = form.records.values()
    (record,) = records
    return dict(record)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("P-1   ", "P-1"),
        (Decimal("1.50"), Decimal("1.5")),
        (Decimal("12"), 12),
        (12.0, 12),
        (1.5, Decimal("1.50")),
        (1, True),
        (Decimal("0"), False),
        ("2024-03-01", dt.date(2024, 3, 1)),
        ("2024-03-01 10:00:00Z", dt.datetime(2024, 3, 1, 10, tzinfo=UTC)),
        ("2024-03-01T11:00:00+01:00", dt.datetime(2024, 3, 1, 10, tzinfo=UTC)),
        ("2024-03-01T10:00:00.000000+00", dt.datetime(2024, 3, 1, 10, tzinfo=UTC)),
        (Status.IN_FORCE, "in_force"),
        ((1, "a "), [1, "a"]),
        ({"a": [Decimal("1.0")]}, {"a": [1]}),
        (b"\x01\xff", memoryview(b"\x01\xff")),
        (dt.time(10, 30), "10:30:00"),
    ],
)
def test_the_same_value_from_two_engines_is_the_same(left: object, right: object) -> None:
    assert canonical(left) == canonical(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (None, ""),
        ("a", "A"),
        ("a b", "a  b"),
        (" a", "a"),
        ("12", 12),
        (0.1 + 0.2, Decimal("0.3")),
        (Decimal("12345678901234567890.123456789"), Decimal("12345678901234567890.123456788")),
        (naive("2024-03-01T10:00:00"), dt.datetime(2024, 3, 1, 10, tzinfo=UTC)),
        (dt.date(2024, 3, 1), naive("2024-03-01T00:00:00")),
        (float("nan"), None),
    ],
)
def test_what_is_not_the_same_stays_apart(left: object, right: object) -> None:
    assert canonical(left) != canonical(right)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.times()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values, st.none() | st.sampled_from(ColumnType))
def test_the_canonical_form_of_a_canonical_form_is_itself(value: object, kind: ColumnType | None) -> None:
    once = canonical(value, kind)
    assert canonical(once, kind) == once


@given(values)
def test_a_value_equals_itself_even_if_it_is_not_a_number(value: object) -> None:
    assert canonical(value) == canonical(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_a_decimal_is_shown_exactly_and_without_trailing_zeros(value: Decimal) -> None:
    text = str(shown(canonical(value)))
    assert Decimal(text) == value
    assert "." not in text or not text.endswith(("0", "."))


def test_legacy_names_codes_and_scale_become_the_projections() -> None:
    made = rules(
        status={"legacy": "STAT_CD", "map": {"A": "in_force", "C": "cancelled"}},
        premium={"legacy": "PREM_CENTS", "scale": "0.01"},
    )
    legacy = {"POLICY_NO": "P-1  ", "STAT_CD": "A ", "PREM_CENTS": 1250}
    view = {"policy_no": "P-1", "status": "in_force", "premium": "12.50"}
    assert legacy_form([legacy], made) == projection_form([view], made)


def test_a_scaled_legacy_number_may_be_text_and_is_exact() -> None:
    made = rules(premium={"scale": "0.001"})
    form = legacy_form([{"premium": "1234567890123456789012345678901 "}], made)
    assert one(form)["premium"] == Decimal("1234567890123456789012345678.901")


def test_text_that_is_to_be_scaled_and_is_no_number_is_told_not_raised() -> None:
    assert one(legacy_form([{"premium": "N/A"}], rules(premium={"scale": "0.01"}))) == {
        "premium": NotANumber("N/A")
    }


def test_a_code_that_the_map_does_not_know_is_told_not_raised() -> None:
    made = rules(status={"legacy": "STAT_CD", "map": {"A": "in_force"}})
    assert one(legacy_form([{"STAT_CD": "X "}], made)) == {"status": Unmapped("X")}


def test_numeric_and_boolean_codes_are_spelled_as_the_map_spells_them() -> None:
    made = rules(active={"map": {"1": "true", "0": "false"}}, level={"map": {"2": "high"}})
    form = legacy_form([{"active": True, "level": Decimal(2)}], made)
    assert form == projection_form([{"active": True, "level": "high"}], made)
    assert one(form) == {"active": "true", "level": "high"}


def test_null_has_no_code_unless_the_map_has_a_word_for_the_empty_one() -> None:
    assert one(legacy_form([{"s": None}], rules(s={"map": {"A": "a"}}))) == {"s": None}
    assert one(legacy_form([{"s": None}], rules(s={"map": {"": "none"}}))) == {"s": "none"}
    assert one(legacy_form([{"s": "  "}], rules(s={"map": {"": "none"}}))) == {"s": "none"}


def test_one_legacy_column_may_feed_two_columns() -> None:
    made = rules(
        status={"legacy": "CD", "map": {"A": "in_force"}}, in_force={"legacy": "CD", "map": {"A": "true"}}
    )
    assert one(legacy_form([{"CD": "A"}], made)) == {"status": "in_force", "in_force": "true"}


def test_an_ignored_column_is_on_neither_side() -> None:
    made = rules(audit={"legacy": "AUD", "ignore": "a stamp of the old screens"})
    assert one(legacy_form([{"AUD": 1, "x": 1}], made)) == {"x": 1}
    assert one(projection_form([{"audit": 2, "x": 1}], made)) == {"x": 1}


def test_a_naive_legacy_instant_is_in_its_declared_zone() -> None:
    made = rules(updated_at={"zone": "Europe/Paris"})
    form = legacy_form([{"updated_at": "2024-07-01 12:00:00"}], made)
    assert one(form)["updated_at"] == dt.datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert form == projection_form([{"updated_at": "2024-07-01T10:00:00"}], made)


def test_an_hour_that_occurs_twice_is_taken_as_standard_time() -> None:
    made = rules(at={"zone": "Europe/Paris"})
    form = legacy_form([{"at": naive("2024-10-27T02:30:00")}], made)
    assert one(form)["at"] == dt.datetime(2024, 10, 27, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "stored", "meant"),
    [
        (ColumnType.DECIMAL, "12.50", Decimal("12.5")),
        (ColumnType.INTEGER, "12", 12),
        (ColumnType.BOOLEAN, 1, True),
        (ColumnType.DATE, 20240301, dt.date(2024, 3, 1)),
        (ColumnType.DATE, "20240301", dt.date(2024, 3, 1)),
        (ColumnType.DATE, naive("2024-03-01T00:00:00"), dt.date(2024, 3, 1)),
        (ColumnType.JSON, '{"a": 1.50}', {"a": Decimal("1.5")}),
        (ColumnType.TEXT, "2024-03-01", dt.date(2024, 3, 1)),
        (ColumnType.DECIMAL, "n/a", "n/a"),
        (ColumnType.JSON, "{not json", "{not json"),
    ],
)
def test_the_contracts_type_says_how_a_stored_form_is_read(
    kind: ColumnType, stored: object, meant: object
) -> None:
    made = rules(columns=(column("x", kind),))
    assert one(legacy_form([{"X": stored}], made))["x"] == meant
    assert one(projection_form([{"x": stored}], made))["x"] == meant


def test_an_instant_that_the_toolkit_stores_without_a_zone_is_in_utc() -> None:
    made = rules(columns=(column("at", ColumnType.INSTANT),))
    assert one(projection_form([{"at": "2024-03-01T10:00:00"}], made))["at"] == dt.datetime(
        2024, 3, 1, 10, tzinfo=UTC
    )


def test_every_zone_that_does_not_exist_is_a_fault_with_its_key_path() -> None:
    with pytest.raises(ProjectError) as caught:
        rules(a={"zone": "Mars/Olympus"}, b={"zone": "CEST?"})
    assert [fault.where for fault in caught.value.faults] == [
        "capability.portal-policy.compare.a.zone",
        "capability.portal-policy.compare.b.zone",
    ]


rows_of_a_list = st.lists(
    st.fixed_dictionaries({"line": st.integers(0, 5), "note": st.text(max_size=3) | st.none()}), max_size=6
)


@given(rows_of_a_list)
def test_a_canonical_answer_stays_what_it_is(rows: list[dict[str, object]]) -> None:
    made = rules(rows=("line",))
    form = projection_form(rows, made)
    again = projection_form([row for records in form.records.values() for row in records], made)
    assert again == form


@given(rows_of_a_list, st.randoms())
def test_the_order_of_an_answer_means_nothing(rows: list[dict[str, object]], random: Any) -> None:
    made = rules(rows=("line",))
    shuffled = rows.copy()
    random.shuffle(shuffled)
    assert projection_form(shuffled, made) == projection_form(rows, made)
