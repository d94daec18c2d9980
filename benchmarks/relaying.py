"""How fast a relay takes captured rows from PostgreSQL to Kafka, and how long a commit waits for its place in the log.

- backlog: rows that one bulk INSERT left in the change table; one relay process works them off, from the first thing
  it does until a watermark says that all of them are in the log
- shards: such a backlog again, worked off by two processes that lead a shard each, beside one process that leads both;
  from the commit until a watermark of every partition says that all of it is in the log
- lag: rows are committed at a steady rate while the relay runs in a process of its own; a consumer of the topic sees
  when each arrives. Writer and consumer are one process, so that there is one clock

The peer of the backlog reads the same change table by `number > last` and hands the row images to the same producer
settings (idempotent, all replicas), and that is all: no events, no archive, nothing marked, no order of commits, no
watermark, no way to go on after a crash.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from sqlalchemy import Engine, text

from adapters.engines import open_engine
from adapters.legacy.postgresql.source import PostgresSource
from adapters.log.kafka import KafkaLog
from adapters.state.store import open_state
from benchmarks.figures import Figure, percentile
from benchmarks.places import Places, database
from migrations.upgrade import upgrade
from tests.support import python_child, wait_until
from toolkit.app import utc_now
from toolkit.cli.tuning import tune
from toolkit.core.changes import Change
from toolkit.core.events import Catalogue, Context, Event
from toolkit.core.shards import WHOLE, Shard, shards_of
from toolkit.core.translators import Translators, payload
from toolkit.loops.backfill import Backfill
from toolkit.loops.batches import batches_of
from toolkit.loops.relay import Relay
from toolkit.loops.sharing import Part
from toolkit.loops.translate import Translation
from toolkit.ports import CapturedTable
from toolkit.settings import LegacySection

SOURCE = "policy_admin"
PARTITIONS = 4
ROWS = 200_000
RATE, SECONDS = 2000, 20
PEER = "SELECT number > last, and produce"
_PEER_BATCH = 5000

_CREATE = (
    (
        "CREATE TABLE policy (pol_no CHAR(12) PRIMARY KEY, cust_no CHAR(12) NOT NULL, prod_cd CHAR(4) NOT NULL,"
        " stat_cd CHAR(1) NOT NULL, prem_cents INTEGER NOT NULL, eff_dt INTEGER NOT NULL, lst_upd TIMESTAMP NOT NULL)"
    ),
    (
        "CREATE TABLE outbox (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), aggregatetype VARCHAR(255) NOT NULL,"
        " aggregateid VARCHAR(255) NOT NULL, type VARCHAR(255) NOT NULL, payload JSONB NOT NULL)"
    ),
)
_FILL = {
    "table": "INSERT INTO policy SELECT 'P' || to_char(n, 'FM00000000000'), 'C' || to_char(n % 9000, 'FM00000000000'),"
    " 'HOME', 'A', 10000 + n % 977, 20240101, now() FROM generate_series(1, :rows) n",
    "outbox": "INSERT INTO outbox (aggregatetype, aggregateid, type, payload) SELECT 'policy', 'Q' || n, 'PolicyPriced',"
    " jsonb_build_object('premium', 10000 + n % 977, 'currency', 'EUR', 'since', '2024-01-01')"
    " FROM generate_series(1, :rows) n",
}
_TABLES = (
    CapturedTable(table="POLICY", subject="POL_NO"),
    CapturedTable(table="OUTBOX", subject="AGGREGATEID", outbox=True),
)

policies = Context("policies")


@policies.event(subject="policy_no", means="The policy stands so from now on.")
class PolicyStated(Event):
    """What a row of the table says."""

    policy_no: str
    customer_no: str
    product: str
    in_force: bool
    premium_cents: int
    effective_on: dt.date


@policies.event(subject="policy_no", means="The policy costs so much from now on.")
class PolicyPriced(Event):
    """What a row of the outbox says."""

    policy_no: str
    premium_cents: int
    currency: str
    since: dt.date


def rules() -> Translators:
    """One event a row, from the table and from the outbox."""
    acl = Translators(SOURCE)
    acl.aggregate("policy", {"POLICY": "POL_NO", "OUTBOX": "AGGREGATEID"})

    @acl.table("POLICY")
    def stated(change: Change) -> Iterator[Event]:
        day = int(str(change["EFF_DT"]))
        yield PolicyStated(
            policy_no=change.subject,
            customer_no=change.text("CUST_NO"),
            product=change.text("PROD_CD"),
            in_force=change["STAT_CD"] == "A",
            premium_cents=int(str(change["PREM_CENTS"])),
            effective_on=dt.date(day // 10000, day // 100 % 100, day % 100),
        )

    @acl.outbox("OUTBOX", "PolicyPriced")
    def priced(change: Change) -> Iterator[Event]:
        said = payload(change)
        yield PolicyPriced(
            policy_no=change.subject,
            premium_cents=int(str(said["premium"])),
            currency=str(said["currency"]),
            since=dt.date.fromisoformat(str(said["since"])),
        )

    return acl


class Estate:
    """A captured database, its archive and its topic, all new."""

    def __init__(self, legacy: str, state: str, kafka: str, topic: str) -> None:
        self.urls = (legacy, state, kafka, topic)
        self.topic = topic
        section = LegacySection(url=legacy, context="policies", tables=["POLICY"], outbox=["OUTBOX"])
        self.source = PostgresSource(SOURCE, legacy, section)
        self.state, self.log = open_state(state), KafkaLog(kafka)
        self.legacy = open_engine(legacy)
        self.translation = self.translated()

    def translated(self, shard: Shard = WHOLE) -> Translation:
        """What turns the changes of a shard into events."""
        return Translation(
            self.source if shard.whole else Part(self.source, shard),
            rules(),
            Catalogue.of([policies]),
            self.state.archive.only(shard),
            groups=[[table.table for table in _TABLES]],
            topic=self.topic,
            partitions=PARTITIONS,
            clock=utc_now,
        )

    def prepare(self) -> None:
        """Tables, triggers and topic; there is no history."""
        upgrade(self.urls[1], "state")
        with self.legacy.begin() as connection:
            for statement in _CREATE:
                connection.execute(text(statement))
        self.source.capture.install(self.source.capture.plan(_TABLES))
        self.log.create(self.topic, PARTITIONS)
        relay = self.relay()
        relay.lead()
        Backfill(self.translation, [_TABLES]).skip(relay.epoch)
        relay.resign()

    def relay(self, shard: Shard = WHOLE) -> Relay:
        """The relay as `strangler relay` runs it."""
        translation = self.translated(shard)
        return Relay(
            translation.source,
            batches_of(translation),
            translation.archive,
            self.state.leases,
            self.log.publisher(self.topic),
            topic=self.topic,
            partitions=PARTITIONS,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            clock=utc_now,
            shard=shard,
            complete=translation.complete,
        )

    def fill(self, which: str, rows: int = ROWS) -> None:
        """One transaction of so many rows."""
        with self.legacy.begin() as connection:
            connection.execute(text(_FILL[which]), {"rows": rows})

    def close(self) -> None:
        """Give back the connections."""
        self.source.close()
        self.state.close()
        self.legacy.dispose()


@contextmanager
def estates(where: Places) -> Iterator[Estate]:
    """An estate whose databases are gone afterwards."""
    assert where.postgres is not None
    assert where.kafka is not None
    with ExitStack() as stack:
        legacy, state = (stack.enter_context(database(where.postgres)) for _ in range(2))
        estate = Estate(legacy, state, where.kafka, f"bench-{uuid.uuid4().hex[:8]}.{SOURCE}")
        stack.callback(estate.close)
        estate.prepare()
        yield estate


# --- the backlog


def backlogs(where: Places) -> Iterator[Figure]:
    """Rows a second from the change table to the topic, beside the plain loop over the same rows."""
    for which in _FILL:
        with estates(where) as estate:
            estate.fill(which)
            theirs = ROWS / _peer(estate)
            began = time.monotonic()
            relay = estate.relay()
            relay.lead()
            done = relay.drain()
            ours = ROWS / (time.monotonic() - began)
            relay.resign()
            assert done.published == ROWS
        yield Figure(
            figure=f"capture.relay of {ROWS:,} rows of {'an outbox' if which == 'outbox' else 'a table'}",
            value=ours,
            unit="rows/s",
            peer=PEER,
            peer_value=theirs,
        )


def _peer(estate: Estate) -> float:
    """The seconds that the plain loop takes, into a topic of its own."""
    topic = f"{estate.topic}.peer"
    estate.log.create(topic, PARTITIONS)
    settings = {"bootstrap.servers": estate.urls[2], "acks": "all", "enable.idempotence": True}
    producer, failed = Producer(settings), list[KafkaError]()

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error:
            failed.append(error)

    last, count, began = 0, 0, time.monotonic()
    while rows := _rows(estate.legacy, last):
        for row in rows:
            while True:
                try:
                    producer.produce(topic, row[3] or row[2], row[1], on_delivery=delivered)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        producer.poll(0)
        last, count = rows[-1][0], count + len(rows)
    producer.flush()
    assert (count, failed) == (ROWS, [])
    return time.monotonic() - began


_NEXT = text(
    "SELECT number, subject, before, after FROM strangler.strangler_change"
    " WHERE number > :last ORDER BY number LIMIT :batch"
)


def _rows(engine: Engine, last: int) -> list[tuple[int, str, str, str]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(_NEXT, {"last": last, "batch": _PEER_BATCH})]


# --- shards


def sharded(where: Places) -> Iterator[Figure]:
    """Rows a second from a commit to the topic: two processes with a shard each, beside one process for all."""
    one, two = _worked_off(where, 1), _worked_off(where, 2)
    name = f"capture.relay of {ROWS:,} rows of a table by two processes, a shard each"
    yield Figure(figure=name, value=two, unit="rows/s", peer="one process", peer_value=one)


def _worked_off(where: Places, count: int) -> float:
    with estates(where) as estate, ExitStack() as stack:
        shards = shards_of(count, PARTITIONS)
        for shard in shards:
            arguments = (*estate.urls, str(shard.number), str(shard.of))
            stack.enter_context(python_child("-m", __name__, *arguments))
        wait_until(lambda: estate.state.archive.last_watermark(estate.topic) is not None, timeout=60)
        estate.fill("table")
        committed, began = estate.source.clock(), time.monotonic()
        wait_until(lambda: _promised(estate) >= committed, timeout=600, every=0.02)
        took = time.monotonic() - began
        assert sum(estate.state.archive.last_sequences(estate.topic).values()) == ROWS
        return ROWS / took


def _promised(estate: Estate) -> dt.datetime:
    promised = estate.state.archive.last_watermark(estate.topic)
    assert promised is not None
    return promised


# --- the lag


def lags(where: Places) -> Iterator[Figure]:
    """From a commit to its event in the log, at a steady rate of single-row transactions and small batches."""
    with estates(where) as estate, python_child("-m", __name__, *estate.urls):
        arrivals = _Arrivals(estate.urls[2], estate.topic)
        arrivals.start()
        wait_until(lambda: estate.state.archive.last_watermark(estate.topic) is not None, timeout=60)
        committed = _write_steadily(estate.legacy, RATE, SECONDS)
        waited = [(at - committed[subject]) * 1000 for subject, at in arrivals.end(len(committed)).items()]
    for share in (0.5, 0.99):
        name = f"capture.lag from commit to log at {RATE:,} rows/s, p{share * 100:.0f}"
        yield Figure(figure=name, value=percentile(waited, share), unit="ms")


def _write_steadily(engine: Engine, rate: int, seconds: int) -> dict[str, float]:
    """Ten rows a transaction, two hundred transactions a second; says when each row was committed."""
    a_time, committed = 10, dict[str, float]()
    statement = text(
        _FILL["table"].replace(
            "generate_series(1, :rows)", "generate_series(CAST(:low AS int), CAST(:high AS int))"
        )
    )
    began = time.monotonic()
    with engine.connect() as connection:
        for number in range(rate * seconds // a_time):
            time.sleep(max(0.0, began + number * a_time / rate - time.monotonic()))
            low = number * a_time + 1
            connection.execute(statement, {"low": low, "high": low + a_time - 1})
            connection.commit()
            now = time.monotonic()
            committed |= {f"P{subject:011}": now for subject in range(low, low + a_time)}
    return committed


class _Arrivals:
    """A plain consumer of the topic that notes when each subject's event came."""

    def __init__(self, kafka: str, topic: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": kafka, "group.id": uuid.uuid4().hex, "fetch.wait.max.ms": 10}
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        self._came: dict[str, float] = {}
        self._wanted = sys.maxsize
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self, wanted: int) -> dict[str, float]:
        """Wait for so many."""
        self._wanted = wanted
        self._thread.join(timeout=120)
        assert len(self._came) == wanted
        return self._came

    def _read(self) -> None:
        while len(self._came) < self._wanted:
            message = self._consumer.poll(0.05)
            if message is not None and message.error() is None and (key := message.key()):
                self._came.setdefault(key.decode(), time.monotonic())
        self._consumer.close()


def relay_until_ended(
    legacy: str, state: str, kafka: str, topic: str, shard: str = "0", of: str = "1"
) -> None:
    """One relay, until it is ended."""
    tune()
    estate = Estate(legacy, state, kafka, topic)
    estate.relay(shards_of(int(of), PARTITIONS)[int(shard)]).run(threading.Event(), standby=True)


if __name__ == "__main__":
    relay_until_ended(*sys.argv[1:])
