"""Changes, events, ids, projections: what the words promise."""

import datetime as dt
from decimal import Decimal
from typing import Literal

import pytest

from toolkit import (
    DELETE,
    Change,
    Context,
    Envelope,
    Event,
    Op,
    Projection,
    Unprojectable,
    Untranslatable,
    on,
)
from toolkit.core.events import Catalogue
from toolkit.core.projections import Verb
from toolkit.core.records import drafts, partition_of
from toolkit.core.subjects import parted, subject_text

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
policies = Context("policies")


@policies.event(subject="policy_no", means="The policy was issued.")
class PolicyIssued(Event):
    policy_no: str
    premium: Decimal


@policies.event(subject="policy_no", version=3, means="The policy was endorsed.")
class EndorsementApplied(Event):
    policy_no: str
    reason: str


@policies.upcast(EndorsementApplied, from_version=1)
def name_the_reason(data: dict[str, object]) -> dict[str, object]:
    return {**data, "reason_code": data.get("reason_code") or "unspecified"}


@policies.upcast(EndorsementApplied, from_version=2)
def spell_the_reason(data: dict[str, object]) -> dict[str, object]:
    return {**data, "reason": data["reason_code"]}


@policies.event(subject="policy_no", means="The policy's file was purged.")
class PolicyPurged(Event):
    policy_no: str


class CustomerPolicy(Projection, version=1, context="service", key="policy_no"):
    policy_no: str
    premium: Decimal
    status: Literal["in_force", "endorsed"]
    reason: str | None = None

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.premium = event.premium
        self.status = "in_force"

    @on(EndorsementApplied)
    def endorsed(self, event: EndorsementApplied, envelope: Envelope) -> None:
        self.status = "endorsed"
        self.reason = f"{event.reason} at {envelope.time:%H:%M}"

    @on(PolicyPurged)
    def purged(self, event: PolicyPurged) -> Verb:
        return DELETE


CATALOGUE = Catalogue.of([policies])
ENVELOPE = Envelope(
    id="1", source="s", type="t", subject="P1", time=NOON, version=1, meaning=1, position="change:1"
)
ISSUED = PolicyIssued(policy_no="P1", premium=Decimal("10.50"))


def change(before: dict[str, object] | None, after: dict[str, object] | None, **other: object) -> Change:
    op = Op.INSERT if before is None else Op.DELETE if after is None else Op.UPDATE
    fields: dict[str, object] = {
        "source": "core",
        "table": "POLMAST",
        "op": op,
        "subject": "P1",
        "position": "change:1",
    }
    return Change(captured_at=NOON, before=before, after=after, **{**fields, **other})  # type: ignore[arg-type]


def test_became_is_true_only_at_the_step_into_the_value() -> None:
    assert change({"ST": "A"}, {"ST": "C"}).became("ST", "C")
    assert not change({"ST": "C", "X": 1}, {"ST": "C", "X": 2}).became("ST", "C")
    assert change(None, {"ST": "C"}).became("ST", "C")
    assert not change({"ST": "C"}, None).became("ST", "C")


def test_text_drops_the_padding_of_char_columns() -> None:
    assert change(None, {"POL_NO": "P1      "}).text("POL_NO") == "P1"
    assert change(None, {"POL_NO": None}).text("POL_NO") == ""


def test_a_missing_column_names_the_table() -> None:
    with pytest.raises(KeyError, match="POLMAST has no column STATUS"):
        change(None, {"ST": "A"})["STATUS"]


def test_translating_again_gives_the_same_ids_and_each_event_its_own() -> None:
    events = [
        ISSUED,
        EndorsementApplied(policy_no="P1", reason="a"),
        EndorsementApplied(policy_no="P1", reason="b"),
    ]
    first, second = (drafts(CATALOGUE, change(None, {}), events) for _ in range(2))
    assert first == second
    assert len({draft.envelope.id for draft in first}) == 3
    moved = drafts(CATALOGUE, change(None, {}, position="change:2"), events)
    assert not {draft.envelope.id for draft in first} & {draft.envelope.id for draft in moved}


def test_an_event_about_another_subject_is_refused() -> None:
    with pytest.raises(Untranslatable, match="speaks of subject 'P2'"):
        drafts(CATALOGUE, change(None, {}), [PolicyIssued(policy_no="P2", premium=Decimal(1))])


def test_an_event_that_does_not_fit_its_own_type_is_refused() -> None:
    broken = EndorsementApplied(policy_no="P1", reason=None)  # type: ignore[arg-type]
    with pytest.raises(Untranslatable, match=r"reason"):
        drafts(CATALOGUE, change(None, {}), [broken])


def test_partitions_never_move() -> None:
    assert [partition_of(subject, 4) for subject in ("P000000001", "P000000002", "K-77", "ü")] == [3, 1, 0, 1]


