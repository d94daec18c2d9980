"""The projector that a good engineer writes in an afternoon: consume, decode, keep the last row, write with a checkpoint."""

from __future__ import annotations

import json
import time
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import create_engine

BATCH = 5_000
_TABLE = (
    "CREATE TABLE policy (policy_no {text} PRIMARY KEY, holder text, premium numeric, since date, status text,"
    " agreements bigint)"
)
_UPSERT = (
    "INSERT INTO policy VALUES ({marks}) ON CONFLICT (policy_no) DO UPDATE SET holder = excluded.holder,"
    " premium = excluded.premium, since = excluded.since, status = excluded.status,"
    " agreements = policy.agreements + excluded.agreements"
)


def project(bootstrap: str, topic: str, partitions: int, url: str, events: int) -> float:
    """Project so many events; returns events a second."""
    engine = create_engine(url)
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    with engine.begin() as connection:
        connection.exec_driver_sql(_TABLE.format(text="text"))
        connection.exec_driver_sql("CREATE TABLE checkpoint (part int PRIMARY KEY, position bigint)")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "x", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    upsert = _UPSERT.format(marks=", ".join([mark] * 6))
    save = f"INSERT INTO checkpoint VALUES ({mark}, {mark}) ON CONFLICT (part) DO UPDATE SET position = excluded.position"
    began, done = time.monotonic(), 0
    while done < events:
        messages = consumer.consume(min(BATCH, events - done), 0.1)
        rows, positions = _fold(messages)
        with engine.begin() as connection:
            if rows:
                connection.exec_driver_sql(upsert, rows)
                connection.exec_driver_sql(save, list(positions.items()))
        done += len(messages)
    took = time.monotonic() - began
    consumer.close()
    engine.dispose()
    return events / took


def _fold(messages: list[Any]) -> tuple[list[tuple[Any, ...]], dict[int, int]]:
    rows: dict[str, tuple[Any, ...]] = {}
    positions: dict[int, int] = {}
    for message in messages:
        found = json.loads(message.value())
        positions[message.partition()] = message.offset() + 1
        if found.get("type") != "TermsAgreed":
            continue
        data = found["data"]
        policy = data["policy_no"]
        seen = rows[policy][-1] if policy in rows else 0
        rows[policy] = (policy, data["holder"], data["premium"], data["since"], data["status"], seen + 1)
    return list(rows.values()), positions
