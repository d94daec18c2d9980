"""Pruning: what nobody needs goes, what anybody needs stays, and who would lose something is asked."""

import datetime as dt
import threading
from decimal import Decimal

import pytest

from tests.retention.world import BOOK, EVERYTHING, POLICY, POLICY_V2, World, issued, tomorrow
from tests.support.read_store import TOPIC, PremiumAgreed
from toolkit.core.errors import Fenced, LeaseHeld, OffsetLost, Refused
from toolkit.loops.history import Origin
from toolkit.loops.prune import LEASE, Limits, Pruned


@pytest.fixture
def flowing(world: World) -> World:
    """Twelve policies, published, and in both views."""
    world.happen(*(issued(number) for number in range(12)))
    world.publish()
    world.drain(POLICY, BOOK)
    return world


def test_what_everybody_has_goes_from_archive_and_log(flowing: World) -> None:
    plan = flowing.plan()
    assert sum(one.count for one in plan.events) == 12
    done = flowing.prune()
    assert (done.events, done.complete, done.spared) == (12, True, ())
    assert done.records == 10, "the last of each partition says which offset is the next"
    assert flowing.prune().events == 0
    flowing.happen(issued(20))
    flowing.publish()
    flowing.drain(POLICY, BOOK)
    for definition in (POLICY, BOOK):
        assert flowing.rows(definition) == flowing.told(definition)


def test_what_is_kept_for_ever_stays(flowing: World) -> None:
    assert flowing.pruning().plan(Limits()).events == ()
    assert flowing.pruning().run(Limits()).events == 0
    assert set(flowing.kept().values()) == {1}


def test_a_plan_changes_nothing(flowing: World) -> None:
    assert [flowing.plan().events, flowing.plan().records] == [flowing.plan().events, flowing.plan().records]
    assert set(flowing.kept().values()) == {1}


def test_the_beginning_of_history_goes_only_for_projections_that_are_named(flowing: World) -> None:
    with pytest.raises(Refused, match=r"(?s)policy_view: no version.*archive prune --forgo policy_view"):
        flowing.prune("broker_book")
    assert set(flowing.kept().values()) == {1}
    flowing.prune("policy_view")
    flowing.happen(issued(20))
    flowing.publish()
    flowing.drain(POLICY, BOOK)
    assert flowing.plan().losses == (), "what is lost already is not lost again"


def test_what_is_not_published_stays(flowing: World) -> None:
    flowing.happen(issued(30), issued(31))
    flowing.prune()
    assert len(flowing.state.archive.unpublished(TOPIC, 10)) == 2
    flowing.publish()
    flowing.drain(POLICY)
    assert flowing.rows(POLICY) == flowing.told(POLICY)


def test_what_one_version_has_not_applied_stays_for_it_and_the_plan_names_it(flowing: World) -> None:
    flowing.happen(*(issued(number) for number in range(20, 30)))
    flowing.publish()
    flowing.advance(BOOK)
    stands = {one.partition: one.sequence for one in flowing.store.checkpoints("policy_view", 1)}
    (held, _) = [one.held for one in flowing.plan().events]
    assert held.startswith("policy_view v1 (running) stands at event ")
    flowing.prune()
    assert flowing.kept() == {at: sequence + 1 for at, sequence in stands.items()}
    flowing.drain(POLICY, BOOK)
    for definition in (POLICY, BOOK):
        assert flowing.rows(definition) == flowing.told(definition)


def test_a_version_that_nobody_runs_any_more_is_not_forgotten(flowing: World) -> None:
    epoch = flowing.store.seize("broker_book", 1)
    flowing.store.set_state("broker_book", 1, "failed", "x", epoch=epoch, now=dt.datetime.now(dt.UTC))
    flowing.happen(*(issued(number) for number in range(20, 30)))
    flowing.publish()
    flowing.drain(POLICY)
    assert {one.held.partition(" stands")[0] for one in flowing.plan().events} == {"broker_book v1 (failed)"}
    flowing.store.set_state("broker_book", 1, "retired", "", epoch=epoch, now=dt.datetime.now(dt.UTC))
    assert {one.held for one in flowing.plan().events} == {""}


def test_a_parked_event_stays_and_all_that_follows_it(flowing: World) -> None:
    (bad,) = flowing.happen(PremiumAgreed(policy_no="P-1", premium=Decimal(-1)))
    flowing.happen(*(issued(number) for number in range(20, 30)))
    flowing.publish()
    flowing.drain(POLICY, BOOK)
    held = {one.partition: one.held for one in flowing.plan().events}
    assert held[bad.partition] == f"policy_view v1 has parked event {bad.sequence}"
    flowing.prune()
    assert flowing.kept()[bad.partition] == bad.sequence


