"""One legacy source and its archive, with what the archive says of the legacy database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import msgspec
from sqlalchemy import select, text

from adapters.state.store import open_state
from migrations.schema.state import event
from migrations.upgrade import upgrade
from tests.support.legacy import NAMES, SOURCE, TABLES, Legacy
from tests.translate.domain import CATALOGUE, TOPIC, rules
from toolkit.core.translators import Translators
from toolkit.loops.backfill import Backfill
from toolkit.loops.translate import Translation

NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
PARTITIONS = 3
State = dict[str, tuple[str, Decimal, frozenset[int]]]
"""Policy to its status, premium and standing holds."""


class World:
    def __init__(self, legacy: Legacy, state_url: str) -> None:
        self.legacy, self.capture = legacy, legacy.source.capture
        upgrade(state_url, "state")
        self.state = open_state(state_url)
        self.archive = self.state.archive
        self.epoch = self.state.leases.acquire(f"relay:{SOURCE}", "test", dt.timedelta(hours=1), NOW)

    def close(self) -> None:
        self.state.close()

    def translation(self, acl: Translators | None = None, largest: int | None = None) -> Translation:
        """A process's own: whatever it remembers, another one does not."""
        return Translation(
            self.legacy.source,
            acl or rules(),
            CATALOGUE,
            self.archive,
            groups=[NAMES],
            topic=TOPIC,
            partitions=PARTITIONS,
            clock=lambda: NOW,
            largest=lambda: largest,
        )

    def backfill(self, chunk: int, translation: Translation | None = None) -> Backfill:
        return Backfill(translation or self.translation(), [TABLES], chunk=chunk, sleep=lambda _: None)

    def skip_backfill(self) -> None:
        self.backfill(1).skip(self.epoch)

    def drain(self, translation: Translation | None = None, limit: int = 100) -> None:
        translation = translation or self.translation()
        while translation.step(self.epoch, limit).changes:
            pass

    def events(self, subject: str | None = None) -> list[tuple[str, dict[str, object]]]:
        """Type and data of all events, in the order that readers see: per partition by sequence."""
        found = select(event).order_by(event.c.partition, event.c.sequence)
        with self.state.engine.connect() as connection:
            return [
                (row.type, msgspec.json.decode(row.data))
                for row in connection.execute(found)
                if subject in (None, row.subject)
            ]

    def types(self, subject: str) -> list[str]:
        return [name for name, _ in self.events(subject)]

    def folded(self) -> State:
        """What the events say; an event that cannot be true after the ones before it is an error."""
        policies: dict[str, tuple[str, Decimal]] = {}
        holds: dict[str, set[int]] = {}
        for name, data in self.events():
            number = str(data["policy_no"])
            standing = holds.setdefault(number, set())
            if name == "PolicyStated":
                policies[number] = (str(data["status"]), Decimal(str(data["premium"])))
            elif name == "PolicyWithdrawn":
                del policies[number]
            elif name == "HoldPlaced":
                standing.add(int(str(data["hold_no"])))
            elif name == "HoldReleased":
                standing.remove(int(str(data["hold_no"])))
        return {one: (*policy, frozenset(holds[one])) for one, policy in policies.items()}

    def stored(self) -> State:
        """What the legacy tables say."""
        with self.legacy.engine.connect() as connection:
            holds: dict[str, set[int]] = {}
            for row in connection.execute(text("SELECT POL_NO AS subject, HLD_ID AS hold FROM POLHOLD")):
                holds.setdefault(str(row.subject).rstrip(), set()).add(int(row.hold))
            rows = connection.execute(
                text("SELECT POL_NO AS subject, STAT_CD AS status, PREM AS premium FROM POLMAST")
            )
            return {
                subject: (row.status.rstrip(), Decimal(str(row.premium)), frozenset(holds.get(subject, ())))
                for row in rows
                for subject in [row.subject.rstrip()]
            }
