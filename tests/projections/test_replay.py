"""Mending rows: parked events applied after all, one row folded anew."""

import datetime as dt
from decimal import Decimal

import pytest

from adapters.read_store.sql import SqlReadStore
from adapters.state.store import State
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import (
    BOOK,
    CATALOGUE,
    POLICY,
    SOURCE,
    START,
    TOPIC,
    TOPICS,
    PolicyIssued,
    PolicyView,
    PremiumAgreed,
    Story,
)
from tests.support.state import state, state_url
from toolkit.core.errors import Fenced, Refused, UsageError
from toolkit.core.projections import Definition, Projection, on
from toolkit.core.records import Draft, Envelope, Run
from toolkit.loops.project import Pace, Projector
from toolkit.loops.relay import lease_name
from toolkit.loops.replay import replay_parked, reproject
from toolkit.ports import Batch

__all__ = ["state", "state_url"]


def clock() -> dt.datetime:
    return START


def agreed(premium: str, policy_no: str = "P-0") -> PremiumAgreed:
    return PremiumAgreed(policy_no=policy_no, premium=Decimal(premium))


def issued(policy_no: str = "P-0", premium: str = "1", broker: str = "B") -> PolicyIssued:
    return PolicyIssued(policy_no=policy_no, premium=Decimal(premium), broker=broker)


def mended() -> Definition:
    """The same version of the projection, whose rule has learnt about negative premiums."""

    class Mended(PolicyView, version=1, context="service", key="policy_no", name="policy_view"):
        @on(PolicyIssued, creates=True)
        def issued(self, event: PolicyIssued, envelope: Envelope) -> None:
            self.premium = event.premium

        @on(PremiumAgreed)
        def agreed(self, event: PremiumAgreed, envelope: Envelope) -> None:
            self.premium = abs(event.premium)
            self.changes += 1

    return Mended.definition


def run(store: SqlReadStore, story: Story, definition: Definition = POLICY) -> Projector:
    log = ListLog(TOPICS)
    log.put(TOPIC, *story.records)
    projector = Projector(definition, CATALOGUE, store, as_log(log), TOPICS, clock, Pace(patience=0.0))
    projector.start()
    while projector.advance().deliveries:
        pass
    return projector


def row(store: SqlReadStore, key: str = "P-0") -> dict[str, object]:
    return store.load(POLICY, [key])[key]


def test_parked_events_are_applied_in_their_order_once_the_rule_is_mended(read_store: SqlReadStore) -> None:
    story = Story()
    story.tell(issued(), issued("P-1"), agreed("-3"), agreed("5"), agreed("-7"), agreed("8", "P-1"))
    run(read_store, story)
    assert len(read_store.parked("policy_view", 1)) == 3
    replayed = replay_parked(mended(), CATALOGUE, read_store, clock)
    assert (replayed.applied, replayed.waiting) == (3, ())
    assert read_store.parked("policy_view", 1) == []
    assert (row(read_store)["premium"], row(read_store)["changes"]) == (Decimal(7), 4)
    assert replay_parked(mended(), CATALOGUE, read_store, clock).applied == 0, "a second run finds nothing"
    assert row(read_store)["changes"] == 4


def test_what_still_fails_keeps_its_place_and_what_stands_before_it_is_applied(
    read_store: SqlReadStore,
) -> None:
    story = Story()
    story.tell(agreed("4"), agreed("-1"), agreed("5"))
    run(read_store, story)
    read_store.commit(
        POLICY,
        Batch(upserts=[{**run_row(), "policy_no": "P-0"}]),
        epoch=read_store.seize("policy_view", 1),
        now=START,
    )
    replayed = replay_parked(POLICY, CATALOGUE, read_store, clock)
    assert replayed.applied == 1
    assert [(one.held, "negative" in one.reason) for one in replayed.waiting] == [
        (False, True),
        (True, False),
    ]
    assert read_store.parked("policy_view", 1) == list(replayed.waiting)
    assert row(read_store)["premium"] == Decimal(4)


def run_row() -> dict[str, object]:
    event = issued()
    made = POLICY.apply(None, event, Story().tell(event)[0].envelope)
    assert made is not None
    return made


def test_a_replay_takes_the_version_over(read_store: SqlReadStore) -> None:
    story = Story()
    story.tell(issued())
    projector = run(read_store, story)
    assert projector.epoch is not None
    replay_parked(POLICY, CATALOGUE, read_store, clock)
    with pytest.raises(Fenced):
        read_store.commit(POLICY, Batch(), epoch=projector.epoch, now=START)


def test_one_row_is_folded_anew_from_its_events_alone(read_store: SqlReadStore) -> None:
    story = Story()
    story.tell(issued(), issued("P-1"), agreed("9"), agreed("11", "P-1"))
    projector = run(read_store, story)
    later = story.tell(agreed("99"))
    assert projector.epoch is not None
    drifted = {**row(read_store), "premium": Decimal(666)}
    read_store.commit(POLICY, Batch(upserts=[drifted]), epoch=projector.epoch, now=START)
    archive = as_archive(ListArchive(TOPIC, story.records))
    done = reproject(POLICY, CATALOGUE, read_store, archive, "P-0", clock)
    assert done.before == drifted
    assert done.after == row(read_store)
    assert (row(read_store)["premium"], done.events) == (Decimal(9), 2), (
        "what the log gives later stays for later"
    )
    assert later[0].sequence > 1
    assert row(read_store, "P-1")["premium"] == Decimal(11)


