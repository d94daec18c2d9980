"""The small estate with every part real: legacy with triggers, archive, log, read store, evidence, routes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from sqlalchemy import text

from adapters.engines import open_engine
from adapters.legacy.postgresql.source import PostgresSource
from adapters.legacy.sqlite.source import SqliteSource
from adapters.log.sql import SqlLog
from adapters.read_store.sql import open_read_store
from adapters.state.evidence import EvidenceStore
from adapters.state.lease_list import SqlLeaseList
from adapters.state.routes import SqlRoutes
from adapters.state.store import open_state
from migrations.upgrade import upgrade
from tests.routes.estate import TOPIC, make_project
from toolkit.core.records import Record, Watermark, drafts
from toolkit.core.routes import Action, Move, Stage, moved
from toolkit.cutover.facts import Around
from toolkit.loops.batches import one_by_one
from toolkit.loops.relay import Pace, Relay
from toolkit.loops.translate import Translated
from toolkit.ports import Batch, Checkpoint, Cursor, LegacySource, ParkedChange, ParkedEvent

TABLE = "CREATE TABLE POLICY (POLICY_NO VARCHAR(10) PRIMARY KEY, STATUS VARCHAR(10))"
VIEW = "CREATE VIEW legacy_policy AS SELECT POLICY_NO, STATUS FROM POLICY"
SECONDS = dt.timedelta(seconds=1)


class World:
    """One step at a time: `commit`, `relay`, `project`; whatever is not called does not happen."""

    def __init__(self, folder: Path, legacy_url: str, own_url: str, **contract: str) -> None:
        self.skew = dt.timedelta()
        self.project = make_project(folder, legacy_url=legacy_url, read_url=own_url, **contract)
        self._writer = open_engine(legacy_url)
        self._execute(TABLE)
        self._execute(VIEW)
        self.legacy = self._source(legacy_url)
        upgrade(own_url, "state")
        upgrade(own_url, "read_store")
        self.state = open_state(own_url)
        self.store = open_read_store(own_url)
        self.log = SqlLog(self.state.engine)
        self.log.create(TOPIC, 2)
        self.definition = self.project.definition("policy", 1)
        self.store.create(self.definition, {TOPIC: 2}, self.clock())
        self.routes = SqlRoutes(self.state.engine)
        self.evidence = EvidenceStore(self.state.engine)
        self.around = Around(
            project=self.project,
            legacy={"crm": self.legacy},
            archive=self.state.archive,
            read_store=self.store,
            routes=self.routes,
            evidence=self.evidence,
            clock=self.clock,
            code_hash=lambda definition: definition.identity,
            log=self.log,
            leases=SqlLeaseList(self.state.engine),
        )
        self._relay: Relay | None = None

    def _source(self, url: str) -> LegacySource:
        section = self.project.settings.legacy["crm"]
        return (SqliteSource if url.startswith("sqlite") else PostgresSource)("crm", url, section)

    def clock(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.skew

    def _execute(self, statement: str, **parameters: str) -> None:
        with self._writer.begin() as connection:
            connection.execute(text(statement), parameters)

    def capture(self) -> None:
        self.legacy.capture.install(self.legacy.capture.plan(self.project.captured("crm")))

    def backfilled(self) -> None:
        epoch = self._leading().epoch
        since = self.legacy.capture.installation(("POLICY",)) or ""
        done = [Cursor(tables=("POLICY",), done=True, installation=since)]
        self.state.archive.append("crm", TOPIC, [], partitions=2, epoch=epoch, cursors=done)

    def commit(self, *numbers: str) -> None:
        for number in numbers:
            self._execute("INSERT INTO POLICY VALUES (:number, 'active')", number=number)

    def relay(self) -> None:
        self._leading().step()

    def _leading(self) -> Relay:
        if self._relay is None:
            self._relay = Relay(
                self.legacy,
                one_by_one(self._translate),
                self.state.archive,
                self.state.leases,
                self.log.publisher(TOPIC),
                topic=TOPIC,
                partitions=2,
                owner="host:1",
                clock=self.clock,
                pace=Pace(heartbeat=0),
            )
            self._relay.lead()
        return self._relay

    def _translate(self, epoch: int, limit: int) -> Translated:
        cursors = [Cursor(tables=("POLICY",), done=True)]
        changes = self.legacy.capture.pending(limit, cursors)
        made = [
            draft
            for change in changes
            for rule in self.project.translators["crm"].rules
            for draft in drafts(self.project.catalogue, change, rule.function(change))
        ]
        records = self.state.archive.append("crm", TOPIC, made, partitions=2, epoch=epoch)
        self.legacy.capture.mark([change.number for change in changes])
        return Translated(changes=len(changes), events=len(made), records=records)

    def park_change(self, number: str, reason: str) -> None:
        [change] = self.legacy.capture.pending(10, [Cursor(tables=("POLICY",), done=True)])
        waiting = ParkedChange(source="crm", change=change, reason=reason, held=False, parked_at=self.clock())
        epoch = self._leading().epoch
        self.state.archive.append("crm", TOPIC, [], partitions=2, epoch=epoch, parked=[waiting])
        self.legacy.capture.mark([change.number])

    def project_all(self, park: str = "") -> None:
        """What a projector does, without its care. Events of the subject `park` are parked."""
        store, definition = self.store, self.definition
        at = {(one.topic, one.partition): one for one in store.checkpoints("policy", 1)}
        consumer = self.log.consumer()
        consumer.assign({place: one.next_offset for place, one in at.items()})
        epoch = store.seize("policy", 1)
        while found := consumer.poll(100, dt.timedelta()):
            rows: list[dict[str, object]] = []
            parked: list[ParkedEvent] = []
            for delivery in found:
                place = (delivery.at.topic, delivery.at.partition)
                content, was = delivery.content, at[place]
                assert isinstance(content, Record | Watermark)
                if isinstance(content, Record) and content.envelope.subject == park:
                    parked.append(self._parked(content))
                elif isinstance(content, Record):
                    event = self.project.catalogue.by_name(content.envelope.type).current(content.data, 1)
                    rows.append(definition.apply(None, event, content.envelope) or {})
                as_of = content.as_of if isinstance(content, Watermark) else was.as_of
                at[place] = Checkpoint(
                    topic=was.topic,
                    partition=was.partition,
                    next_offset=max(was.next_offset, delivery.at.offset + isinstance(content, Record)),
                    sequence=content.sequence,
                    as_of=as_of,
                )
            batch = Batch(upserts=rows, checkpoints=list(at.values()), parked=parked)
            store.commit(definition, batch, epoch=epoch, now=self.clock())
            if not any(isinstance(one.content, Record) for one in found):
                break

    def _parked(self, record: Record) -> ParkedEvent:
        return ParkedEvent(
            record=record,
            topic=TOPIC,
            key=record.envelope.subject,
            reason="no branch has this code",
            held=False,
            parked_at=self.clock(),
        )

    def fail(self, detail: str) -> None:
        epoch = self.store.seize("policy", 1)
        self.store.set_state("policy", 1, "failed", detail, epoch=epoch, now=self.clock())

    def route(self, stage: Stage, share: int = 0, consumer: str = "*") -> None:
        was = self.routes.get("portal", consumer)
        becomes = moved(was, consumer, stage, share)
        self.routes.apply(
            Move(action=Action.FORWARD, was=was, becomes=becomes, who="t", why="t"), self.clock()
        )

    def close(self) -> None:
        self.legacy.close()
        self.store.close()
        self.state.close()
        self._writer.dispose()
