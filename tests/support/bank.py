"""A bank on any engine: accounts that count their versions up, entries whose numbers are committed out of order.

Each version of an account stands in the log once, after the one before it, or something was lost, doubled or disordered:
whoever changes an account locks it first, counts it up, and writes an entry with the new version.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select, update

from migrations.schema.state import lease
from tests.support.processes import Child, python_child
from toolkit.app import App, open_project

SOURCE = "bank"
ACCOUNTS = tuple(f"A{number:03}" for number in range(24))
LATE = "LATE"
"""the account of the transaction that stays open"""

_EVENTS = """
from toolkit.core.events import Context, Event

bank = Context("bank")

@bank.event(subject="acct", means="The account is so from now on.")
class AccountStated(Event):
    acct: str
    version: int
    balance: int

@bank.event(subject="acct", means="The entry is so from now on.")
class EntryStated(Event):
    acct: str
    id: int
    version: int
    amount: int

@bank.event(subject="acct", means="The entry is gone.")
class EntryCancelled(Event):
    acct: str
    id: int
"""
_TRANSLATORS = """
from toolkit.core.changes import Op
from toolkit.core.translators import Translators
from .events import AccountStated, EntryCancelled, EntryStated

acl = Translators("bank")
acl.aggregate("account", {"account": "acct", "entry": "acct"})

@acl.table("account")
def account(change):
    yield AccountStated(acct=change.subject, version=change["VERSION"], balance=change["BALANCE"])

@acl.table("entry")
def entry(change):
    if change.op is Op.DELETE:
        yield EntryCancelled(acct=change.subject, id=change["ID"])
    else:
        yield EntryStated(acct=change.subject, id=change["ID"], version=change["VERSION"], amount=change["AMOUNT"])
"""
_PROJECTIONS = """
from toolkit.core.projections import Projection, on
from .events import AccountStated

class Accounts(Projection, version=1, context="web", key="acct"):
    acct: str
    balance: int

    @on(AccountStated, creates=True)
    def stated(self, event):
        self.balance = event.balance
"""
_NUMBER = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "mysql": "bigint AUTO_INCREMENT PRIMARY KEY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What the bank's tables hold, or should hold."""

    accounts: dict[str, tuple[int, int]]
    entries: dict[int, tuple[str, int, int]]


class Session:
    """One connection of the application; it says BEGIN and COMMIT itself, in the engine's own words."""

    def __init__(self, engine: Engine) -> None:
        self._connection: Connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self.dialect = engine.dialect.name

    def run(self, *statements: str) -> None:
        for statement in statements:
            self._connection.exec_driver_sql(statement)

    def rows(self, query: str) -> list[Any]:
        return list(self._connection.exec_driver_sql(query).all())

    def begin(self) -> None:
        self.run("BEGIN IMMEDIATE" if self.dialect == "sqlite" else "BEGIN")

    def close(self) -> None:
        self._connection.close()

    def drop(self) -> None:
        """Throw the connection away, whatever state it is in; the server rolls back what was open."""
        self._connection.invalidate()
        self._connection.close()


