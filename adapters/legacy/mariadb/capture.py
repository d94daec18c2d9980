"""Capture in MariaDB and MySQL: triggers write into a table beside the application's, in its own transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial

import msgspec
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from adapters.engines import reading, writing
from adapters.legacy.capture import TriggerCapture, key_order
from adapters.legacy.guard import CAPTURE_TIMEOUT, judged
from adapters.legacy.images import Captured, ChangeRow
from adapters.legacy.mariadb import triggers
from adapters.legacy.mariadb.cascades import Cascades, cascades_of, followers
from adapters.legacy.mariadb.durable import until_durable
from adapters.legacy.mariadb.following import CASCADE
from adapters.legacy.mariadb.holes import hole_of, holes_of, holes_of_server
from adapters.legacy.mariadb.subjects import mariadb_order, search_of
from adapters.legacy.mariadb.tables import (
    Table,
    columns_of,
    find_table,
    incarnation,
    is_mariadb,
    knows_transactions,
    parts,
    statement,
    table_of,
    triggers_of,
)
from adapters.legacy.mariadb.undo import State, restore, state_of
from adapters.legacy.mariadb.values import image, subject
from adapters.legacy.namesakes import PLANNED, WATCHED, Search
from adapters.legacy.shapes import followed
from adapters.legacy.subjects import SubjectOrder
from adapters.legacy.wanted import distinct, every
from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable, Hole, Horizon, Plan

GUARANTEES = {
    "loss": "none: a change is recorded in the transaction that makes it, or neither is; it is offered until it is "
    "marked, so that a late commit with a low number is found",
    "order": "two transactions that wrote the same row come in commit order, and so do all that lock a subject's main row "
    "first; two that wrote different rows of a subject at the same time come in the order in which they became visible",
    "deletes": "captured, REPLACE as deletion and insert, what foreign keys delete too; TRUNCATE is not (see below)",
    "intermediate states": "all captured, one change for each row that a statement touches, LOAD DATA and INSERT ... "
    "SELECT too; with `columns` or `ignore`, an update that changes no captured column gives none",
    "keys": "an update that changes the key is one change that shows both; one that changes the subject is a deletion for "
    "the old subject and an insertion for the new one; subjects are told apart byte by byte, whatever the collation",
    "stalls": "nothing stalls capture: a transaction that stays open (XA PREPARE, too) delays only its own changes; one "
    "that reads an old snapshot for long holds back InnoDB's purge and makes every look of the relay slower",
    "schema changes": "compared with what was installed, column by column: a column that is added, dropped, renamed or "
    "retyped, and another key, is a hole until capture is installed again; an added column is not captured before that, a "
    "dropped or renamed one is missing in the changes since; no write of the application fails by it",
    "not captured": "what fires no trigger: TRUNCATE (a hole shows it afterwards, with the privilege PROCESS surely, else "
    "while the last change of the table waits to be relayed); what a foreign key does to the rows of a child where its "
    "parent's triggers cannot tell (the plan and a hole name it); what is done to a whole partition; what a replica applies by rows (a hole says that it is one: capture belongs on "
    "the primary); views and tables without transactions are refused",
    "outbox": "inserts only; rows that backfill finds come in the order of an AUTO_INCREMENT column, else of their key",
    "cost": "each row written to a captured table writes one more, in the same transaction; under binlog_format = "
    "STATEMENT the application's statements get the warning 1592",
    "values": "as every client gets them: text without a CHAR's padding, FLOAT to six digits, a zero date as its text, a "
    "TIMESTAMP in UTC, bytes and geometry as hex, BIT and BOOLEAN as whole numbers, JSON as text; a value beyond "
    "max_allowed_packet is left out of the change, and who reads it is parked",
    "rights": "the application's accounts need none: triggers act for the account that installed them, which must stay (a "
    "write fails without it); it needs CREATE, DROP, INDEX, ALTER, INSERT, SELECT, UPDATE, DELETE and TRIGGER on the "
    "database, and with a binary log SUPER or log_bin_trust_function_creators = 1; who translates needs SELECT and "
    "DELETE on strangler_change (and strangler_cascade, where it is), SELECT on the other tables and, to watch them, TRIGGER on the captured ones",
}
_KNOWN = (
    "known: all changes of one transaction to one subject are offered together; one that is not written to the binary log "
    "(sql_log_bin = 0) shows change by change, and one that writes to a table without transactions in its midst as two"
)
_UNKNOWN = (
    "not known, so each change stands for itself: they are told by MariaDB's @@last_gtid, with a binary log that is on and "
    "leaves no database out (to see that takes BINLOG MONITOR); MySQL shows a trigger nothing like it"
)
_FOLLOWED = (
    "what they do to the rows of a child is recorded by the triggers of its parent, which read these rows (LOCK IN SHARE "
    "MODE) before it happens; of a grandchild surely where the transaction is not READ COMMITTED"
)
_MARKED_AT_ONCE = 500
_TIDIED = 10_000
_CANCELLED = frozenset(
    {1205, 1317, 1969, 3024, 4024}
)  # a lock's wait, a kill, the statement's time (MariaDB, MySQL) was up
_UNAVAILABLE = frozenset(
    {1021, 1040, 1041, 1042, 1043, 1044, 1045, 1049, 1053, 1077, 1079, 1080, 1114, 1129, 1130}
)
_UNAVAILABLE |= {
    1142,
    1143,
    1152,
    1158,
    1159,
    1160,
    1161,
    1184,
    1203,
    1213,
    1226,
    1290,
    1836,
    1927,
    3118,
    4031,
}


class MariadbCapture(TriggerCapture):
    """Implements `toolkit.ports.Capture`."""

    _tidied = False

    def plan(self, tables: Sequence[CapturedTable]) -> Plan:
        """What is missing to capture these tables, and what takes them away again."""
        with self._judged(), reading(self._engine) as connection:
            registry = self._registry(connection)
            known = knows_transactions(connection)
            statements = self._tables_of_ours(connection)
            removal: list[str] = []
            found = every(tables, partial(find_table, connection, self._name))
            distinct(self._name, [table.captured for table in found])
            others = registry.keys() - {table.captured.table for table in found}
            cascades = cascades_of(
                connection, [*found, *(_now(connection, registry[name]) for name in others)]
            )
            if cascades.tasks and not inspect(connection).has_table(CASCADE):
                statements.append(statement("cascade"))
            for table in found:
                before = registry.get(table.captured.table)
                statements += self._missing(connection, table, before, cascades, transactions=known)
                removal = [*triggers.drop(table.captured), triggers.unregister(table.captured), *removal]
            if not registry.keys() - {table.captured.table for table in found}:
                removal += triggers.drop_tables()
            holes = [hole_of(one) for one in cascades.untold]
            holes += [] if known else [followed(*one) for one in followers(cascades)]
        holes += self._namesakes([table.captured for table in found], PLANNED)
        if statements:
            statements.insert(0, triggers.SESSION)
        guarantees = {
            **GUARANTEES,
            "transactions": _KNOWN if known else _UNKNOWN,
            "foreign keys": _foreign_keys(cascades),
        }
        return Plan(
            statements=tuple(statements),
            removal=tuple(removal),
            guarantees=guarantees,
            holes=tuple(holes),
        )

    def _tables_of_ours(self, connection: Connection) -> list[str]:
        """Nothing when they are there; an installation that was killed midway is begun again."""
        there = [inspect(connection).has_table(name) for name in triggers.TABLES]
        if all(there):
            return []
        return [*(triggers.drop_tables() if any(there) else ()), *triggers.create_tables()]

    def _missing(
        self,
        connection: Connection,
        table: Table,
        before: Captured | None,
        cascades: Cascades,
        *,
        transactions: bool,
    ) -> list[str]:
        captured, home = table.captured, _home(connection)
        there = triggers_of(connection, captured)
        wanted = triggers.bodies(table, home, cascades, transactions=transactions)
        # Who may not see whether transactions are known leaves triggers alone that know them.
        knowing = triggers.bodies(table, home, cascades, transactions=True)
        unwanted = sorted(set(triggers.names_before(captured).values()) & there.keys() - wanted.keys())
        fitting = all(there.get(name) in (body, knowing[name]) for name, body in wanted.items())
        if captured.same_as(before) and fitting and not unwanted:
            return []
        replace = is_mariadb(connection)
        # One step for each trigger, so that nothing passes between: its backfill stays valid. Not so where somebody put
        # another one in the place of ours: what was written meanwhile is in no change.
        recording = [there.get(name) for name in triggers.names(captured).values()]
        seamless = (
            before is not None
            and captured.reads_as(before)
            and all(body is not None and triggers.ours(body) for body in recording)
            and replace
        )
        kept = msgspec.structs.replace(
            captured, installed_at=before.installed_at if seamless and before is not None else None
        )
        statements = []
        if before is not None:
            statements += [
                *(triggers.drop_some(captured, unwanted) if seamless else triggers.drop(before)),
                triggers.unregister(before),
            ]
        elif there.keys() & wanted.keys():  # left by an installation that was killed midway
            statements += triggers.drop(captured)
        return [
            *statements,
            *triggers.create(table, home, cascades, transactions=transactions, replace=seamless),
            triggers.register(kept, incarnation(connection, captured)),
        ]

    def install(self, plan: Plan) -> None:
        """Execute the plan's statements. DDL commits as it goes: when one fails, what was there before is put back."""
        with self._judged(), reading(self._engine) as connection:
            before = state_of(connection)
        try:
            self._execute(plan.statements)
        except BaseException:
            self._restore(before)
            raise

    def _restore(self, before: State) -> None:
        with self._judged(), writing(self._engine) as connection:
            restore(connection, before)

    def holes(self) -> list[Hole]:
        """Triggers that are missing or changed, tables that are not what they were, and what passes triggers by."""
        with self._judged(), reading(self._engine) as connection:
            registry = self._registry(connection)
            if not registry:
                return [Hole(where=self._name, what="capture is not installed", next="install capture")]
            found = list(holes_of_server(connection, self._name))
            cascades = cascades_of(connection, _there(connection, registry.values()))
            if not knows_transactions(connection):
                found += [followed(*one) for one in followers(cascades)]
            for table in registry.values():
                found += holes_of(connection, table, _home(connection), cascades)
        return [*found, *self._namesakes(registry.values(), WATCHED)]

    def _until_durable(self, connection: Connection) -> None:
        until_durable(connection)

    def horizon(self) -> Horizon:
        """The clock, then the last number that is visible: whatever had committed by then has no higher one.

        What is open then may come with a lower number later, and is waited for although it need not be: a few changes,
        once they are there. So no transaction that stays open stalls the horizon, and no privilege is needed to see it.
        """
        with self._judged(), reading(self._engine) as connection:
            instant = clock(connection)
            # The clock looks at no table: the snapshot begins with this statement, after it.
            last = connection.scalar(select(func.max(self._change.c.number)))
        return Horizon(instant=instant, token=str(last or 0))

    def mark(self, numbers: Iterable[int]) -> None:
        """Never offer these changes again: they are deleted, since the archive has what came of them. Idempotent."""
        self._tidy()
        held = sorted(numbers)
        for at in range(0, len(held), _MARKED_AT_ONCE):
            gone = " UNION ALL SELECT ".join(str(int(number)) for number in held[at : at + _MARKED_AT_ONCE])
            with self._judged(), writing(self._engine) as connection:
                # Joined, one look-up for each number: a list (IN) may be searched by reading the table whole, and a DELETE
                # waits for every row that it reads, also for one of a transaction that is still open.
                connection.exec_driver_sql(
                    f"DELETE c FROM (SELECT 0 AS number UNION ALL SELECT {gone}) AS gone"
                    " STRAIGHT_JOIN strangler_change AS c ON c.number = gone.number"
                )

    def _tidy(self) -> None:
        """Once: what was looked at before rows of a parent should go, and these stayed (IGNORE). What is committed is of no use."""
        if self._tidied:
            return
        self._tidied = True
        # Who translates may have no right to it; then it stays, and harms nobody.
        with suppress(UsageError), self._judged(), writing(self._engine) as connection:
            if not inspect(connection).has_table(CASCADE):
                return
            found = connection.execute(
                text(f"SELECT connection, origin, place FROM {CASCADE} LIMIT {_TIDIED}")
            ).mappings()
            gone = text(
                f"DELETE FROM {CASCADE} WHERE connection = :connection AND origin = :origin AND place = :place"
            )
            if rows := [dict(row) for row in found]:  # by whole keys: a range would lock those of others
                connection.execute(gone, rows)

    # --- what the shared part asks for

    def _whole(
        self,
        connection: Connection,
        where: str,
        parameters: Mapping[str, object],
        rows: Sequence[ChangeRow],
    ) -> Sequence[ChangeRow]:
        """Those of the first rows whose unit (one transaction, one subject) has no row beyond them.

        Cutting a unit off is safe for the order of its subject, because units are ordered by their last number: no unit
        that is left in comes after it. A change without a transaction is a unit.
        """
        known = {row[1] for row in rows if row[1] is not None}
        if not known:
            return rows
        change = self._change.alias("c")
        beyond = (
            select(change.c.transaction, change.c.subject)
            .distinct()
            .where(text(where), change.c.number > rows[-1][0], change.c.transaction.in_(known))
        )
        cut = {tuple(row) for row in connection.execute(beyond, parameters)}
        return [row for row in rows if (row[1], row[4]) not in cut]

    def _guess(self, connection: Connection, sql: str, given: Mapping[str, object]) -> int:
        return sum(
            int(row["rows"] or 0) for row in connection.execute(text(f"EXPLAIN {sql}"), given).mappings()
        )

    def _order(self, connection: Connection, tables: Sequence[Captured]) -> SubjectOrder:
        return mariadb_order([_now(connection, table) for table in tables])

    def _image(self, connection: Connection, table: Captured) -> tuple[str, str]:
        now = _now(connection, table)
        return _escaped(image("t", now.columns)), _escaped(subject("t", now.subjects))

    def _arrival(self, connection: Connection, table: Captured) -> str:
        counted = [one.name for one in columns_of(connection, table) if "auto_increment" in one.extra]
        return f't."{counted[0]}"' if counted else key_order(table)

    def _search(self, connection: Connection, table: Captured) -> Search | None:
        return search_of(_now(connection, table))

    def _clock(self, connection: Connection) -> dt.datetime:
        return clock(connection)

    def _limit(self, connection: Connection) -> None:
        """Nothing: the session has its limits, and the text of a value does not depend on any setting."""

    def _judged(self) -> AbstractContextManager[None]:
        return judged(self._name, CAPTURE_TIMEOUT, cancelled, refused)


