"""The archive: every event once, numbered without a gap, with its coordinates once the log has it."""

import datetime as dt
from decimal import Decimal

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from adapters.state.store import State
from migrations.schema.state import coordinates
from tests.support.state import SECOND, SOURCE, START, draft
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Fenced, ProjectError
from toolkit.core.records import Passed, Record, Run, partition_of
from toolkit.loops.relay import lease_name
from toolkit.ports import Cursor, ParkedChange

TOPIC = "insurer.policy_admin"
PARTITIONS = 3


@pytest.fixture
def epoch(state: State) -> int:
    return state.leases.acquire(lease_name(SOURCE), "test", 60 * SECOND, START)


def fill(state: State, epoch: int, numbers: range, subjects: int = 5) -> int:
    given = [draft(number, f"P-{number % subjects}") for number in numbers]
    return len(state.archive.append(SOURCE, TOPIC, given, partitions=PARTITIONS, epoch=epoch))


def publish_all(state: State, epoch: int) -> None:
    waiting = state.archive.unpublished(TOPIC, 10_000)
    ends: dict[int, int] = {}
    for record in waiting:
        ends.setdefault(record.partition, record.sequence)
    runs = [
        Run(
            partition=partition,
            sequence=first,
            offset=100 + first,
            count=sum(record.partition == partition for record in waiting),
        )
        for partition, first in ends.items()
    ]
    state.archive.published(TOPIC, runs, source=SOURCE, epoch=epoch)


