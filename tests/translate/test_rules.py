"""What a batch of changes comes to: the pure part of translation (R2, R4, R6)."""

import datetime as dt
from collections.abc import Iterator, Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.domain import CATALOGUE, HoldPlaced, WorkDone, rules
from toolkit.core.changes import Change, Op
from toolkit.core.events import Event
from toolkit.core.translators import Translators
from toolkit.loops.translate import Outcome, translate, units, waiting_units
from toolkit.loops.unit import Places
from toolkit.ports import ParkedChange

NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
PLACES = Places.of(rules())


def change(
    number: int,
    *,
    subject: str = "P1",
    table: str = "POLHOLD",
    transaction: str | None = None,
    op: Op = Op.INSERT,
    **row: object,
) -> Change:
    defaults: dict[str, dict[str, object]] = {
        "POLHOLD": {"HLD_ID": number, "POL_NO": subject, "HLD_TYP": "P"},
        "POLMAST": {"POL_NO": subject, "STAT_CD": "A", "PREM": 1},
        "OUTBOX": {"TYPE": "HoldReleaseConfirmed", "PAYLOAD": '{"hold": 1}'},
    }
    snapshot = op is Op.SNAPSHOT
    return Change(
        source="policy_admin",
        table=table,
        op=op,
        subject=subject,
        position=f"snapshot:{table}:{subject}" if snapshot else f"change:{number}",
        captured_at=NOW,
        after={**defaults[table], **row},
        transaction=transaction,
        number=0 if snapshot else number,
        key=("HLD_ID",) if table == "POLHOLD" else ("POL_NO",),
    )


def outcome(*changes: Change, acl: Translators | None = None, held: dict[str, int] | None = None) -> Outcome:
    acl = acl or rules()
    return translate(changes, acl, CATALOGUE, held or {}, NOW)


def positions(result: Outcome) -> list[str]:
    return [draft.envelope.position for draft in result.drafts]


def waiting(result: Outcome) -> list[tuple[str, bool]]:
    return [(one.change.position, one.held) for one in result.parked]


def test_what_capture_could_not_read_is_parked_and_holds_its_subject_alone() -> None:
    broken = msgspec.structs.replace(change(1), fault="HLD_TYP: 'x' is no date")
    found = outcome(broken, change(2), change(3, subject="P2"))
    assert [one.reason for one in found.parked if not one.held] == [
        "POLHOLD HLD_ID=1 (insert): HLD_TYP: 'x' is no date"
    ]
    assert waiting(found) == [("change:1", False), ("change:2", True)]
    assert positions(found) == ["change:3"]


def test_a_subject_that_no_archive_keeps_is_parked_and_whatever_follows_of_it() -> None:
    found = outcome(change(1, subject="P\x001"), change(2, subject="P2"), change(3, subject="P\x001"))
    assert waiting(found) == [("change:1", False), ("change:3", True)]
    assert "is no text that every archive can keep" in found.parked[0].reason
    assert positions(found) == ["change:2"]


def test_a_unit_is_what_one_transaction_did_to_one_subject() -> None:
    changes = [
        change(1, transaction="a"),
        change(2, transaction="a", subject="P2"),
        change(3, transaction="b"),
        change(4, transaction="a"),
        change(5),
        change(6),
    ]
    assert [[one.number for one in unit.changes] for unit in units(changes)] == [[2], [3], [1, 4], [5], [6]]


def test_units_go_by_their_last_number() -> None:
    """`a` placed a hold, then waited for `b`'s lock on the policy: its change to the policy comes after b's."""
    a, b, policy = (
        change(1, transaction="a"),
        change(2, transaction="b", table="POLMAST", op=Op.UPDATE),
        change(3, transaction="a", table="POLMAST", op=Op.UPDATE),
    )
    assert positions(outcome(a, b, policy)) == ["change:2", "change:1", "change:3"]


