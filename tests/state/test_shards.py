"""Shards of a source: a lease each, one division at a time, and what the archive keeps for each leader."""

from __future__ import annotations

import contextlib
import threading

import pytest

from adapters.state.archive import SqlArchive
from adapters.state.lease_list import SqlLeaseList
from adapters.state.store import State
from tests.support.state import SECOND, SOURCE, START, draft
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Fenced, LeaseHeld
from toolkit.core.records import Draft, Run
from toolkit.core.shards import WHOLE, Shard, shards_of
from toolkit.loops.relay import lease_name
from toolkit.ports import ParkedChange

TTL = 10 * SECOND
TOPIC = "insurer.policy_admin"
PARTITIONS = 4
FIRST, SECOND_ = shards_of(2, PARTITIONS)
SUBJECTS = [f"P-{number}" for number in range(20)]


def lead(state: State, shard: Shard, owner: str = "one", at: int = 0) -> int:
    return state.leases.acquire(
        lease_name(SOURCE, shard), owner, TTL, START + at * SECOND, whole=lease_name(SOURCE)
    )


def archived(state: State, shard: Shard, epoch: int, numbers: range) -> SqlArchive:
    archive = state.archive.only(shard)
    mine = [draft(number, SUBJECTS[number % 20]) for number in numbers]
    append(archive, epoch, [one for one in mine if shard.owns(one.envelope.subject)])
    return archive


def append(archive: SqlArchive, epoch: int, drafts: list[Draft], used: list[int] | None = None) -> None:
    archive.append(SOURCE, TOPIC, drafts, partitions=PARTITIONS, epoch=epoch, used=used or [])


# --- one division at a time


def test_shards_of_one_division_are_led_side_by_side(state: State) -> None:
    assert lead(state, FIRST, "one") == 1
    assert lead(state, SECOND_, "two") == 1
    with pytest.raises(LeaseHeld, match=r"relay:policy_admin:0/2 is held by one"):
        lead(state, FIRST, "two")


@pytest.mark.parametrize("other", [WHOLE, *shards_of(4, PARTITIONS)[:1]], ids=str)
def test_no_other_division_begins_while_a_leader_of_this_one_lives(state: State, other: Shard) -> None:
    lead(state, SECOND_, "two")
    with pytest.raises(LeaseHeld, match=r"relay:policy_admin:1/2 is held by two .*`shards`"):
        lead(state, other, at=9)
    lead(state, other, at=10)
    with pytest.raises(LeaseHeld, match=rf"{lease_name(SOURCE, other)} is held by one"):
        lead(state, FIRST, at=11)


@pytest.mark.parametrize("other", [f"{SOURCE.upper()}:0/3", f"{SOURCE}:eu", f"{SOURCE}:0/2/x"])
def test_a_source_whose_name_is_alike_is_another_one(state: State, other: str) -> None:
    epoch = state.leases.acquire(lease_name(other), "two", TTL, START, whole=lease_name(other))
    lead(state, FIRST)
    lead(state, WHOLE, at=10)
    state.leases.renew(lease_name(other), epoch, TTL, START)


def test_who_led_by_the_old_division_is_fenced_by_the_new_one_though_nobody_took_that_lease(
    state: State,
) -> None:
    """A relay that was started with another number of shards, and slept while its lease ran out."""
    old = lead(state, FIRST, "old")
    archive = archived(state, FIRST, old, range(20))
    lead(state, Shard(number=3, of=4, partitions=PARTITIONS), "new", at=10)
    with pytest.raises(Fenced):
        state.leases.renew(lease_name(SOURCE, FIRST), old, TTL, START)
    with pytest.raises(Fenced):
        append(archive, old, [])
    with pytest.raises(Fenced):
        archive.watermarked(TOPIC, START, source=SOURCE, epoch=old)
    with pytest.raises(Fenced):
        archive.published(TOPIC, [Run(partition=0, sequence=1, offset=0, count=1)], source=SOURCE, epoch=old)
    assert lead(state, FIRST, "old again", at=20) > old, "an epoch never comes again"


def test_the_leases_of_a_division_that_was_replaced_are_not_listed(state: State) -> None:
    lead(state, FIRST)
    lead(state, SECOND_)
    lead(state, WHOLE, at=10)
    assert [one.name for one in SqlLeaseList(state.engine).leases()] == ["relay:policy_admin"]
    lead(state, SECOND_, at=20)
    assert [one.name for one in SqlLeaseList(state.engine).leases()] == ["relay:policy_admin:1/2"]


