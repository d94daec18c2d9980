"""Skipping: an event that is never to be applied leaves with evidence, and every way to build the view passes it by."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from adapters.read_store.sql import SqlReadStore
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import (
    CATALOGUE,
    POLICY,
    START,
    TOPIC,
    TOPICS,
    PolicyIssued,
    PolicyView,
    PremiumAgreed,
    Story,
)
from toolkit.core.errors import Fenced, Refused, UsageError
from toolkit.core.projections import Definition
from toolkit.loops.project import Pace, Projector
from toolkit.loops.rebuild import Rebuild, Rebuilt
from toolkit.loops.replay import Replayed, reproject, skip_parked
from toolkit.loops.verify import code_hash, verify
from toolkit.ports import Batch


class Second(PolicyView, version=2, context="service", key="policy_no", name="policy_view"):
    """The same rules once more."""


SECOND = Second.definition


class World:
    """A view with one poisoned event and some behind it."""

    def __init__(self, store: SqlReadStore) -> None:
        self.store, self.story = store, Story()
        self.log, self.archive = ListLog(TOPICS), ListArchive(TOPIC)
        self.happen(issued(), issued("P-1"), agreed("-3"), agreed("5"), agreed("8", "P-1"))
        self.project()
        self.poison = store.parked("policy_view", 1)[0].record.envelope.id

    def happen(self, *events: PolicyIssued | PremiumAgreed) -> None:
        records = self.story.tell(*events)
        self.log.put(TOPIC, *records)
        self.archive.records += records

    def project(self, pace: Pace | None = None) -> Projector:
        made = Projector(
            POLICY, CATALOGUE, self.store, as_log(self.log), TOPICS, clock, pace or Pace(patience=0.0)
        )
        made.start()
        while made.advance().deliveries:
            pass
        return made

    def rebuild(self, definition: Definition, **options: Any) -> Rebuilt:
        self.log.mark(TOPIC, START)
        log, archive = as_log(self.log), as_archive(self.archive)
        return Rebuild(
            definition, CATALOGUE, self.store, archive, log, TOPICS, clock, patience=dt.timedelta(), **options
        ).run()

    def skip(self, *events: str, definition: Definition = POLICY) -> Replayed:
        return skip_parked(
            definition,
            CATALOGUE,
            self.store,
            clock,
            events or (self.poison,),
            owner="ada",
            reason="a test booking of 2019",
            code_hash=code_hash(definition),
        )

    def premium(self, key: str = "P-0") -> object:
        return self.store.load(POLICY, [key])[key]["premium"]


def clock() -> dt.datetime:
    return START


def issued(policy_no: str = "P-0") -> PolicyIssued:
    return PolicyIssued(policy_no=policy_no, premium=Decimal(1), broker="B")


def agreed(premium: str, policy_no: str = "P-0") -> PremiumAgreed:
    return PremiumAgreed(policy_no=policy_no, premium=Decimal(premium))


@pytest.fixture
def world(read_store: SqlReadStore) -> World:
    return World(read_store)


def test_what_is_skipped_leaves_a_ledger_row_with_its_evidence_and_what_is_behind_it_goes_on(
    world: World,
) -> None:
    done = world.skip()
    assert (done.applied, done.waiting, world.store.parked("policy_view", 1)) == (1, (), [])
    assert world.premium() == Decimal(5)
    (row,) = world.store.skipped("policy_view", 1)
    assert (row.owner, row.reason, row.skipped_at) == ("ada", "a test booking of 2019", START)
    assert (row.event_id, row.code_hash) == (world.poison, code_hash(POLICY))
    assert "not negative" in row.parked.reason
    assert b"-3" in row.parked.record.data


def test_an_event_that_is_not_parked_cannot_be_skipped_and_nobody_is_disturbed(world: World) -> None:
    running = world.project()
    with pytest.raises(UsageError, match=f"not parked: nonsense .2 events are, the first is {world.poison}"):
        world.skip("nonsense")
    world.store.commit(POLICY, Batch(), epoch=running.epoch or 0, now=START)  # it still leads
    assert world.store.skipped("policy_view", 1) == []


def test_a_projector_that_ran_meanwhile_is_fenced_and_passes_the_event_by_once_it_is_back(
    world: World,
) -> None:
    running = world.project()
    world.skip()
    with pytest.raises(Fenced):
        world.store.commit(POLICY, Batch(), epoch=running.epoch or 0, now=START)
    world.happen(agreed("6"))
    world.project()
    assert world.premium() == Decimal(6)


def test_a_rebuild_of_the_version_passes_by_what_was_skipped_and_says_so(world: World) -> None:
    assert world.rebuild(SECOND).parked == 2
    world.skip(definition=SECOND)
    before = world.store.digest(SECOND)
    world.store.drop("policy_view", 2)
    built = world.rebuild(SECOND)
    after = world.store.digest(SECOND)
    assert (built.skipped, built.parked) == (1, 0)
    assert (after.digest, after.rows, after.skipped) == (before.digest, before.rows, [world.poison])
    assert world.store.skipped("policy_view", 1) == [], "another version meets the event anew"


def test_verify_leaves_out_what_was_skipped_and_its_record_names_it(world: World) -> None:
    world.skip()
    found = verify(POLICY, CATALOGUE, world.store, as_archive(world.archive), clock)
    assert (found.findings, found.record.skipped) == ((), [world.poison])
    assert "without 1 that were skipped" in found.record.detail


def test_a_row_that_is_folded_anew_passes_it_by(world: World) -> None:
    world.skip()
    done = reproject(POLICY, CATALOGUE, world.store, as_archive(world.archive), "P-0", clock)
    assert (done.before, done.waiting) == (done.after, ())


def test_past_its_limit_a_rebuild_has_failed_and_says_so(world: World) -> None:
    world.happen(*(agreed("1", f"Q-{number}") for number in range(5)))
    with pytest.raises(Refused, match="7 events cannot be applied, more than 3"):
        world.rebuild(SECOND, pace=Pace(park_limit=3))
    (state,) = [one for one in world.store.versions("policy_view") if one.version == 2]
    assert state.state == "failed"
    assert "read_store.park_limit" in state.detail
