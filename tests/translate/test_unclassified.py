"""What was read and gave no event is never lost from sight (R6)."""

import datetime as dt
from collections.abc import Iterator, Sequence

from tests.support.legacy import policy
from tests.translate.domain import CATALOGUE, WorkDone
from tests.translate.test_rules import change
from tests.translate.world import World
from toolkit.core.changes import Change, Op
from toolkit.core.events import Event
from toolkit.core.translators import Translators
from toolkit.loops.translate import translate

NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def rules_that_see_inserts_only() -> Translators:
    acl = Translators("policy_admin")
    acl.aggregate("policy", {"POLMAST": "POL_NO", "POLHOLD": "POL_NO", "OUTBOX": "AGGREGATEID"})

    @acl.table("POLMAST")
    def master(one: Change) -> Iterator[Event]:
        if one.op is Op.INSERT:
            yield WorkDone(policy_no=one.subject, rows=1)

    @acl.transaction("POLHOLD")
    def holds(many: Sequence[Change]) -> Iterator[Event]:
        if len(many) > 1:
            yield WorkDone(policy_no=many[0].subject, rows=len(many))

    return acl


def silent(acl: Translators, *changes: Change) -> list[str]:
    return [one.position for one in translate(changes, acl, CATALOGUE, {}, NOW).silent]


def test_what_gives_no_event_is_counted_by_its_shape(world: World) -> None:
    world.skip_backfill()
    acl = rules_that_see_inserts_only()
    acl.table("OUTBOX")(lambda _: ())
    world.legacy.run(policy(1))
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'H' WHERE POL_NO LIKE 'P%1%'")
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'A' WHERE POL_NO LIKE 'P%1%'")
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO LIKE 'P%1%'")
    world.drain(world.translation(acl))

    found = {str(one.shape): one.count for one in world.state.unclassified.of("policy_admin")}

    assert found == {"POLMAST update of STAT_CD": 2, "POLMAST delete": 1}


def test_what_is_declared_meaningless_is_not_counted(world: World) -> None:
    world.skip_backfill()
    acl = rules_that_see_inserts_only()
    acl.table("OUTBOX")(lambda _: ())
    acl.meaningless("POLMAST", "STAT_CD", why="holds say it")
    world.legacy.run(policy(1))
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'H' WHERE POL_NO LIKE 'P%1%'")
    world.drain(world.translation(acl))

    assert world.state.unclassified.of("policy_admin") == []


def test_an_event_of_a_transaction_speaks_for_all_its_changes() -> None:
    acl = rules_that_see_inserts_only()

    assert silent(acl, change(1, transaction="7"), change(2, transaction="7")) == []
    assert silent(acl, change(1, transaction="7"), change(2, transaction="8")) == ["change:1", "change:2"]


def test_a_table_that_means_nothing_needs_no_rule() -> None:
    acl = Translators("policy_admin")
    acl.meaningless("POLMAST", why="a work table")

    outcome = translate([change(1, table="POLMAST")], acl, CATALOGUE, {}, NOW)

    assert (outcome.drafts, outcome.parked) == ([], [])


def test_what_is_parked_is_not_silent() -> None:
    outcome = translate([change(1)], Translators("policy_admin"), CATALOGUE, {}, NOW)

    assert len(outcome.parked) == 1
    assert outcome.silent == []
