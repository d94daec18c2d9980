"""Two rows of the legacy database whose keys differ in blanks at their end: seen, told, and parked on every engine (R6)."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.legacy.namesakes import Search
from tests.support.legacy import SOURCE, TABLES, Legacy, hold
from tests.translate.domain import PolicyStated, PolicyWithdrawn
from tests.translate.world import World
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Infrastructure
from toolkit.core.events import Event
from toolkit.core.translators import Translators

VARYING = {
    "sqlite": (),  # its CHAR keeps blanks as they come
    "postgresql": ("ALTER TABLE POLMAST ALTER COLUMN POL_NO TYPE VARCHAR(12)",),
    "mysql": (
        "ALTER TABLE POLMAST MODIFY POL_NO VARCHAR(12) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL",
    ),
}


@pytest.fixture
def varying(legacy: Legacy) -> Legacy:
    """The database, not captured yet; the keys of its policies are told apart by their blanks."""
    for statement in VARYING[legacy.engine.dialect.name]:
        legacy.run(statement)
    return legacy


@pytest.fixture
def world(varying: Legacy, tmp_path: Path) -> Iterator[World]:
    varying.install()
    made = World(varying, f"sqlite:///{tmp_path}/state.db")
    yield made
    made.close()


def policy(key: str, status: str = "A") -> str:
    return f"INSERT INTO POLMAST VALUES ('{key}', '{status} ', 1.00, NULL)"


def parked(world: World) -> list[str]:
    return [one.reason for one in world.archive.parked("policy_admin") if not one.held]


def statuses(world: World, subject: str) -> list[object]:
    return [data["status"] for name, data in world.events(subject) if name == "PolicyStated"]


def test_a_backfill_parks_both_rows_and_reads_on(world: World) -> None:
    world.legacy.run(policy("P1"), policy("P1 ", "H"), policy("P2  "), policy("P3"))
    work = world.backfill(1)
    while work.step(world.epoch) is not None:
        pass
    (reason,) = parked(world)
    assert "POLMAST: the keys 'P1' and 'P1 ' differ in nothing but blanks" in reason
    assert [statuses(world, one) for one in ("P1", "P2", "P3")] == [[], ["A"], ["A"]]


@pytest.mark.parametrize("first", ["P1", "P1  "])
def test_a_row_that_comes_beside_another_is_parked_whichever_was_first(world: World, first: str) -> None:
    """Not in one batch: what was translated before is seen in the table alone."""
    world.skip_backfill()
    world.legacy.run(policy(first))
    world.drain()
    world.legacy.run(policy("P1 ", "H"), policy("P2"))
    world.drain()
    (reason,) = parked(world)
    assert repr(first) in reason
    assert "'P1 '" in reason
    assert (statuses(world, "P1"), statuses(world, "P2")) == (["A"], ["A"])


def test_once_the_other_row_has_another_key_all_flows(world: World) -> None:
    world.skip_backfill()
    world.legacy.run(policy("P1"))
    world.drain()
    world.legacy.run(policy("P1 ", "H"))
    world.drain()
    world.legacy.run(
        "UPDATE POLMAST SET STAT_CD = 'C ' WHERE POL_NO = 'P1'",
        "UPDATE POLMAST SET POL_NO = 'P9' WHERE POL_NO = 'P1 '",
    )
    world.drain()
    assert statuses(world, "P1") == ["A"], "what follows waits"
    world.translation().replay(world.epoch)
    assert parked(world) == []
    assert (statuses(world, "P1"), statuses(world, "P9")) == (["A", "C"], ["H"])
    assert "PolicyWithdrawn" not in world.types("P1"), "the subject is the row that stayed"


def test_rows_that_were_there_before_capture_looked_are_parked_once_the_padded_one_changes(
    world: World,
) -> None:
    world.skip_backfill()
    world.legacy.run(policy("P1"), policy("P1 "))
    world.capture.mark([one.number for one in world.capture.pending(10, [])])
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'H ' WHERE POL_NO = 'P1 '")
    world.drain()
    (reason,) = parked(world)
    assert "'P1' and 'P1 '" in reason


def test_changes_of_a_table_that_is_gone_are_offered_all_the_same(world: World) -> None:
    world.legacy.run(policy("P1"))
    assert len(world.capture.pending(10, [])) == 1, "and how to look for others is known"
    world.legacy.run(policy("P2 "), "DROP TABLE POLMAST")
    assert [one.subject for one in world.capture.pending(10, [])] == ["P1", "P2"]


def test_a_row_that_left_before_anybody_looked_is_not_told_of_the_other_one(world: World) -> None:
    world.skip_backfill()
    world.legacy.run(policy("P1"))
    world.drain()
    world.legacy.run(policy("P1 ", "H"))
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO = 'P1 '")
    world.drain(limit=1)  # the row and its end are not in one batch
    world.translation().replay(world.epoch)
    assert (parked(world), world.types("P1")) == ([], ["PolicyStated"])


def test_the_plan_and_a_hole_name_them(varying: Legacy) -> None:
    varying.run(policy("P1"), policy("P1 "), policy("P2 "), policy("P3"), policy("P3   "))
    planned = varying.source.capture.plan(TABLES)
    assert [one.where for one in planned.holes] == ["POLMAST"]
    assert "the keys 'P1' and 'P1 ' are one subject (and 1 more like it)" in planned.holes[0].what
    varying.install()
    found = [one for one in varying.source.capture.holes() if "one subject" in one.what]
    assert [one.what for one in found] == [planned.holes[0].what]
    varying.run("DELETE FROM POLMAST WHERE POL_NO IN ('P1 ', 'P3')")
    assert [one for one in varying.source.capture.holes() if "one subject" in one.what] == []


def test_a_padded_key_that_is_alone_is_no_hole(varying: Legacy) -> None:
    varying.run(policy("P1  "), policy("P2 "))
    assert varying.source.capture.plan(TABLES).holes == ()


def test_a_row_that_is_copied_to_its_bare_key_and_then_deleted_is_not_lost(world: World) -> None:
    world.skip_backfill()
    world.legacy.run(policy("P1 "))
    world.drain()
    world.legacy.run(policy("P1", "H"), "DELETE FROM POLMAST WHERE POL_NO = 'P1 '")
    world.drain()
    assert world.types("P1") == ["PolicyStated", "PolicyWithdrawn", "PolicyStated"]
    assert world.folded() == world.stored()


def test_a_row_that_is_copied_and_then_deleted_is_parked_where_a_batch_ends_between_the_two(
    world: World,
) -> None:
    """The copy looks alone, since its original is gone by then: only the deletion shows that there were two."""
    world.skip_backfill()
    world.legacy.run(policy("P1 "))
    world.drain()
    world.legacy.run(policy("P1", "H"))
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO = 'P1 '")
    world.drain(limit=1)
    (reason,) = parked(world)
    assert "'P1' and 'P1 '" in reason
    assert "change the row that stays" in reason
    assert statuses(world, "P1") == ["A", "H"]
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'C ' WHERE POL_NO = 'P1'")
    world.drain()
    world.translation().replay(world.epoch)
    assert parked(world) == []
    assert world.types("P1")[-2:] == ["PolicyWithdrawn", "PolicyStated"]
    assert world.folded() == world.stored()


@pytest.mark.parametrize("touched", [True, False])
def test_a_row_that_is_deleted_and_then_comes_under_its_bare_key_is_no_clash(
    world: World, *, touched: bool
) -> None:
    """Wherever a batch ends: what came later waits, and shows that it was not there yet."""
    world.skip_backfill()
    world.legacy.run(policy("P1 "))
    if touched:
        world.legacy.run("UPDATE POLMAST SET STAT_CD = 'C ' WHERE POL_NO = 'P1 '")
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO = 'P1 '")
    world.legacy.run(policy("P1", "H"))
    world.drain(limit=1)
    assert parked(world) == []
    assert world.folded() == world.stored()


def test_what_waits_is_looked_through_once_for_the_rows_of_a_batch_that_came_again_otherwise(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No index has it by subject, and a job of every night may delete all rows and write them again."""
    asked: list[list[str]] = []
    waiting_of = world.capture._waiting_of  # type: ignore[attr-defined]

    def counted(connection: object, table: str, subjects: list[str]) -> object:
        asked.append(subjects)
        return waiting_of(connection, table, subjects)

    monkeypatch.setattr(world.capture, "_waiting_of", counted)
    world.skip_backfill()
    world.legacy.run(policy("P1"), policy('P,"{2} '), policy("P3 "))
    world.legacy.run("DELETE FROM POLMAST")
    world.legacy.run(policy("P1", "H"), policy('P,"{2}', "H"), policy("P3", "H"))
    told = world.capture.pending(6, [])
    assert asked == [['P,"{2}', "P3"]], "P1 is as it was spelt, and nothing went since"
    assert [one.beside for one in told] == [()] * 6
    world.drain(limit=1)
    assert (parked(world), world.folded()) == ([], world.stored())


