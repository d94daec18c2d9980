"""Bounded looks at rows: never a whole table, never a whole document, and no statement without a limit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    String,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
    tablesample,
)
from sqlalchemy.exc import SQLAlchemyError

from toolkit.starting.facts import Column, Kind, Sample, Table
from toolkit.starting.samples import summarise

SIZE = 2000
"""Rows of a table that are looked at."""
COUNTED = 10_000
"""Rows up to which a table is counted where its statistics say nothing."""
RECORDS = 300
_LONG = 120
_DATED = (Kind.DATE, Kind.INSTANT, Kind.LOCAL)


class Sampler:
    """Looks at the tables and views of one schema."""

    def __init__(self, connection: Connection, schema: str | None) -> None:
        self._connection, self._schema = connection, schema
        self._dialect = connection.dialect.name

    def rows(self, name: str, estimate: int | None) -> tuple[int, bool]:
        """About how many rows, and whether counting stopped there."""
        if estimate is not None and estimate > COUNTED:
            return estimate, False
        some: Select[Any] = (
            select(literal_column("1").label("one")).select_from(self._table(name, [])).limit(COUNTED + 1)
        )
        count = int(self._connection.scalar(select(func.count()).select_from(some.subquery())) or 0)
        return min(count, COUNTED), count > COUNTED

    def columns(self, name: str, described: Table, rows: int, long: Collection[str]) -> dict[str, Sample]:
        """What a sample of the rows says of each column that can be looked at."""
        telling = [one for one in described.columns if one.kind not in (Kind.OTHER, Kind.LIST)]
        if not telling:
            return {}
        found: list[Any] = []
        for statement in self._statements(name, described, telling, rows, long):
            found += self._connection.execute(statement).all()
        return {one.name: summarise(one.kind, [row[at] for row in found]) for at, one in enumerate(telling)}

    def records(self, name: str, columns: Sequence[Column]) -> tuple[tuple[dict[str, str | None], ...], str]:
        """A few records of a view, and what went wrong. A view may have to compute everything for its first row."""
        if not columns:
            return (), "it has no columns"
        source = self._table(name, [one.name for one in columns])
        try:
            rows = self._connection.execute(select(*source.columns).limit(RECORDS)).all()
        except SQLAlchemyError as error:
            return (), str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        named = [one.name for one in columns]
        return tuple(
            {name: None if value is None else str(value) for name, value in zip(named, row, strict=True)}
            for row in rows
        ), ""

    def _table(self, name: str, columns: Sequence[str]) -> Any:
        return table(name, *(column(one) for one in columns), schema=self._schema)

    def _statements(
        self, name: str, described: Table, telling: Sequence[Column], rows: int, long: Collection[str]
    ) -> list[Select[Any]]:
        """A random part where the engine can tell one, else the first and the last rows by key, else the first ones."""
        source = self._table(name, [one.name for one in described.columns])
        shown = [self._shown(source.c[one.name], one, one.name in long) for one in telling]
        if rows > SIZE and self._dialect == "postgresql":
            part = tablesample(source, func.system(min(100.0, 150.0 * SIZE / rows)))
            shown = [self._shown(part.c[one.name], one, one.name in long) for one in telling]
            return [select(*shown).select_from(part).limit(SIZE)]
        by = [source.c[key] for key in described.key]
        if rows > SIZE and by:
            half = SIZE // 2
            ends = (by, [one.desc() for one in by])
            return [select(*shown).select_from(source).order_by(*end).limit(half) for end in ends]
        return [select(*shown).select_from(source).limit(SIZE)]

    def _shown(self, value: Any, described: Column, long: bool) -> Any:
        if described.kind in _DATED and self._dialect != "sqlite":
            return cast(value, String(40))  # drivers refuse what engines keep: infinity, 0000-00-00
        if long and self._dialect in ("postgresql", "mysql", "mariadb", "sqlite"):
            return func.substr(value, 1, _LONG)
        return value
