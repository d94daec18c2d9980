"""Rows whose keys differ in nothing but blanks at their end: none overwrites the other, and nothing of it is silent (R6)."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from tests.translate.domain import rules
from tests.translate.test_rules import change, outcome, positions, waiting
from toolkit.core.changes import Change, Op
from toolkit.core.events import Event
from toolkit.core.translators import Translators


def row(number: int, key: str, op: Op = Op.INSERT, *, was: str | None = None, **given: str) -> Change:
    """A change of a policy's own row, whose key is padded as it is written here."""
    made = change(number, table="POLMAST", op=op, POL_NO=key, **given)
    made = msgspec.structs.replace(made, position=f"{op}:{number}", subject=key.rstrip())
    if op is Op.DELETE:
        return msgspec.structs.replace(made, before=made.after, after=None)
    return made if was is None else msgspec.structs.replace(made, before={**made.row, "POL_NO": was})


def kinds(changes: Sequence[str]) -> list[str]:
    return [one.partition(":")[0] for one in changes]


def test_two_rows_that_a_backfill_finds_are_parked_with_both_keys_table_and_what_to_do() -> None:
    found = outcome(
        row(0, "P1", Op.SNAPSHOT),
        row(0, "P1 ", Op.SNAPSHOT),
        change(0, op=Op.SNAPSHOT),
        row(0, "P2", Op.SNAPSHOT),
    )
    assert {one.change.subject for one in found.parked} == {"P1"}
    (root,) = [one for one in found.parked if not one.held]
    assert root.reason == (
        "POLMAST: the keys 'P1' and 'P1 ' differ in nothing but blanks at their end, so that these rows are one subject, and "
        "one's state would overwrite the other's; in the legacy database, give one of them another key, or delete it"
    )
    assert len(found.drafts) == 1, "the other subject goes on"


def test_a_key_that_is_padded_and_alone_is_translated_as_ever() -> None:
    found = outcome(row(1, "P1  "), row(2, "P1  ", Op.UPDATE, was="P1  "), change(3, subject="P1"))
    assert (len(found.drafts), found.parked) == (3, [])


def test_rows_of_another_table_may_pad_the_subject_as_they_like() -> None:
    found = outcome(
        row(1, "P1"), change(2, POL_NO="P1  "), change(3, POL_NO="P1"), change(4, POL_NO="P1      ")
    )
    assert (len(found.drafts), found.parked) == (4, [])


def test_a_row_that_comes_once_its_namesake_is_gone_is_no_clash() -> None:
    found = outcome(row(1, "P1"), row(2, "P1", Op.DELETE), row(3, "P1 "), row(4, "P1", Op.UPDATE, was="P1 "))
    assert (len(found.drafts), found.parked) == (4, [])


def test_what_is_parked_knows_by_itself_which_row_it_met() -> None:
    """Replayed alone (a relay that begins to lead does), it does not pass for the only one: the other one was told."""
    first = outcome(row(1, "P1"), row(2, "P1 "))
    assert positions(first) == ["insert:1"]
    again = outcome(*(one.change for one in first.parked))
    assert (again.drafts, waiting(again)) == ([], [("insert:2", False)])
    mended = outcome(*(one.change for one in again.parked), row(3, "P1 ", Op.DELETE))
    assert (mended.drafts, mended.parked) == ([], []), "it never had the subject"


def test_a_row_that_comes_beside_another_parks_the_subject_from_there_on() -> None:
    found = outcome(row(1, "P1", Op.UPDATE, was="P1"), row(2, "P1 "), row(3, "P1", Op.UPDATE, was="P1"))
    assert positions(found) == ["update:1"]
    assert waiting(found) == [("insert:2", False), ("update:3", True)]


def test_what_capture_saw_beside_a_row_is_enough() -> None:
    found = outcome(msgspec.structs.replace(row(1, "P1 "), beside=("P1",)))
    assert "'P1' and 'P1 '" in found.parked[0].reason


def test_once_one_of_them_is_gone_the_subject_is_the_other_ones() -> None:
    parked = [
        msgspec.structs.replace(row(1, "P1 "), beside=("P1",)),
        row(2, "P1", Op.UPDATE, was="P1"),
        row(3, "P1 ", Op.DELETE),
        row(4, "P1", Op.UPDATE, was="P1"),
    ]
    found = outcome(*parked)
    assert (positions(found), found.parked) == (["update:2", "update:4"], [])


def test_the_one_that_stays_may_be_the_one_that_came_later_and_get_the_others_key() -> None:
    parked = [
        row(0, "P1", Op.SNAPSHOT),
        row(0, "P1 ", Op.SNAPSHOT, STAT_CD="H"),
        row(3, "P1", Op.DELETE),
        row(4, "P1", Op.UPDATE, was="P1 ", STAT_CD="C"),
    ]
    found = outcome(*parked)
    assert (positions(found), found.parked) == (["snapshot:0", "update:4"], [])
    assert b'"H"' in found.drafts[0].data