class Bank:
    """The project in its folder, the legacy database behind it, and its relay as a process."""

    def __init__(
        self, folder: Path, *, name: str, legacy: str, log: str, state: str, shards: int = 1
    ) -> None:
        self.folder, self.name, self.url, self._state = folder, name, legacy, state
        self.engine = create_engine(legacy, pool_size=20, pool_pre_ping=True)
        if self.dialect == "sqlite":
            event.listen(self.engine, "connect", _patient)
        folder.mkdir()
        for module, text in (
            ("events", _EVENTS),
            ("translators", _TRANSLATORS),
            ("projections", _PROJECTIONS),
        ):
            (folder / f"{module}.py").write_text(text)
        (folder / "strangler.toml").write_text(
            f'[project]\nname = "{name}"\nmodules = ["events", "translators", "projections"]\n'
            f'[legacy.{SOURCE}]\nurl = "{legacy}"\ncontext = "bank"\ntables = ["account", "entry"]\n'
            f"shards = {shards}\n"
            f'[log]\nurl = "{log}"\npartitions = 4\n[state]\nurl = "{state}"\n'
            f'[read_store]\nurl = "sqlite:///{folder}/read.db"\n'
        )
        self._make()

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    def _make(self) -> None:
        with self.session() as session:
            if self.dialect == "sqlite":
                session.run("PRAGMA journal_mode = WAL")
            session.run(
                "CREATE TABLE account (acct VARCHAR(12) PRIMARY KEY, version INTEGER NOT NULL, balance INTEGER NOT NULL)",
                f"CREATE TABLE entry (id {_NUMBER[self.dialect]}, acct VARCHAR(12) NOT NULL,"
                " version INTEGER NOT NULL, amount INTEGER NOT NULL)",
                "CREATE INDEX entry_acct ON entry (acct, version)",
                *(f"INSERT INTO account VALUES ('{acct}', 0, 0)" for acct in ACCOUNTS),
            )

    @contextmanager
    def session(self) -> Iterator[Session]:
        session = Session(self.engine)
        try:
            yield session
        finally:
            session.close()

    @contextmanager
    def opened(self) -> Iterator[App]:
        with open_project(self.folder) as app:
            yield app

    def relay(self, *options: str) -> Any:
        """`strangler relay`, as a process of its own."""
        return self.child("-m", "toolkit.cli.app", "relay", "--project", str(self.folder), *options)

    def set_shards(self, shards: int) -> None:
        """What whoever starts the next process reads."""
        path = self.folder / "strangler.toml"
        path.write_text(re.sub(r"shards = \d+", f"shards = {shards}", path.read_text()))

    def leaders(self) -> dict[str, str]:
        """By lease of a relay, who leads now."""
        engine = create_engine(self._state)
        with engine.connect() as connection:
            now = dt.datetime.now(dt.UTC)
            held = select(lease).where(lease.c.expires_at > now, lease.c.name.startswith("relay:"))
            found = {row.name: row.owner for row in connection.execute(held)}
        engine.dispose()
        return found

    @contextmanager
    def child(self, *arguments: str) -> Iterator[Child]:
        with python_child(*arguments) as child:
            try:
                yield child
            except BaseException:
                print(child.output)  # noqa: T201 - beside what failed, what the process said
                raise

    def let_the_lease_run_out(self) -> None:
        """Spare the tests the wait for the lease of a process that is dead."""
        engine = create_engine(self._state)
        with engine.begin() as connection:
            connection.execute(update(lease).values(expires_at=dt.datetime(2000, 1, 1, tzinfo=dt.UTC)))
        engine.dispose()

    def epoch(self) -> int:
        """How often somebody took the lead."""
        engine = create_engine(self._state)
        with engine.connect() as connection:
            epoch = connection.scalar(select(func.max(lease.c.epoch)))
        engine.dispose()
        return int(epoch or 0)

    def tables(self) -> Tables:
        with self.session() as session:
            accounts = session.rows("SELECT acct, version, balance FROM account")
            entries = session.rows("SELECT id, acct, version, amount FROM entry")
        return Tables(
            accounts={acct: (version, balance) for acct, version, balance in accounts},
            entries={number: (acct, version, amount) for number, acct, version, amount in entries},
        )

    def close(self) -> None:
        self.engine.dispose()


def _patient(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout = 60000")
    connection.execute("PRAGMA synchronous = OFF")


def count_up(acct: str, amount: int) -> list[str]:
    """Lock the account, count it up, and write the entry."""
    return [
        f"UPDATE account SET version = version + 1, balance = balance + {amount} WHERE acct = '{acct}'",
        write_entry(acct, amount),
    ]


def write_entry(acct: str, amount: int) -> str:
    return (
        f"INSERT INTO entry (acct, version, amount)"
        f" VALUES ('{acct}', (SELECT version FROM account WHERE acct = '{acct}'), {amount})"
    )
