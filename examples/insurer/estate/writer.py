"""Keep the estate busy: business transactions at a given rate, while something else captures them.

    python -m examples.insurer.estate.writer sqlite:///insurer.db --rate 20 --seconds 60 --confirm-lag 3

Some transactions change their mind and roll back. Several workers commit on PostgreSQL, so transactions overlap and
commit in another order than they began. The billing bridge confirms released payment holds late, in batches.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import date
from random import Random
from typing import Self

from sqlalchemy import Connection, Engine, text

from examples.insurer.estate import business, codes, store
from examples.insurer.estate.business import ACTS, Desk, Release

ROLLBACK_SHARE = 0.02
POOL_SIZE = 20_000
NUMBERS_AT_ONCE = 100
NUMBERS_IN_STOCK = 40
_CANDIDATES = {
    "any": "STAT_CD IN ('P', 'A', 'H') AND EXP_DT > :today",
    "hold": "STAT_CD IN ('A', 'H') AND EXP_DT > :today AND (CAN_DT IS NULL OR CAN_DT = 0)",
    "renew": "STAT_CD IN ('A', 'H') AND EXP_DT > :today AND EXP_DT <= :soon AND (CAN_DT IS NULL OR CAN_DT = 0)",
    "cancel": "STAT_CD IN ('P', 'A', 'H') AND CAN_DT > 0 AND CAN_DT <= :today",
    "release": "POL_NO IN (SELECT POL_NO FROM POLHOLD WHERE HLD_TYP = 'P' AND REL_DT IS NULL)",
    "compliance_release": "POL_NO IN (SELECT POL_NO FROM POLHOLD WHERE HLD_TYP = 'C' AND REL_DT IS NULL)",
}
_POOL_OF = {
    **dict.fromkeys(ACTS, "any"),
    "hold": "hold",
    "schedule_cancellation": "hold",
    "rescind": "hold",
    "renew": "renew",
    "cancel": "cancel",
    "release": "release",
    "compliance_release": "compliance_release",
    "review": "compliance_release",
}
_CONSUMED = {"release", "compliance_release", "cancel", "renew"}
"""Pools from which a policy is taken when it is picked; it comes back if there is more to do."""


class Numbers:
    """New numbers from NUMRNG, a hundred at a time and in their own transaction: gaps are allowed, waiting is not."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._guard = threading.Lock()
        self._stock: dict[str, deque[int]] = {}

    def refill(self) -> None:
        """Take blocks before any transaction needs them: SQLite has one write lock, and the caller would hold it."""
        with self._guard:
            short = [
                code for code in ("POL", "CUS", "CLM") if len(self._stock.get(code, ())) < NUMBERS_IN_STOCK
            ]
            if not short:
                return
            with self._engine.begin() as connection:
                for code in short:
                    last = connection.execute(
                        text(
                            "UPDATE NUMRNG SET LST_NBR = LST_NBR + :n WHERE RNG_CD = :code RETURNING LST_NBR"
                        ),
                        {"n": NUMBERS_AT_ONCE, "code": code},
                    ).scalar_one()
                    self._stock.setdefault(code, deque()).extend(range(last - NUMBERS_AT_ONCE + 1, last + 1))

    def take(self, code: str) -> int:
        """The next number of a range."""
        return self._stock[code].popleft()


class Pools:
    """Policies worth trying for each kind of act. Hints only: the act looks again under its lock."""

    def __init__(self, engine: Engine, today: date) -> None:
        self._guard = threading.Lock()
        self._lists: dict[str, list[str]] = {}
        soon = codes.ymd(date.fromordinal(today.toordinal() + 90))
        with engine.connect() as connection:
            for name, condition in _CANDIDATES.items():
                statement = text(
                    f"SELECT POL_NO FROM POLMAST WHERE {condition} ORDER BY POL_NO LIMIT {POOL_SIZE}"
                )
                values = {"today": codes.ymd(today), "soon": soon}
                wanted = {key: value for key, value in values.items() if f":{key}" in condition}
                self._lists[name] = [str(row[0]).ljust(12) for row in connection.execute(statement, wanted)]
        if not self._lists["any"]:
            raise ValueError("the estate has no policy that is alive on the business date")

    def pick(self, kind: str, rng: Random) -> str | None:
        """A policy to try, or None when there is none left."""
        name = _POOL_OF[kind]
        with self._guard:
            keys = self._lists[name] or (self._lists["hold"] if name == "cancel" else [])
            if not keys:
                return None
            at = rng.randrange(len(keys))
            key = keys[at]
            if name in _CONSUMED and kind != "review":
                keys[at] = keys[-1]
                keys.pop()
            return key

    def committed(self, kind: str, key: str, issued: list[str]) -> None:
        """Remember what an act has made possible."""
        with self._guard:
            self._lists["any"].extend(issued)
            self._lists["hold"].extend(issued)
        follow_up = {
            "hold": "release",
            "compliance_hold": "compliance_release",
            "schedule_cancellation": "cancel",
        }
        if kind in follow_up:
            with self._guard:
                self._lists[follow_up[kind]].append(key)

    def put_back(self, kind: str, key: str) -> None:
        """A transaction that rolled back leaves its policy to be tried again."""
        if _POOL_OF[kind] in _CONSUMED and kind != "review":
            with self._guard:
                self._lists[_POOL_OF[kind]].append(key)

    def reserve(self, rng: Random) -> str | None:
        """Take a policy out of every pool, for a transaction that will hold its lock for long."""
        with self._guard:
            keys = self._lists["hold"]
            if not keys:
                return None
            key = rng.choice(keys)
            for name, members in self._lists.items():
                self._lists[name] = [member for member in members if member != key]
            return key


