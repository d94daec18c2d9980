"""Why two versions differ: the event since which they do, and what one of them could not apply."""

from decimal import Decimal

from tests.projections.test_rebuild import SECOND_VIEW, World, drain, issued, world
from tests.support.log import as_archive
from tests.support.read_store import CATALOGUE, POLICY, START, TOPIC, PremiumAgreed
from toolkit.loops.differing import Explained, explained
from toolkit.loops.rebuild import compare_versions
from toolkit.ports import Batch

__all__ = ["world"]


def compared(world: World) -> Explained:
    found = compare_versions(world.store, POLICY, SECOND_VIEW)
    return explained(found, POLICY, SECOND_VIEW, CATALOGUE, world.store, as_archive(world.archive))


def test_a_difference_is_told_with_the_event_since_which_it_is_there(world: World) -> None:
    world.happen(PremiumAgreed(policy_no="P-1", premium=Decimal(7)))
    world.archive.watermark = None
    world.rebuild().run()
    found = compared(world)
    (cause,) = found.why
    bad = next(one for one in world.archive.records if b'"-5"' in one.data)
    assert (cause.key, cause.column, cause.event, cause.event_id) == (
        "P-1",
        "premium",
        "PremiumAgreed",
        bad.envelope.id,
    )
    (parked,) = cause.parked
    assert parked.startswith("v1: ")
    assert "a premium is not negative" in parked
    assert (found.different, found.by_column) == (1, {"premium": 1}), "the comparison itself is the same"


def test_a_row_that_one_version_lacks_is_there_since_its_event(world: World) -> None:
    world.archive.watermark = None
    world.rebuild().run()
    world.happen(issued(50))
    drain(world.first)
    cause = next(one for one in compared(world).why if one.key == "P-50")
    assert (cause.column, cause.event, cause.event_id) == (
        "",
        "PolicyIssued",
        world.archive.records[-1].envelope.id,
    )


def test_of_a_history_without_its_beginning_nobody_says_why(world: World) -> None:
    world.archive.watermark = None
    world.rebuild().run()
    world.archive.gone = 3
    found = compared(world)
    assert (found.different, found.why) == (1, ())


def test_a_row_that_somebody_wrote_by_hand_is_not_what_its_events_give(world: World) -> None:
    world.happen(PremiumAgreed(policy_no="P-0", premium=Decimal(7)))
    drain(world.first)
    world.archive.watermark = None
    world.rebuild().run()
    store, definition = world.store, world.first.definition
    (row,) = store.load(POLICY, ["P-0"]).values()
    epoch = store.seize(definition.name, definition.version)
    store.commit(definition, Batch(upserts=[{**row, "premium": Decimal(99)}]), epoch=epoch, now=START)
    cause = next(one for one in compared(world).why if one.drifted)
    assert (cause.key, cause.column, cause.event) == ("P-0", "premium", "")
    (drift,) = cause.drifted
    assert (drift.version, drift.has, drift.given) == (1, Decimal(99), Decimal(7))
    assert drift.next == "strangler repair key policy_view P-0"
    store.switch("policy_view", 2)
    ((other,),) = (one.drifted for one in compared(world).why if one.drifted)
    assert (
        other.next == "strangler drop policy_view --version 1, then strangler rebuild policy_view --version 1"
    )


def test_a_version_that_has_not_come_so_far_differs_for_that_reason(world: World) -> None:
    world.archive.watermark = None
    world.rebuild().run()
    world.happen(PremiumAgreed(policy_no="P-0", premium=Decimal(9)))
    behind = world.store.checkpoints("policy_view", 1)
    ahead = world.projector(SECOND_VIEW)
    ahead.start()
    drain(ahead)
    cause = next(one for one in compared(world).why if one.key == "P-0")
    last = world.archive.records[-1]
    stands = next(one for one in behind if one.partition == last.partition)
    assert cause.event_id == last.envelope.id
    assert cause.behind == (
        f"v1 has not seen it: it stands at event {stands.sequence} of {TOPIC}[{last.partition}], this is {last.sequence}",
    )
    drain(world.first)
    assert not any(one.behind for one in compared(world).why)


def test_a_row_whose_event_is_parked_is_no_drift(world: World) -> None:
    world.archive.watermark = None
    world.rebuild().run()
    assert not any(one.drifted for one in compared(world).why)
