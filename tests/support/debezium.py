"""Messages as Debezium writes them: its own fixtures, and small ones made for a test."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from adapters.legacy.debezium.capture import DebeziumCapture
from tests.support.waiting import wait_until

DATA = Path(__file__).parents[1] / "data"
FLINK = DATA / "flink-cdc"


def lines(name: str) -> list[bytes]:
    """The JSON lines of a fixture of Flink CDC's, behind the licence's comment."""
    text = (FLINK / name).read_text()
    return [line.encode() for line in text.splitlines() if line.startswith("{")]


def table_of(line: bytes) -> str:
    found = json.loads(line)
    return str(found.get("payload", found)["source"]["table"])


def envelope(op: str, before: object, after: object, **more: object) -> bytes:
    """An envelope without schema. `source` has the place in the log; the rest may be given, too."""
    source = {"connector": "mysql", "name": "legacy", "table": "t", **more.pop("source", {})}  # type: ignore[dict-item]
    return json.dumps({"op": op, "before": before, "after": after, "source": source, **more}).encode()


def with_schema(
    fields: list[dict[str, object]], op: str, before: object, after: object, connector: str
) -> bytes:
    """An envelope with the schema of its rows."""
    images = [{"type": "struct", "fields": fields, "field": name} for name in ("before", "after")]
    payload = {"op": op, "before": before, "after": after, "source": {"connector": connector, "table": "t"}}
    return json.dumps({"schema": {"type": "struct", "fields": images}, "payload": payload}).encode()


def key(**columns: object) -> bytes:
    return json.dumps(columns).encode()


class Broker:
    """What a connector does to Kafka: topics, and messages in them."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 0})

    def create(self, topic: str, partitions: int = 1) -> str:
        for future in self.admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            future.result()
        wait_until(lambda: topic in self.admin.list_topics(timeout=5).topics, what=f"topic {topic}")
        return topic

    def send(
        self,
        topic: str,
        *messages: tuple[bytes | None, bytes | None],
        partition: int = 0,
        headers: list[tuple[str, str | bytes | None]] | None = None,
    ) -> None:
        """Key and value of each message."""
        for of, value in messages:
            self._producer.produce(topic, value, of, partition=partition, headers=headers or [])
        assert self._producer.flush(20) == 0


@dataclass
class Followed:
    """A legacy source whose changes come from topics; its own database is not needed."""

    name: str
    capture: DebeziumCapture

    def clock(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)
