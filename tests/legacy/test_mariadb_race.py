"""Many writers at once on MariaDB: nothing is lost, and each subject is in order (R1, R2). `tests/races` sets a naive poller beside."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from pymysql.connections import Connection
from pymysql.cursors import Cursor
from pymysql.err import OperationalError
from sqlalchemy import text

from tests.support.legacy import Legacy, hold, policy
from toolkit.loops.translate import units

pytestmark = pytest.mark.mariadb
SUBJECTS, WRITERS = 24, 8
ROLLED_BACK = {1213, 1205}


@pytest.fixture
def legacy_url(mariadb_url: str, tmp_path: Path) -> str:
    return mariadb_url


class Writers:
    """Transactions of many kinds. Each counts up the policies that it writes, so that a gap or a step back shows."""

    def __init__(self, legacy: Legacy, rows: int) -> None:
        self._legacy, self._left = legacy, itertools.count(rows, -1)
        self._threads = [threading.Thread(target=self._write, args=(seed,)) for seed in range(WRITERS)]
        self.failures: list[BaseException] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def writing(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _write(self, seed: int) -> None:
        random_ = random.Random(seed)
        with contextlib.closing(self._legacy.engine.raw_connection()) as raw:
            connection = raw.driver_connection
            assert isinstance(connection, Connection)
            try:
                for at in itertools.count():
                    chosen = sorted(random_.sample(range(SUBJECTS), random_.choice([1, 1, 2, 3])))
                    if min(next(self._left) for _ in chosen) < 0:
                        return
                    kind = self._in_two_phases if random_.random() < 0.1 else self._in_one
                    with contextlib.suppress(_RolledBack):
                        kind(connection, random_, f"{seed}-{at}", self._changes(random_, chosen, seed, at))
            except BaseException as error:
                self.failures.append(error)
                raise

    def _changes(self, random_: random.Random, chosen: list[int], seed: int, at: int) -> list[str]:
        made = []
        for number in chosen:
            made.append(f"UPDATE POLMAST SET PREM = PREM + 1 WHERE POL_NO = 'P{number:04}'")
            if random_.random() < 0.2:
                identity = seed * 1_000_000 + at * 10 + number % 10
                made += ["SAVEPOINT S", hold(identity, of=number), "ROLLBACK TO S"]
        return made

    def _in_one(
        self, connection: Connection[Cursor], random_: random.Random, _name: str, changes: list[str]
    ) -> None:
        with _transaction(connection):
            self._run(connection, random_, changes)
            if random_.random() < 0.2:
                connection.rollback()
            else:
                connection.commit()

    def _in_two_phases(
        self, connection: Connection[Cursor], random_: random.Random, name: str, changes: list[str]
    ) -> None:
        ends = f"XA ROLLBACK '{name}'" if random_.random() < 0.3 else f"XA COMMIT '{name}'"
        plain = [one for one in changes if not one.endswith(" S")]  # XA has no savepoints of its own
        connection.query(f"XA START '{name}'")
        try:
            self._run(connection, random_, plain)
        except OperationalError as error:
            with contextlib.suppress(OperationalError):
                connection.query(f"XA END '{name}'")
            connection.query(f"XA ROLLBACK '{name}'")
            raise _judged(error) from error
        for statement in (f"XA END '{name}'", f"XA PREPARE '{name}'"):
            connection.query(statement)
        time.sleep(random_.random() * 0.005)
        connection.query(ends)

    def _run(self, connection: Connection[Cursor], random_: random.Random, changes: list[str]) -> None:
        for change in changes:
            connection.query(change)
            time.sleep(random_.random() * 0.002)


class _RolledBack(Exception):
    pass


def _judged(error: OperationalError) -> BaseException:
    return _RolledBack() if error.args[0] in ROLLED_BACK else error


@contextlib.contextmanager
def _transaction(connection: Connection[Cursor]) -> Iterator[None]:
    try:
        connection.begin()
        yield
    except OperationalError as error:
        connection.rollback()
        raise _judged(error) from error


def relayed(legacy: Legacy, limit: int, going_on: Callable[[], bool]) -> dict[str, list[int]]:
    """What a relay sees: by subject, the counts in the order in which they would be translated."""
    capture, counts, last = legacy.source.capture, dict[str, list[int]](), False
    while not last:
        last = not going_on()
        while changes := capture.pending(limit, []):
            for unit in units(changes):
                found = [
                    int(str(one["PREM"]).partition(".")[0]) for one in unit.changes if one.table == "POLMAST"
                ]
                counts.setdefault(unit.subject, []).extend(found)
            capture.mark([one.number for one in changes])
    return counts


def race(legacy: Legacy, rows: int, limit: int) -> None:
    legacy.run(*(policy(number, premium="0") for number in range(SUBJECTS)))
    with legacy.engine.connect() as long:
        long.execute(text(policy(SUBJECTS, premium="0")))
        with Writers(legacy, rows) as writers:
            counts = relayed(legacy, limit, lambda: writers.writing)
        assert not writers.failures
        assert f"P{SUBJECTS:04}" not in counts
        # What is open stalls nothing: all else is promised.
        assert legacy.source.capture.behind(legacy.source.capture.horizon()) == 0
        long.commit()
    counts |= relayed(legacy, limit, lambda: False)
    with legacy.engine.connect() as connection:
        final = {row[0]: int(row[1]) for row in connection.execute(text("SELECT POL_NO, PREM FROM POLMAST"))}
    assert {subject: list(range(last + 1)) for subject, last in final.items()} == counts
    assert legacy.source.capture.holes() == []


def test_beside_many_writers_nothing_is_lost_and_each_subject_is_in_order(captured: Legacy) -> None:
    race(captured, rows=5_000, limit=200)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_beside_many_writers_for_long_nothing_is_lost_and_each_subject_is_in_order(captured: Legacy) -> None:
    race(captured, rows=100_000, limit=1000)


def test_what_a_horizon_promises_is_there(captured: Legacy) -> None:
    """Writers note their commits by the server's clock: whatever had committed by a promised instant was relayed before."""
    capture, writers = captured.source.capture, 6
    captured.run(*(policy(number, premium="0") for number in range(writers)))
    commits: list[tuple[dt.datetime, str, int]] = []

    def write(number: int) -> None:
        random_ = random.Random(number)
        for count in range(1, 51):
            with captured.engine.connect() as connection:
                connection.execute(text(f"UPDATE POLMAST SET PREM = PREM + 1 WHERE POL_NO = 'P{number:04}'"))
                time.sleep(random_.random() * 0.01)
                connection.commit()
                now = connection.execute(text("SELECT sysdate(6)")).scalar_one()
                commits.append((now.replace(tzinfo=dt.UTC), f"P{number:04}", count))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    seen, promises = dict.fromkeys((f"P{number:04}" for number in range(writers)), -1), []
    while any(thread.is_alive() for thread in threads):
        horizon = capture.horizon()
        while capture.behind(horizon):
            changes = capture.pending(50, [])
            for change in changes:
                seen[change.subject] = int(str(change["PREM"]).partition(".")[0])
            capture.mark([one.number for one in changes])
        promises.append((horizon.instant, dict(seen)))
    assert len(promises) > 3
    broken = [
        (instant, committed, subject)
        for instant, known in promises
        for committed, subject, count in commits
        if committed <= instant and known[subject] < count
    ]
    assert not broken
