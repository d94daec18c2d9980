"""The inbox: fetched changes are stored together with the position they lead to, numbered, and offered until marked."""

import datetime as dt

import pytest

from adapters.state.inbox import SqlInbox
from adapters.state.store import State
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Fenced
from toolkit.inbox import Inbox, Seen

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def inbox(state: State) -> Inbox:
    return state.inbox("policy_admin")


def change(position: str, subject: str = "P-1", transaction: str | None = None) -> Change:
    return Change(
        source="policy_admin",
        table="POLMAST",
        op=Op.UPDATE,
        subject=subject,
        position=position,
        captured_at=NOON,
        after={"POL_NO": subject},
        transaction=transaction,
    )


def numbers(changes: list[Change]) -> list[int]:
    return [one.number for one in changes]


def test_changes_are_numbered_in_their_order_and_offered_until_marked(inbox: Inbox) -> None:
    given = inbox.put([change("a"), change("b")], moved={"at": (None, "2")})
    more = inbox.put([change("c")], moved={"at": ("2", "3")})

    assert numbers([*given, *more]) == [1, 2, 3]
    assert inbox.last() == 3
    inbox.mark([1])
    inbox.mark([1])
    assert [one.position for one in inbox.pending(10)] == ["b", "c"]
    assert inbox.waiting() == 2
    assert inbox.waiting(up_to=2) == 1
    assert inbox.position("at") == "3"


def test_who_fetched_from_an_old_position_stores_nothing(inbox: Inbox) -> None:
    inbox.put([change("a")], moved={"at": (None, "1")})

    with pytest.raises(Fenced):
        inbox.put([change("a")], moved={"at": (None, "1")}, seen=[Seen(table="T", key="1", image=b"x")])

    assert numbers(inbox.pending(10)) == [1]
    assert inbox.seen("T", limit=10) == []


def test_a_unit_is_never_cut_in_two(inbox: Inbox) -> None:
    inbox.put(
        [change("a", transaction="7"), *(change(str(at), transaction="8") for at in range(5))],
        moved={"at": (None, "1")},
    )

    assert numbers(inbox.pending(3)) == [1]
    inbox.mark([1])
    assert numbers(inbox.pending(3)) == [2, 3, 4, 5, 6]


def test_changes_without_a_transaction_are_units_of_their_own(inbox: Inbox) -> None:
    inbox.put([change(str(at)) for at in range(5)], moved={"at": (None, "1")})

    assert numbers(inbox.pending(3)) == [1, 2, 3]


def test_what_is_left_out_does_not_hide_what_comes_behind_it(inbox: Inbox) -> None:
    inbox.put([change("a", "P-1"), change("b", "P-1"), change("c", "P-2")], moved={"at": (None, "1")})

    assert numbers(inbox.pending(1, leave=lambda one: one.subject == "P-1")) == [3]


def test_however_many_are_left_out_no_more_than_a_page_is_in_memory(
    inbox: SqlInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group whose backfill is not done leaves all of its changes waiting, for days maybe."""
    waiting = [change(str(at), "P-1", transaction=str(at // 7)) for at in range(500)]
    inbox.put([*waiting, change("x", "P-2", "t"), change("y", "P-2", "t")], moved={"at": (None, "1")})
    pages: list[int] = []
    head = inbox._head

    def counted(*given: object, **more: object) -> list[Change]:
        found = head(*given, **more)  # type: ignore[arg-type]
        pages.append(len(found))
        return found

    monkeypatch.setattr(inbox, "_head", counted)
    assert numbers(inbox.pending(10, leave=lambda one: one.subject == "P-1")) == [501, 502]
    assert max(pages) == 10


def test_rows_seen_are_walked_by_key_and_forgotten_with_their_row(inbox: Inbox) -> None:
    rows = [Seen(table="T", key=key, image=key.encode()) for key in ("b", "B", "a", "ä")]
    inbox.put([], moved={}, seen=rows)
    inbox.put([], moved={}, seen=[Seen(table="T", key="a", image=b"new")], gone=[("T", "B")])

    assert [(one.key, one.image) for one in inbox.seen("T", limit=2)] == [("a", b"new"), ("b", b"b")]
    assert [one.key for one in inbox.seen("T", after="b", limit=9)] == ["ä"]
    assert [one.key for one in inbox.seen("T", up_to="b", limit=9)] == ["a", "b"]


def test_rows_seen_are_found_by_what_their_key_begins_with(inbox: Inbox) -> None:
    keys = ['["a",1]', '["a",12]', '["a","\U0010ffff"]', '["A",1]', '["aa",1]', '["b",1]']
    inbox.put([], moved={}, seen=[Seen(table="T", key=key, image=b"x") for key in keys])

    assert {one.key for one in inbox.under("T", ['["a",', '["b",', '["c",'])} == {*keys[:3], keys[5]}
    assert len(inbox.under("T", ['["a",', *(f'["b{at}",' for at in range(120))])) == 3
    assert {one.key for one in inbox.find("T", ['["a",1]', '["A"', '["b",1]'])} == {keys[0], keys[5]}
    assert inbox.find("T", []) == []
    assert inbox.under("T", []) == []


def test_removed_and_begun_again_no_number_comes_twice(inbox: Inbox, state: State) -> None:
    inbox.put([change("a")], moved={"at": (None, "1")})
    inbox.forget()

    assert inbox.pending(10) == []
    assert inbox.position("at") is None
    assert numbers(inbox.put([change("b")], moved={"at": (None, "9")})) == [2]


def test_sources_do_not_see_each_other(inbox: Inbox, state: State) -> None:
    other = SqlInbox(state.engine, "claims")
    inbox.put([change("a")], moved={"at": (None, "1")})

    assert other.pending(10) == []
    assert other.position("at") is None
    assert other.last() == 0