def by_partition(records: list[Record]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for record in records:
        found.setdefault(record.partition, []).append(record)
    return found


def waiting_change(number: int, *, held: bool = False) -> ParkedChange:
    change = Change(
        source=SOURCE,
        table="POLMAST",
        op=Op.UPDATE,
        subject=f"P-{number}",
        position=f"POLMAST:{number}",
        captured_at=START,
        before={"PREMIUM": Decimal("10.50"), "NAME": "O'Neil  "},
        after={"PREMIUM": Decimal("11.00"), "STAT_CD": None, "COUNT": 3},
        transaction="77",
        number=number,
    )
    return ParkedChange(source=SOURCE, change=change, reason="unknown code 'X'", held=held, parked_at=START)


LONG = 'O\'Brien: "Ж" \\ % 保險單 \U0001f4c4 ' * 20
"""A business key as legacy systems allow them, longer than any column we might think of."""


def test_a_key_of_any_length_and_spelling_is_kept_as_it_is(state: State, epoch: int) -> None:
    given = draft(1, LONG)
    position = "snapshot:20240101T000000:" + "T" * 128 + ":" + "k" * 120
    change = msgspec.structs.replace(waiting_change(2).change, subject=LONG, position=position)
    parked = ParkedChange(source=SOURCE, change=change, reason="why", held=False, parked_at=START)
    cursor = Cursor(tables=tuple(f"TABLE_{number:03}" for number in range(80)), after=LONG)
    state.archive.append(
        SOURCE, TOPIC, [given], partitions=PARTITIONS, epoch=epoch, parked=[parked], cursors=[cursor]
    )
    publish_all(state, epoch)
    assert [one.envelope for one in state.archive.of_subject(TOPIC, LONG)] == [given.envelope]
    assert state.archive.parked(SOURCE) == [parked]
    assert set(state.archive.parked_subjects(SOURCE)) == {LONG}
    assert state.archive.cursors(SOURCE) == [cursor]


# --- order and number


def test_events_are_numbered_per_partition_from_one_without_a_gap_in_the_order_given(
    state: State, epoch: int
) -> None:
    assert fill(state, epoch, range(20)) == 20
    assert fill(state, epoch, range(20, 50)) == 30
    found = by_partition(state.archive.unpublished(TOPIC, 1000))
    for partition, records in found.items():
        assert [record.sequence for record in records] == list(range(1, len(records) + 1))
        numbers = [int(record.envelope.transaction or 0) for record in records]
        assert numbers == sorted(numbers)
        assert {partition_of(record.envelope.subject, PARTITIONS) for record in records} == {partition}
    assert sum(map(len, found.values())) == 50
    assert state.archive.last_sequences(TOPIC) == {number: len(records) for number, records in found.items()}


def test_a_second_run_of_the_same_step_adds_nothing_and_leaves_no_gap(state: State, epoch: int) -> None:
    fill(state, epoch, range(10))
    assert fill(state, epoch, range(5, 15)) == 5
    assert fill(state, epoch, range(15)) == 0
    assert state.archive.backlog(TOPIC) == 15
    assert sum(state.archive.last_sequences(TOPIC).values()) == 15


def test_an_event_given_twice_in_one_step_is_kept_once(state: State, epoch: int) -> None:
    twice = [draft(1), draft(1)]
    assert len(state.archive.append(SOURCE, TOPIC, twice, partitions=PARTITIONS, epoch=epoch)) == 1


def test_an_event_comes_back_as_it_was_given(state: State, epoch: int) -> None:
    given = draft(1, "Größe/1 ", time=START + dt.timedelta(microseconds=1))
    state.archive.append(SOURCE, TOPIC, [given], partitions=PARTITIONS, epoch=epoch)
    (found,) = state.archive.unpublished(TOPIC, 10)
    assert (found.envelope, found.data) == (given.envelope, given.data)


def test_an_event_of_another_topic_is_not_taken_for_known(state: State, epoch: int) -> None:
    fill(state, epoch, range(3))
    with pytest.raises(ProjectError, match=r"was archived for insurer.policy_admin.*state.url"):
        state.archive.append(SOURCE, "renamed", [draft(1, "P-1")], partitions=PARTITIONS, epoch=epoch)


def test_topics_are_numbered_independently(state: State, epoch: int) -> None:
    fill(state, epoch, range(10))
    other = state.leases.acquire(lease_name("claims"), "test", 60 * SECOND, START)
    state.archive.append("claims", "other", [draft(99)], partitions=1, epoch=other)
    assert state.archive.last_sequences("other") == {0: 1}
    assert state.archive.last_sequences("empty") == {}


# --- publishing


def test_a_limited_batch_takes_the_first_of_every_partition(state: State, epoch: int) -> None:
    fill(state, epoch, range(60))
    found = by_partition(state.archive.unpublished(TOPIC, 6))
    assert {partition: [one.sequence for one in records] for partition, records in found.items()} == {
        0: [1, 2],
        1: [1, 2],
        2: [1, 2],
    }


def test_published_events_leave_the_backlog_and_carry_their_coordinates(state: State, epoch: int) -> None:
    fill(state, epoch, range(20))
    publish_all(state, epoch)
    assert state.archive.backlog(TOPIC) == 0
    assert state.archive.unpublished(TOPIC, 10) == []
    found = state.archive.scan(TOPIC, {}, 100)
    assert len(found) == 20
    assert all(
        one.at.offset == 100 + one.content.sequence for one in found if isinstance(one.content, Record)
    )


def offsets(state: State) -> dict[int, int]:
    """By sequence, of the only partition."""
    found = state.archive.scan(TOPIC, {}, 1000)
    return {one.content.sequence: one.at.offset for one in found if isinstance(one.content, Record)}


def run(sequence: int, offset: int, count: int) -> Run:
    return Run(partition=0, sequence=sequence, offset=offset, count=count)


def test_coordinates_never_change_afterwards(state: State, epoch: int) -> None:
    only = [draft(number) for number in range(10)]
    state.archive.append(SOURCE, TOPIC, only, partitions=1, epoch=epoch)
    state.archive.published(TOPIC, [run(1, 101, 4)], source=SOURCE, epoch=epoch)
    state.archive.published(TOPIC, [run(1, 9000, 4)], source=SOURCE, epoch=epoch)
    state.archive.published(TOPIC, [run(3, 500, 5)], source=SOURCE, epoch=epoch)
    assert offsets(state) == {1: 101, 2: 102, 3: 103, 4: 104, 5: 502, 6: 503, 7: 504}
    assert [one.sequence for one in state.archive.unpublished(TOPIC, 10)] == [8, 9, 10]


def test_a_run_that_leaves_events_out_is_refused(state: State, epoch: int) -> None:
    state.archive.append(SOURCE, TOPIC, [draft(1), draft(2)], partitions=1, epoch=epoch)
    with pytest.raises(ValueError, match="leaves out what follows 0"):
        state.archive.published(TOPIC, [run(2, 1, 1)], source=SOURCE, epoch=epoch)
    assert state.archive.backlog(TOPIC) == 2


def test_what_stands_in_one_row_in_the_log_takes_one_row_in_the_archive(state: State, epoch: int) -> None:
    only = [draft(number) for number in range(9)]
    state.archive.append(SOURCE, TOPIC, only, partitions=1, epoch=epoch)
    for one in (run(1, 5, 2), run(3, 7, 2), run(5, 10, 1), run(6, 11, 4)):  # 9 is a watermark
        state.archive.published(TOPIC, [one], source=SOURCE, epoch=epoch)
    with state.engine.connect() as connection:
        kept = list(connection.execute(select(coordinates.c.sequence, coordinates.c.events)))
    assert kept == [(1, 4), (5, 5)]
    assert offsets(state) == {1: 5, 2: 6, 3: 7, 4: 8, 5: 10, 6: 11, 7: 12, 8: 13, 9: 14}


def test_a_scan_reads_published_events_only_and_goes_on_where_it_stopped(state: State, epoch: int) -> None:
    fill(state, epoch, range(30))
    publish_all(state, epoch)
    fill(state, epoch, range(30, 40))
    after: dict[int, int] = {}
    ids = []
    while found := state.archive.scan(TOPIC, after, 7):
        for one in found:
            assert isinstance(one.content, Record)
            assert one.content.sequence == after.get(one.at.partition, 0) + 1
            after[one.at.partition] = one.content.sequence
            ids.append(one.content.envelope.id)
    assert sorted(ids) == sorted(draft(number).envelope.id for number in range(30))


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_of_what_nobody_hears_only_its_end_is_told(state: State, epoch: int, limit: int) -> None:
    kinds = "AAABABBBAABBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBABBB"
    given = [draft(number, f"P-{number % 5}", kind=f"Kind{kind}") for number, kind in enumerate(kinds)]
    state.archive.append(SOURCE, TOPIC, given, partitions=2, epoch=epoch)
    publish_all(state, epoch)
    every = {one.at: one.content for one in state.archive.scan(TOPIC, {}, 1000)}
    after: dict[int, int] = {}
    heard = []
    while found := state.archive.scan(TOPIC, after, limit, ["KindB", "KindC"]):
        for one in found:
            whole = every[one.at]
            assert isinstance(whole, Record)
            assert isinstance(one.content, Record | Passed)
            assert one.content.sequence == whole.sequence > after.get(one.at.partition, 0)
            if isinstance(one.content, Record):
                assert one.content == whole
                assert one.content.sequence == after.get(one.at.partition, 0) + 1
                heard.append(one.content.envelope.id)
            after[one.at.partition] = one.content.sequence
    assert after == state.archive.last_sequences(TOPIC)
    assert sorted(heard) == sorted(one.envelope.id for one in given if one.envelope.type == "KindA")


def test_touched_names_the_subjects_with_an_event_since(state: State, epoch: int) -> None:
    given = [draft(number, f"P-{number}", time=START + number * SECOND) for number in range(4)]
    state.archive.append(SOURCE, TOPIC, given, partitions=PARTITIONS, epoch=epoch)
    assert state.archive.touched(TOPIC, START + 2 * SECOND) == {"P-2", "P-3"}


def test_the_last_watermark_is_remembered(state: State, epoch: int) -> None:
    assert state.archive.last_watermark(TOPIC) is None
    for seconds in (1, 2):
        state.archive.watermarked(TOPIC, START + seconds * SECOND, source=SOURCE, epoch=epoch)
    assert state.archive.last_watermark(TOPIC) == START + 2 * SECOND


# --- what goes with the events, in the same transaction


def test_parked_changes_come_back_whole_in_order_and_go_when_they_are_released(
    state: State, epoch: int
) -> None:
    waiting = [waiting_change(12, held=True), waiting_change(3)]
    state.archive.append(SOURCE, TOPIC, [], partitions=PARTITIONS, epoch=epoch, parked=waiting)
    assert state.archive.parked(SOURCE) == [waiting[1], waiting[0]]
    state.archive.append(SOURCE, TOPIC, [draft(3)], partitions=PARTITIONS, epoch=epoch, unparked=waiting[1:])
    assert state.archive.parked(SOURCE) == [waiting[0]]
    assert state.archive.parked("claims") == []


def test_a_change_whose_subject_no_engine_keeps_is_parked_whole(state: State, epoch: int) -> None:
    waiting = waiting_change(3)
    change = msgspec.structs.replace(waiting.change, subject="P\x001" + "x" * 5000)
    parked = msgspec.structs.replace(waiting, change=change, reason="the subject 'P\x001' is no text")
    state.archive.append(SOURCE, TOPIC, [], partitions=PARTITIONS, epoch=epoch, parked=[parked])
    assert [one.change for one in state.archive.parked(SOURCE)] == [change]
    assert set(state.archive.parked_subjects(SOURCE)) == {"P\ufffd1" + "x" * 5000}


def test_parked_subjects_come_with_their_tables_unless_there_are_too_many_to_look_into(
    state: State, epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = waiting_change(1), waiting_change(2)
    other = msgspec.structs.replace(second, change=msgspec.structs.replace(second.change, table="OTHER"))
    state.archive.append(SOURCE, TOPIC, [], partitions=PARTITIONS, epoch=epoch, parked=[first, other])
    tables: dict[str, set[str]] = {}
    for one in (first, other):
        tables.setdefault(one.change.subject, set()).add(one.change.table)
    assert state.archive.parked_subjects(SOURCE) == tables
    monkeypatch.setattr("adapters.state.archive.LOOKED_INTO", 1)
    assert state.archive.parked_subjects(SOURCE) == dict.fromkeys(tables, frozenset())


def test_parking_again_replaces_the_reason(state: State, epoch: int) -> None:
    for reason in ("first", "second"):
        parked = ParkedChange(
            source=SOURCE, change=waiting_change(1).change, reason=reason, held=False, parked_at=START
        )
        state.archive.append(SOURCE, TOPIC, [], partitions=PARTITIONS, epoch=epoch, parked=[parked])
    assert [waiting.reason for waiting in state.archive.parked(SOURCE)] == ["second"]


def test_cursors_survive_being_given_twice(state: State, epoch: int) -> None:
    for after in ("P-100", "P-200"):
        cursor = Cursor(tables=("POLMAST", "POLEND"), after=after)
        state.archive.append(SOURCE, TOPIC, [], partitions=PARTITIONS, epoch=epoch, cursors=[cursor])
    assert state.archive.cursors(SOURCE) == [Cursor(tables=("POLMAST", "POLEND"), after="P-200")]


def test_what_the_last_step_used_up_is_known_until_the_next_one(state: State, epoch: int) -> None:
    assert state.archive.unmarked(SOURCE) == []
    for used in ([5, 7], [8], []):
        state.archive.append(SOURCE, TOPIC, [], partitions=PARTITIONS, epoch=epoch, used=used)
        assert state.archive.unmarked(SOURCE) == used
    assert state.archive.unmarked("claims") == []


def test_a_step_is_stored_whole_or_not_at_all(state: State, epoch: int) -> None:
    bad = msgspec.structs.replace(waiting_change(2), parked_at=START.replace(tzinfo=None))
    with pytest.raises(StatementError, match="no time zone"):
        state.archive.append(
            SOURCE,
            TOPIC,
            [draft(1)],
            partitions=PARTITIONS,
            epoch=epoch,
            used=[7],
            cursors=[Cursor(tables=("POLMAST",), after="P-1")],
            parked=[bad],
        )
    archive = state.archive
    assert (archive.backlog(TOPIC), archive.cursors(SOURCE), archive.parked(SOURCE)) == (0, [], [])
    assert (archive.unmarked(SOURCE), archive.touched(TOPIC, START)) == ([], set())


# --- fencing


def test_a_zombie_can_neither_append_nor_mark_as_published_nor_note_a_watermark(
    state: State, epoch: int
) -> None:
    fill(state, epoch, range(5))
    state.leases.acquire(lease_name(SOURCE), "successor", 60 * SECOND, START + 61 * SECOND)
    with pytest.raises(Fenced):
        fill(state, epoch, range(5, 10))
    with pytest.raises(Fenced):
        publish_all(state, epoch)
    with pytest.raises(Fenced):
        state.archive.watermarked(TOPIC, START, source=SOURCE, epoch=epoch)
    assert state.archive.backlog(TOPIC) == 5
    assert state.archive.last_watermark(TOPIC) is None


def test_nothing_is_written_under_a_lease_that_nobody_took(state: State) -> None:
    with pytest.raises(Fenced, match="acquire the lease"):
        fill(state, 1, range(1))