def clock(connection: Connection) -> dt.datetime:
    """The server's clock; our sessions are in UTC."""
    now = connection.scalar(text("SELECT sysdate(6)"))
    assert isinstance(now, dt.datetime)
    return now.replace(tzinfo=dt.UTC)


def cancelled(error: DBAPIError) -> bool:
    """Did the server cancel the statement because its time was up?"""
    return _code(error) in _CANCELLED


def refused(error: DBAPIError) -> bool:
    """Is it the statement that the server does not like, though the driver calls it operational?"""
    code = _code(error)
    return code >= 1000 and not 2000 <= code < 3000 and code not in _UNAVAILABLE


def _code(error: DBAPIError) -> int:
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def _home(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT database()")))


def _now(connection: Connection, table: Captured) -> Table:
    """A captured table with the columns that were installed, as far as they are there."""
    columns = [one for one in columns_of(connection, table) if one.name in table.columns]
    if gone := sorted(set(table.subjects) - {one.name for one in columns}):
        schema, name = parts(table.relation)
        raise UsageError(f"{schema}.{name} has no column {', '.join(gone)} any more: install capture anew")
    return table_of(connection, table, columns)


def _there(connection: Connection, tables: Iterable[Captured]) -> Iterator[Table]:
    """Those tables that can still be read."""
    for table in tables:
        with suppress(UsageError):
            yield _now(connection, table)


def _foreign_keys(cascades: Cascades) -> str:
    told = [
        f"{task.table.captured.table} by {task.reach.path[-1].name}"
        for tasks in cascades.tasks.values()
        for task in tasks
    ]
    said = [_FOLLOWED]
    if told:
        said.append(f"recorded here: {', '.join(dict.fromkeys(told))}")
    if cascades.untold:
        said.append(f"not captured: {len(cascades.untold)}, each of them a hole")
    return "; ".join(said)


def _escaped(expression: str) -> str:
    """`text` takes a colon for a parameter."""
    return expression.replace(":", r"\:")