class LiveWriter:
    """Commits business transactions in the background, `rate` a second, until stopped.

    `committed` counts committed transactions by kind ("confirm" counts the bridge's batches, "long" the long ones);
    `rolled_back` those that changed their mind. `stop()` waits for running transactions and lets the bridge confirm
    what is still open, so that afterwards every released payment hold has its confirmation.
    With `open_long` (seconds) one more transaction endorses a policy and stays open that long, again and again; every
    second one rolls back. On SQLite this stops all other writers meanwhile, as it does in life.
    """

    def __init__(
        self,
        url: str,
        *,
        seed: int = 1,
        rate: float = 20.0,
        confirm_lag: float = 2.0,
        today: date = codes.BUSINESS_DATE,
        open_long: float | None = None,
        workers: int | None = None,
    ) -> None:
        self.committed: Counter[str] = Counter()
        self.rolled_back = 0
        self.failures: list[Exception] = []
        self._engine = store.open_engine(url, writes=True)
        self._seed, self._rate, self._lag, self._today = seed, rate, confirm_lag, today
        self._open_long = open_long
        self._workers = workers or (4 if store.is_postgres(self._engine) else 1)
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._unconfirmed: deque[tuple[float, Release]] = deque()
        self._threads: list[threading.Thread] = []
        self._slot = 0

    @property
    def total(self) -> int:
        """Committed business transactions, without the bridge's batches."""
        with self._guard:
            return sum(count for kind, count in self.committed.items() if kind != "confirm")

    def start(self) -> Self:
        """Begin; returns at once."""
        self._numbers, self._pools = Numbers(self._engine), Pools(self._engine, self._today)
        with self._engine.connect() as connection:
            self._brokers = int(connection.exec_driver_sql("SELECT COUNT(*) FROM BRKMAST").scalar_one())
            now = time.monotonic()
            self._unconfirmed.extend((now, release) for release in _left_open(connection, self._today))
        self._began = time.monotonic()
        jobs: list[Callable[[], None]] = [lambda n=n: self._work(n) for n in range(self._workers)]  # type: ignore[misc]
        jobs.append(self._bridge)
        if self._open_long is not None:
            jobs.append(self._stay_open)
        self._threads = [threading.Thread(target=self._guarded, args=(job,), daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> Counter[str]:
        """End: finish what runs, confirm what is open; returns the counts. Raises what stopped a thread, if anything did."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if not self.failures:
            self._confirm(float("inf"))
        self._engine.dispose()
        if self.failures:
            raise self.failures[0]
        return self.committed

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as fault:  # noqa: BLE001 - a thread's failure belongs to whoever calls stop()
            self.failures.append(fault)
            self._stopping.set()

    def _desk(self, rng: Random) -> Desk:
        return Desk(rng, self._today, self._numbers.take, self._brokers)

    def _work(self, worker: int) -> None:
        rng = Random(f"{self._seed}/{worker}")
        kinds, weights = list(ACTS), [weight for weight, _ in ACTS.values()]
        while self._await_slot():
            kind = rng.choices(kinds, weights)[0]
            done = False
            while not done and not self._stopping.is_set():
                done = self._attempt(kind, rng)
                kind = (
                    kind if rng.random() < 0.7 else rng.choice(("endorse", "issue"))
                )  # nothing left of this kind

    def _await_slot(self) -> bool:
        """Wait for the next transaction's turn. A writer that fell behind catches up, by a second's worth at most."""
        with self._guard:
            late = time.monotonic() - self._began - self._slot / self._rate
            if late > 1.0:
                self._began += late - 1.0
            due = self._began + self._slot / self._rate
            self._slot += 1
        return not self._stopping.wait(max(0.0, due - time.monotonic()))

    def _attempt(self, kind: str, rng: Random) -> bool:
        key = self._pools.pick(kind, rng)
        if key is None:
            return False
        self._numbers.refill()
        desk = self._desk(rng)
        second_thoughts = rng.random() < ROLLBACK_SHARE
        with self._engine.connect() as connection, connection.begin() as transaction:
            accepted = ACTS[kind][1](connection, desk, key)
            if not accepted or second_thoughts:
                transaction.rollback()
        if not accepted:
            return False
        if second_thoughts:
            self._pools.put_back(kind, key)
            with self._guard:
                self.rolled_back += 1
            return False  # the turn is still to be used: `rate` counts what commits
        self._pools.committed(kind, key, desk.issued)
        self._count(kind, desk.released)
        return True

    def _count(self, kind: str, released: list[Release] | None = None) -> None:
        now = time.monotonic()
        with self._guard:
            self.committed[kind] += 1
            self._unconfirmed.extend((now, release) for release in released or ())

    def _bridge(self) -> None:
        while not self._stopping.wait(min(0.5, max(0.05, self._lag / 4))):
            self._confirm(time.monotonic() - self._lag)

    def _confirm(self, released_before: float) -> None:
        """One batch of the billing bridge, in its own transaction, some time after the releases it confirms."""
        batch: list[Release] = []
        with self._guard:
            while self._unconfirmed and self._unconfirmed[0][0] <= released_before:
                batch.append(self._unconfirmed.popleft()[1])
        if batch:
            with self._engine.begin() as connection:
                business.confirm(connection, self._desk(Random(0)), batch)
            self._count("confirm")

    def _stay_open(self) -> None:
        rng, seconds, commits = Random(f"{self._seed}/long"), self._open_long or 0.0, True
        while not self._stopping.is_set():
            key = self._pools.reserve(rng)
            if key is None:
                return
            with self._engine.connect() as connection, connection.begin() as transaction:
                accepted = business.endorse(connection, self._desk(rng), key)
                self._stopping.wait(seconds)
                if not (commits and accepted):
                    transaction.rollback()
            if commits and accepted:
                self._count("long")
            commits = not commits
            self._stopping.wait(min(1.0, seconds))


def _left_open(connection: Connection, today: date) -> list[Release]:
    """Releases of today that nobody confirmed: what a bridge that was killed has to catch up on."""
    statement = text(
        """SELECT h.POL_NO, h.HLD_SEQ, b.ACCT_NO FROM POLHOLD h LEFT JOIN BILLNK b ON b.POL_NO = h.POL_NO
        WHERE h.HLD_TYP = 'P' AND h.REL_DT >= :today"""
    )
    open_ = []
    for key, seq, account in connection.execute(statement, {"today": codes.ymd(today)}).all():
        identity = codes.outbox_id("BillingReleaseConfirmed", str(key).strip(), seq)
        if connection.execute(text("SELECT 1 FROM OUTBOX WHERE id = :id"), {"id": identity}).first() is None:
            open_.append((str(key), int(seq), account))
    return open_


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="writer", description="Keep the insurer's legacy database busy.")
    parser.add_argument("url", help="SQLAlchemy URL of a generated estate")
    parser.add_argument("--rate", type=float, default=20.0, help="transactions a second (default 20)")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="how long (default 30; 0 is until interrupted)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--confirm-lag", type=float, default=2.0, metavar="SECONDS", help="how late the bridge is"
    )
    parser.add_argument(
        "--open-long", type=float, metavar="SECONDS", help="also keep one transaction open that long"
    )
    parser.add_argument("--workers", type=int, help="concurrent connections (default 4; 1 on SQLite)")
    parser.add_argument("--today", type=date.fromisoformat, default=codes.BUSINESS_DATE, help="business date")
    options = parser.parse_args(arguments)
    writer = LiveWriter(
        options.url,
        **{
            name: getattr(options, name)
            for name in ("seed", "rate", "confirm_lag", "today", "open_long", "workers")
        },
    )
    writer.start()
    began = time.monotonic()
    try:
        while not writer.failures and (not options.seconds or time.monotonic() - began < options.seconds):
            time.sleep(0.1)
    except KeyboardInterrupt:
        pass
    elapsed = time.monotonic() - began
    counts = writer.stop()
    for kind, count in sorted(counts.items()):
        print(f"{kind:<24}{count:>8,}")
    print(f"{writer.total / elapsed:.1f} transactions a second, {writer.rolled_back} rolled back")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