def test_what_a_rebuild_has_still_to_read_stays(flowing: World) -> None:
    stop = threading.Event()
    done = flowing.rebuild(POLICY_V2).run(stop, lambda _: stop.set())
    assert (done.complete, done.events) == (False, 3)
    flowing.prune()
    again = flowing.rebuild(POLICY_V2).run()
    assert again.events == 9
    assert flowing.rows(POLICY_V2) == flowing.told(POLICY_V2)


def test_a_version_that_is_begun_while_it_is_cut_is_spared(flowing: World) -> None:
    pruning = flowing.pruning()
    cut = pruning._retention.cut

    def meanwhile(topic: str, ends: dict[int, int]) -> None:
        cut(topic, ends)
        flowing.store.create(POLICY_V2, {TOPIC: 2}, dt.datetime.now(dt.UTC))

    pruning._retention.cut = meanwhile  # type: ignore[method-assign,assignment]
    done = pruning.run(EVERYTHING, ["policy_view"])
    assert (done.events, done.spared) == (0, ("policy_view v2 (building) stands at event 0",))
    assert flowing.rebuild(POLICY_V2).run().events == 12


def test_who_counted_for_so_long_that_another_one_began_cuts_nothing(flowing: World) -> None:
    pruning = flowing.pruning()
    later = tomorrow() + dt.timedelta(minutes=1)

    def slow(topic: str) -> None:
        flowing.state.leases.acquire(LEASE, "another", dt.timedelta(minutes=1), later)

    pruning._tally = slow
    with pytest.raises(Fenced):
        pruning.run(EVERYTHING, ["policy_view"])
    assert set(flowing.kept().values()) == {1}


def test_a_version_that_is_begun_while_the_archive_is_swept_keeps_its_place_in_the_log(
    flowing: World,
) -> None:
    pruning = flowing.pruning()
    places: list[int] = []

    def report(_: Pruned) -> None:
        if not places:
            flowing.store.create(POLICY_V2, {TOPIC: 2}, dt.datetime.now(dt.UTC))
            places.append(0)

    assert pruning.run(EVERYTHING, ["policy_view"], report=report).records == 0
    assert {first for first, _ in flowing.log.bounds(TOPIC).values()} == {0}


def test_who_died_after_the_cut_did_no_harm_to_who_came_then(flowing: World) -> None:
    pruning = flowing.pruning()
    pruning._retention.cut(TOPIC, {0: 3, 1: 3})  # and died
    flowing.store.create(POLICY_V2, {TOPIC: 2}, dt.datetime.now(dt.UTC))
    assert flowing.prune().spared
    assert flowing.rebuild(POLICY_V2).run().events == 12


def test_after_it_nothing_is_promised_that_needs_the_beginning(flowing: World) -> None:
    flowing.prune()
    with pytest.raises(Refused, match="cannot be rebuilt from the archive"):
        flowing.rebuild(POLICY_V2).run()
    with pytest.raises(Refused, match=r"(?s)the log begins with offset.*read the history anew"):
        flowing.rebuild(POLICY_V2, origin=Origin.LOG).run()
    with pytest.raises(OffsetLost, match="policy_view v2 stands still"):
        flowing.advance(POLICY_V2)


def test_the_log_gives_what_the_archive_does_not_have(flowing: World) -> None:
    flowing.pruning().run(Limits(archive=dt.timedelta(0)), ["policy_view"])
    done = flowing.rebuild(POLICY_V2, origin=Origin.LOG).run()
    assert done.events == 12
    assert flowing.rows(POLICY_V2) == flowing.told(POLICY_V2)


def test_the_archive_gives_what_the_log_does_not_have(flowing: World) -> None:
    flowing.pruning().run(Limits(log=dt.timedelta(0)))
    assert flowing.log.bounds(TOPIC)[0][0] > 0
    assert flowing.rebuild(POLICY_V2).run().events == 12
    assert flowing.rows(POLICY_V2) == flowing.told(POLICY_V2)


def test_an_old_row_or_a_second_backfill_that_comes_again_is_known(flowing: World) -> None:
    flowing.prune()
    assert flowing.archive_again(flowing.story.records) == []
    flowing.publish()
    flowing.drain(BOOK)
    assert flowing.rows(BOOK) == flowing.told(BOOK)


def test_the_kinds_of_events_that_went_are_still_counted(flowing: World) -> None:
    flowing.prune()
    (kind,) = flowing.state.kinds.seen(TOPIC)
    assert (kind.type, kind.events) == ("PolicyIssued", 12)
    assert flowing.state.kinds.example(kind) is None


def test_two_do_not_prune_at_once(flowing: World) -> None:
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    flowing.state.leases.acquire(LEASE, "somebody", dt.timedelta(days=2), now)
    with pytest.raises(LeaseHeld):
        flowing.prune()


def test_what_was_stopped_goes_on(flowing: World) -> None:
    stop = threading.Event()
    stop.set()
    done = flowing.pruning().run(EVERYTHING, ["policy_view"], stop)
    assert (done.complete, 0 < done.events < 12) == (False, True)
    assert flowing.prune().events == 12 - done.events
