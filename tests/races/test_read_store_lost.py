"""The read store is dropped under `strangler run`: the relay's part goes on, and the rest does once it is set up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import DBAPIError

from tests.servers.postgres import PostgresServer
from tests.support.bank import ACCOUNTS, Bank, count_up
from tests.support.flowing import prepare
from tests.support.waiting import wait_until

ANSWER = "SELECT acct, balance FROM accounts"
PATIENCE = 90
"""Seconds; the pauses between two looks grow to 30."""

Lost = Callable[[], None]
Beside = tuple[Bank, Lost]


def removed(bank: Bank) -> Lost:
    """The file of an SQLite database, with those beside it."""

    def lose() -> None:
        for one in bank.folder.glob("read.db*"):
            one.unlink()

    return lose


def emptied(bank: Bank) -> Lost:
    """Every table of an SQLite database."""

    def lose() -> None:
        engine = create_engine(f"sqlite:///{bank.folder}/read.db", connect_args={"timeout": 30})
        found = inspect(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            for view in found.get_view_names():
                connection.exec_driver_sql(f'DROP VIEW "{view}"')
            for table in found.get_table_names():
                connection.exec_driver_sql(f'DROP TABLE "{table}"')
        engine.dispose()

    return lose


@contextmanager
def banking(tmp_path: Path, read_store: str = "", *, shared: bool = False) -> Iterator[Bank]:
    bank = Bank(
        tmp_path / "bank",
        name="bank",
        legacy=f"sqlite:///{tmp_path}/legacy.db",
        state=f"sqlite:///{tmp_path}/state.db",
        log="sql:",
    )
    if read_store:
        settings = bank.folder / "strangler.toml"
        settings.write_text(settings.read_text().replace(f"sqlite:///{bank.folder}/read.db", read_store))
    if shared:
        settings = bank.folder / "strangler.toml"
        settings.write_text(settings.read_text() + 'shared = ["accounts"]\n')
    with bank.opened() as app:
        prepare(app)
    yield bank
    bank.close()


def pay(bank: Bank, amount: int) -> None:
    """Every account gets so much."""
    with bank.session() as session:
        for acct in ACCOUNTS:
            session.begin()
            session.run(*count_up(acct, amount), "COMMIT")


def shown(bank: Bank) -> set[int]:
    """The balances that the view has."""
    with bank.opened() as app, suppress(DBAPIError):
        url = app.project.settings.read_store.url
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                return {row.balance for row in connection.exec_driver_sql(ANSWER)}
        finally:
            engine.dispose()
    return set()


def published(bank: Bank) -> int:
    """Events in the log, and none that waits for it."""
    with bank.opened() as app:
        topic = app.project.topic("bank")
        return (
            0 if app.state.archive.backlog(topic) else sum(app.state.archive.last_sequences(topic).values())
        )


def set_up(bank: Bank) -> None:
    """`strangler setup`."""
    with bank.opened() as app:
        app.setup()


def outlived(bank: Bank, lose: Lost, told: str, make: Callable[[], None] = lambda: None) -> None:
    """Lose it under a `strangler run` that is never started again: nothing is lost, and it goes on by itself."""
    with bank.child("-m", "toolkit.cli.app", "run", "--project", str(bank.folder)) as run:
        pay(bank, 1)
        wait_until(lambda: shown(bank) == {1}, PATIENCE, what="the view to have the first payment")
        lose()
        run.wait_for(told, PATIENCE)
        before = published(bank)
        pay(bank, 2)
        wait_until(lambda: published(bank) > before, PATIENCE, what="the relay to publish meanwhile")
        assert run.running
        make()
        run.wait_for("run `strangler setup` first", PATIENCE)
        set_up(bank)
        wait_until(lambda: shown(bank) == {3}, PATIENCE, what="the view to have all, without a restart")
        pay(bank, 4)
        wait_until(lambda: shown(bank) == {7}, PATIENCE, what="the view to be followed again")
        assert run.terminate() == 0, run.output


@pytest.fixture(params=[removed, emptied])
def beside_sqlite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Beside]:
    with banking(tmp_path) as bank:
        yield bank, request.param(bank)


def test_a_lost_sqlite_read_store_is_waited_for_while_the_relay_goes_on(beside_sqlite: Beside) -> None:
    outlived(*beside_sqlite, "cannot look for new work: the toolkit's own tables are not in")


def test_one_that_several_processes_share_is_waited_for_alike(tmp_path: Path) -> None:
    with banking(tmp_path, shared=True) as bank:
        outlived(bank, emptied(bank), "cannot look for new work: the toolkit's own tables are not in")


def created(server: PostgresServer, name: str) -> None:
    server.sql(f'CREATE DATABASE "{name}"')


def test_a_dropped_postgresql_read_store_is_waited_for_while_the_relay_goes_on(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    name = postgres_server.create_database()
    with banking(tmp_path, postgres_server.url(name)) as bank:
        outlived(
            bank,
            lambda: postgres_server.drop_database(name),
            "cannot look for new work: postgresql+psycopg",
            lambda: created(postgres_server, name),
        )
    postgres_server.drop_database(name)


def test_a_run_begun_while_the_read_store_is_lost_relays_and_projects_once_it_is_set_up(
    tmp_path: Path,
) -> None:
    with banking(tmp_path) as bank:
        removed(bank)()
        with bank.child("-m", "toolkit.cli.app", "run", "--project", str(bank.folder)) as run:
            run.wait_for("cannot look for new work", PATIENCE)
            pay(bank, 1)
            wait_until(lambda: published(bank) > 0, PATIENCE, what="the relay to publish")
            set_up(bank)
            wait_until(lambda: shown(bank) == {1}, PATIENCE, what="the view to have it")
            assert run.terminate() == 0, run.output