def test_an_aggregates_first_row_comes_before_those_that_came_with_it_and_goes_after_those_that_went() -> (
    None
):
    """Engines tell what a foreign key does to other rows before or after what it was done for."""

    def told(*ops: tuple[str, Op]) -> list[str]:
        made = [
            change(at, table=table, op=op, transaction="a") for at, (table, op) in enumerate(ops, start=1)
        ]
        return [str(one.number) for unit in units(made, (), PLACES) for one in unit.changes]

    came, went = ("POLHOLD", Op.INSERT), ("POLHOLD", Op.DELETE)
    fact, policy, gone = ("OUTBOX", Op.INSERT), ("POLMAST", Op.INSERT), ("POLMAST", Op.DELETE)
    assert told(came, came, policy, came) == ["3", "1", "2", "4"]
    assert told(gone, went, went) == ["2", "3", "1"]
    assert told(went, gone, policy, came) == ["1", "2", "3", "4"]
    assert told(gone, came, policy) == ["1", "3", "2"]
    assert told(gone, policy, went) == ["1", "2", "3"], "only what follows it directly"
    assert told(came, fact, policy) == ["1", "2", "3"], "a fact stays where it was said"
    assert told(("POLHOLD", Op.UPDATE), policy) == ["1", "2"]


def test_a_unit_whose_first_row_changed_its_place_is_where_its_last_change_is() -> None:
    moved = [change(1, transaction="a"), change(9, transaction="a", table="POLMAST")]
    (unit,) = units(moved, (), PLACES)
    assert (unit.changes[0].number, unit.number) == (9, 9)
    assert waiting_units([*_parked(moved)], rules()) == {"P1": 9}


def _parked(changes: Sequence[Change]) -> Iterator[ParkedChange]:
    for one in changes:
        yield ParkedChange(source=one.source, change=one, reason="", held=False, parked_at=NOW)


def test_a_transaction_rule_sees_the_whole_unit_once_at_its_last_change() -> None:
    result = outcome(
        change(1, transaction="a", table="POLMAST"), change(2, transaction="a"), acl=rules(together=True)
    )
    assert [(one.envelope.type, one.envelope.position) for one in result.drafts] == [
        ("PolicyStated", "change:1"),
        ("HoldPlaced", "change:2"),
        ("WorkDone", "change:2"),
    ]


def test_events_of_one_position_have_ids_of_their_own() -> None:
    acl = Translators("policy_admin")

    @acl.table("POLHOLD")
    def twice(one: Change) -> Iterator[Event]:
        yield HoldPlaced(policy_no=one.subject, hold_no=1, kind="P")
        yield HoldPlaced(policy_no=one.subject, hold_no=2, kind="P")

    @acl.transaction("POLHOLD")
    def again(unit: Sequence[Change]) -> Iterator[Event]:
        yield HoldPlaced(policy_no=unit[0].subject, hold_no=3, kind="P")

    ids = [one.envelope.id for one in outcome(change(1), acl=acl).drafts]
    assert len(set(ids)) == 3
    assert ids == [one.envelope.id for one in outcome(change(1), acl=acl).drafts]


def test_a_unit_that_fails_is_parked_whole_with_rule_table_and_key() -> None:
    result = outcome(
        change(1, transaction="a"), change(2, transaction="a", HLD_TYP="X"), change(3, subject="P2")
    )
    assert positions(result) == ["change:3"]
    assert waiting(result) == [("change:1", True), ("change:2", False)]
    reason = result.parked[1].reason
    for word in ("hold", "POLHOLD", "HLD_ID=2", "HLD_TYP 'X'"):
        assert word in reason
    assert "same legacy transaction" in result.parked[0].reason


def test_later_units_of_the_subject_are_held_back_and_others_go_on() -> None:
    result = outcome(change(1, HLD_TYP="X"), change(2), change(3, subject="P2"))
    assert positions(result) == ["change:3"]
    assert waiting(result) == [("change:1", False), ("change:2", True)]


