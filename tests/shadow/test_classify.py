"""Which kind of drift, and which differences are the same one."""

import datetime as dt
from decimal import Decimal

import pytest

from shadow.classify import Drift, Kind, Redactor, classify
from shadow.compare import Difference, Flaw, compare
from shadow.normalise import Rules
from shadow.values import ABSENT
from tests.shadow.builders import column, naive, rules
from toolkit.core.columns import ColumnType

UTC = dt.UTC


def drift_of(old: object, new: object, made: Rules | None = None) -> Drift:
    made = made or rules()
    found = compare([{"x": old}], [{"x": new}], made)
    (one,) = (*found.differences, *found.excused)
    return classify(one, made)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("Smith", "SMITH", "case"),
        ("12  Main St", " 12 Main St", "whitespace"),
        ("12  Main St", "12 MAIN ST", "case and whitespace"),
        (None, "", "null or empty"),
        ("", None, "null or empty"),
        (Decimal("12.345"), Decimal("12.35"), "precision"),
        (Decimal("12.345"), Decimal("12.34"), "precision"),
        (0.1 + 0.2, Decimal("0.3"), "precision"),
        (Decimal("12.49"), 12, "precision"),
        (
            dt.datetime(2024, 1, 1, 10, 0, 0, 123456, UTC),
            dt.datetime(2024, 1, 1, 10, tzinfo=UTC),
            "precision",
        ),
        (
            dt.datetime(2024, 1, 1, 10, 0, 0, 123456, UTC),
            dt.datetime(2024, 1, 1, 10, 0, 0, 123000, UTC),
            "precision",
        ),
        (dt.datetime(2024, 1, 1, 10, tzinfo=UTC), dt.date(2024, 1, 1), "precision"),
        (naive("2024-01-01T10:00:00"), dt.datetime(2024, 1, 1, 10, tzinfo=UTC), "time zone"),
        (naive("2024-01-01T12:00:00"), dt.datetime(2024, 1, 1, 10, tzinfo=UTC), "time zone"),
        (
            dt.datetime(2024, 1, 1, 10, tzinfo=UTC),
            dt.datetime(2024, 1, 1, 15, 45, tzinfo=UTC),
            "time zone",
        ),
        ("0012", 12, "representation"),
    ],
)
def test_a_difference_that_vanishes_under_a_weaker_rule_is_transformational(
    old: object, new: object, rule: str
) -> None:
    drift = drift_of(old, new)
    assert (drift.kind, drift.rule) == (Kind.TRANSFORMATIONAL, rule)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("in_force", "cancelled"),
        (Decimal("12.50"), Decimal("12.51")),
        (12.5, Decimal("12.51")),
        (Decimal("12.50"), Decimal("13.5")),
        (12, 13),
        (None, "x"),
        (None, 0),
        (True, False),
        (dt.date(2024, 1, 1), dt.date(2024, 1, 2)),
        (dt.datetime(2024, 1, 1, 10, tzinfo=UTC), dt.datetime(2024, 1, 1, 10, 7, tzinfo=UTC)),
        (dt.datetime(2024, 1, 1, 10, tzinfo=UTC), dt.datetime(2024, 1, 3, 12, 15, tzinfo=UTC)),
    ],
)
def test_a_difference_that_no_weaker_rule_takes_away_is_semantic(old: object, new: object) -> None:
    assert drift_of(old, new).kind is Kind.SEMANTIC


@pytest.mark.parametrize(
    "rule",
    [{"collapse": [["a", "b"]]}, {"tolerance": "0.1"}, {"case": False}],
    ids=["collapse", "tolerance", "case"],
)
def test_a_declared_rule_makes_a_difference_transformational_and_declared(rule: dict[str, object]) -> None:
    old, new = {"collapse": ("a", "b"), "tolerance": (1, Decimal("1.05")), "case": ("a", "A")}[
        next(iter(rule))
    ]
    drift = drift_of(old, new, rules(x=rule))
    assert (drift.kind, drift.rule, drift.declared) == (Kind.TRANSFORMATIONAL, next(iter(rule)), True)


