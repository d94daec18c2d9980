"""Who races against the relay: writers whose transactions end in every way, and the poller that everybody writes first."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from typing import Self

from sqlalchemy.exc import DBAPIError

from tests.support.bank import ACCOUNTS, Bank, Session, count_up, write_entry
from tests.support.waiting import wait_until

WRITERS = 8
_LOST_TO_ANOTHER = {1213, 1205, 1020, "40P01", "40001", "database is locked"}
"""deadlocks and time-outs of locks: the engine rolled the transaction back, as it may

SQLite has no queue for its one writer: of eight that hold the lock for most of the time, one may not come to its turn.
"""


class Writers:
    """Sessions that write until `entries` are committed (None: until they are stopped), or roll back, or go in two phases.

    With `mending`, entries are corrected and removed, too. With `outlasting`, a server that is away is waited for.
    """

    def __init__(
        self,
        bank: Bank,
        entries: int | None = None,
        *,
        writers: int = WRITERS,
        pause: float = 0.003,
        two_phases: bool = True,
        mending: bool = False,
        outlasting: bool = False,
    ) -> None:
        self._bank, self._entries, self._pause = bank, entries, pause
        self._two_phases = two_phases and bank.dialect != "sqlite"
        self._mending, self._outlasting = mending, outlasting
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self.ended = dict.fromkeys(("committed", "rolled back", "in two phases", "savepoints", "entries"), 0)
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._guarded, args=(seed,)) for seed in range(writers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._entries is None or kind is not None:
            self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.failures, self.failures

    @property
    def writing(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def go_on(self, entries: int, timeout: float = 120) -> None:
        """Wait until so many more entries are committed."""
        wanted = self.ended["entries"] + entries
        wait_until(
            lambda: self.failures or self.ended["entries"] >= wanted, timeout, what=f"{wanted} entries"
        )

    def _guarded(self, seed: int) -> None:
        try:
            self._write(random.Random(seed), seed)
        except BaseException as error:
            self.failures.append(error)
            raise

    def _write(self, random_: random.Random, seed: int) -> None:
        session: Session | None = None
        for at in itertools.count():
            if self._stop.is_set() or (self._entries is not None and self.ended["entries"] >= self._entries):
                break
            try:
                session = session or Session(self._bank.engine)
                self._transaction(session, random_, f"{self._bank.name}-{seed}-{at}")
            except DBAPIError as error:
                if not (self._outlasting or _lost_to_another(error)):
                    raise
                self._count("rolled back")
                if session is not None:
                    session.drop()
                    session = None
                time.sleep(0.05)
        if session is not None:
            session.close()

    def _transaction(self, session: Session, random_: random.Random, name: str) -> None:
        accts = sorted(random_.sample(ACCOUNTS, random_.choice([1, 1, 2, 3])))
        in_two = self._two_phases and random_.random() < 0.1
        xa = in_two and session.dialect == "mysql"
        if xa:
            session.run(f"XA START '{name}'")
        else:
            session.begin()
        for statement in self._statements(random_, accts, savepoints=not xa):
            session.run(statement)
            time.sleep(random_.random() * self._pause)
        kept = random_.random() > 0.2
        if in_two:
            self._end_in_two_phases(session, random_, name, kept)
        else:
            session.run("COMMIT" if kept else "ROLLBACK")
        self._count("committed" if kept else "rolled back")
        self._count("entries", len(accts) if kept else 0)

    def _end_in_two_phases(self, session: Session, random_: random.Random, name: str, kept: bool) -> None:
        if session.dialect == "mysql":
            session.run(f"XA END '{name}'", f"XA PREPARE '{name}'")
            ends = f"XA COMMIT '{name}'" if kept else f"XA ROLLBACK '{name}'"
        else:
            session.run(f"PREPARE TRANSACTION '{name}'")
            ends = f"COMMIT PREPARED '{name}'" if kept else f"ROLLBACK PREPARED '{name}'"
        time.sleep(random_.random() * self._pause * 3)
        session.run(ends)
        self._count("in two phases")

    def _statements(self, random_: random.Random, accts: list[str], *, savepoints: bool) -> list[str]:
        made = []
        for acct in accts:
            if random_.random() < 0.2:
                # It draws a number before it waits for the account: its rows come after those of whom it waits for.
                made.append(f"INSERT INTO entry (acct, version, amount) VALUES ('{acct}', 0, 0)")
            made += count_up(acct, random_.randrange(100))
            if savepoints and random_.random() < 0.2:
                made += ["SAVEPOINT s", write_entry(acct, -1), "ROLLBACK TO SAVEPOINT s"]
                self._count("savepoints")
            if self._mending and random_.random() < 0.3:
                newest = f"(SELECT version FROM account WHERE acct = '{acct}')"
                old = f"WHERE acct = '{acct}' AND version < {newest} - 3"
                made.append(
                    random_.choice(
                        [f"UPDATE entry SET amount = amount + 1 {old}", f"DELETE FROM entry {old}"]
                    )
                )
        return made

    def _count(self, what: str, number: int = 1) -> None:
        with self._guard:
            self.ended[what] += number


def _lost_to_another(error: DBAPIError) -> bool:
    cause = error.orig
    known = {getattr(cause, "sqlstate", None), *(cause.args[:1] if cause is not None else ())}
    return bool(known & _LOST_TO_ANOTHER)


class Naive(threading.Thread):
    """`WHERE id > last`: what an outbox relay usually does."""

    def __init__(self, bank: Bank) -> None:
        super().__init__()
        self._session = Session(bank.engine)
        self._stop_now = threading.Event()
        self._last = 0
        self.seen: set[int] = set()

    def poll(self) -> None:
        found = [
            row[0] for row in self._session.rows(f"SELECT id FROM entry WHERE id > {self._last} ORDER BY id")
        ]
        self.seen.update(found)
        self._last = max(found, default=self._last)

    def run(self) -> None:
        while not self._stop_now.wait(0.005):
            self.poll()

    def stop(self) -> set[int]:
        """What it saw; it looks once more, after everybody is done."""
        self._stop_now.set()
        if self.is_alive():
            self.join()
        self.poll()
        with contextlib.suppress(DBAPIError):
            self._session.close()
        return self.seen