def test_old_data_goes_through_every_upcaster_and_unknown_fields_are_tolerated() -> None:
    data = b'{"policy_no": "P1", "since": 1999}'
    assert CATALOGUE.by_name("EndorsementApplied").current(data, 1) == EndorsementApplied(
        policy_no="P1", reason="unspecified"
    )


@pytest.mark.parametrize(
    ("data", "version", "why"),
    [
        (b'{"policy_no": "P1"}', 3, "reason"),
        (b'{"policy_no": "P1", "reason": "x"}', 4, "newer than this project"),
        (b"not json", 3, "malformed"),
    ],
)
def test_data_that_does_not_fit_is_unprojectable_with_its_reason(data: bytes, version: int, why: str) -> None:
    with pytest.raises(Unprojectable, match=why):
        CATALOGUE.by_name("EndorsementApplied").current(data, version)


def test_a_missing_upcaster_says_how_to_declare_it() -> None:
    lonely = Context("lonely")

    @lonely.event(subject="a", version=2, means="x")
    class Done(Event):
        a: str

    with pytest.raises(Unprojectable, match=r"from_version=1"):
        Catalogue.of([lonely]).by_name("Done").current(b'{"a": "1"}', 1)


def test_handlers_fold_events_into_rows() -> None:
    definition = CustomerPolicy.definition
    row = definition.apply(None, ISSUED, ENVELOPE)
    assert row == {"policy_no": "P1", "premium": Decimal("10.50"), "status": "in_force", "reason": None}
    row = definition.apply(row, EndorsementApplied(policy_no="P1", reason="flood"), ENVELOPE)
    assert row is not None
    assert row["reason"] == "flood at 12:00"
    assert definition.apply(row, PolicyPurged(policy_no="P1"), ENVELOPE) is None


def test_folding_does_not_change_its_input() -> None:
    row = CustomerPolicy.definition.apply(None, ISSUED, ENVELOPE)
    before = dict(row or {})
    CustomerPolicy.definition.apply(row, EndorsementApplied(policy_no="P1", reason="x"), ENVELOPE)
    assert row == before


class CustomerPolicyTwo(
    CustomerPolicy, version=2, context="service", key="policy_no", name="customer_policy"
):
    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.premium = event.premium * 2
        self.status = "in_force"


def test_a_new_version_may_be_the_old_one_with_a_rule_overridden() -> None:
    old, new = CustomerPolicy.definition, CustomerPolicyTwo.definition
    assert (new.identity, new.handlers.keys()) == ("customer_policy v2", old.handlers.keys())
    row = new.apply(None, ISSUED, ENVELOPE)
    assert row is not None
    assert row["premium"] == Decimal(21)


class Reasons(Projection, version=1, context="service", key="policy_no"):
    policy_no: str
    seen: list[str] = []  # noqa: RUF012 - a column's default, not state of the class

    @on(EndorsementApplied, creates=True)
    def endorsed(self, event: EndorsementApplied) -> None:
        self.seen.append(event.reason)


def test_a_list_changed_in_place_leaks_into_neither_the_default_nor_the_former_row() -> None:
    event = EndorsementApplied(policy_no="P1", reason="flood")
    first = Reasons.definition.apply(None, event, ENVELOPE)
    second = Reasons.definition.apply(first, event, ENVELOPE)
    assert first is not None
    assert second is not None
    assert (first["seen"], second["seen"]) == (["flood"], ["flood", "flood"])
    assert Reasons.definition.apply(None, event, ENVELOPE) == first


def test_an_event_without_its_row_is_unprojectable() -> None:
    with pytest.raises(Unprojectable, match="no row for policy_no = 'P1'"):
        CustomerPolicy.definition.apply(None, EndorsementApplied(policy_no="P1", reason="x"), ENVELOPE)


def test_a_value_outside_the_vocabulary_is_unprojectable() -> None:
    row: dict[str, object] = {"policy_no": "P1", "premium": Decimal(1), "status": "on_fire", "reason": None}
    with pytest.raises(Unprojectable, match="status = 'on_fire' is not in its vocabulary"):
        CustomerPolicy.definition.keep(row, {})


def test_a_subject_of_several_fields_is_spelt_as_the_changes_spell_it() -> None:
    context = Context("policies")

    @context.event(subject=["company_no", "policy_no"], means="Covered.")
    class PolicyCovered(Event):
        company_no: int
        policy_no: str | None

    catalogue = Catalogue.of([context])
    change = Change(
        source="core",
        table="POLMAST",
        op=Op.INSERT,
        subject=subject_text(["7", "A/1%"]),
        position="change:1",
        captured_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )
    (draft,) = drafts(catalogue, change, [PolicyCovered(company_no=7, policy_no="A/1%")])
    assert (draft.envelope.subject, parted(draft.envelope.subject)) == ("7/A%2F1%25", ("7", "A/1%"))
    assert catalogue.by_name("PolicyCovered").subject_of(PolicyCovered(company_no=7, policy_no=None)) == "7/"
