"""Projections in a SQL database: a table for each version, and a view that points at the serving one."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, Engine, inspect, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, StatementError

from adapters.engines import ours_is_missing, reading, writing
from adapters.read_store import bookkeeping, claims, ledger
from adapters.read_store.engine import EngineOfRows, shown_value
from adapters.read_store.layout import Layout, Named, Under, quoted
from adapters.read_store.mariadb import MariadbRows
from adapters.read_store.postgresql import PostgresRows
from adapters.read_store.sqlite import SqliteRows
from adapters.standstill import taking_over
from migrations.schema.read_store import projection as projection_table
from toolkit.core.errors import BadValue, FaultySql, ReadTimeout, Refused, UsageError
from toolkit.core.projections import Definition, row_json
from toolkit.ports import (
    Batch,
    Checkpoint,
    Claim,
    Digest,
    Page,
    ParkedEvent,
    SkippedEvent,
    VersionState,
    ViewAnswer,
)

logger = logging.getLogger("strangler.project")

T = TypeVar("T")

PAGE = 5_000
"""Rows read at once while a digest is taken."""
LONGEST_NAME = 55
"""Characters of a table's name; PostgreSQL would cut a longer one off at 63 and not say so."""

_ENGINES: Mapping[str, type[EngineOfRows]] = {
    "sqlite": SqliteRows,
    "postgresql": PostgresRows,
    "mariadb": MariadbRows,
    "mysql": MariadbRows,
}


def open_read_store(url: str) -> SqlReadStore:
    """Open the read store at a URL; its bookkeeping tables are the work of `migrations`."""
    try:
        backend = make_url(url).get_backend_name()
    except ArgumentError as error:
        raise UsageError(f"read_store.url: {error}") from error
    if backend not in _ENGINES:
        raise UsageError(
            f"read_store.url: {backend} cannot be a read store; there are: {', '.join(_ENGINES)}"
        )
    rows = _ENGINES[backend]()
    return SqlReadStore(rows.open(url), rows)