def test_a_missing_record_is_mechanical_and_the_stage_that_lost_it_is_named() -> None:
    asked = []

    def locate(subject: str) -> str | None:
        asked.append(subject)
        return "translated"

    missing = Difference(path="(record)", legacy={"x": 1}, projection=ABSENT, flaw=Flaw.MISSING)
    drift = classify(missing, rules(), subject="P-1", locate=locate)
    assert (drift.kind, drift.stage, asked) == (Kind.MECHANICAL, "translated", ["P-1"])
    assert classify(missing, rules(), subject="P-1").stage == ""


def test_an_extra_record_is_mechanical_and_nobody_lost_it() -> None:
    extra = Difference(path="(record)", legacy=ABSENT, projection={"x": 1}, flaw=Flaw.EXTRA)
    drift = classify(extra, rules(), subject="P-1", locate=lambda _: "captured")
    assert (drift.kind, drift.stage, drift.title) == (Kind.MECHANICAL, "", "(record): absent -> present")


def test_a_code_without_a_mapping_is_its_own_kind_and_named() -> None:
    drift = drift_of("X", "in_force", rules(x={"map": {"A": "in_force"}}))
    assert (drift.kind, drift.title) == (Kind.UNMAPPED, "x: unmapped code 'X' -> in_force")


def test_coded_values_tell_fingerprints_apart_and_others_do_not() -> None:
    coded = rules(x={"map": {"A": "in_force", "C": "cancelled", "H": "on_hold"}})
    assert drift_of("A", "cancelled", coded).title == "x: in_force -> cancelled"
    prints = {
        drift_of("A", "cancelled", coded).fingerprint,
        drift_of("H", "cancelled", coded).fingerprint,
        drift_of("C", "in_force", coded).fingerprint,
    }
    assert len(prints) == 3
    assert drift_of("Smith", "Jones").fingerprint == drift_of("Meyer", "Schulz").fingerprint
    assert drift_of("Smith", "Jones").title == "x: text -> text"


def test_the_contracts_vocabulary_counts_as_coded() -> None:
    made = rules(columns=(column("x", ColumnType.TEXT, "in_force", "cancelled"),))
    assert drift_of("in_force", "cancelled", made).title == "x: in_force -> cancelled"


def test_a_fingerprint_is_the_same_for_ever() -> None:
    """Acceptances are stored under it: changing how it is made withdraws every one of them."""
    assert drift_of("a", "b").fingerprint == "c69b65af925e2ddb"


def test_the_direction_is_part_of_the_fingerprint() -> None:
    """R8: the same two values the other way round are another drift."""
    assert drift_of(None, 1).fingerprint != drift_of(1, None).fingerprint


def test_temporal_drift_has_a_fingerprint_of_its_own() -> None:
    (one,) = compare([{"x": "a"}], [{"x": "b"}], rules()).differences
    assert classify(one, rules(), temporal=True).kind is Kind.TEMPORAL
    assert classify(one, rules(), temporal=True).fingerprint != classify(one, rules()).fingerprint


def test_redacted_values_show_that_they_are_equal_and_nothing_else() -> None:
    made = rules(redact=("NAME_TX",), name={"legacy": "NAME_TX"}, code={"map": {"A": "a"}})
    redactor = Redactor(made.redact, b"secret")
    hidden = redactor.value("name", "Smith")
    assert "Smith" not in str(hidden)
    assert hidden == redactor.value("name", "Smith") != redactor.value("name", "Jones")
    assert hidden != Redactor(made.redact, b"another").value("name", "Smith")
    assert redactor.value("code", "a") == "a"
    assert redactor.value("name", None) is None
    assert redactor.value("(record)", {"name": "Smith", "code": "a"}) == {"name": hidden, "code": "a"}
    assert redactor.value("name[].first", "Smith") == hidden


def test_a_redacted_coded_column_keeps_its_words_to_itself() -> None:
    made = rules(redact=("x",), x={"map": {"A": "hiv_positive", "N": "negative"}})
    assert drift_of("A", "negative", made).title == "x: text -> text"
    assert drift_of("Q", "negative", made).title == "x: unmapped code -> text"