def test_a_row_that_was_seen_under_its_later_key_is_no_other_one() -> None:
    looked_late = msgspec.structs.replace(row(1, "P1 "), beside=("P1",))
    found = outcome(looked_late, row(2, "P1", Op.UPDATE, was="P1 "))
    assert (positions(found), found.parked) == (["insert:1", "update:2"], [])


def test_where_both_are_gone_the_subject_is_gone() -> None:
    found = outcome(
        row(0, "P1", Op.SNAPSHOT),
        row(0, "P1 ", Op.SNAPSHOT),
        row(1, "P1 ", Op.DELETE),
        row(2, "P1", Op.DELETE),
    )
    assert kinds(positions(found)) == ["snapshot", "delete"]


def test_a_subject_of_several_columns_is_told_apart_in_each() -> None:
    acl = Translators("policy_admin")
    acl.aggregate("policy", {"POLMAST": ("BRANCH", "POL_NO")})
    acl.table("POLMAST")(lambda _: [])
    two = [
        msgspec.structs.replace(row(at, "P1", BRANCH=branch), subject="7/P1", key=("BRANCH", "POL_NO"))
        for at, branch in enumerate(("7", "7 "))
    ]
    found = outcome(*two, acl=acl)
    assert "'7 /P1' and '7/P1'" in found.parked[0].reason


def test_a_row_that_takes_the_place_of_one_that_was_there_comes_after_its_end() -> None:
    """Each way round in the legacy database: copied and then deleted, as who mends padded keys may do."""
    found = outcome(row(5, "P1"), row(6, "P1 ", Op.DELETE), row(7, "P1", Op.UPDATE, was="P1"))
    assert (positions(found), found.parked) == (["delete:6", "insert:5", "update:7"], [])


def test_in_one_legacy_transaction_too() -> None:
    two = [row(5, "P1"), row(6, "P1 ", Op.DELETE)]
    found = outcome(*(msgspec.structs.replace(one, transaction="t") for one in two))
    assert positions(found) == ["delete:6", "insert:5"]


def test_once_the_first_of_two_is_gone_its_end_comes_before_the_other_ones_beginning() -> None:
    parked = [
        msgspec.structs.replace(row(1, "P1 "), beside=("P1",)),
        row(2, "P1", Op.DELETE),
        row(3, "P1 ", Op.UPDATE, was="P1 "),
    ]
    found = outcome(*parked)
    assert (positions(found), found.parked) == (["delete:2", "insert:1", "update:3"], [])


def test_where_the_end_cannot_be_translated_what_came_in_its_place_waits_for_it() -> None:
    acl = rules()
    found = outcome(row(5, "P1"), msgspec.structs.replace(row(6, "P1 ", Op.DELETE), fault="odd"), acl=acl)
    assert (positions(found), waiting(found)) == ([], [("delete:6", False), ("insert:5", True)])


def gone_beside(number: int, key: str, other: str) -> Change:
    """A row that went while another one of its subject was there, which is in none of the changes."""
    return msgspec.structs.replace(row(number, key, Op.DELETE), beside=(other,))


def test_where_both_were_there_before_what_went_waits_until_the_row_that_stays_is_changed() -> None:
    """Which of them was told last is not known; the change that tells it whole may be any."""
    (parked,) = outcome(gone_beside(1, "P1 ", "P1")).parked
    assert parked.reason.endswith(
        "change the row that stays (an UPDATE that writes a value anew will do), so that it is told whole"
    )
    found = outcome(gone_beside(1, "P1 ", "P1"), row(2, "P1", Op.UPDATE, was="P1", STAT_CD="H"))
    assert (positions(found), found.parked) == (["delete:1", "update:2"], [])


@pytest.mark.parametrize(
    "both",
    [
        lambda: (gone_beside(1, "P1", "P1 "), row(2, "P1 ", Op.UPDATE, was="P1 ")),
        lambda: (row(1, "P1 ", Op.DELETE), row(2, "P1 ", Op.UPDATE, was="P1")),
    ],
    ids=["the other one is gone", "and it got that one's key"],
)
def test_it_is_told_whole_as_if_it_had_come(both: Callable[[], tuple[Change, Change]]) -> None:
    acl, seen = Translators("policy_admin"), list[Change]()
    acl.aggregate("policy", {"POLMAST": "POL_NO"})

    @acl.table("POLMAST")
    def policy(change: Change) -> Sequence[Event]:
        seen.append(change)
        return []

    outcome(*both(), acl=acl)
    assert [(one.op, one.before is None) for one in seen] == [(Op.DELETE, False), (Op.INSERT, True)]


def test_where_the_one_that_stays_was_itself_deleted_meanwhile_it_begins_where_it_came_again() -> None:
    found = outcome(gone_beside(1, "P1 ", "P1"), row(2, "P1", Op.DELETE), row(3, "P1"))
    assert (positions(found), found.parked) == (["delete:1", "insert:3"], [])