def test_a_row_is_not_folded_anew_while_the_relay_has_not_noted_what_the_log_gave(
    read_store: SqlReadStore, state: State
) -> None:
    """A relay was killed between the log's acknowledgement and its note of it: the projector has the event already."""
    story = Story()
    records = story.tell(issued(), agreed("9"))
    run(read_store, story)
    epoch = state.leases.acquire(lease_name(SOURCE), "test", dt.timedelta(minutes=1), START)
    drafts = [Draft(envelope=one.envelope, data=one.data) for one in records]
    state.archive.append(SOURCE, TOPIC, drafts, partitions=2, epoch=epoch)
    first = [
        Run(partition=one.partition, sequence=one.sequence, offset=one.sequence, count=1)
        for one in records[:1]
    ]
    state.archive.published(TOPIC, first, source=SOURCE, epoch=epoch)
    with pytest.raises(Refused, match="relay"):
        reproject(POLICY, CATALOGUE, read_store, state.archive, "P-0", clock)
    assert row(read_store)["premium"] == Decimal(9)


def test_a_row_that_history_does_not_have_goes(read_store: SqlReadStore) -> None:
    projector = run(read_store, Story())
    assert projector.epoch is not None
    read_store.commit(POLICY, Batch(upserts=[run_row()]), epoch=projector.epoch, now=START)
    done = reproject(POLICY, CATALOGUE, read_store, as_archive(ListArchive(TOPIC)), "P-0", clock)
    assert (done.before, done.after) == (run_row(), None)
    assert read_store.load(POLICY, ["P-0"]) == {}


def test_a_row_that_several_subjects_feed_is_looked_for_in_the_whole_archive(
    read_store: SqlReadStore,
) -> None:
    story = Story()
    story.tell(*(issued(f"P-{number}", "2", broker=f"B-{number % 2}") for number in range(10)))
    projector = run(read_store, story, BOOK)
    assert projector.epoch is not None
    wrong = {"broker": "B-1", "policies": 77, "premium": Decimal(0)}
    read_store.commit(BOOK, Batch(upserts=[wrong]), epoch=projector.epoch, now=START)
    done = reproject(BOOK, CATALOGUE, read_store, as_archive(ListArchive(TOPIC, story.records)), "B-1", clock)
    assert done.after == {"broker": "B-1", "policies": 5, "premium": Decimal(10)}
    assert read_store.load(BOOK, ["B-0"])["B-0"]["policies"] == 5


def test_folding_anew_releases_what_was_parked_and_parks_what_still_fails(read_store: SqlReadStore) -> None:
    story = Story()
    story.tell(issued(), agreed("-3"), agreed("5"))
    run(read_store, story)
    archive = as_archive(ListArchive(TOPIC, story.records))
    assert len(reproject(POLICY, CATALOGUE, read_store, archive, "P-0", clock).waiting) == 2
    assert len(read_store.parked("policy_view", 1)) == 2
    assert reproject(mended(), CATALOGUE, read_store, archive, "P-0", clock).waiting == ()
    assert read_store.parked("policy_view", 1) == []
    assert row(read_store)["premium"] == Decimal(5)


def test_a_key_that_is_none_is_refused_before_anything_is_taken_over(read_store: SqlReadStore) -> None:
    class ByNumber(Projection, version=1, context="c", key="number"):
        number: int

        @on(PolicyIssued, creates=True, key="policy_no")
        def issued(self, event: PolicyIssued) -> None: ...

    with pytest.raises(UsageError, match="'abc' is no number"):
        reproject(ByNumber.definition, CATALOGUE, read_store, as_archive(ListArchive(TOPIC)), "abc", clock)


def test_the_archive_gives_one_subjects_published_records_in_order(state: State) -> None:
    story = Story()
    records = story.tell(issued(), issued("P-1"), agreed("2"), agreed("3"))
    epoch = state.leases.acquire(lease_name(SOURCE), "test", dt.timedelta(minutes=1), START)
    drafts = [Draft(envelope=one.envelope, data=one.data) for one in records]
    state.archive.append(SOURCE, TOPIC, drafts, partitions=2, epoch=epoch)
    acknowledged = [
        Run(partition=one.partition, sequence=one.sequence, offset=one.sequence, count=1)
        for one in records[:3]
    ]
    state.archive.published(TOPIC, acknowledged, source=SOURCE, epoch=epoch)
    assert state.archive.of_subject(TOPIC, "P-0") == [records[0], records[2]]


def test_a_key_that_nobody_knows_is_said_to_be_unknown(read_store: SqlReadStore) -> None:
    run(read_store, Story())
    with pytest.raises(UsageError, match="policy_view v1 has no row of policy_no 'P-9', and no event"):
        reproject(POLICY, CATALOGUE, read_store, as_archive(ListArchive(TOPIC)), "P-9", clock)
