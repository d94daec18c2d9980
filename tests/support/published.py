"""What a log holds, read from its beginning as a consumer reads it, and judged on the way."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from typing import Any

from tests.support.bank import SOURCE, Bank, Tables
from toolkit.app import App
from toolkit.core.records import Record, Watermark


class Published:
    """Takes exactly the next number of each partition, as a projection does.

    A gap, another event under a number that was given, a watermark before what it promises: each fails at once.
    What comes again under its old number is a duplicate, and counted.
    """

    def __init__(self, app: App) -> None:
        self._topic = app.project.topic(SOURCE)
        self._partitions = app.log.partitions(self._topic)
        self._ids: dict[int, list[str]] = {number: [] for number in range(self._partitions)}
        self._promised: dict[int, dt.datetime] = {}
        self.duplicates = 0
        self.records: list[Record] = []
        self._consumer = app.log.consumer()
        self._consumer.assign({(self._topic, number): 0 for number in range(self._partitions)})

    def read_until(self, instant: dt.datetime, timeout: float) -> None:
        """Read on until every partition promises everything that was committed by `instant`."""
        deadline = time.monotonic() + timeout
        while not self._promises(instant):
            assert time.monotonic() < deadline, (
                f"{timeout} s passed; promised is {self._promised}, wanted {instant}; {len(self.records)} records"
            )
            for delivery in self._consumer.poll(5_000, dt.timedelta(seconds=1)):
                self._take(delivery.at.partition, delivery.content)

    def _promises(self, instant: dt.datetime) -> bool:
        return len(self._promised) == self._partitions and min(self._promised.values()) >= instant

    def _take(self, partition: int, content: Any) -> None:
        known = self._ids[partition]
        if isinstance(content, Watermark):
            assert content.sequence <= len(known), "a watermark stands before what it promises"
            self._promised[partition] = max(content.as_of, self._promised.get(partition, content.as_of))
            return
        assert isinstance(content, Record), content
        assert content.sequence <= len(known) + 1, f"a gap in partition {partition} before {content.sequence}"
        if content.sequence <= len(known):
            assert known[content.sequence - 1] == content.envelope.id, "two events under one number"
            self.duplicates += 1
            return
        known.append(content.envelope.id)
        self.records.append(content)

    @property
    def twice(self) -> list[str]:
        """Ids of events that have two numbers: translated twice, and not recognised."""
        ids = Counter(record.envelope.id for record in self.records)
        return [one for one, count in ids.items() if count > 1]

    def versions(self, event: str = "EntryStated") -> dict[str, list[int]]:
        """By account, the versions in the order in which the log tells them (entries without one left out)."""
        found: dict[str, list[int]] = {}
        for record in self.records:
            data = json.loads(record.data)
            if record.envelope.type == event and (data["version"] or event == "AccountStated"):
                found.setdefault(record.envelope.subject, []).append(data["version"])
        return found

    def fold(self) -> Tables:
        """The tables that the events tell of."""
        accounts: dict[str, tuple[int, int]] = {}
        entries: dict[int, tuple[str, int, int]] = {}
        for record in self.records:
            data = json.loads(record.data)
            match record.envelope.type:
                case "AccountStated":
                    accounts[data["acct"]] = (data["version"], data["balance"])
                case "EntryStated":
                    entries[data["id"]] = (data["acct"], data["version"], data["amount"])
                case _:
                    del entries[data["id"]]
        return Tables(accounts=accounts, entries=entries)

    def close(self) -> None:
        self._consumer.close()


def assert_published_is_the_table(bank: Bank, timeout: float = 300) -> Published:
    """Read the log until it promises what is committed now: its fold is what the tables hold, in order, once each."""
    with bank.opened() as app:
        published = Published(app)
        try:
            published.read_until(app.legacy(SOURCE).clock(), timeout)
        finally:
            published.close()
    tables = bank.tables()
    assert published.fold() == tables
    assert published.versions("AccountStated") == {
        acct: list(range(to + 1)) for acct, (to, _) in tables.accounts.items()
    }
    assert published.twice == []
    return published
