"""What was read of a legacy database before anybody decided anything about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What a column's values are, whatever the engine calls their type."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"
    LOCAL = "local"
    """A date with a time and without a time zone."""
    LIST = "list"
    OTHER = "other"
    """What has no form in an event before a person chose one: binary data, JSON, search vectors, shapes."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a bounded look at a column's values showed.

    `counts` are all values with how often each was seen (numbers as text, padding kept), when there were few enough;
    `zeros` are zeros among numbers, `day_numbers` says that all others are days such as 20260630. `alike` are two texts that
    differ in nothing but blanks at their end, where there are such.
    """

    rows: int
    nulls: int = 0
    distinct: int = 0
    counts: dict[str, int] = {}
    padded: int = 0
    sentinels: dict[str, int] = {}
    unreadable: int = 0
    zeros: int = 0
    day_numbers: bool = False
    alike: tuple[str, ...] = ()


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column; `spelled` is its name as the engine's SQL wants it, `words` what an ENUM or a CHECK allows."""

    name: str
    spelled: str
    declared: str
    kind: Kind
    nullable: bool
    fixed: bool = False
    scale: int | None = None
    words: tuple[str, ...] = ()
    sample: Sample | None = None


class ForeignKey(msgspec.Struct, frozen=True, kw_only=True):
    """A reference that the database itself keeps."""

    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]
    cascade: bool = False


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table; `name` is what a project calls it (with its schema where that is not the usual one).

    `relation` is the name in SQL, `unique` the unique indexes over columns that are never NULL, `leading` the first
    columns of the indexes. `rows` is an estimate; `at_least` says that counting stopped there.
    """

    name: str
    relation: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    leading: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    rows: int = 0
    at_least: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that tell rows apart; none when the database knows of none."""
        return self.primary_key or (self.unique[0] if self.unique else ())

    def column(self, name: str) -> Column:
        """The column of that name, however its letters are cased."""
        return next(one for one in self.columns if one.name.upper() == name.upper())


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One view: a read that somebody needed often. `records` are a few of its rows, `trouble` why there are none."""

    name: str
    relation: str
    columns: tuple[Column, ...]
    definition: str = ""
    records: tuple[dict[str, str | None], ...] = ()
    trouble: str = ""


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `url` carries no secret; `trouble` is what could not be read, and why."""

    dialect: str
    name: str
    url: str
    tables: tuple[Table, ...]
    views: tuple[View, ...] = ()
    trouble: dict[str, str] = {}
