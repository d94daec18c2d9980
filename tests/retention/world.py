"""A real archive, a real embedded log and a real read store, with a relay and projectors driven step by step."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal

from adapters.read_store.sql import SqlReadStore
from adapters.state.retention import SqlRetention
from adapters.state.store import State
from tests.support.read_store import (
    BOOK,
    CATALOGUE,
    PARTITIONS,
    POLICY,
    SOURCE,
    START,
    TOPIC,
    PolicyIssued,
    Story,
)
from toolkit.core.events import Event
from toolkit.core.projections import Definition, Projection, on
from toolkit.core.records import Draft, Record, Watermark
from toolkit.loops import folding
from toolkit.loops.project import Pace, Projector
from toolkit.loops.prune import Limits, Loss, Prune, Pruned, PrunePlan
from toolkit.loops.rebuild import Rebuild
from toolkit.loops.relay import lease_name
from toolkit.ports import Log


class SecondView(Projection, version=2, context="service", key="policy_no", name="policy_view"):
    """Built beside the first one."""

    policy_no: str
    premium: Decimal

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.premium = event.premium


POLICY_V2 = SecondView.definition
NOW = dt.timedelta(0)
LOSSES = [Loss(projection="policy_view", why=("no version of it could be rebuilt",))]
EVERYTHING = Limits(archive=NOW, log=NOW)


def tomorrow() -> dt.datetime:
    """When all that was archived until today is old."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


@dataclass
class World:
    """Whatever happens is archived; `publish`, `advance` and `prune` are the test's to call."""

    state: State
    log: Log
    store: SqlReadStore
    chunk: int = 2
    topic: str = TOPIC
    patience: float = 0.0
    story: Story = field(default_factory=Story)
    seconds: int = 0
    epoch: int = 0
    running: dict[str, Projector] = field(default_factory=dict)

    @property
    def topics(self) -> dict[str, int]:
        return {self.topic: PARTITIONS}

    def __post_init__(self) -> None:
        self.log.create(self.topic, PARTITIONS)

    def lead(self) -> None:
        now = dt.datetime.now(dt.UTC)
        self.epoch = self.state.leases.acquire(lease_name(SOURCE), "test", dt.timedelta(days=2), now)

    def happen(self, *events: Event) -> list[Record]:
        return self.archive_again(self.story.tell(*events))

    def archive_again(self, records: list[Record]) -> list[Record]:
        drafts = [Draft(envelope=one.envelope, data=one.data) for one in records]
        return self.state.archive.append(SOURCE, self.topic, drafts, partitions=PARTITIONS, epoch=self.epoch)

    def publish(self, *, twice: bool = False) -> None:
        publisher = self.log.publisher(self.topic)
        waiting = self.state.archive.unpublished(self.topic, 1000)
        if twice:
            publisher.publish(waiting)
        runs = publisher.publish(waiting)
        self.state.archive.published(self.topic, runs, source=SOURCE, epoch=self.epoch)
        self.seconds += 1
        ends = self.state.archive.last_sequences(self.topic)
        mark = {
            at: Watermark(as_of=START + dt.timedelta(seconds=self.seconds), sequence=ends.get(at, 0))
            for at in range(PARTITIONS)
        }
        publisher.watermark(mark)

    def projector(self, definition: Definition) -> Projector:
        if definition.identity not in self.running:
            made = Projector(
                definition,
                CATALOGUE,
                self.store,
                self.log,
                self.topics,
                tomorrow,
                Pace(patience=self.patience),
            )
            made.start()
            self.running[definition.identity] = made
        return self.running[definition.identity]

    def advance(self, definition: Definition, limit: int = 100) -> int:
        return self.projector(definition).advance(limit).deliveries

    def drain(self, *definitions: Definition) -> None:
        for definition in definitions:
            while self.advance(definition):
                pass

    def rebuild(self, definition: Definition, **options: object) -> Rebuild:
        given = {"batch": 3, "patience": dt.timedelta(0), **options}
        return Rebuild(
            definition,
            CATALOGUE,
            self.store,
            self.state.archive,
            self.log,
            self.topics,
            tomorrow,
            **given,  # type: ignore[arg-type]
        )

    def pruning(self) -> Prune:
        retention = SqlRetention(self.state.engine, chunk=self.chunk, rest=0)
        return Prune(
            retention,
            self.store,
            self.log,
            self.state.leases,
            self.topics,
            tomorrow,
            owner="test",
            losses=lambda: LOSSES,
            tally=self.state.kinds.seen,
        )

    def plan(self) -> PrunePlan:
        return self.pruning().plan(EVERYTHING)

    def prune(self, *forgone: str) -> Pruned:
        return self.pruning().run(EVERYTHING, forgone or ("policy_view",))

    def kept(self) -> dict[int, int]:
        """Partition to the first sequence that is kept."""
        return {at: sequence + 1 for at, sequence in self.state.archive.pruned(self.topic).items()}

    def rows(self, definition: Definition) -> dict[object, dict[str, object]]:
        return {definition.key_in(one): one for one in self.store.rows(definition, None, 1000)}

    def told(self, definition: Definition) -> dict[object, dict[str, object]]:
        """What all events that ever happened say, each once and in order."""
        due = [(self.topic, one) for one in self.story.records]
        steps = folding.read(definition, CATALOGUE, due)
        folded = folding.fold(definition, steps, {}, folding.Held(), START)
        return {key: row for key, row in folded.changed.items() if row is not None}


def issued(number: int, premium: int = 1) -> PolicyIssued:
    return PolicyIssued(policy_no=f"P-{number}", broker=f"B-{number % 2}", premium=Decimal(premium))


__all__ = ["BOOK", "EVERYTHING", "LOSSES", "NOW", "POLICY", "POLICY_V2", "World", "issued", "tomorrow"]
