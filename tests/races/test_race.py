"""Eight writers whose transactions commit out of order, and `strangler relay` beside them (R1, R2, R3, R4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.races.conftest import SERVERS
from tests.support.bank import LATE, SOURCE, Bank, count_up
from tests.support.published import Published
from tests.support.racing import Naive, Writers
from tests.support.waiting import wait_until
from toolkit.app import App

LATE_ENTRIES = 5


@contextmanager
def following(bank: Bank) -> Iterator[tuple[App, Published]]:
    with bank.opened() as app:
        published = Published(app)
        try:
            yield app, published
        finally:
            published.close()


def promised_now(app: App, published: Published, timeout: float = 120) -> None:
    """Read until the log promises what is committed now: then all of it has to be there."""
    published.read_until(app.legacy(SOURCE).clock(), timeout)


@contextmanager
def staying_open(bank: Bank) -> Iterator[None]:
    """A transaction that draws its numbers first, and commits when all the others are done. SQLite has one writer."""
    if bank.dialect == "sqlite":
        yield
        return
    with bank.session() as late:
        late.begin()
        late.run(f"INSERT INTO account VALUES ('{LATE}', 0, 0)")
        for _ in range(LATE_ENTRIES):
            late.run(*count_up(LATE, 1))
        yield
        late.run("COMMIT")


def race(bank: Bank, entries: int, processes: int = 1) -> None:
    naive = Naive(bank)
    with ExitStack() as stack:
        app, published = stack.enter_context(following(bank))
        relays = [stack.enter_context(bank.relay()) for _ in range(processes)]
        wait_until(lambda: len(set(bank.leaders().values())) == processes, 60, what="every process to lead")
        begun = time.monotonic()
        with staying_open(bank):
            naive.start()
            with Writers(bank, entries) as writers:
                pass
            written = time.monotonic() - begun
            promised_now(app, published, timeout=60 + entries / 100)
            # What is open stalls nothing but itself: all else is promised, and there.
            assert LATE not in published.versions()
        promised_now(app, published)
        seen = naive.stop()
        for relay in relays:
            assert relay.terminate() == 0, relay.output
    tables = bank.tables()
    assert published.fold() == tables
    last = {acct: version for acct, (version, _) in tables.accounts.items()}
    assert published.versions() == {acct: list(range(1, to + 1)) for acct, to in last.items()}
    assert published.versions("AccountStated") == {acct: list(range(to + 1)) for acct, to in last.items()}
    assert published.twice == []
    assert published.duplicates == 0
    lost = len(tables.entries.keys() - seen)
    print(  # noqa: T201
        f"\n{bank.dialect}: {len(tables.entries)} entries and {len(published.records)} events in {written:.0f} s,"
        f" {writers.ended}: lost 0, out of order 0, doubled 0; the naive poller lost {lost}"
        f" ({lost / len(tables.entries):.1%})"
    )


def test_what_eight_writers_commit_is_in_the_log_once_and_in_order(bank: Bank) -> None:
    race(bank, entries=2_000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bank", SERVERS, indirect=True)
def test_a_hundred_thousand_entries_are_in_the_log_once_and_in_order(bank: Bank) -> None:
    race(bank, entries=100_000)


@pytest.mark.parametrize("bank", SERVERS, indirect=True)
def test_of_two_transactions_the_one_that_commits_late_is_lost_to_a_naive_poller_alone(bank: Bank) -> None:
    naive = Naive(bank)
    with bank.session() as late, bank.session() as other, following(bank) as (app, published), bank.relay():
        late.begin()
        late.run(*count_up("A001", 1))
        other.run("BEGIN", *count_up("A002", 1), "COMMIT")
        naive.poll()
        promised_now(app, published)
        assert published.versions() == {"A002": [1]}
        late.run("COMMIT")
        promised_now(app, published)
    assert published.versions() == {"A002": [1], "A001": [1]}
    entries = bank.tables().entries
    assert {entries[number][0] for number in entries.keys() - naive.stop()} == {"A001"}