def test_of_two_divisions_that_begin_at_once_one_does(state: State) -> None:
    for round_ in range(5):
        won: list[str] = []
        gate = threading.Barrier(3)
        contenders = [WHOLE, FIRST, Shard(number=0, of=3, partitions=PARTITIONS)]

        def contend(shard: Shard, at: int, won: list[str] = won, gate: threading.Barrier = gate) -> None:
            gate.wait()
            with contextlib.suppress(LeaseHeld):
                lead(state, shard, at=at)
                won.append(str(shard))

        threads = [threading.Thread(target=contend, args=(one, round_ * 10)) for one in contenders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


def test_sources_whose_names_begin_alike_are_led_side_by_side(state: State) -> None:
    lead(state, FIRST)
    for name in ("policy", "policy_admin2", "policy%admin"):
        state.leases.acquire(lease_name(name), "other", TTL, START, whole=lease_name(name))


# --- what the archive keeps for each


def test_a_leader_publishes_its_own_partitions_and_counts_no_others(state: State) -> None:
    first = archived(state, FIRST, lead(state, FIRST), range(20))
    second = archived(state, SECOND_, lead(state, SECOND_), range(20))
    for archive, shard in ((first, FIRST), (second, SECOND_)):
        waiting = archive.unpublished(TOPIC, 100)
        assert {one.envelope.subject for one in waiting} == {one for one in SUBJECTS if shard.owns(one)}
        assert archive.backlog(TOPIC) == len(waiting) == sum(archive.last_sequences(TOPIC).values())
    assert state.archive.backlog(TOPIC) == len(SUBJECTS)
    assert len(state.archive.unpublished(TOPIC, 100)) == len(SUBJECTS)


def test_an_event_of_another_shard_is_never_archived(state: State) -> None:
    epoch = lead(state, FIRST)
    foreign = next(one for one in SUBJECTS if SECOND_.owns(one))
    with pytest.raises(ValueError, match="not one of shard 0/2"):
        append(state.archive.only(FIRST), epoch, [draft(1, foreign)])
    assert state.archive.backlog(TOPIC) == 0


def test_what_a_leader_used_up_is_told_to_its_successor_and_to_whoever_leads_by_another_division(
    state: State,
) -> None:
    first, second = lead(state, FIRST), lead(state, SECOND_)
    append(state.archive.only(FIRST), first, [], used=[1, 2])
    append(state.archive.only(SECOND_), second, [], used=[3])
    assert state.archive.only(FIRST).unmarked(SOURCE) == [1, 2]
    assert state.archive.only(SECOND_).unmarked(SOURCE) == [3]
    assert sorted(state.archive.unmarked(SOURCE)) == [1, 2, 3]
    append(state.archive, lead(state, WHOLE, at=10), [], used=[4])
    assert state.archive.unmarked(SOURCE) == [4]
    for shard in (FIRST, SECOND_):
        assert state.archive.only(shard).unmarked(SOURCE) == [4]


def test_a_source_has_promised_what_all_of_its_shards_have(state: State) -> None:
    first, second = lead(state, FIRST), lead(state, SECOND_)
    state.archive.only(FIRST).watermarked(TOPIC, START + 5 * SECOND, source=SOURCE, epoch=first)
    assert state.archive.last_watermark(TOPIC) is None
    state.archive.only(SECOND_).watermarked(TOPIC, START + 3 * SECOND, source=SOURCE, epoch=second)
    assert state.archive.last_watermark(TOPIC) == START + 3 * SECOND
    state.archive.only(SECOND_).watermarked(TOPIC, START + 9 * SECOND, source=SOURCE, epoch=second)
    assert state.archive.last_watermark(TOPIC) == START + 5 * SECOND


def test_each_leader_holds_back_and_replays_its_own_subjects(state: State) -> None:
    waiting = [
        ParkedChange(
            source=SOURCE,
            change=Change(
                source=SOURCE,
                table="POLMAST",
                op=Op.INSERT,
                subject=subject,
                position=f"change:{number}",
                captured_at=START,
                number=number,
            ),
            reason="unknown code",
            held=False,
            parked_at=START,
        )
        for number, subject in enumerate(SUBJECTS)
    ]
    epoch = lead(state, WHOLE)
    state.archive.append(SOURCE, TOPIC, [], partitions=PARTITIONS, epoch=epoch, parked=waiting)
    for shard in (FIRST, SECOND_):
        found = {one.change.subject for one in state.archive.only(shard).parked(SOURCE)}
        assert found == {one for one in SUBJECTS if shard.owns(one)}
    assert len(state.archive.parked(SOURCE)) == len(SUBJECTS)
