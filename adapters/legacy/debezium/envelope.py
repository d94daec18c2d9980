"""Debezium's JSON envelope, with schema and without: bytes in, what they say out. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from adapters.legacy.debezium import types
from adapters.legacy.debezium.source import Source, instant_of, source_of
from toolkit.core.changes import Op

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_OPS = {"c": Op.INSERT, "u": Op.UPDATE, "d": Op.DELETE, "r": Op.SNAPSHOT}
_IDENTITY_MAY_BE_PARTIAL = ("postgresql",)
UNTOUCHED = "the envelope has it as unavailable, a large value that the statement did not touch"
Hint = Callable[[Any, types.Style], object]


class Undecodable(ValueError):
    """The message is none of Debezium's, or not one that can be understood."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of one table's messages.

    `hints` are conversions by column (upper case); `key` names the key's columns where the messages have no key;
    `before` says whether the connector gives the whole row before (`full`), or only its key (`key`).
    """

    hints: Mapping[str, Hint] = {}
    key: tuple[str, ...] = ()
    before: str = ""
    unavailable: str = types.UNAVAILABLE


class InTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A change's place in its transaction, where the connector provides transaction metadata."""

    id: str
    order: int


class RowChanged(msgspec.Struct, frozen=True, kw_only=True):
    """One row's change. A column of `unknown` was not touched and is in neither image, so that nothing is taken for its
    value. `fault` says which values do not fit their type.
    """

    op: Op
    before: dict[str, object] | None
    after: dict[str, object] | None
    key: dict[str, object]
    unknown: dict[str, str] = {}
    fault: str = ""
    source: Source
    sent_at: dt.datetime | None = None
    transaction: InTransaction | None = None


