"""Tells the events of an agency to a log as a relay may that dies again and again: twice, too early, and in any order of partitions.

What it never does is what no relay does: another event under a number that was given, or numbers that stay out for good.
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
import threading
import time
from collections import Counter
from decimal import Decimal
from typing import Any, Self

import msgspec

from tests.support.agency import PARTITIONS, SOURCES
from toolkit.app import App
from toolkit.core.records import Draft, Envelope, Record, Watermark, event_id
from toolkit.loops.relay import lease_name
from toolkit.ports import Publisher

BROKERS = 12
PRODUCERS = 3
"""sessions side by side: what one has told, another tells again"""
FOR_EVER = dt.timedelta(days=1)
TICK = dt.timedelta(milliseconds=1)


class Narrator:
    """Writes beside the test until it is left; `records` are the distinct events in the order in which they happened."""

    def __init__(self, app: App, seed: int, pause: float = 0.3) -> None:
        self._app, self._random, self._pause = app, random.Random(seed), pause
        self._numbers = itertools.count(1)
        self._told: dict[tuple[str, int], list[Record]] = {}
        self._given: Counter[tuple[str, int]] = Counter()
        """by source and partition, how many are in the log in their order"""
        self._epochs = {
            one: app.state.leases.acquire(lease_name(one), "narrator", FOR_EVER, app.clock())
            for one in SOURCES
        }
        self._producers: dict[tuple[str, int], Publisher] = {}
        self._stated: set[str] = set()
        self.records: list[Record] = []
        self.duplicates = self.early = 0
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._stop.clear()
        self._thread = threading.Thread(target=self._guarded, name="narrator")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()
        assert self.failure is None, self.failure

    def _guarded(self) -> None:
        try:
            while not self._stop.is_set():
                source = self._random.choice((SOURCES[0], SOURCES[0], SOURCES[1]))
                self.happen(source, self._random.choice((1, 5, 20, 60, 200)))
                self.publish(source)
                if self._random.random() < 0.5:
                    self.promise(source)
                self._stop.wait(self._random.random() * self._pause)
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for it
            self.failure = error

    # --- what happens

    def happen(self, source: str, count: int) -> None:
        """So many new facts, archived."""
        drafts = [self._draft(source, number) for number in itertools.islice(self._numbers, count)]
        topic = self._app.project.topic(source)
        records = self._app.state.archive.append(
            source, topic, drafts, partitions=PARTITIONS, epoch=self._epochs[source]
        )
        assert len(records) == count
        for record in records:
            self._told.setdefault((source, record.partition), []).append(record)
        self.records += records

    def _draft(self, source: str, number: int) -> Draft:
        kind, subject, data = (self._policy if source == "policies" else self._broker)(number)
        return Draft(
            envelope=Envelope(
                id=event_id(source, f"T:{number}", kind, 0),
                source=source,
                type=kind,
                subject=subject,
                time=dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + number * TICK,
                version=1,
                meaning=1,
                position=f"T:{number}",
            ),
            data=msgspec.json.encode(data),
        )

    def _policy(self, number: int) -> tuple[str, str, dict[str, Any]]:
        random_ = self._random
        policy_no = f"P-{random_.randrange(50 + number // 5):06}"
        # Some policies are annulled before they are stated: that cannot be applied, and what follows of them waits.
        kind = random_.choices(
            ("PolicyStated", "PremiumPaid", "PolicyCancelled", "PolicyAnnulled", "covers"), (9, 6, 1, 1, 5)
        )[0]
        if kind in ("PolicyCancelled", "PolicyAnnulled") and policy_no not in self._stated:
            kind = kind if random_.random() < 0.02 else "PolicyStated"
        data: dict[str, Any] = {"policy_no": policy_no}
        if kind == "PolicyStated":
            note = random_.choice((None, "ä\t\\N\n", "", "x" * random_.randrange(300)))
            data |= {"broker": self._any_broker(), "premium": self._money(), "note": note}
            self._stated.add(policy_no)
        elif kind == "PremiumPaid":
            data |= {"broker": self._any_broker(), "amount": self._money()}
        elif kind == "covers":
            kind = random_.choice(("CoversStated", "CoversAdded", "CoversFrozen"))
            if kind == "CoversFrozen":
                data["frozen"] = random_.random() < 0.5
            else:
                numbers = random_.sample(range(6), random_.randrange(5))
                data["covers"] = [{"no": one, "limit": self._money()} for one in numbers]
        return kind, policy_no, data

    def _broker(self, number: int) -> tuple[str, str, dict[str, Any]]:
        broker = self._any_broker()
        if self._random.random() < 0.3:
            return "BrokerNamed", broker, {"broker": broker, "name": f"Name {number}"}
        return "CommissionPaid", broker, {"broker": broker, "amount": self._money()}

    def _any_broker(self) -> str:
        return f"B-{self._random.randrange(BROKERS):02}"

    def _money(self) -> str:
        return str(Decimal(self._random.randrange(1, 10**7)) / 100)

    # --- how it is told

    def publish(self, source: str) -> None:
        """All that is archived, a few of one partition after a few of another; and some of it again, or too early."""
        random_ = self._random
        while left := [one for one in range(PARTITIONS) if self._left(source, one)]:
            partition = random_.choice(left)
            place, count = (source, partition), random_.choice((1, 3, 30, 300))
            told, at = self._told[place], self._given[place]
            if random_.random() < 0.1 and len(told) - at > 1:
                # A session that had the wrong end of it: all of these come again later, in their place.
                ahead = random_.randrange(at + 1, len(told))
                self.early += self._send(source, told[ahead : ahead + count], noted=False)
            if random_.random() < 0.2 and at:
                # The session before died, and did not know how far it had come; or it woke up late.
                back = random_.randrange(max(0, at - 300), at)
                self.duplicates += self._send(source, told[back:at][:count], noted=False)
            self._given[place] += self._send(source, told[at : at + count], noted=True)

    def _left(self, source: str, partition: int) -> int:
        return len(self._told.get((source, partition), ())) - self._given[source, partition]

    def _send(self, source: str, records: list[Record], *, noted: bool) -> int:
        topic = self._app.project.topic(source)
        runs = self._session(source).publish(records)
        if noted:
            self._app.state.archive.published(topic, runs, source=source, epoch=self._epochs[source])
        return len(records)

    def promise(self, source: str) -> None:
        """Everything so far is in the log."""
        topic, now = self._app.project.topic(source), self._app.clock()
        self._app.state.archive.watermarked(topic, now, source=source, epoch=self._epochs[source])
        # A rebuild ends only at one that is later than the last that it knows of.
        marks = {
            one: Watermark(as_of=now + TICK, sequence=self._given[source, one]) for one in range(PARTITIONS)
        }
        self._session(source).watermark(marks)

    def _session(self, source: str) -> Publisher:
        """Any of a few producers; now and then one ends, and a new one begins."""
        place = source, self._random.randrange(PRODUCERS)
        if place in self._producers and self._random.random() < 0.05:
            self._producers.pop(place).close()
        if place not in self._producers:
            self._producers[place] = self._app.log.publisher(self._app.project.topic(source))
        return self._producers[place]

    def close(self) -> None:
        """Give back the producers."""
        for publisher in self._producers.values():
            publisher.close()
        self._producers.clear()

    def end(self) -> None:
        """Nothing is left to say."""
        for source in SOURCES:
            self.publish(source)
            self.promise(source)

    def go_on(self, events: int, timeout: float = 180) -> None:
        """Wait until so many more events have happened."""
        wanted, deadline = len(self.records) + events, time.monotonic() + timeout
        while len(self.records) < wanted:
            assert self.failure is None, self.failure
            assert time.monotonic() < deadline, f"only {len(self.records)} of {wanted} events in {timeout} s"
            time.sleep(0.02)
