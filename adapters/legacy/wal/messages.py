"""pgoutput, protocol version 1: bytes in, messages out. Nothing here knows a database.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import Enum

import msgspec

from toolkit.core.errors import StranglerError

_SHORT, _INT, _LONG = (struct.Struct(form).unpack_from for form in ("!H", "!I", "!Q"))
_BEGIN, _COMMIT = struct.Struct("!QqI").unpack_from, struct.Struct("!BQQq").unpack_from


class Unchanged(Enum):
    """A large value that the statement did not touch and that the log does not repeat: unknown here, never NULL."""

    TOAST = "u"


Value = str | None | Unchanged
Values = list[Value]


class Malformed(StranglerError):
    """These bytes are not what pgoutput's protocol says; going on would be guessing."""


class Begin(msgspec.Struct, frozen=True, gc=False):
    """A transaction begins. `lsn` is where its commit stands; `at` counts microseconds from 2000-01-01 UTC."""

    lsn: int
    at: int
    xid: int


class Commit(msgspec.Struct, frozen=True, gc=False):
    """A transaction ends; `end` is the place behind it, up to which a slot may be advanced."""

    lsn: int
    end: int
    at: int


class Column(msgspec.Struct, frozen=True, gc=False):
    """A column as the log describes it; `key`: it is part of the replica identity."""

    name: str
    type: int
    key: bool


class Relation(msgspec.Struct, frozen=True):
    """What a table looked like when what follows was written."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[Column, ...]


class Insert(msgspec.Struct, frozen=True):
    """A new row."""

    oid: int
    new: Values


class Update(msgspec.Struct, frozen=True):
    """A changed row. `old` is the whole former row (`whole`), its key columns if these changed, or nothing."""

    oid: int
    new: Values
    old: Values | None
    whole: bool


class Delete(msgspec.Struct, frozen=True):
    """A row that is gone; `old` is the row (`whole`) or its key columns."""

    oid: int
    old: Values
    whole: bool


class Truncate(msgspec.Struct, frozen=True):
    """Tables that were emptied: which rows they had is not told."""

    oids: tuple[int, ...]


class Other(msgspec.Struct, frozen=True):
    """What has no effect on rows: a type's name, an origin, a logical message."""

    kind: str


Message = Begin | Commit | Relation | Insert | Update | Delete | Truncate | Other


def parse(data: bytes) -> Message:
    """One message. Raises Malformed when it is none of protocol version 1."""
    try:
        return _PARSERS[data[0]](data)
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise Malformed(f"not a pgoutput message, or one that is cut short: {data[:40]!r}") from error


def _begin(data: bytes) -> Begin:
    lsn, at, xid = _BEGIN(data, 1)
    return Begin(lsn, at, xid)


def _commit(data: bytes) -> Commit:
    _, lsn, end, at = _COMMIT(data, 1)
    return Commit(lsn, end, at)


def _relation(data: bytes) -> Relation:
    (oid,) = _INT(data, 1)
    schema, at = _text(data, 5)
    name, at = _text(data, at)
    identity = chr(data[at])
    (count,) = _SHORT(data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        column, at = _text(data, at + 1)
        (kind,) = _INT(data, at)
        at += 8  # the type and its modifier
        columns.append(Column(column, kind, bool(flags & 1)))
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))


def _insert(data: bytes) -> Insert:
    (oid,) = _INT(data, 1)
    _expect(data, 5, b"N")
    new, _ = _row(data, 6)
    return Insert(oid, new)


def _update(data: bytes) -> Update:
    (oid,) = _INT(data, 1)
    at, old, whole = 5, None, False
    if data[5] != 78:  # N
        _expect(data, 5, b"OK")
        whole = data[5] == 79  # O
        old, at = _row(data, 6)
    _expect(data, at, b"N")
    new, _ = _row(data, at + 1)
    return Update(oid, new, old, whole)


def _delete(data: bytes) -> Delete:
    (oid,) = _INT(data, 1)
    _expect(data, 5, b"OK")
    old, _ = _row(data, 6)
    return Delete(oid, old, data[5] == 79)


def _truncate(data: bytes) -> Truncate:
    (count,) = _INT(data, 1)
    return Truncate(tuple(_INT(data, 6 + 4 * at)[0] for at in range(count)))


def _other(data: bytes) -> Other:
    return Other(chr(data[0]))


def _row(data: bytes, at: int) -> tuple[Values, int]:
    """The values of a row, and the place behind them."""
    (count,) = _SHORT(data, at)
    at += 2
    values: Values = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == 116:  # t
            (size,) = _INT(data, at)
            at += 4
            if at + size > len(data):
                raise ValueError("a value that is cut short")
            values.append(data[at : at + size].decode())
            at += size
        elif kind == 110:  # n
            values.append(None)
        elif kind == 117:  # u
            values.append(Unchanged.TOAST)
        else:
            raise ValueError(f"a value of the kind {chr(kind)!r}")
    return values, at


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def _expect(data: bytes, at: int, kinds: bytes) -> None:
    if data[at] not in kinds:
        raise ValueError(f"{chr(data[at])!r} where one of {kinds!r} belongs")


_PARSERS: dict[int, Callable[[bytes], Message]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("R"): _relation,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("Y"): _other,
    ord("O"): _other,
    ord("M"): _other,
}
