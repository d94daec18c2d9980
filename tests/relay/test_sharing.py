"""Processes divide the shards of a source among themselves by what the leases say (pure: no process, no database)."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.support.state import SECOND, START
from toolkit.core.records import partition_of
from toolkit.core.shards import WHOLE, Shard, shards_of
from toolkit.loops.relay import lease_name
from toolkit.loops.sharing import ALONE, decide
from toolkit.ports import LeaseState

TTL = 15 * SECOND


@dataclass
class Company:
    """Processes that look once a second, in any order or always in the same one, and do what they decide."""

    shards: list[Shard]
    now: dt.datetime = START
    held: dict[Shard, LeaseState] = field(default_factory=dict)
    waiting: tuple[str, dt.datetime] | None = None
    giving: dict[str, tuple[Shard, ...]] = field(default_factory=dict)
    processes: list[str] = field(default_factory=list)

    def second(self, random_: random.Random | None) -> None:
        self.now += SECOND
        count = len(self.processes)
        for me in random_.sample(self.processes, count) if random_ else self.processes:
            self.look(me)

    def look(self, me: str) -> None:
        """What it decided to give, it gives when its pass has come to its end: just before it looks again."""
        for shard in self.giving.pop(me, ()):
            self.hold(shard, me, 0 * SECOND)
        alive = self.waiting is not None and self.waiting[1] > self.now
        waiting = self.waiting[0] if alive and self.waiting else None
        turn = decide(self.shards, self.held, waiting, me, self.now)
        if turn.standby and waiting in (None, me):
            self.waiting = (me, self.now + TTL)
        elif waiting == me:
            self.waiting = None
        for shard in turn.lead:
            one = self.held.get(shard)
            if one is None or one.owner == me or one.expires_at <= self.now:
                self.hold(shard, me, TTL)
        self.giving[me] = turn.give

    def hold(self, shard: Shard, owner: str, ttl: dt.timedelta) -> None:
        self.held[shard] = LeaseState(
            name=lease_name("crm", shard), owner=owner, epoch=1, expires_at=self.now + ttl
        )

    def led(self) -> Counter[str]:
        return Counter(one.owner for one in self.held.values() if one.expires_at > self.now)


@pytest.mark.parametrize("seed", range(20))
def test_however_processes_come_and_die_each_shard_is_led_and_nobody_leads_two_more_than_another(
    seed: int,
) -> None:
    random_ = random.Random(seed)
    order = random_ if seed % 2 else None
    company = Company(shards_of(random_.randint(2, 7), partitions=12))
    for number in range(6):
        if company.processes and random_.random() < 0.4:
            company.processes.remove(random_.choice(company.processes))
        company.processes += [f"host:{number}{one}" for one in range(random_.randint(1, 2))]
        for _ in range(60):
            company.second(order)
        led = company.led()
        assert sum(led.values()) == len(company.shards)
        assert led.keys() <= set(company.processes)
        counts = [led[one] for one in company.processes]
        assert max(counts) - min(counts) <= 1
        for _ in range(20):  # and so it stays
            company.second(order)
            assert company.led() == led


def test_one_that_comes_late_is_given_its_part_and_one_that_was_told_its_shard_takes_no_other() -> None:
    random_ = random.Random(1)
    company = Company(shards_of(4, partitions=4), processes=["first"])
    company.second(random_)
    assert company.led() == {"first": 4}
    company.processes.append("second")
    for _ in range(5):
        company.second(random_)
    assert company.led() == {"first": 2, "second": 2}
    alone = company.shards[0]
    for _ in range(30):
        company.hold(alone, f"third{ALONE}", TTL)
        company.second(random_)
    assert company.led()[f"third{ALONE}"] == 1
    assert sum(company.led().values()) == 4


def test_every_partition_belongs_to_one_shard_and_a_subject_to_the_shard_of_its_partition() -> None:
    for partitions in (1, 4, 7):
        for count in range(1, partitions + 1):
            shards = shards_of(count, partitions)
            for partition in range(partitions):
                assert sum(one.has(partition) for one in shards) == 1
            assert all(any(one.has(at) for at in range(partitions)) for one in shards)
            for subject in ("P-1", "ü", "", "P0000000007"):
                (owner,) = (one for one in shards if one.owns(subject))
                assert owner.has(partition_of(subject, partitions))


def test_the_lease_of_the_whole_has_the_name_of_the_source() -> None:
    assert lease_name("crm") == lease_name("crm", WHOLE) == "relay:crm"
    assert [lease_name("crm", one) for one in shards_of(2, 4)] == ["relay:crm:0/2", "relay:crm:1/2"]
