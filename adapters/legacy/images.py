"""Rows as capture and backfill both see them: decoded from the engine's own JSON of the whole row."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import defstruct
from msgspec.structs import asdict

from toolkit.core.changes import Change, Op
from toolkit.core.subjects import Columns, columns_of
from toolkit.ports import CapturedTable

# One JSON form for both means one type per column, and a number with a fraction stays exact.
_decode = msgspec.json.Decoder(dict[str, object], float_hook=Decimal).decode
_LONGEST_KEY = 120

ChangeRow = Sequence[Any]
"""number, transaction, table, op, subject, before, after, captured_at"""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a table was like when it was installed: `holes` tells what became of it since.

    `key` is what the database itself enforces, empty where it enforces none.
    """

    columns: dict[str, str] = {}
    key: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Columns that are captured and no others, or all but these, in the engine's spelling; all where both are empty."""

    columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def of(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Those of a table's columns that are captured."""
        return tuple(
            name for name in columns if (name in self.columns if self.columns else name not in self.ignore)
        )


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """A captured table as it was installed, in the engine's own spelling of its names."""

    table: str
    relation: str
    subject: Columns
    outbox: bool
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    installed_at: dt.datetime | None = None
    statement: bool = False
    chosen: Chosen = Chosen()
    shape: Shape = Shape()

    @property
    def subjects(self) -> tuple[str, ...]:
        """The columns that hold the subject."""
        return columns_of(self.subject)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that identify a row, as changes spell them."""
        return tuple(name.upper() for name in self.keys)

    @property
    def enforced(self) -> bool:
        """Does the database see to it that no two rows have the same key?"""
        return bool(self.shape.key) and set(self.shape.key) <= set(self.keys)

    def same_as(self, other: Captured | None) -> bool:
        """Would installing the other one make the same triggers?"""
        return other is not None and msgspec.structs.replace(other, installed_at=self.installed_at) == self

    def reads_as(self, other: Captured) -> bool:
        """Do both find the same rows under the same names, whatever columns they have, however they are captured?"""
        same = ("installed_at", "columns", "statement", "chosen", "shape")
        return msgspec.structs.replace(other, **{name: getattr(self, name) for name in same}) == self

    def covers(self, table: CapturedTable) -> bool:
        """Is this the table that the project asks for?"""
        same_subject = [one.upper() for one in self.subjects] == [one.upper() for one in table.subjects]
        return self.table == table.table.upper() and same_subject and self.outbox == table.outbox


def columns_noted(subject: Columns) -> str:
    """The columns of a subject as one text, to be kept where capture is installed: the name of one stands for itself."""
    return subject if isinstance(subject, str) else msgspec.json.encode(subject).decode()


def noted(table: Captured) -> list[str]:
    """What is kept of a table where capture is installed: keys, columns, choice and shape, each as JSON, in this order."""
    kept = (table.keys, table.columns, table.chosen, table.shape)
    return [msgspec.json.encode(one).decode() for one in kept]


def columns_told(text: str) -> Columns:
    """The columns that such a text tells."""
    return msgspec.json.decode(text, type=tuple[str, ...]) if text.startswith('["') else text


class _Upper(dict[str, str]):
    """Names in upper case, each made once: a row has as many as columns, and a table only so many."""

    def __missing__(self, name: str) -> str:
        upper = self[name] = name.upper()
        return upper


_UPPER = _Upper()


def row_of(image: str | None) -> dict[str, object] | None:
    """Decode a row image: column names in upper case, numbers exact."""
    if image is None:
        return None
    return {_UPPER[name]: value for name, value in _decode(image).items()}


@lru_cache(maxsize=1024)
def reader(columns: tuple[str, ...]) -> Callable[[str], dict[str, object] | None]:
    """`row_of` for images with just these columns, at half the cost; it reads all others, too."""
    names = {column.upper(): column for column in columns}
    if len(names) < len(columns) or not all(name.isidentifier() and name[:2] != "__" for name in names):
        return row_of
    shape = defstruct("Row", [(name, object) for name in names], rename=names, forbid_unknown_fields=True)
    decode = msgspec.json.Decoder(shape, float_hook=Decimal).decode

    def read(image: str) -> dict[str, object] | None:
        try:
            return asdict(decode(image))
        except msgspec.ValidationError:  # of other columns, from before the table was altered, or after
            return row_of(image)

    return read


_OPS = {op.value: op for op in Op}


def changes_of(source: str, rows: Iterable[ChangeRow], captured: Mapping[str, Captured]) -> list[Change]:
    """Captured changes as the toolkit knows them."""
    keys = {name: table.key_columns for name, table in captured.items()}
    readers = {name: reader(table.chosen.of(table.columns)) for name, table in captured.items()}
    made = [
        Change(
            source=source,
            table=table,
            op=_OPS[op],
            subject=subject,
            position=f"change:{number}",
            captured_at=captured_at,
            before=None if before is None else readers.get(table, row_of)(before),
            after=None if after is None else readers.get(table, row_of)(after),
            transaction=transaction,
            number=number,
            key=keys.get(table, ()),
        )
        for number, transaction, table, op, subject, before, after, captured_at in rows
    ]
    outboxes = {name for name, table in captured.items() if table.outbox}
    return [_fact(change) if change.table in outboxes else change for change in made] if outboxes else made


def _fact(change: Change) -> Change:
    if change.op is not Op.INSERT or change.after is None:
        return change
    return msgspec.structs.replace(change, position=fact_position(change.table, change.key, change.after))


_told = msgspec.json.Encoder(decimal_format="string", order="sorted").encode


def fact_position(table: str, key: Sequence[str], row: Mapping[str, object]) -> str:
    """The position of a row of an outbox: of the row itself, however and however often it is found.

    It says for ever what it said, so that its events keep their ids when capture is installed anew. What it says is part of
    the position: a number that is given again, after rows were tidied away, is another fact. NULL says nothing, so that a
    column which comes later changes no position.
    """
    said = {name: value for name, value in row.items() if value is not None}
    digest = hashlib.blake2b(_told(said), digest_size=8).hexdigest()
    return f"outbox:{table}:{_key_text([row.get(name) for name in key])}:{digest}"


def reading_of(group: Sequence[Captured]) -> str:
    """What names the reading of these tables together: installed anew, or grouped anew, they are read anew.

    A row that was read before may say something else by then, and the change that told it is absorbed.
    """
    since = max(one.installed_at for one in group if one.installed_at is not None)
    names = hashlib.sha256(",".join(one.table for one in group).encode()).hexdigest()
    return f"{since:%Y%m%dT%H%M%S%f}-{names[:8]}"


def snapshot_of(
    source: str, table: Captured, subject: str, image: str, instant: dt.datetime, reading: str
) -> Change:
    """A row found by backfill. Its position is the row's key: found again in the same reading, it gives the same events."""
    after, key = row_of(image) or {}, table.key_columns
    return Change(
        source=source,
        table=table.table,
        op=Op.SNAPSHOT,
        subject=subject,
        position=fact_position(table.table, key, after)
        if table.outbox
        else _position(table, [after[name] for name in key], subject, reading),
        captured_at=instant,
        after=after,
        key=key,
    )


def _position(table: Captured, values: Sequence[object], subject: str, reading: str) -> str:
    """Installed anew, capture begins a new history: what it finds then are new facts, so the reading is part of it.

    The subject is, too: a row that moves to one whose turn has not come is found again there, and says something new.
    """
    key = "/".join(map(_spelt, values))
    if not set(table.subjects) <= set(table.keys):
        key += f"@{_spelt(subject)}"
    return f"snapshot:{reading}:{table.table}:{_bounded(key)}"


def _key_text(values: Sequence[object]) -> str:
    return _bounded("/".join(map(_spelt, values)))


def _bounded(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()


def _spelt(value: object) -> str:
    text = str(value)
    return text if text.isascii() and text.isalnum() else quote(text, safe=" ")