class Truncated(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of a table went, and the message names none of them."""

    source: Source


class Boundary(msgspec.Struct, frozen=True, kw_only=True):
    """BEGIN or END of a transaction; END counts the events, in all and by collection of data."""

    id: str
    ended: bool
    events: int = 0
    collections: dict[str, int] = {}


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing that changes a row; counted by `kind`. Some tell how far the connector has come."""

    kind: str
    source: Source | None = None
    sent_at: dt.datetime | None = None


Found = RowChanged | Truncated | Boundary | Ignored


def decode(value: bytes | None, key: bytes | None, rules: Rules) -> Found:
    """What a message says. Raises Undecodable."""
    if value is None:
        return Ignored(kind="tombstone")
    payload, schema = _opened(value)
    if payload is None:
        return Ignored(kind="tombstone")
    if not isinstance(payload, dict):
        raise Undecodable(f"a value that is a {type(payload).__name__}, not an envelope")
    if "op" not in payload:
        return _without_op(payload)
    source = source_of(payload.get("source") or {})
    op = str(payload["op"])
    if op == "t":
        return Truncated(source=source)
    if op == "m":
        return Ignored(kind="message", source=source)
    if op not in _OPS:
        raise Undecodable(f"an envelope with op {op!r}, which is none of c, u, d, r, t, m")
    return _row_changed(_OPS[op], payload, schema, source, key, rules)


def _without_op(payload: Mapping[str, Any]) -> Found:
    if payload.get("status") in ("BEGIN", "END") and "id" in payload:
        counts = {
            str(one.get("data_collection")): int(one.get("event_count") or 0)
            for one in payload.get("data_collections") or []
        }
        return Boundary(
            id=str(payload["id"]),
            ended=payload["status"] == "END",
            events=int(payload.get("event_count") or 0),
            collections=counts,
        )
    if "ddl" in payload or "tableChanges" in payload:
        return Ignored(kind="schema change")
    if payload.keys() <= {"ts_ms", "ts_us", "ts_ns", "serverName"} and "ts_ms" in payload:
        return Ignored(kind="heartbeat", sent_at=instant_of(payload["ts_ms"]))
    raise Undecodable(
        "JSON, but no envelope of Debezium's: it has no op (does a transform such as ExtractNewRecordState unwrap it?)"
    )


def _row_changed(
    op: Op,
    payload: Mapping[str, Any],
    schema: types.Schema | None,
    source: Source,
    key: bytes | None,
    rules: Rules,
) -> RowChanged:
    reader = _Reader(rules, types.style_of(source.connector))
    before = reader.row(payload.get("before"), _fields(schema, "before"))
    after = reader.row(payload.get("after"), _fields(schema, "after"))
    if (after if op is not Op.DELETE else before) is None:
        raise Undecodable(f"an envelope with op {payload['op']!r} and no row")
    held = reader.key(key) or {name: (after or before or {}).get(name) for name in rules.key}
    if not held:
        raise Undecodable(
            "no key: a table without a primary key needs message.key.columns in the connector, or keys in the settings"
        )
    if before is not None and op is not Op.INSERT and _is_partial(rules, source):
        before = {name: value for name, value in before.items() if name in held} or None
    unknown = _settle(before, after, reader.untouched)
    return RowChanged(
        op=op,
        before=before if op is not Op.SNAPSHOT else None,
        after=after if op is not Op.DELETE else None,
        key=held,
        unknown=unknown,
        fault="; ".join(f"{column}: {why}" for column, why in reader.unfit.items()),
        source=source,
        sent_at=instant_of(payload.get("ts_ms")),
        transaction=_in_transaction(payload.get("transaction")),
    )


def _is_partial(rules: Rules, source: Source) -> bool:
    """May the columns that are not the key's be made up? PostgreSQL gives them only under REPLICA IDENTITY FULL,
    and the connector then fills in NULL, zero or an empty text.
    """
    if rules.before:
        return rules.before == "key"
    return source.connector in _IDENTITY_MAY_BE_PARTIAL


def _settle(
    before: dict[str, object] | None, after: dict[str, object] | None, untouched: set[str]
) -> dict[str, str]:
    """A large value that the statement did not touch is the one before, where that is known."""
    left = {}
    for name in sorted(untouched):
        if before is not None and after is not None and name in before and name not in after:
            after[name] = before[name]
            continue
        left[name] = UNTOUCHED
        for image in (before, after):  # in one image alone it would look as if it was changed
            if image is not None:
                image.pop(name, None)
    return left


def _in_transaction(block: Any) -> InTransaction | None:
    if not isinstance(block, dict) or not block.get("id"):
        return None
    return InTransaction(id=str(block["id"]), order=int(block.get("total_order") or 0))


class _Reader:
    """Reads the rows of one message, and gathers the columns whose value cannot be told."""

    def __init__(self, rules: Rules, style: types.Style) -> None:
        self._rules, self._style = rules, style
        self.untouched: set[str] = set()
        self.unfit: dict[str, str] = {}

    def row(self, raw: Any, fields: Mapping[str, types.Schema]) -> dict[str, object] | None:
        if raw is None:
            return None
        if not isinstance(raw, dict):
            raise Undecodable(f"a row that is a {type(raw).__name__}, not an object")
        made = {}
        for name, value in raw.items():
            column = name.upper()
            if types.is_unavailable(value, self._rules.unavailable):
                self.untouched.add(column)
                continue
            try:
                made[column] = self._value(column, value, fields.get(name))
            except types.Unfit as error:
                self.unfit[column] = str(error)
        return made

    def key(self, raw: bytes | None) -> dict[str, object]:
        if raw is None:
            return {}
        payload, schema = _opened(raw)
        if not isinstance(payload, dict):
            raise Undecodable(
                "a key that is no JSON object: does the connector use the JSON converter for keys?"
            )
        fields = _named(schema)
        try:
            return {
                name.upper(): self._value(name.upper(), value, fields.get(name))
                for name, value in payload.items()
                if not name.startswith("__dbz__")  # what a router of several tables adds
            }
        except types.Unfit as error:
            raise Undecodable(f"a key that does not fit: {error}") from error

    def _value(self, column: str, value: Any, schema: types.Schema | None) -> object:
        hint = self._rules.hints.get(column)
        if hint is not None:
            return hint(value, self._style)
        return types.convert(value, schema, self._style)


def _opened(raw: bytes) -> tuple[Any, types.Schema | None]:
    """The payload and its schema, if it travels with one."""
    try:
        found = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable(f"not JSON ({error}): the connector has to use the JSON converter") from error
    if isinstance(found, dict) and found.keys() == {"schema", "payload"}:
        schema = found["schema"]
        return found["payload"], schema if isinstance(schema, dict) else None
    return found, None


def _fields(schema: types.Schema | None, image: str) -> Mapping[str, types.Schema]:
    for field in (schema or {}).get("fields") or []:
        if field.get("field") == image:
            return _named(field)
    return {}


def _named(schema: types.Schema | None) -> Mapping[str, types.Schema]:
    return {
        field["field"]: field
        for field in (schema or {}).get("fields") or []
        if field.get("field") is not None
    }
