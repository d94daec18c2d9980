"""What a fold owes: each event once and in order, however it is delivered, and nothing that disappears (R4, R6)."""

import datetime as dt
import random
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.read_store import (
    BOOK,
    CATALOGUE,
    PARTITIONS,
    POLICY,
    SECOND,
    START,
    TOPIC,
    PolicyAnnulled,
    PolicyCancelled,
    PolicyIssued,
    PolicyPrinted,
    PremiumAgreed,
    Reason,
    Story,
)
from toolkit.core.events import Event
from toolkit.core.projections import Definition
from toolkit.core.records import Coordinates, Delivery, Malformed, Record, Watermark
from toolkit.loops.folding import Held, Place, arrange, fold, keys, read
from toolkit.ports import Checkpoint

Rows = dict[object, dict[str, object]]


def issued(policy_no: str = "P-1", premium: str = "10.00", broker: str = "B-1") -> Event:
    return PolicyIssued(policy_no=policy_no, broker=broker, premium=Decimal(premium))


def agreed(policy_no: str = "P-1", premium: str = "11.00") -> Event:
    return PremiumAgreed(policy_no=policy_no, premium=Decimal(premium))


def start(partitions: int = PARTITIONS) -> dict[Place, Checkpoint]:
    return {(TOPIC, at): Checkpoint(topic=TOPIC, partition=at) for at in range(partitions)}


def delivered(contents: Sequence[Record | Watermark | Malformed], first: int = 0) -> list[Delivery]:
    """As one partition of the log would give them."""
    return [
        Delivery(at=Coordinates(topic=TOPIC, partition=0, offset=first + at), content=content)
        for at, content in enumerate(contents)
    ]


class World:
    """Rows, checkpoints, parked events: what a store would keep, and a projector's step over it."""

    def __init__(self, definition: Definition, partitions: int = 1) -> None:
        self.definition = definition
        self.rows: Rows = {}
        self.checkpoints = start(partitions)
        self.seen: dict[Place, int] = {}
        self.parked: list[str] = []
        self.behind: list[str] = []
        self.held = Held()
        self.duplicates = self.early = 0

    def step(self, deliveries: Sequence[Delivery]) -> None:
        found = arrange(self.checkpoints, self.seen, deliveries)
        steps = read(self.definition, CATALOGUE, found.due)
        loaded = {key: self.rows[key] for key in keys(steps) if key in self.rows}
        folded = fold(self.definition, steps, loaded, self.held, START)
        for key, row in folded.changed.items():
            self.rows.pop(key, None)
            if row is not None:
                self.rows[key] = row
        self.checkpoints, self.seen = found.checkpoints, found.seen
        self.parked += [one.record.envelope.id for one in folded.parked]
        self.behind += [one.record.envelope.id for one in folded.parked if one.held]
        self.held |= Held.by(folded.parked)
        self.duplicates += found.duplicates
        self.early += found.early

    @property
    def position(self) -> tuple[int, int]:
        here = self.checkpoints[TOPIC, 0]
        return here.next_offset, here.sequence


def test_an_event_that_is_delivered_twice_counts_once() -> None:
    world, story = World(BOOK), Story(1)
    first, second = story.tell(issued(), issued("P-2"))
    world.step(delivered([first, first, second, first]))
    world.step(delivered([second], 4))
    assert world.rows["B-1"]["policies"] == 2
    assert (world.duplicates, world.position) == (3, (5, 2))


def test_an_event_that_comes_too_early_is_neither_applied_nor_lost() -> None:
    world, story = World(BOOK), Story(1)
    one, two, three = story.tell(issued(), issued("P-2"), issued("P-3"))
    world.step(delivered([one, three]))
    assert (world.rows["B-1"]["policies"], world.early, world.position) == (1, 1, (2, 1))
    found = arrange(world.checkpoints, world.seen, [])
    assert found.missing == {(TOPIC, 0): 2}
    world.step(delivered([two, three], 2))
    assert (world.rows["B-1"]["policies"], world.position) == (3, (4, 3))
    assert arrange(world.checkpoints, world.seen, []).missing == {}


def test_as_of_moves_only_when_all_that_it_promises_is_there_and_never_back() -> None:
    world, story = World(BOOK), Story(1)
    one, two = story.tell(issued(), issued("P-2"))

    def as_of() -> dt.datetime | None:
        return world.checkpoints[TOPIC, 0].as_of

    world.step(delivered([one, Watermark(as_of=START + SECOND, sequence=1)]))
    assert as_of() == START + SECOND
    world.step(delivered([Watermark(as_of=START + 9 * SECOND, sequence=2)], 2))
    assert as_of() == START + SECOND, "the second event is not in the view"
    assert arrange(world.checkpoints, world.seen, []).missing == {(TOPIC, 0): 2}
    world.step(delivered([two, Watermark(as_of=START, sequence=2)], 3))
    assert as_of() == START + SECOND, "an older promise takes nothing back"
    world.step(delivered([Watermark(as_of=START + 10 * SECOND, sequence=2)], 5))
    assert as_of() == START + 10 * SECOND


def test_what_is_no_event_of_ours_moves_the_position_only() -> None:
    world, story = World(BOOK), Story(1)
    printed, one = story.tell(PolicyPrinted(policy_no="P-1"), issued())
    world.step(delivered([printed, Malformed(reason="not JSON", raw=b"?"), one]))
    assert (world.rows["B-1"]["policies"], world.parked, world.position) == (1, [], (3, 2))


