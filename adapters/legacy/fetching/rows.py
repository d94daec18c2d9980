"""Rows as one look finds them, and as they are kept until the next: the same names, comparable images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from adapters.legacy.fetching.values import packed, unpacked
from toolkit.inbox import Seen

_LONGEST = 200
Image = dict[str, object]
_encode = msgspec.json.Encoder(decimal_format="number").encode
_sorted = msgspec.json.Encoder(decimal_format="string", order="sorted").encode
_BITS = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of one look. `key` are the driver's own values, exactly as stored; `image` is what changes show.

    `whole`: the image has all columns, not just those of the key and the subject.
    """

    table: str
    subject: str
    key: tuple[object, ...]
    name: str
    image: Image
    whole: bool = True
    watermark: object = None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a row: its key's values, its image (of the key and the subject alone where `digest` stands for it)."""

    key: list[Any]
    subject: str
    image: Image
    digest: str = ""

    @property
    def values(self) -> tuple[object, ...]:
        """The key as the database is asked for it."""
        return tuple(unpacked(value) for value in self.key)


_decode = msgspec.json.Decoder(Kept, float_hook=Decimal).decode


def prefix(subject: str) -> str:
    """What the names of all rows of a subject begin with, and of no other."""
    shown = subject if len(subject) <= _LONGEST else "#" + hashlib.sha256(subject.encode()).hexdigest()
    return _encode([shown])[:-1].decode() + ","


def name_of(subject: str, key: tuple[object, ...]) -> str:
    """A row's name: its subject and the exact values of its key, however the engine compares them.

    So two keys that only a collation takes for equal are two rows, and a row that moves to another subject is another.
    """
    told = _encode([packed(value) for value in key]).decode()
    if len(told) > _LONGEST:
        told = '"#' + hashlib.sha256(told.encode()).hexdigest() + '"'
    return f"{prefix(subject)}{told}]"


def digest(image: Mapping[str, object]) -> str:
    """A hash of what a row says. NULL says nothing, so that a new column without a value changes no row."""
    return hashlib.blake2b(_sorted(_said(image)), digest_size=16).hexdigest()


def _said(image: Mapping[str, object]) -> dict[str, object]:
    return {column: _plain(value) for column, value in image.items() if value is not None}


def _plain(value: object) -> object:
    """0.10 and 0.1, 5.0 and 5 are one number: JSON does not keep them apart."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return ["number", f"{Decimal(value).normalize():f}"]
    return value


def keep(row: Row, *, image: bool, key_columns: tuple[str, ...], subjects: tuple[str, ...]) -> Seen:
    """What to keep of a row."""
    told = row.image
    if not image:
        named = {*key_columns, *(name.upper() for name in subjects)}
        told = {name: value for name, value in row.image.items() if name in named}
    kept = Kept(
        key=[packed(value) for value in row.key],
        subject=row.subject,
        image=told,
        digest="" if image else digest(row.image),
    )
    return Seen(table=row.table, key=row.name, image=_encode(kept))


def kept(seen: Seen) -> Kept:
    """What was kept."""
    return _decode(seen.image)


def same(row: Row, before: Kept) -> bool:
    """Does the row say what it said?"""
    if before.digest:
        return digest(row.image) == before.digest
    return _said(row.image) == _said(before.image)