def test_where_rows_cannot_be_looked_for_what_asks_for_that_waits_until_they_can(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is held, a right that is missing: what nobody looked at must not pass for looked at."""
    world.skip_backfill()
    world.legacy.run(policy("P1"))
    world.drain()
    world.legacy.run(policy("P1 ", "H"), "INSERT INTO POLHOLD VALUES (1, 'P1', 'P')", hold(2, of=2))
    locked = Search(padded="", near=lambda _: ("SELECT 1 FROM held_by_another", {}))
    searches = world.capture._searches  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        patched.setattr(world.capture, "_search", lambda *_: locked)
        searches.clear()
        (flows,) = world.capture.pending(10, [])
        assert flows.subject == "P0002"
        world.capture.mark([flows.number])
        with pytest.raises(
            Infrastructure, match="POLMAST: other rows with the same subject cannot be looked for"
        ):
            world.capture.pending(10, [])
    searches.clear()
    world.drain()
    assert "'P1' and 'P1 '" in parked(world)[0]


@pytest.mark.parametrize("limit", [2, 5, 100])
def test_a_table_whose_rows_cannot_be_looked_for_stops_nothing_behind_it_however_much_waits(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """What waits fills the head of all that waits; subjects that are in it wait whole, so that their order stays true."""
    world.skip_backfill()
    world.legacy.run(*(policy(f"P{number:04}") for number in range(1, 7)))
    world.drain()
    world.legacy.run("UPDATE POLMAST SET POL_NO = 'P0006 ' WHERE POL_NO = 'P0006'")
    world.drain()
    world.legacy.run(*(policy(f"P{number:04}") for number in range(11, 23)))
    world.legacy.run(*("UPDATE POLMAST SET PREM = PREM + 1 WHERE POL_NO = 'P0006 '" for _ in range(6)))
    world.legacy.run(*(hold(number, of=number) for number in range(1, 23)))
    searches = world.capture._searches  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        locked = Search(padded="", near=lambda _: ("SELECT 1 FROM held_by_another", {}))
        patched.setattr(world.capture, "_search", lambda *_: locked)
        searches.clear()
        flowed = list[str]()
        with suppress(Infrastructure):
            while some := world.capture.pending(limit, []):
                flowed += [one.subject for one in some]
                world.capture.mark([one.number for one in some])
        with pytest.raises(Infrastructure, match="POLMAST: other rows"):
            world.capture.pending(limit, [])
        assert flowed == [f"P{number:04}" for number in range(1, 23) if number < 6 or 6 < number < 11]
    searches.clear()
    world.drain(limit=limit)
    assert world.types("P0011") == ["PolicyStated", "HoldPlaced"]
    assert world.types("P0006")[-7:] == ["PolicyStated"] * 6 + ["HoldPlaced"]


def test_a_row_whose_key_another_one_has_by_now_is_no_row_that_came_again(world: World) -> None:
    world.skip_backfill()
    world.legacy.run(policy("P1 "))
    world.drain()
    world.legacy.run(policy("P1", "H"))
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO = 'P1 '")
    world.translation().step(world.epoch, 1)
    world.legacy.run("UPDATE POLMAST SET POL_NO = 'P1 ' WHERE POL_NO = 'P1'")
    world.drain(limit=1)
    assert "'P1' and 'P1 '" in parked(world)[0]
    assert "PolicyWithdrawn" not in world.types("P1"), "what stays was told before"
    world.translation().replay(world.epoch)
    assert (parked(world), world.folded()) == ([], world.stored())


def sparing(*codes: str) -> Translators:
    """Rules that know these codes, and say of a change no more than a changed premium."""
    acl = Translators(SOURCE)
    acl.aggregate("policy", {"POLMAST": "POL_NO"})

    @acl.table("POLMAST")
    def rule(change: Change) -> Iterator[Event]:
        if change.op is Op.DELETE:
            yield PolicyWithdrawn(policy_no=change.subject)
            return
        status = {code: code for code in codes}[str(change["STAT_CD"]).rstrip()]
        if change.changed("PREM"):
            yield PolicyStated(policy_no=change.subject, status=status, premium=str(change["PREM"]))

    return acl


def met(world: World) -> None:
    """P1 was told; its namesake came while capture was away."""
    world.skip_backfill()
    world.legacy.run(policy("P1"))
    world.drain(world.translation(sparing("A")))
    world.legacy.run(policy("P1 "))
    world.capture.mark([one.number for one in world.capture.pending(10, [])])


def told_then_met(world: World) -> None:
    """Then P1 changed to a new code, and the other one went."""
    met(world)
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'Z ' WHERE POL_NO = 'P1'")
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO = 'P1 '")


def met_then_parked(world: World) -> None:
    """The same, but nobody could tell what P1 did before the other one went, so that the whole subject is parked."""
    met(world)
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'H ' WHERE POL_NO = 'P1 '")
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'Z ' WHERE POL_NO = 'P1'")
    world.drain(world.translation(sparing("A", "H")))
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO = 'P1 '")
    world.drain(world.translation(sparing("A", "H")))
    world.translation(sparing("A", "H")).replay(world.epoch)


@pytest.mark.parametrize("history", [told_then_met, met_then_parked])
def test_a_row_that_is_to_be_told_whole_is_told_whole_once_its_rule_is_mended(
    world: World, history: Callable[[World], None]
) -> None:
    """The other one's end went through, so that what is parked has to say by itself that the row is there."""
    history(world)
    world.drain(world.translation(sparing("A", "H")))
    world.translation(sparing("A", "H")).replay(world.epoch)  # as it does when a relay begins to lead
    (waits,) = world.archive.parked(SOURCE)
    assert (waits.change.op, waits.change.before, waits.change.beside) == (Op.INSERT, None, ())
    assert (waits.held, waits.reason[-11:]) == (False, "KeyError: Z"), "its own reason, not another's"
    mended = world.translation(sparing("A", "H", "Z"))
    assert mended.replay(world.epoch, lambda one: not one.held).changes == 1, "it can be chosen"
    world.drain(mended)
    assert parked(world) == []
    assert world.types("P1")[-2:] == ["PolicyWithdrawn", "PolicyStated"]
    assert world.folded() == world.stored()
