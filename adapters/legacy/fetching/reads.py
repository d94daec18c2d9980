"""The reads of one look at one table: pages in the engine's own order, and rows by key, by subject, by watermark.

The engine's order is used for going on, and for nothing else: which rows are the same, are gone or are new is decided on
the exact values of their keys, so that no collation can invent a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.types import NullType, String, UserDefinedType

from adapters.legacy.fetching.rows import Row, name_of
from adapters.legacy.fetching.sessions import Dialect
from adapters.legacy.fetching.tables import Fetched
from adapters.legacy.fetching.values import json_value, subject_text
from toolkit.core.errors import UsageError
from toolkit.core.subjects import joined, parted
from toolkit.core.subjects import subject_text as joined_text

_AT_ONCE = 100
_ROW_VALUES = frozenset({"postgresql", "sqlite"})
"""Engines that find `(a, b) > (x, y)` by an index; the others find it spelt out."""


class _AsItIs(UserDefinedType[Any]):
    """A value as the driver gave it. NullType would take on the type of the column that it is compared with."""

    cache_ok = True


_AS_IT_IS = _AsItIs()


class Reads:
    """Reads one table over one connection, that is in one snapshot where the engine gives one."""

    def __init__(self, connection: Connection, table: Fetched, dialect: Dialect) -> None:
        self._connection, self._table, self._dialect = connection, table, dialect
        self._columns = table.relation.c
        self._key = [self._columns[one] for one in table.keys]

    # --- pages

    def page(self, after: Sequence[object] | None, size: int, *, whole: bool = True) -> list[Row]:
        """The next rows by key; only their keys, subjects and watermarks unless `whole`.

        Keys that the engine takes for equal to the last one come with it: the next page begins behind all of them.
        """
        found = self._select(whole).order_by(*self._key).limit(size)
        if after is not None:
            found = found.where(self._beyond(self._key, after))
        rows = self._rows(found, whole)
        return self._with_equals(rows, whole) if rows else rows

    def watermarked(self, low: object, after: Sequence[object] | None, size: int) -> list[Row]:
        """The next rows by watermark and key, from the watermark `low` on (None: from the first); `after` is both of a row."""
        column = self._columns[self._table.watermark]
        found = self._select(True).where(column.is_not(None))
        if low is not None:
            found = found.where(column >= self._bind(column, low))
        if after is not None:
            found = found.where(self._beyond([column, *self._key], after))
        rows = self._rows(found.order_by(column, *self._key).limit(size), True)
        if rows:
            self._mark_finds_itself(rows[-1])
        return rows

    def equals(self, row: Row) -> list[Row]:
        """The rows whose keys the engine takes for equal to this one's, without it."""
        return self._with_equals([row], True)[1:]

    def highest(self) -> object:
        """The highest watermark there is."""
        return self._connection.scalar(
            select(type_coerce(func.max(self._columns[self._table.watermark]), NullType()))
        )

    # --- by key, by subject

    def by_keys(self, keys: Iterable[Sequence[object]], *, whole: bool = True) -> list[Row]:
        """The rows with these keys, and those whose keys the engine takes for the same."""
        wanted, found = list(keys), list[Row]()
        for at in range(0, len(wanted), _AT_ONCE):
            some = wanted[at : at + _AT_ONCE]
            if len(self._key) == 1:
                within: ColumnElement[bool] = self._among(self._key[0], [key[0] for key in some])
            else:
                within = or_(*(self._equal(key) for key in some))
            found += self._rows(self._select(whole).where(within), whole)
        return found

    @property
    def one_each(self) -> bool:
        """Is a row known by its subject alone?"""
        return set(self._table.keys) == set(self._table.subjects)

    def spelt(self, row: Row) -> str:
        """The subject of a row with its padding."""
        values = [row.image[name.upper()] for name in self._table.subjects]
        return str(values[0]) if len(values) == 1 else joined(values)

    def by_subjects(self, subjects: Iterable[str], *, held: Iterable[str] = ()) -> list[Row]:
        """The rows of these subjects as an index finds them: as the text is, or padded to the column's length.

        None where no index does: the table would be read whole for each look. `held` are subjects of which a row is known.
        """
        if not self._table.gathers:
            return []
        columns = [self._columns[one] for one in self._table.subjects]
        known = frozenset(held) if self.one_each else frozenset()
        wanted = [one for one in subjects if one not in known]
        if len(columns) > 1:
            return self._by_parts(columns, wanted)
        asked = [value for one in wanted for value in self._spellings(columns[0], one)]
        found: list[Row] = []
        for at in range(0, len(asked), _AT_ONCE):
            within = self._among(columns[0], asked[at : at + _AT_ONCE])
            found += self._rows(self._select(True).where(within), True)
        return found

    def _by_parts(self, columns: Sequence[Column[Any]], subjects: Sequence[str]) -> list[Row]:
        """Where several columns hold the subject: each of them as its part may be spelt, or NULL where that is empty."""
        found: list[Row] = []
        for at in range(0, len(subjects), _AT_ONCE):
            each = [
                and_(*map(self._spelt, columns, parted(one)))
                for one in subjects[at : at + _AT_ONCE]
                if one.count("/") == len(columns) - 1
            ]
            found += self._rows(self._select(True).where(or_(*each)), True) if each else []
        return found

    def _spelt(self, column: Column[Any], part: str) -> ColumnElement[bool]:
        among = self._among(column, self._spellings(column, part))
        return among if part else or_(among, column.is_(None))

    def without_key(self) -> bool:
        """Is there a row with NULL in its key? It has no name, and is never found."""
        nullable = [self._columns[one] for one in self._table.nullable_keys]
        if not nullable:
            return False
        blank = or_(*(one.is_(None) for one in nullable))
        return self._connection.execute(select(self._key[0]).where(blank).limit(1)).first() is not None

    # --- parts

    def _select(self, whole: bool) -> Any:
        wanted = self._table.columns if whole else self._few
        shown = [self._columns[one] for one in wanted]
        if self._dialect.raw:
            found = select(*(type_coerce(one, NullType()) for one in shown))
        else:
            found = select(*shown)
        filled = [self._columns[one].is_not(None) for one in self._table.nullable_keys]
        return found.select_from(self._table.relation).where(*filled)

    @property
    def _few(self) -> tuple[str, ...]:
        table = self._table
        return tuple(dict.fromkeys((*table.keys, *table.subjects, *filter(None, [table.watermark]))))

    def _rows(self, found: Any, whole: bool) -> list[Row]:
        names = self._table.columns if whole else self._few
        return [self._row(names, values, whole) for values in self._connection.execute(found)]

    def _row(self, names: Sequence[str], values: Sequence[object], whole: bool) -> Row:
        told = dict(zip(names, values, strict=True))
        image = {name.upper(): json_value(value, self._dialect) for name, value in told.items()}
        subject = joined_text([subject_text(image[one.upper()]) for one in self._table.subjects])
        key = tuple(told[one] for one in self._table.keys)
        return Row(
            table=self._table.name,
            subject=subject,
            key=key,
            name=name_of(subject, key),
            image=image,
            whole=whole,
            watermark=told[self._table.watermark] if self._table.watermark else None,
        )

    def _bind(self, column: Column[Any], value: object) -> Any:
        # Where values are the driver's own, so are their types: a cast to VARCHAR would compare a CHAR without padding.
        return bindparam(None, value, type_=_AS_IT_IS if self._dialect.raw else column.type, unique=True)

    def _among(self, column: Column[Any], values: Sequence[object]) -> ColumnElement[bool]:
        kind = _AS_IT_IS if self._dialect.raw else column.type
        return column.in_(bindparam("among", list(values), type_=kind, expanding=True, unique=True))

    def _equal(self, key: Sequence[object]) -> ColumnElement[bool]:
        return and_(
            *(column == self._bind(column, value) for column, value in zip(self._key, key, strict=True))
        )

    def _beyond(self, columns: Sequence[Column[Any]], place: Sequence[object]) -> Any:
        if len(columns) == 1:
            return columns[0] > self._bind(columns[0], place[0])
        if self._connection.dialect.name in _ROW_VALUES:
            bound = [self._bind(column, value) for column, value in zip(columns, place, strict=True)]
            beyond: Any = tuple_(*columns) > tuple_(*bound)
            return beyond
        spelt = []
        for at, column in enumerate(columns):
            same = [one == self._bind(one, value) for one, value in zip(columns[:at], place, strict=False)]
            spelt.append(and_(*same, column > self._bind(column, place[at])))
        return or_(*spelt)

    def _with_equals(self, rows: list[Row], whole: bool) -> list[Row]:
        """The rows, and those whose keys the engine takes for equal to the last one's."""
        last = rows[-1]
        equals = self.by_keys([last.key], whole=whole)
        if all(one.key != last.key for one in equals) and self._still_there(last):
            raise UsageError(
                f"table {self._table.name}: the row with the key {last.key!r} is not found by that key: the driver does not "
                "give its values exactly, so that the table cannot be looked at by key; capture it in another way"
            )
        known = {row.key for row in rows}
        return rows + [one for one in equals if one.key not in known]

    def _still_there(self, row: Row) -> bool:
        """Without a snapshot the row may have gone meanwhile, and nothing is wrong with its key.

        So its neighbours are read: a value that is rounded on its way lies beside what is stored.
        """
        first, value = self._key[0], self._bind(self._key[0], row.key[0])
        back = [column.desc() for column in self._key]
        for side, by in ((first >= value, list[ColumnElement[Any]](self._key)), (first <= value, back)):
            near = self._rows(self._select(False).where(side).order_by(*by).limit(_AT_ONCE), False)
            if any(one.key == row.key for one in near):
                return True
        return False

    def _mark_finds_itself(self, row: Row) -> None:
        column = self._columns[self._table.watermark]
        mine = and_(self._equal(row.key), column == self._bind(column, row.watermark))
        if self._rows(self._select(False).where(mine), False):
            return
        now = self._rows(self._select(False).where(self._equal(row.key)), False)
        if any(one.watermark == row.watermark for one in now):
            raise UsageError(
                f"table {self._table.name}: the watermark {row.watermark!r} is not found by that value: the driver does not "
                f"give {self._table.watermark} exactly; choose another column, or capture by snapshot"
            )

    def _spellings(self, column: Column[Any], subject: str) -> list[object]:
        kind = column.type
        try:
            python = kind.python_type
        except NotImplementedError:
            return []
        if isinstance(kind, String) or python is str:
            length = getattr(kind, "length", None)
            padded = [subject.ljust(length)] if length and kind.__visit_name__ in ("CHAR", "NCHAR") else []
            return [subject, *padded]
        if python is int or python.__name__ == "Decimal":
            try:
                return [python(subject)]
            except (ValueError, ArithmeticError):
                return []
        return []
