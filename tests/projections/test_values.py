"""A row has one normal form, so that a fold through the store and one in memory cannot be told apart."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from tests.support.read_store import POLICY, START, PolicyAnnulled, PolicyIssued, PremiumAgreed, Reason, Story
from toolkit.core import values
from toolkit.core.errors import ProjectError, Unprojectable
from toolkit.core.projections import Projection, on

PARIS = dt.timezone(dt.timedelta(hours=1))


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (values.text, Reason.REQUEST, "request"),
        (values.decimal, Decimal("1E+3"), "1000"),
        (values.decimal, Decimal("-0.00"), "0.00"),
        (values.decimal, 7, "7"),
        (values.instant, dt.datetime(2024, 1, 1, 1, tzinfo=PARIS), str(START)),
        (
            values.json,
            {"b": (1, dt.date(2024, 1, 1)), "a": Decimal("1.0")},
            "{'a': '1.0', 'b': [1, '2024-01-01']}",
        ),
    ],
)
def test_a_value_takes_the_form_that_every_store_gives_back(kind: Any, given: object, kept: str) -> None:
    found = kind(given)
    assert (str(found), kind(found)) == (kept, found)
    assert type(found) in (str, Decimal, dt.datetime, dict)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (values.text, 5),
        (values.text, "a\x00b"),
        (values.text, "\ud800"),
        (values.integer, 2**63),
        (values.integer, True),
        (values.decimal, 0.5),
        (values.decimal, Decimal("NaN")),
        (values.boolean, 1),
        (values.date, START),
        (values.instant, dt.datetime(2024, 1, 1)),  # noqa: DTZ001 - that is what is refused
        (values.json, {"a": object()}),
        (values.json, ["a\x00"]),
    ],
)
def test_a_value_that_a_store_would_refuse_or_change_in_meaning_is_refused(kind: Any, given: object) -> None:
    with pytest.raises(ValueError, match=r"is|holds|cannot"):
        kind(given)


def test_an_event_whose_value_cannot_be_kept_is_unprojectable() -> None:
    event = PolicyIssued(policy_no="P-1", broker="B", premium=Decimal("Infinity"))
    with pytest.raises(Unprojectable, match="policy_view v1: premium is Infinity"):
        POLICY.apply(None, event, Story().tell(event)[0].envelope)


def test_a_handler_that_fails_half_way_leaves_no_trace_in_the_row() -> None:
    class Half(Projection, version=1, context="c", key="policy_no"):
        policy_no: str
        seen: list[str] = []  # noqa: RUF012

        @on(PolicyIssued, creates=True)
        def issued(self, event: PolicyIssued) -> None:
            self.seen.append("issued")

        @on(PolicyAnnulled)
        def annulled(self, event: PolicyAnnulled) -> None:
            self.seen.append("annulled")
            raise RuntimeError("half way")

    issued = PolicyIssued(policy_no="P-1", broker="B", premium=Decimal(1))
    envelope = Story().tell(issued)[0].envelope
    row = Half.definition.apply(None, issued, envelope)
    with pytest.raises(Unprojectable, match="half way"):
        Half.definition.apply(row, PolicyAnnulled(policy_no="P-1"), envelope)
    assert row == {"policy_no": "P-1", "seen": ["issued"]}
    assert Half.definition.apply(None, issued, envelope) == row, "nor in the default"


def test_a_handler_may_not_change_its_rows_key() -> None:
    class Moving(Projection, version=1, context="c", key="policy_no"):
        policy_no: str

        @on(PremiumAgreed, creates=True)
        def agreed(self, event: PremiumAgreed) -> None:
            self.policy_no = "another"

    event = PremiumAgreed(policy_no="P-1", premium=Decimal(1))
    with pytest.raises(Unprojectable, match="key"):
        Moving.definition.apply(None, event, Story().tell(event)[0].envelope)


def test_a_key_or_default_that_no_store_could_keep_is_a_fault_of_the_project() -> None:
    with pytest.raises(ProjectError, match=r"(?s)amount: its default.*a key is text"):

        class Wrong(Projection, version=1, context="c", key="premium"):
            premium: Decimal
            amount: int = 2**64

            @on(PolicyIssued, creates=True)
            def issued(self, event: PolicyIssued) -> None: ...


def test_numbers_in_json_have_the_form_in_which_every_store_gives_them_back() -> None:
    told = [1e300, -1.5e16, -0.0, {"a": [1e-7, 5e-324, 1e15, 1.0]}, "1e300", "-0.0"]
    found = values.json(told)
    assert repr(found) == repr(
        [10**300, -15 * 10**15, 0.0, {"a": [1e-7, 5e-324, 1e15, 1.0]}, "1e300", "-0.0"]
    )
    assert repr(values.json(found)) == repr(found)
