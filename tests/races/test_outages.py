"""What `strangler relay` stands between goes away and comes back, under writers: the fold of the log is the table (R1..R4)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

import pytest

from tests.races.conftest import on
from tests.servers.kafka import KafkaServer
from tests.servers.mariadb import MariaDBServer
from tests.servers.postgres import PostgresServer
from tests.support.bank import Bank
from tests.support.processes import Child
from tests.support.published import assert_published_is_the_table
from tests.support.racing import Writers
from tests.support.waiting import wait_until

AGAIN = pytest.mark.parametrize(
    "rounds", [1, pytest.param(10, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
BETWEEN = 100
"""entries that are committed before, during and after what happens"""


class Killed(Protocol):
    def kill(self) -> None: ...

    def start(self) -> None: ...


def writers(bank: Bank) -> Writers:
    # A transaction that was prepared when its server went away keeps its locks until somebody ends it.
    return Writers(bank, writers=4, two_phases=False, mending=True, outlasting=True)


def outlived(bank: Bank, rounds: int, happens: Callable[[Writers], None]) -> None:
    """Let it happen again and again while the relay runs, which is never started again."""
    with bank.relay() as relay:
        with writers(bank) as writing:
            for _ in range(rounds):
                writing.go_on(BETWEEN)
                happens(writing)
            writing.go_on(BETWEEN)
        published = assert_published_is_the_table(bank)
        assert relay.terminate() == 0, relay.output
    told(f"{rounds} times", len(published.records), published.duplicates)


def told(what: str, events: int, duplicates: int) -> None:
    print(f"\n{what}: {events} events, fold equal to the tables; {duplicates} duplicates in the log")  # noqa: T201


def killed_and_started(server: Killed) -> Callable[[Writers], None]:
    def happens(_writing: Writers) -> None:
        server.kill()
        server.start()

    return happens


@AGAIN
@pytest.mark.parametrize("bank", [on("postgres")], indirect=True)
def test_the_broker_is_killed_and_comes_back(bank: Bank, kafka_server: KafkaServer, rounds: int) -> None:
    def happens(writing: Writers) -> None:
        kafka_server.kill()
        writing.go_on(BETWEEN)
        kafka_server.start()

    outlived(bank, rounds, happens)


@pytest.mark.parametrize(
    "seconds", [4, pytest.param(45, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
@pytest.mark.parametrize("bank", [on("postgres")], indirect=True)
def test_the_broker_stands_still_for_a_while(bank: Bank, kafka_server: KafkaServer, seconds: int) -> None:
    """45 s are more than the relay waits for an acknowledgement, and more than a lease."""

    def happens(_writing: Writers) -> None:
        kafka_server.process.pause()
        try:
            time.sleep(seconds)
        finally:
            kafka_server.process.resume()

    outlived(bank, 2, happens)


@AGAIN
@pytest.mark.parametrize("bank", [on("postgres", "sqlite")], indirect=True)
def test_the_legacy_postgresql_is_stopped_at_once_and_comes_back(
    bank: Bank, postgres_server: PostgresServer, rounds: int
) -> None:
    def happens(_writing: Writers) -> None:
        os.kill(postgres_server.process.pid, signal.SIGQUIT)  # what pg_ctl calls "immediate"
        wait_until(lambda: not postgres_server.process.running, 60, what="the server to end")
        postgres_server.start()

    outlived(bank, rounds, happens)


@AGAIN
@pytest.mark.parametrize("bank", [on("mariadb", "sqlite")], indirect=True)
def test_the_legacy_mariadb_is_killed_and_comes_back(
    bank: Bank, mariadb_server: MariaDBServer, rounds: int
) -> None:
    outlived(bank, rounds, killed_and_started(mariadb_server))


@AGAIN
@pytest.mark.parametrize("bank", [on("mariadb")], indirect=True)
def test_the_state_database_is_killed_and_comes_back(
    bank: Bank, postgres_server: PostgresServer, rounds: int
) -> None:
    outlived(bank, rounds, killed_and_started(postgres_server))


def stolen(bank: Bank, leader: Child, other: Child, writing: Writers, wait: bool) -> None:
    """The leader sleeps until its lease has run out, the other one takes it, the first wakes up in the midst of its work.

    It may sleep within a transaction: then the other one has to wait until the server has ended that.
    """
    writing.go_on(BETWEEN)
    epoch, heard = bank.epoch(), leader.output.count("was fenced")
    leader.pause()
    if not wait:
        bank.let_the_lease_run_out()
    wait_until(lambda: bank.epoch() > epoch, 120, what="the other relay to lead")
    writing.go_on(BETWEEN)
    leader.resume()
    wait_until(
        lambda: leader.output.count("was fenced") > heard,
        60,
        what="the first relay to see that another leads",
    )
    assert bank.epoch() == epoch + 1
    assert other.running


@pytest.mark.parametrize(
    ("rounds", "wait"),
    [(2, False), pytest.param(10, True, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
@pytest.mark.parametrize("bank", [on("postgres")], indirect=True)
def test_a_second_relay_takes_the_lease_and_the_first_wakes_up(bank: Bank, rounds: int, wait: bool) -> None:
    with ExitStack() as stack:
        leader = stack.enter_context(bank.relay())
        before = bank.epoch()
        wait_until(lambda: bank.epoch() > before, 60, what="the first relay to lead")
        other = stack.enter_context(bank.relay())
        with writers(bank) as writing:
            for _ in range(rounds):
                stolen(bank, leader, other, writing, wait)
                leader, other = other, leader
            writing.go_on(BETWEEN)
        published = assert_published_is_the_table(bank)
        assert (leader.terminate(), other.terminate()) == (0, 0), leader.output + other.output
    told(f"{rounds} leases stolen", len(published.records), published.duplicates)
