"""Two shards of a source, led by two processes side by side: as one would, whatever becomes of a process (R1..R4)."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest

from tests.races.conftest import SERVERS
from tests.races.test_race import following, race
from tests.support.bank import SOURCE, Bank
from tests.support.processes import Child
from tests.support.published import Published, assert_published_is_the_table
from tests.support.racing import Writers
from tests.support.waiting import wait_until
from toolkit.app import App
from toolkit.core.errors import Fenced, LeaseHeld
from toolkit.core.shards import WHOLE, shards_of
from toolkit.loops.relay import Relay, lease_name

LEASES = {lease_name(SOURCE, shard) for shard in shards_of(2, 4)}


def led_by(bank: Bank) -> dict[str, str]:
    """By shard, the process that leads it."""
    return {name: owner for name, owner in bank.leaders().items() if name in LEASES}


def test_two_processes_divide_a_source_and_its_events_are_in_the_log_once_and_in_order(divided: Bank) -> None:
    race(divided, entries=2_000, processes=2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("divided", SERVERS, indirect=True)
def test_a_hundred_thousand_entries_in_two_shards_are_in_the_log_once_and_in_order(divided: Bank) -> None:
    race(divided, entries=100_000, processes=2)


def kill_by_turns(bank: Bank, kills: int) -> None:
    """Kill one of two processes, let the other one lead both shards, give it a companion again."""

    def begin() -> Child:
        child: Child = stack.enter_context(bank.relay())
        return child

    random_ = random.Random(kills)
    with ExitStack() as stack:
        relays = [begin(), begin()]
        wait_until(lambda: len(set(led_by(bank).values())) == 2, 60, what="both to lead")
        with Writers(bank, writers=4, pause=0.03, mending=True) as writing:
            for _ in range(kills):
                writing.go_on(random_.randint(20, 60))
                relays.pop(0).kill()
                bank.let_the_lease_run_out()
                wait_until(lambda: set(led_by(bank)) == LEASES, 60, what="one to lead both")
                assert len(set(led_by(bank).values())) == 1
                writing.go_on(random_.randint(20, 60))
                relays.append(begin())
                wait_until(lambda: len(set(led_by(bank).values())) == 2, 60, what="both to lead")
        published = assert_published_is_the_table(bank)
        for relay in relays:
            assert relay.terminate() == 0, relay.output
    told = f"{kills} kills, {len(published.records)} events, {published.duplicates} duplicates in the log"
    print(f"\n{bank.dialect} in two shards: {told}")  # noqa: T201


def test_what_a_killed_process_led_is_taken_over_and_nothing_is_lost_or_doubled(divided: Bank) -> None:
    kill_by_turns(divided, 2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("divided", SERVERS, indirect=True)
def test_killed_thirty_times_by_turns_two_processes_lose_and_double_nothing(divided: Bank) -> None:
    kill_by_turns(divided, 30)


def test_a_leader_whose_lease_was_stolen_writes_nothing_and_the_other_shard_notices_nothing(
    divided: Bank,
) -> None:
    with divided.opened() as app, following(divided) as (_, published):
        mine, other = shards_of(2, 4)
        sleeper, neighbour, thief = (
            (translation, app.relay(SOURCE, translation, shard))
            for shard in (mine, other, mine)
            for translation in [app.translation(SOURCE, shard)]
        )
        sleeper[1].lead()
        neighbour[1].lead()
        with Writers(divided, entries=50, pause=0):
            pass
        changes = sleeper[0].read(sleeper[1].epoch, 1000)  # and here it falls asleep
        assert changes
        app.state.leases.release(sleeper[1].lease, sleeper[1].epoch, app.clock())
        thief[1].lead()
        with pytest.raises(Fenced):
            sleeper[0].take(changes, sleeper[1].epoch)
        thief[1].drain()
        with pytest.raises(Fenced):
            sleeper[1].step()
        neighbour[1].drain()
        promised_now_by(app, published, thief[1], neighbour[1])
        assert published.fold() == divided.tables()
        assert published.twice == []


def promised_now_by(app: App, published: Published, *relays: Relay) -> None:
    at = app.legacy(SOURCE).clock()
    for relay in relays:
        relay.drain()
    published.read_until(at, 60)


@pytest.mark.parametrize("count", [1, 4])
def test_a_relay_of_another_number_of_shards_waits_for_the_old_ones_and_fences_them(
    divided: Bank, count: int
) -> None:
    with divided.opened() as old, following(divided) as (_, published):
        shards = shards_of(2, 4)
        translations = [old.translation(SOURCE, shard) for shard in shards]
        relays = [old.relay(SOURCE, one, shard) for one, shard in zip(translations, shards, strict=True)]
        for relay in relays:
            relay.lead()
        with Writers(divided, entries=50, pause=0):
            pass
        changes = [one.read(relay.epoch, 7) for one, relay in zip(translations, relays, strict=True)]
        translations[0].take(changes[0], relays[0].epoch)
        divided.set_shards(count)
        with divided.opened() as new:
            mine = new.shards(SOURCE)
            after = [new.relay(SOURCE, new.translation(SOURCE, one), one) for one in mine]
            with pytest.raises(LeaseHeld, match="same `shards` for all"):
                after[0].lead()
            divided.let_the_lease_run_out()
            for relay in after:
                relay.lead()
            for relay, one, some in zip(relays, translations, changes, strict=True):
                with pytest.raises(Fenced):
                    one.take(some, relay.epoch)
                with pytest.raises(Fenced):
                    relay.step()
            promised_now_by(new, published, *after)
        assert published.fold() == divided.tables()
        assert published.twice == []
        assert mine == ([WHOLE] if count == 1 else shards_of(4, 4))