def test_a_watermark_without_an_offset_of_its_own_does_not_skip_an_event() -> None:
    world, story = World(BOOK), Story(1)
    one, two = story.tell(issued(), issued("P-2"))
    at_the_end = Delivery(
        at=Coordinates(topic=TOPIC, partition=0, offset=0), content=Watermark(as_of=START, sequence=1)
    )
    world.step([*delivered([one]), at_the_end])
    assert world.position == (1, 1)
    world.step(delivered([two], 1))
    assert world.position == (2, 2)


def test_what_fails_is_parked_and_the_rest_of_its_row_waits_behind_it_while_others_go_on() -> None:
    world, story = World(POLICY), Story(1)
    records = story.tell(
        issued("P-1"), issued("P-2"), agreed("P-1", "-1"), agreed("P-1", "12"), agreed("P-2", "13")
    )
    world.step(delivered(records[:3]))
    world.step(delivered(records[3:], 3))
    assert world.parked == [records[2].envelope.id, records[3].envelope.id]
    assert world.behind == [records[3].envelope.id]
    assert world.rows["P-1"]["premium"] == Decimal("10.00")
    assert world.rows["P-2"]["premium"] == Decimal(13)
    assert world.position == (5, 5)


def test_an_event_that_cannot_be_read_holds_back_its_subject() -> None:
    world, story = World(BOOK), Story(1)
    broken = story.tell_raw("PolicyIssued", "P-1", b"{", 2)
    newer = story.tell_raw("PolicyIssued", "P-2", b"{}", 3)
    later = story.tell(issued("P-1"), issued("P-2"), issued("P-3"), issued("P-4", broker="B-2"))
    world.step(delivered(story.records))
    assert world.behind == [later[0].envelope.id, later[1].envelope.id, later[2].envelope.id]
    assert world.parked == [broken.envelope.id, newer.envelope.id, *world.behind]
    assert list(world.rows) == ["B-2"], "the rows that the held events speak of are held, too"


def test_an_upcaster_that_fails_parks_its_event() -> None:
    world, story = World(BOOK), Story(1)
    story.tell_raw("PolicyIssued", "P-1", b'{"policy_no":"P-1","broker":"B-1"}', 1)
    good = story.tell_raw("PolicyIssued", "P-2", b'{"policy_no":"P-2","broker":"B-1","cents":150}', 1)
    world.step(delivered(story.records))
    assert world.parked == [story.records[0].envelope.id]
    assert world.rows["B-1"]["premium"] == Decimal("1.50")
    assert good.sequence == 2


def test_a_row_that_was_deleted_may_be_created_again_in_the_same_batch() -> None:
    for size in (1, 4):
        world, story = World(POLICY), Story(1)
        story.tell(issued(premium="1"), agreed(), PolicyAnnulled(policy_no="P-1"), issued(premium="5"))
        records = story.records
        for at in range(0, 4, size):
            world.step(delivered(records[at : at + size], at))
        assert [(row["premium"], row["changes"]) for row in world.rows.values()] == [(Decimal(5), 1)]


# --- any history, any batching, any delivery

POLICIES = [f"P-{number}" for number in range(4)]
PREMIUMS = st.sampled_from(["-1", "0", "1.50", "99.99"])
EVENTS = st.lists(
    st.one_of(
        st.builds(issued, st.sampled_from(POLICIES), PREMIUMS, st.sampled_from(["B-1", "B-2"])),
        st.builds(agreed, st.sampled_from(POLICIES), PREMIUMS),
        st.builds(
            lambda policy_no, reason: PolicyCancelled(policy_no=policy_no, reason=reason, on=START.date()),
            st.sampled_from(POLICIES),
            st.sampled_from(list(Reason)),
        ),
        st.builds(lambda policy_no: PolicyAnnulled(policy_no=policy_no), st.sampled_from(POLICIES)),
        st.builds(lambda policy_no: PolicyPrinted(policy_no=policy_no), st.sampled_from(POLICIES)),
    ),
    max_size=30,
)


def scrambled(records: list[Record], seed: int, first: int) -> list[Delivery]:
    """What a log may hold at worst: copies, late and early ones, then all that is missing, in order, once more."""
    chance = random.Random(seed)
    noisy = [record for record in records for _ in range(chance.randint(0, 3))]
    chance.shuffle(noisy)
    return delivered([*noisy, *records], first)


def one_by_one(definition: Definition, records: list[Record]) -> World:
    world = World(definition)
    for at, record in enumerate(records):
        world.step(delivered([record], at))
    return world


@pytest.mark.parametrize("definition", [POLICY, BOOK], ids=["carries state", "counts"])
@given(events=EVENTS, sizes=st.lists(st.integers(1, 9), min_size=1), seed=st.integers(0, 2**16))
def test_any_batching_of_any_delivery_equals_each_event_once_and_in_order(
    definition: Definition, events: list[Event], sizes: list[int], seed: int
) -> None:
    story = Story(1)
    records = story.tell(*events)
    expected = one_by_one(definition, records)
    world, deliveries, at = World(definition), scrambled(records, seed, 0), 0
    turn = 0
    while at < len(deliveries):
        size = sizes[turn % len(sizes)]
        world.step(deliveries[at : at + size])
        at, turn = at + size, turn + 1
    assert world.rows == expected.rows
    assert (world.parked, world.behind, world.held) == (expected.parked, expected.behind, expected.held)
    assert world.position == (len(deliveries), len(records))
