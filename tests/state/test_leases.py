"""One leader per piece of work, and the former one knows."""

import contextlib
import datetime as dt
import threading
from typing import Any

import pytest

from adapters import standstill
from adapters.engines import writing
from adapters.state import leases
from adapters.state.lease_list import SqlLeaseList
from adapters.state.skew import Skew
from adapters.state.store import State
from tests.support.state import SECOND, START
from toolkit.core.errors import Fenced, Infrastructure, LeaseHeld

NAME = "relay:policy_admin"
TTL = 10 * SECOND


def test_the_second_contender_is_told_who_leads_and_until_when(state: State) -> None:
    state.leases.acquire(NAME, "first", TTL, START)
    with pytest.raises(LeaseHeld, match=r"relay:policy_admin is held by first until 00:00:10Z"):
        state.leases.acquire(NAME, "second", TTL, START + 9 * SECOND)


def test_a_lease_that_ran_out_is_taken_over_with_a_higher_epoch_and_the_former_leader_is_fenced(
    state: State,
) -> None:
    first = state.leases.acquire(NAME, "first", TTL, START)
    second = state.leases.acquire(NAME, "second", TTL, START + TTL)
    assert second == first + 1
    with pytest.raises(Fenced, match="another process leads now"):
        state.leases.renew(NAME, first, TTL, START + TTL)
    state.leases.renew(NAME, second, TTL, START + TTL)


def test_renewing_holds_off_the_other_and_still_works_after_running_out_untaken(state: State) -> None:
    epoch = state.leases.acquire(NAME, "first", TTL, START)
    state.leases.renew(NAME, epoch, TTL, START + 60 * SECOND)
    with pytest.raises(LeaseHeld):
        state.leases.acquire(NAME, "second", TTL, START + 69 * SECOND)


def test_a_released_lease_is_free_at_once_and_a_former_leader_cannot_release_it(state: State) -> None:
    first = state.leases.acquire(NAME, "first", TTL, START)
    state.leases.release(NAME, first, START)
    second = state.leases.acquire(NAME, "second", TTL, START)
    state.leases.release(NAME, first, START)
    with pytest.raises(LeaseHeld):
        state.leases.acquire(NAME, "third", TTL, START)
    assert second == 2


def test_leases_of_other_names_are_independent(state: State) -> None:
    assert state.leases.acquire(NAME, "first", TTL, START) == 1
    assert state.leases.acquire("relay:claims", "second", TTL, START) == 1


def test_of_many_contenders_at_once_exactly_one_wins(state: State) -> None:
    won: list[int] = []
    gate = threading.Barrier(4)

    def contend(owner: str) -> None:
        gate.wait()
        with contextlib.suppress(LeaseHeld):
            won.append(state.leases.acquire(NAME, owner, TTL, START))

    threads = [threading.Thread(target=contend, args=(f"contender {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [1]


def test_instants_of_any_zone_mean_the_same(state: State) -> None:
    berlin = dt.timezone(dt.timedelta(hours=1))
    state.leases.acquire(NAME, "first", TTL, START.astimezone(berlin))
    with pytest.raises(LeaseHeld):
        state.leases.acquire(NAME, "second", TTL, START + 9 * SECOND)


@pytest.mark.parametrize("state_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_one_that_stands_still_in_the_midst_of_a_copy_is_ended_once_its_lease_has_run_out(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "PATIENCE_S", 1)
    monkeypatch.setattr(standstill, "STILL_S", 1)
    first = state.leases.acquire(NAME, "first", TTL, START)

    def stands_still() -> int:
        with writing(state.engine) as frozen:
            leases.fence(frozen, NAME, first)
            driver: Any = frozen.connection.driver_connection
            with driver.cursor().copy("COPY strangler_pause FROM STDIN"):
                with pytest.raises(Infrastructure, match="lock timeout"):
                    state.leases.acquire(NAME, "too early", TTL, START + TTL / 2)
                return state.leases.acquire(NAME, "second", TTL, START + TTL)

    with pytest.raises(Infrastructure, match="cannot be used"):
        stands_still()
    with pytest.raises(Fenced):
        state.leases.renew(NAME, first, TTL, START + TTL)


HOUR = dt.timedelta(hours=1)


def test_processes_whose_clocks_differ_have_one_clock_for_leases(state: State) -> None:
    """The one is an hour ahead: it takes nothing that is held, and what it held is free as soon as anybody's."""
    ahead = leases.SqlLeases(state.engine, lambda: -HOUR)
    state.leases.acquire(NAME, "right", TTL, START)
    with pytest.raises(LeaseHeld):
        ahead.acquire(NAME, "ahead", TTL, START + HOUR)
    epoch = ahead.acquire(NAME, "ahead", TTL, START + HOUR + TTL)
    ahead.renew(NAME, epoch, TTL, START + HOUR + TTL)
    (seen,) = SqlLeaseList(state.engine, lambda: -HOUR).leases()
    assert seen.expires_at == START + HOUR + 2 * TTL, "by its own clock"
    with pytest.raises(LeaseHeld):
        state.leases.acquire(NAME, "right", TTL, START + 2 * TTL - SECOND)
    state.leases.acquire(NAME, "right", TTL, START + 2 * TTL)


@pytest.mark.parametrize("state_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_how_far_a_clock_is_off_is_asked_of_the_state_database(state: State) -> None:
    def at(off: dt.timedelta) -> dt.timedelta:
        return Skew(state.engine, local=lambda: dt.datetime.now(dt.UTC) + off)()

    assert at(HOUR) + HOUR == pytest.approx(dt.timedelta(), abs=60 * SECOND)
    assert at(-HOUR) - HOUR == pytest.approx(dt.timedelta(), abs=60 * SECOND)
    assert at(SECOND / 10) == dt.timedelta(), "what does not matter"


@pytest.mark.parametrize("state_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_a_clock_that_steps_is_seen_at_once_and_takes_nobodys_lease(state: State) -> None:
    off = [dt.timedelta()]

    def clock() -> dt.datetime:
        return dt.datetime.now(dt.UTC) + off[0]

    stepping = leases.SqlLeases(state.engine, Skew(state.engine, local=clock))
    steady = leases.SqlLeases(state.engine, Skew(state.engine))
    own = stepping.acquire("own", "stepping", TTL, clock())
    for step in (HOUR, -HOUR):
        steady.acquire(f"another's {step}", "steady", TTL, dt.datetime.now(dt.UTC))
        off[0] += step
        with pytest.raises(LeaseHeld):
            stepping.acquire(f"another's {step}", "stepping", TTL, clock())
        stepping.renew("own", own, TTL, clock())
        [expires] = [one.expires_at for one in SqlLeaseList(state.engine).leases() if one.name == "own"]
        assert expires - dt.datetime.now(dt.UTC) == pytest.approx(TTL, abs=5 * SECOND)
