"""A source in two shards, by the command line: each is relayed, paused and led again, and the whole by a backfill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import ACCOUNTS, SOURCE, Bank, count_up
from tests.support.published import Published
from toolkit.cli.app import run
from toolkit.core.shards import shards_of

Strangler = Callable[..., tuple[int, Any]]
FIRST, SECOND = shards_of(2, 4)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    """Captured in SQLite; its history is not read."""
    made = Bank(
        tmp_path / "bank",
        name="bank",
        legacy=f"sqlite:///{tmp_path}/legacy.db",
        state=f"sqlite:///{tmp_path}/state.db",
        log="sql:",
        shards=2,
    )
    with closing(made), made.opened() as app:
        app.setup()
        capture = app.legacy(SOURCE).capture
        capture.install(capture.plan(app.project.captured(SOURCE)))
        yield made


@pytest.fixture
def strangler(bank: Bank, capsys: pytest.CaptureFixture[str]) -> Strangler:
    def call(*arguments: str) -> tuple[int, Any]:
        code = run([*arguments, "--json", "--project", str(bank.folder)])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    return call


def write(bank: Bank) -> None:
    with bank.session() as session:
        for acct in ACCOUNTS:
            session.begin()
            session.run(*count_up(acct, 5), "COMMIT")


def assert_all_is_published(bank: Bank) -> None:
    with bank.opened() as app, closing(Published(app)) as published:
        promised = app.state.archive.last_watermark(app.project.topic(SOURCE))
        assert promised is not None
        published.read_until(promised, 20)
        assert published.fold() == bank.tables()
        assert published.duplicates == 0


def test_a_backfill_reads_the_whole_and_each_shard_relays_its_own(bank: Bank, strangler: Strangler) -> None:
    write(bank)
    code, done = strangler("backfill")
    assert (code, done[SOURCE]["done"]) == (0, True)
    write(bank)
    code, done = strangler("relay", "--once")
    assert code == 0
    assert list(done) == ["relay of bank 0/2", "relay of bank 1/2"]
    assert sum(one["changes"] for one in done.values()) == 2 * len(ACCOUNTS)
    assert all(one["changes"] and one["as_of"] for one in done.values())
    assert_all_is_published(bank)


def test_one_shard_promises_nothing_for_the_other(bank: Bank, strangler: Strangler) -> None:
    strangler("backfill")
    write(bank)
    code, done = strangler("relay", "--once", "--shard", "1")
    assert (code, list(done)) == (0, ["relay of bank 1/2"])
    mine = [one for one in ACCOUNTS if SECOND.owns(one)]
    assert done["relay of bank 1/2"]["changes"] == 2 * len(mine)
    with bank.opened() as app:
        capture = app.legacy(SOURCE).capture
        assert {one.subject for one in capture.pending(1000, [])} == set(ACCOUNTS) - set(mine)
        assert app.state.archive.last_watermark(app.project.topic(SOURCE)) is None
        bounds = app.log.bounds(app.project.topic(SOURCE))
        assert [end > 0 for _, end in bounds.values()].count(True) > 0
    strangler("relay", "--once")
    assert_all_is_published(bank)


def test_a_shard_that_there_is_not_is_told_with_those_that_there_are(strangler: Strangler) -> None:
    code, said = strangler("relay", "--once", "--shard", "2")
    assert code == 2
    assert "its shards are 0 to 1" in str(said)


def test_a_pause_is_for_all_shards(strangler: Strangler) -> None:
    strangler("relay", "pause", "--who", "me", "--why", "a test")
    for shard in ("0", "1"):
        code, said = strangler("relay", "--once", "--shard", shard)
        assert code == 1
        assert "is paused" in str(said)
    strangler("relay", "resume")
    strangler("backfill", "--skip")
    assert strangler("relay", "--once")[0] == 0


def test_a_command_for_the_whole_source_waits_until_no_shard_is_led(bank: Bank, strangler: Strangler) -> None:
    with bank.opened() as app:
        leader = app.relay(SOURCE, app.translation(SOURCE, FIRST), FIRST)
        leader.lead()
        for ending, command in ((3, ("backfill",)), (1, ("repair", "changes"))):
            code, said = strangler(*command)
            assert code == ending
            assert "relay:bank:0/2 is held by" in str(said)
        leader.resign()
    assert strangler("backfill")[0] == 0


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("shards = 2", "shards = 5", "5 shards for 4 partitions"),
        ("shards = 2", "shards = 0", "must be 1 or more"),
        ("shards = 2", 'shards = 2\ncapture = "poll"', "fetches changes by one process"),
    ],
)
def test_a_number_of_shards_that_cannot_be_is_refused(
    bank: Bank, strangler: Strangler, was: str, becomes: str, said: str
) -> None:
    settings = bank.folder / "strangler.toml"
    settings.write_text(settings.read_text().replace(was, becomes))
    code, told = strangler("check")
    assert code == 2
    (fault,) = [one for one in told["faults"] if one["where"] == "legacy.bank.shards"]
    assert said in fault["what"]
