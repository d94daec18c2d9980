"""Messages as Debezium writes them: its own fixtures, and small ones made for a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

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


def documents(text: str) -> Iterator[str]:
    yield from text.split("\n---\n")