class SqlReadStore:
    """A ports.ReadStore. Rows, checkpoints and parked events change together or not at all (R4)."""

    def __init__(self, engine: Engine, rows: EngineOfRows) -> None:
        self.engine = engine
        self._rows = rows
        self._layouts: dict[str, Layout] = {}
        self._built: dict[str, Layout] = {}
        self._selects: dict[str, str] = {}
        # SQLite has one writer at a time; whoever asks it again and again waits longer than who stands in line.
        self._turn: AbstractContextManager[object] = (
            Lock() if engine.dialect.name == "sqlite" else nullcontext()
        )

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    def _layout(self, definition: Definition) -> Layout:
        layout = self._layouts.get(definition.table)
        if layout is None or layout.definition is not definition:
            layout = self._layouts[definition.table] = Layout(definition, self._rows.dialect)
        return layout

    def _as_built(self, connection: Connection, definition: Definition) -> Layout:
        """The same, once it is known that the table has these columns and no others. Raises UsageError.

        A version whose code was changed would be read wrongly: SQLite takes the name of no column for a text.
        """
        layout = self._layout(definition)
        if self._built.get(layout.table) is not layout:
            there = self._rows.columns(connection, layout.table)
            if there and sorted(there) != sorted(layout.columns):
                raise UsageError(_other_columns(definition, there, layout.columns))
            if there:
                self._built[layout.table] = layout
        return layout

    # --- versions

    def create(
        self, definition: Definition, topics: Mapping[str, int], now: dt.datetime, *, indexed: bool = True
    ) -> VersionState:
        """Create what is missing of a version: its table, its checkpoints, and the view if it is the first."""
        layout = self._layout(definition)
        if len(layout.table) > LONGEST_NAME:
            raise UsageError(
                f"projection {definition.name}: its table's name may have {LONGEST_NAME} characters: give it a shorter name="
            )
        with self._writing() as connection, self._rows.alone(connection, definition.name):
            self._create_table(connection, layout, indexed=indexed)
            bookkeeping.enter(connection, definition.name, definition.version, topics, now)
            state = bookkeeping.version(connection, definition.name, definition.version)
            if state.serving and not self._rows.shows(connection, definition.name, layout.table):
                self._rows.replace_view(connection, definition.name, self._select(connection, layout.table))
        return state

    def _create_table(self, connection: Connection, layout: Layout, *, indexed: bool) -> None:
        definition = layout.definition
        there = self._rows.columns(connection, layout.table)
        if there and sorted(there) != sorted(layout.columns):
            raise UsageError(_other_columns(definition, there, layout.columns))
        entered = bookkeeping.knows(connection, definition.name, definition.version)
        if there and not entered:
            # Where DROP TABLE commits by itself, somebody died between it and the bookkeeping. The rows are nobody's.
            connection.exec_driver_sql(f"DROP TABLE {quoted(layout.table)}")
            there = []
        if entered and not there:
            # Somebody dropped it by hand: an empty table beside the old checkpoints would pass for all that there is.
            logger.warning("%s: its table is gone, so that it is built anew", definition.identity)
            bookkeeping.begin_anew(connection, definition.name, definition.version)
        if not there:
            connection.exec_driver_sql(layout.create)
        if indexed and layout.indexes:
            # Asked first: to be told that it is there, PostgreSQL would have it wait for all who write the table.
            known = {one["name"] for one in inspect(connection).get_indexes(layout.table)}
            for name, statement in layout.indexes.items():
                if name not in known:
                    connection.exec_driver_sql(statement)

    def drop(self, projection: str, version: int) -> None:
        """Remove a version with its table. Raises Refused while it serves."""

        def drop(connection: Connection) -> None:
            with self._rows.alone(connection, projection):
                if bookkeeping.version(connection, projection, version).serving:
                    raise Refused(f"{projection} v{version} serves reads: switch to another version first")
                # First, as all who write it do: else each might hold what the other waits for.
                bookkeeping.seize(connection, projection, version)
                bookkeeping.forget(connection, projection, version)
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {quoted(f'{projection}__v{version}')}")

        self._taking_over(projection, version, drop)

    def versions(self, projection: str | None = None) -> list[VersionState]:
        """All versions, or those of one projection."""
        with self._reading() as connection:
            return bookkeeping.versions(connection, projection)

    def switch(self, projection: str, version: int) -> None:
        """Point the view at this version, in one transaction with the mark that it serves."""
        with self._writing() as connection, self._rows.alone(connection, projection):
            bookkeeping.version(connection, projection, version)
            serving = projection_table.c.version == version
            connection.execute(
                update(projection_table)
                .where(projection_table.c.projection == projection)
                .values(serving=serving)
            )
            select = self._select(connection, f"{projection}__v{version}")
            self._rows.replace_view(connection, projection, select)

    def _select(self, connection: Connection, table: str) -> str:
        columns = self._rows.columns(connection, table)
        if not columns:
            raise UsageError(f"the read store has no table {table}: run `strangler rebuild` first")
        shown = ", ".join(self._rows.shown(name, declared) for name, declared in columns)
        return f"SELECT {shown} FROM {quoted(table)}"

    def _known_select(self, connection: Connection, table: str) -> str:
        """The same, asked once: a version's columns stay what they are, until a read fails on them."""
        if table not in self._selects:
            self._selects[table] = self._select(connection, table)
        return self._selects[table]

    # --- what a projector does

    def seize(self, projection: str, version: int) -> int:
        """Take over a version for writing; whoever had it before is refused at its next commit."""
        return self._taking_over(projection, version, lambda c: bookkeeping.seize(c, projection, version))

    def join(self, projection: str, version: int) -> int:
        """Write a version with others: the epoch that all of them have."""
        return self._taking_over(projection, version, lambda c: claims.join(c, projection, version))

    def claim(
        self, projection: str, version: int, places: Sequence[tuple[str, int]], *, epoch: int
    ) -> list[Claim]:
        """Take over partitions of a version that several write. Raises Fenced, UsageError."""
        return self._taking_over(
            projection, version, lambda c: claims.claim(c, projection, version, places, epoch)
        )

    def tell(
        self, projection: str, version: int, state: str, detail: str, *, epoch: int, now: dt.datetime
    ) -> None:
        """Say how all who write a version are doing; a failure stays until all partitions have gone on. Raises Fenced."""
        # Others commit while this waits for its turn: one of them may stand still, and nobody would come to claim.
        self._taking_over(
            projection,
            version,
            lambda c: claims.tell(c, projection, version, state, detail, epoch=epoch, now=now),
        )

    def awaited(self, projection: str, version: int) -> dict[tuple[str, int], int]:
        """Partition to the sequence that it waits for although later ones have come."""
        with self._reading() as connection:
            return claims.awaited(connection, projection, version)

    def load(self, definition: Definition, keys: Sequence[object]) -> dict[object, dict[str, object]]:
        """The rows that there are for these keys."""
        if not keys:
            return {}
        return self._load(definition, lambda layout: layout, keys)

    def load_under(
        self, definition: Definition, parents: Sequence[object], *, most: int | None = None
    ) -> dict[object, dict[str, object]]:
        """The rows that there are of these parents, so many of each at most."""
        if not parents:
            return {}
        return self._load(definition, lambda layout: Under(layout, most), parents)

    def _load(
        self, definition: Definition, named: Callable[[Layout], Named], keys: Sequence[object]
    ) -> dict[object, dict[str, object]]:
        with self._reading() as connection:
            layout = self._as_built(connection, definition)
            found = self._rows.load(connection, named(layout), keys)
            rows = [layout.decode(row) for row in found]
        return {definition.key_in(row): row for row in rows}

    def commit(self, definition: Definition, batch: Batch, *, epoch: int, now: dt.datetime) -> None:
        """Write rows, checkpoints and parked events in one transaction. Raises Fenced."""
        try:
            self._commit(definition, batch, epoch, now)
        except Exception as error:
            if not batch.inserts or not self._rows.doubled(error):
                raise
            # Somebody put rows there by hand. Who owns the version owns its rows.
            upserts = [*batch.upserts, *batch.inserts]
            whole = msgspec.structs.replace(batch, upserts=upserts, inserts=[])
            self._commit(definition, whole, epoch, now)

    def _commit(self, definition: Definition, batch: Batch, epoch: int, now: dt.datetime) -> None:
        layout, name, version = self._layout(definition), definition.name, definition.version
        with self._writing() as connection:
            if batch.claims:
                claims.hold(connection, name, version, epoch, batch.claims)
                claims.note(connection, name, version, batch.checkpoints, batch.awaited, now)
            else:
                bookkeeping.fence(connection, name, version, epoch, updated_at=now, projected_at=now)
            if batch.deletes:
                self._rows.delete(connection, layout, batch.deletes)
            if batch.upserts:
                self._rows.upsert(connection, layout, batch.upserts)
            if batch.inserts:
                self._rows.add(connection, layout, batch.inserts)
            bookkeeping.move(connection, name, version, batch.checkpoints)
            bookkeeping.park(connection, self._rows, name, version, batch)

    def checkpoints(self, projection: str, version: int) -> list[Checkpoint]:
        """How far a version has come, by (topic, partition)."""
        with self._reading() as connection:
            return bookkeeping.checkpoints(connection, projection, version)

    def parked(self, projection: str, version: int) -> list[ParkedEvent]:
        """A version's parked events by (topic, partition, sequence)."""
        with self._reading() as connection:
            return bookkeeping.parked(connection, projection, version)

    def parked_count(self, projection: str, version: int) -> int:
        """How many events are parked in a version."""
        with self._reading() as connection:
            return bookkeeping.parked_count(connection, projection, version)

    def skipped(self, projection: str, version: int) -> list[SkippedEvent]:
        """The ledger of a version by (topic, partition, sequence)."""
        with self._reading() as connection:
            return ledger.skipped(connection, projection, version)

    def set_state(
        self, projection: str, version: int, state: str, detail: str, *, epoch: int, now: dt.datetime
    ) -> None:
        """Say how a version is doing; the first time that it is running, it was built. Raises Fenced."""
        with self._writing() as connection:
            bookkeeping.take_turn(connection, projection, version)
            known = bookkeeping.version(connection, projection, version)
            built = now if known.built_at is None and state == "running" else known.built_at
            said: dict[str, object] = {"state": state, "detail": detail, "updated_at": now, "built_at": built}
            if state == "failed":
                said["projected_at"] = known.projected_at
            bookkeeping.fence(connection, projection, version, epoch, **said)
            if state == "failed":
                claims.forget_written(connection, projection, version)

    # --- reads

    def query(
        self,
        sql: str,
        parameters: Mapping[str, object],
        *,
        projections: Sequence[str],
        versions: Mapping[str, int] | None = None,
        timeout: dt.timedelta,
    ) -> ViewAnswer:
        """Read through the views, with the positions and held keys of the same instant."""
        given = {name: self._rows.parameter(value) for name, value in parameters.items()}
        with self._reading() as connection, self._explained(sql, timeout):
            standing, asked = self._prepare(connection, sql, projections, versions or {}, timeout)
            held = {
                name: bookkeeping.held_keys(connection, name, version)
                for name, (version, _) in standing.items()
            }
            with self._rows.limited(connection, timeout):
                rows = self._answer(connection, asked, given)
        return ViewAnswer(
            rows=rows,
            checkpoints={name: checkpoints for name, (_, checkpoints) in standing.items()},
            versions={name: version for name, (version, _) in standing.items()},
            held=held,
        )

    def _prepare(
        self,
        connection: Connection,
        sql: str,
        projections: Sequence[str],
        versions: Mapping[str, int],
        timeout: dt.timedelta,
    ) -> tuple[dict[str, tuple[int, list[Checkpoint]]], str]:
        self._rows.hold(connection, [name for name in projections if name not in versions], timeout)
        standing = bookkeeping.standing(connection, projections, versions)
        missing = [name for name in projections if name not in standing]
        if missing:
            raise UsageError(_not_there(", ".join(missing)))
        tables = {name: f"{name}__v{standing[name][0]}" for name in projections}
        asked = self._rows.meaning(
            connection, sql, tables, set(versions), lambda table: self._known_select(connection, table)
        )
        return {name: standing[name] for name in projections}, asked

    @contextmanager
    def _explained(self, sql: str, timeout: dt.timedelta) -> Iterator[None]:
        first = next((line for line in sql.splitlines() if line.strip() and not line.startswith("--")), sql)
        try:
            yield
        except DBAPIError as error:
            self._selects.clear()
            if self._rows.timed_out(error):
                raise ReadTimeout(
                    f"the read took longer than {timeout.total_seconds():g} s and was cancelled: {first}"
                ) from error
            if ours_is_missing(error):
                raise
            if self._rows.missing_table(error):
                raise UsageError(_not_there(str(error.orig).splitlines()[0])) from error
            if isinstance(error, DataError):
                refusal = str(error.orig).strip().splitlines()[0]
                raise BadValue(f"the read store refuses a value: {refusal}: {first}") from error
            if self._rows.faulty_sql(error):
                raise FaultySql(f"{str(error.orig).strip()}: {first}") from error
            raise
        except StatementError as error:
            raise UsageError(f"the read SQL lacks a parameter: {error.orig or error}: {first}") from error

    def _answer(
        self, connection: Connection, sql: str, parameters: Mapping[str, object]
    ) -> list[dict[str, object]]:
        result = connection.execute(text(sql), parameters)
        names = [name.lower() for name in list(result.keys())]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise UsageError(
                f"the read SQL gives two columns called {', '.join(double)}: name them apart with AS"
            )
        described = result.cursor.description or ()
        found = (self._rows.answered(described, row) for row in result)
        return [dict(zip(names, map(shown_value, row), strict=True)) for row in found]

    def rows(self, definition: Definition, after: object | None, limit: int) -> list[dict[str, object]]:
        """Rows of a version in key order."""
        with self._reading() as connection:
            return self._page(connection, self._as_built(connection, definition), after, limit)

    def _page(
        self, connection: Connection, layout: Layout, after: object | None, limit: int
    ) -> list[dict[str, object]]:
        values = (limit,) if after is None else (*layout.after(after), limit)
        found = connection.exec_driver_sql(layout.page(first=after is None), values)
        return [layout.decode(row) for row in found]

    def digest(self, definition: Definition) -> Digest:
        """Digest of a version's rows, with its positions and parked events of the same instant."""
        name, version = definition.name, definition.version
        digest, count, after = hashlib.sha256(), 0, None
        with self._reading() as connection:
            layout = self._as_built(connection, definition)
            positions = bookkeeping.checkpoints(connection, name, version)
            parked, skipped = bookkeeping.left_out(connection, name, version)
            while page := self._page(connection, layout, after, PAGE):
                for row in page:
                    digest.update(row_json(row) + b"\n")
                count, after = count + len(page), definition.key_in(page[-1])
        return Digest(
            digest=digest.hexdigest(),
            rows=count,
            checkpoints=positions,
            parked=parked,
            skipped=skipped,
        )

    def page(self, definition: Definition, after: object | None, limit: int) -> Page:
        """Rows of a version in key order, with its positions and parked events of the same instant."""
        name, version = definition.name, definition.version
        with self._reading() as connection:
            positions = bookkeeping.checkpoints(connection, name, version)
            parked, skipped = bookkeeping.left_out(connection, name, version)
            rows = self._page(connection, self._as_built(connection, definition), after, limit)
        return Page(rows=rows, checkpoints=positions, parked=parked, skipped=skipped)

    # --- transactions

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._turn, writing(self.engine) as connection, self._own_tables():
            yield connection

    def _taking_over(self, projection: str, version: int, act: Callable[[Connection], T]) -> T:
        """From one who may stand still in the midst of a commit, too."""
        with self._turn, self._own_tables():
            return taking_over(self.engine, act, what=f"{projection} v{version}")

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with reading(self.engine) as connection, self._own_tables():
            yield connection

    @contextmanager
    def _own_tables(self) -> Iterator[None]:
        """A table of a version that is not there; `adapters.engines` knows what is to be done where ours are missing."""
        try:
            yield
        except DBAPIError as error:
            if self._rows.missing_table(error) and not ours_is_missing(error):
                raise UsageError(_not_there(str(error.orig).splitlines()[0])) from error
            raise


def _not_there(what: str) -> str:
    return f"the read store does not have what is asked for ({what}): run `strangler project` first"


def _other_columns(
    definition: Definition, there: Sequence[tuple[str, str]], wanted: Sequence[tuple[str, str]]
) -> str:
    gone = ", ".join(f"{name} {type_}" for name, type_ in sorted(set(there) - set(wanted)))
    new = ", ".join(f"{name} {type_}" for name, type_ in sorted(set(wanted) - set(there)))
    return (
        f"{definition.identity} is built with other columns than the code says (built: {gone or 'fewer'}; "
        f"code: {new or 'fewer'}): give the changed projection version={definition.version + 1}"
    )