def test_a_subject_parked_before_is_held_back() -> None:
    result = outcome(change(5), change(6, subject="P2"), held={"P1": 3})
    assert positions(result) == ["change:6"]
    assert waiting(result) == [("change:5", True)]


def test_what_ends_before_the_parked_unit_goes_ahead() -> None:
    """A step that is done again after a crash offers what was archived before the parked one: it is not held now."""
    assert positions(outcome(change(2), held={"P1": 3})) == ["change:2"]


def test_whatever_a_rule_raises_is_a_reason() -> None:
    del_column = change(1, table="POLMAST")
    row = {name: value for name, value in del_column.row.items() if name != "PREM"}
    broken = Change(
        source="s",
        table="POLMAST",
        op=Op.INSERT,
        subject="P1",
        position="change:1",
        captured_at=NOW,
        after=row,
    )
    result = outcome(broken)
    assert "POLMAST has no column PREM" in result.parked[0].reason


def test_an_event_that_cannot_be_encoded_is_parked() -> None:
    acl = Translators("policy_admin")

    @acl.table("POLHOLD")
    def odd(one: Change) -> Iterator[Event]:
        yield HoldPlaced(policy_no=one.subject, hold_no=object(), kind="P")  # type: ignore[arg-type]

    assert "object" in outcome(change(1), acl=acl).parked[0].reason


def test_an_event_of_another_subject_is_parked() -> None:
    acl = Translators("policy_admin")

    @acl.table("POLHOLD")
    def other(one: Change) -> Iterator[Event]:
        yield WorkDone(policy_no="P9", rows=1)

    assert "speaks of subject 'P9'" in outcome(change(1), acl=acl).parked[0].reason


def test_a_table_nobody_speaks_for_is_parked() -> None:
    assert (
        "no translator speaks for POLMAST"
        in outcome(change(1, table="POLMAST"), acl=Translators("policy_admin")).parked[0].reason
    )


def test_an_outbox_type_nobody_speaks_for_is_parked() -> None:
    result = outcome(
        change(1, table="OUTBOX", TYPE="Odd"), change(2, table="OUTBOX", TYPE="HoldReleaseConfirmed  ")
    )
    assert "'Odd'" in result.parked[0].reason


def test_an_outbox_type_may_be_padded() -> None:
    assert positions(outcome(change(2, table="OUTBOX", TYPE="HoldReleaseConfirmed  "))) == ["change:2"]


def test_rows_that_backfill_found_come_first_in_the_order_of_the_aggregates_tables() -> None:
    result = outcome(
        change(7),
        change(0, op=Op.SNAPSHOT, table="POLHOLD"),
        change(0, op=Op.SNAPSHOT, table="POLMAST"),
    )
    assert positions(result) == ["snapshot:POLMAST:P1", "snapshot:POLHOLD:P1", "change:7"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["P1", "P2", "P3"]),
            st.sampled_from([None, "a", "b", "c"]),
            st.sampled_from("PPPX"),
        ),
        max_size=25,
    )
)
def test_every_change_is_translated_or_waits_and_none_does_both(
    work: list[tuple[str, str | None, str]],
) -> None:
    changes = [
        change(at, subject=subject, transaction=transaction, HLD_TYP=kind)
        for at, (subject, transaction, kind) in enumerate(work, 1)
    ]
    result = outcome(*changes)
    flowed, parked = set(positions(result)), {one.change.position for one in result.parked}
    assert flowed | parked == {one.position for one in changes}
    assert not flowed & parked
    for subject in ("P1", "P2", "P3"):
        ends = [
            unit.number
            for unit in units(changes)
            if unit.subject == subject and unit.changes[0].position in parked
        ]
        gone = [
            unit.number
            for unit in units(changes)
            if unit.subject == subject and unit.changes[0].position in flowed
        ]
        assert not ends or all(number < min(ends) for number in gone)
