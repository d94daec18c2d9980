"""Reads what a legacy database says of itself: its schema, its statistics, and bounded samples of its rows."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.engine.reflection import Inspector, ObjectKind
from sqlalchemy.exc import SAWarning, SQLAlchemyError

from adapters.legacy.reflect.samples import Sampler
from adapters.legacy.reflect.session import looking, without_secrets
from adapters.legacy.reflect.types import checked_words, is_fixed, is_long, kind_of, words_of
from adapters.statements import Statements
from toolkit.core.errors import UsageError
from toolkit.starting.facts import Column, Database, ForeignKey, Table, View

TIMEOUT = dt.timedelta(seconds=5)
"""Limit of each statement: whoever looks around must not be the reason that others wait."""
_NOT_THEIRS = (
    "strangler_*",
    "sqlite_*",
    "pg_stat_statements*",
    "pg_buffercache*",
    "spatial_ref_sys",
    "geometry_columns",
)
_SQL = Statements(__file__)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a database is looked at: a schema, and patterns of names of tables and views."""

    schema: str = ""
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Is this one of them?"""

        def matches(patterns: Iterable[str]) -> bool:
            return any(fnmatch(name.lower(), one.lower()) for one in patterns)

        return not matches((*_NOT_THEIRS, *self.exclude)) and (not self.tables or matches(self.tables))


def read_facts(url: str, wanted: Wanted, timeout: dt.timedelta = TIMEOUT) -> Database:
    """Look at a database. Raises UsageError when nothing is there, Infrastructure when it does not answer."""
    with looking(url, timeout) as connection, warnings.catch_warnings():
        # A type that SQLAlchemy does not know becomes a column that a person is asked about.
        warnings.simplefilter("ignore", SAWarning)
        found = _Reflection(connection, wanted).database(url)
    if not found.tables:
        where = f"schema {wanted.schema}" if wanted.schema else "the database's usual schema"
        raise UsageError(f"{where} has no table that was asked for: see --schema, --tables, --exclude")
    return found


class _Reflection:
    """One look at one schema."""

    def __init__(self, connection: Connection, wanted: Wanted) -> None:
        self._connection, self._wanted = connection, wanted
        self._dialect = connection.dialect.name
        self._inspector: Inspector = inspect(connection)
        usual = self._inspector.default_schema_name
        self._schema = wanted.schema if wanted.schema and wanted.schema != usual else None
        self._named = wanted.schema or usual or ""
        self._sampler = Sampler(connection, self._schema)
        self._trouble: dict[str, str] = {}

    def database(self, url: str) -> Database:
        if self._schema is not None and self._schema not in self._inspector.get_schema_names():
            known = ", ".join(self._inspector.get_schema_names())
            raise UsageError(f"--schema: there is no schema {self._schema}; there are {known}")
        if not self._named and self._dialect in ("mysql", "mariadb"):
            known = ", ".join(self._inspector.get_schema_names())
            raise UsageError(
                f"the URL names no database: write it behind the last slash, or give --schema; there are {known}"
            )
        parts = self._partitions()
        names = [
            name
            for name in sorted(self._inspector.get_table_names(self._schema))
            if self._wanted.takes(name) and name not in parts
        ]
        tables = self._tables(names, parts)
        parsed = make_url(url)
        return Database(
            dialect=self._dialect,
            name=Path(parsed.database or "").stem
            if self._dialect == "sqlite"
            else parsed.database or self._dialect,
            url=without_secrets(url),
            tables=tuple(tables),
            views=tuple(self._view(name) for name in self._view_names()),
            trouble=self._trouble,
        )

    # --- tables

    def _tables(self, names: Sequence[str], parts: Mapping[str, str]) -> list[Table]:
        inspector, schema = self._inspector, self._schema
        columns = self._multi(inspector.get_multi_columns, kind=ObjectKind.TABLE)
        keys = self._multi(inspector.get_multi_pk_constraint)
        indexes = self._multi(inspector.get_multi_indexes)
        uniques = self._multi(inspector.get_multi_unique_constraints)
        references = self._multi(inspector.get_multi_foreign_keys)
        checks = self._multi(inspector.get_multi_check_constraints)
        for part, root in parts.items():
            references.setdefault(root, [])
            references[root] = references[root] or references.get(part, [])
        real = {name.lower(): name for name in names}
        estimates = self._estimates()
        primary = {name: tuple((keys.get(name) or {}).get("constrained_columns") or ()) for name in names}
        made = []
        for name in names:
            of = columns.get(name, [])
            allowed = self._allowed(of, checks.get(name) or [])
            described = tuple(self._column(one, one["name"] in primary[name], allowed) for one in of)
            unique = _unique(described, indexes.get(name) or [], uniques.get(name) or [])
            table = Table(
                name=f"{schema}.{name}" if schema else name,
                relation=self._relation(name),
                columns=described,
                primary_key=primary[name],
                unique=unique,
                leading=tuple(_leading(indexes.get(name) or [], [primary[name], *unique])),
                foreign_keys=tuple(self._references(references.get(name) or [], real, primary)),
            )
            made.append(
                self._sampled(name, table, {one["name"]: one["type"] for one in of}, estimates.get(name))
            )
        return made

    def _multi(self, get: Callable[..., Any], **options: Any) -> dict[str, Any]:
        """One statement for all tables; what an engine cannot tell is trouble, and not the end."""
        try:
            found = get(schema=self._schema, **options)
        except (SQLAlchemyError, NotImplementedError) as error:
            self._trouble[get.__name__.removeprefix("get_multi_")] = _cause(error)
            return {}
        return {name: value for (_, name), value in found.items()}

    def _relation(self, name: str) -> str:
        quote = self._connection.dialect.identifier_preparer.quote
        parts = [self._schema, name] if self._schema else [name]
        return ".".join(quote(part) for part in parts if part).replace(":", "\\:")

    def _column(self, one: Any, in_key: bool, allowed: Mapping[str, tuple[str, ...]]) -> Column:
        type_ = one["type"]
        return Column(
            name=one["name"],
            spelled=self._connection.dialect.identifier_preparer.quote(one["name"]).replace(":", "\\:"),
            declared=_declared(type_),
            kind=kind_of(type_, self._dialect),
            nullable=bool(one.get("nullable", True)) and not in_key,
            fixed=is_fixed(type_),
            scale=getattr(type_, "scale", None),
            words=words_of(type_) or allowed.get(one["name"], ()),
        )

    def _allowed(self, columns: Sequence[Any], checks: Sequence[Any]) -> dict[str, tuple[str, ...]]:
        names = [one["name"] for one in columns]
        found: dict[str, tuple[str, ...]] = {}
        for check in checks:
            found |= checked_words(check.get("sqltext") or "", names)
        return found

    def _references(
        self, references: Sequence[Any], real: Mapping[str, str], primary: Mapping[str, tuple[str, ...]]
    ) -> Iterable[ForeignKey]:
        for one in references:
            target = real.get(one["referred_table"].lower())
            elsewhere = one.get("referred_schema") not in (None, self._schema, self._named)
            if target is None or elsewhere:
                continue
            referred = tuple(one["referred_columns"] or ())
            if len(referred) != len(one["constrained_columns"]):
                referred = primary[target]
            if len(referred) != len(one["constrained_columns"]):
                continue
            yield ForeignKey(
                columns=tuple(one["constrained_columns"]),
                table=f"{self._schema}.{target}" if self._schema else target,
                referred=referred,
                cascade=(one.get("options") or {}).get("ondelete", "").upper() == "CASCADE",
            )

    def _sampled(self, name: str, table: Table, types: Mapping[str, Any], estimate: int | None) -> Table:
        try:
            rows, at_least = self._sampler.rows(name, estimate)
            long = {column for column, type_ in types.items() if is_long(type_)}
            samples = self._sampler.columns(name, table, rows, long)
        except SQLAlchemyError as error:
            self._trouble[table.name] = _cause(error)
            return msgspec.structs.replace(table, rows=estimate or 0)
        columns = tuple(msgspec.structs.replace(one, sample=samples.get(one.name)) for one in table.columns)
        return msgspec.structs.replace(table, columns=columns, rows=rows, at_least=at_least)

    # --- what only some engines tell

    def _partitions(self) -> dict[str, str]:
        if self._dialect != "postgresql":
            return {}
        rows = self._connection.execute(_SQL.query("partitions.postgresql"), {"schema": self._named})
        return {row.partition: row.root for row in rows}

    def _estimates(self) -> dict[str, int]:
        engine = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}.get(self._dialect)
        if engine is None:
            return {}
        rows = self._connection.execute(_SQL.query(f"estimates.{engine}"), {"schema": self._named})
        return {row.name: int(row.estimate) for row in rows}

    # --- views

    def _view_names(self) -> list[str]:
        found = list(self._inspector.get_view_names(self._schema))
        with suppress(NotImplementedError):
            found += self._inspector.get_materialized_view_names(self._schema)
        return [name for name in sorted(found) if self._wanted.takes(name)]

    def _view(self, name: str) -> View:
        try:
            columns = tuple(
                self._column(one, False, {}) for one in self._inspector.get_columns(name, self._schema)
            )
            definition = self._inspector.get_view_definition(name, self._schema) or ""
        except SQLAlchemyError as error:
            self._trouble[name] = _cause(error)
            return View(name=name, relation=self._relation(name), columns=(), trouble=_cause(error))
        records, trouble = self._sampler.records(name, columns)
        return View(
            name=name,
            relation=self._relation(name),
            columns=columns,
            definition=definition,
            records=records,
            trouble=trouble,
        )


def _unique(
    columns: Sequence[Column], indexes: Sequence[Any], constraints: Sequence[Any]
) -> tuple[tuple[str, ...], ...]:
    """The unique sets of columns that are never NULL; an index over some rows or over expressions is none."""
    filled = {one.name for one in columns if not one.nullable}
    candidates = [one["column_names"] for one in indexes if one.get("unique") and not _partial(one)]
    candidates += [one["column_names"] for one in constraints]
    kept = [tuple(names) for names in candidates if names and None not in names and set(names) <= filled]
    return tuple(sorted(set(kept), key=lambda names: (len(names), names)))


def _partial(index: Any) -> bool:
    return any(name.endswith("_where") for name in index.get("dialect_options") or {})


def _leading(indexes: Sequence[Any], keys: Sequence[Sequence[str]]) -> list[str]:
    found = [one["column_names"][0] for one in indexes if one["column_names"]]
    found += [key[0] for key in keys if key]
    return sorted({name for name in found if name})


def _declared(type_: Any) -> str:
    try:
        return str(type_)
    except SQLAlchemyError:  # a type that no dialect can spell
        return type(type_).__name__


def _cause(error: BaseException) -> str:
    said = (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).splitlines()[0]
    return said + next((f" (next: {then})" for words, then in _RIGHTS.items() if words in said.lower()), "")


_RIGHTS = {
    "command denied to": "GRANT SELECT, SHOW VIEW, EXECUTE ON <database>.* TO <user>, and init again",
    "lack rights to use them": "GRANT SELECT, SHOW VIEW, EXECUTE ON <database>.* TO <user>, and init again",
    "lack privileges": "GRANT SELECT, SHOW VIEW, EXECUTE ON <database>.* TO <user>, and init again",
    "permission denied for function": "GRANT EXECUTE ON FUNCTION <function> TO <role>, and init again",
    "permission denied for": "GRANT SELECT ON it, and USAGE on its schema, TO <role>, and init again",
}
