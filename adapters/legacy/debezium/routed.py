"""Messages that Debezium's outbox event router has made of outbox rows, read back as the rows they were. Pure.

The value is the payload (as JSON, or as a text of JSON), the key the aggregate's id, the header `id` the row's, and the
type stands in a header or beside the payload, as `table.fields.additional.placement` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from adapters.legacy.debezium.envelope import Ignored, RowChanged, Undecodable
from adapters.legacy.debezium.source import Source
from toolkit.core.changes import Op

Headers = Iterable[tuple[str, bytes | str | None]]
TYPE_HEADERS = ("eventType", "type")
_TOPIC = "outbox.event."
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def decode_routed(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers, columns: Mapping[str, str]
) -> RowChanged | Ignored:
    """The outbox row of a routed message; `columns` gives the table's own names. Raises Undecodable."""
    texts = {name: _plain(raw) for name, raw in headers if raw is not None}
    identity = texts.get("id")
    if identity is None and value is None:
        return Ignored(kind="tombstone")
    if identity is None:
        raise Undecodable("no header id: is this topic written by Debezium's outbox event router?")
    subject = None if key is None else _plain(key)
    if subject is None:
        raise Undecodable("no key, which is the aggregate's id")
    payload = _payload(value)
    kind = next((texts[name] for name in (*TYPE_HEADERS, columns["TYPE"]) if name in texts), None)
    if kind is None and isinstance(payload, dict):
        kind, payload = _beside(payload, columns["TYPE"])
    if kind is None:
        raise Undecodable(
            "no type: set transforms.outbox.table.fields.additional.placement=type:header:eventType in the connector"
        )
    row: dict[str, object] = {
        "ID": identity,
        "AGGREGATEID": subject,
        "TYPE": kind,
        "PAYLOAD": payload,
    }
    if topic.startswith(_TOPIC):
        row["AGGREGATETYPE"] = topic.removeprefix(_TOPIC)
    return RowChanged(
        op=Op.INSERT,
        before=None,
        after={columns.get(name, name): held for name, held in row.items()},
        key={columns.get("ID", "ID"): identity},
        source=Source(place=f"outbox/{identity}"),
    )


def _plain(raw: bytes | str) -> str:
    """A header or a key as text: as it is, or as JSON, with schema and without, as the converter wrote it."""
    try:
        text = raw if isinstance(raw, str) else raw.decode()
    except UnicodeDecodeError as error:
        raise Undecodable(f"a key or a header that is not UTF-8: {error}") from error
    try:
        found = _decode(text)
    except msgspec.DecodeError:
        return text
    if isinstance(found, dict) and found.keys() == {"schema", "payload"}:
        found = found["payload"]
    return found if isinstance(found, str) else text


def _payload(value: bytes | None) -> object:
    """The payload, whether the router expanded it (`table.expand.json.payload`) or passed on its text."""
    if value is None:
        return None
    try:
        found = _decode(value)
        if isinstance(found, dict) and found.keys() == {"schema", "payload"}:
            found = found["payload"]
        return _decode(found) if isinstance(found, str) else found
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable(f"a payload that is not JSON: {error}") from error


def _beside(payload: Mapping[str, object], column: str) -> tuple[str | None, object]:
    """The type that stands beside the payload (`placement=type:envelope:eventType`), and the payload without it."""
    for name in (*TYPE_HEADERS, column):
        if "payload" in payload and isinstance(payload.get(name), str):
            inner = payload["payload"]
            return str(payload[name]), _decode(inner) if isinstance(inner, str) else inner
    return None, payload
