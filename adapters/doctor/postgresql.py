"""What ails a PostgreSQL database, told by its own catalogues and statistics."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

from sqlalchemy import Engine, text

from adapters.doctor.asking import Row, checks_of, figures, span, sql_of
from adapters.doctor.postgresql_plans import explained
from adapters.doctor.postgresql_slots import capture_from_log, slots
from adapters.doctor.tables import Table, bloated, ungranted, waiting, without_index
from toolkit.core.ailments import Ailment, Severity
from toolkit.diagnosis import Ask, Check, Patient

OLDEST = 130_000
"""xid8 and its functions, on which capture stands, came with PostgreSQL 13."""
_SEES = 'GRANT pg_monitor TO "{role}"'


class PostgresDoctor:
    """Implements `toolkit.diagnosis.Diagnosis`.

    `pids` tells what the driver was told that its server process is, and what the server says (a pooler tells lies).
    """

    def __init__(
        self, ask: Ask, pids: Callable[[], tuple[int, int]] | None = None, application: str = ""
    ) -> None:
        self._ask, self._pids, self._application = ask, pids, application

    def clock(self) -> dt.datetime:
        """The server's clock."""
        now = self._ask("SELECT clock_timestamp() AS now", {})[0]["now"]
        assert isinstance(now, dt.datetime)
        return now.astimezone(dt.UTC)

    def checks(self, patient: Patient) -> Sequence[Check]:
        """Server, sessions, locks, slots, tables, indexes and plans."""
        sees = f"GRANT pg_monitor TO {patient.where}'s role"
        ours = [
            ("server", self._server, ""),
            ("connections", self._connections, ""),
            ("pooler", self._pooler, ""),
            ("long transactions", self._transactions, sees),
            ("prepared transactions", self._prepared, ""),
            ("blocked sessions", self._blocked, sees),
            ("replication slots", self._slots, sees),
            ("replication role", self._replica_roles, ""),
            ("tables", self._tables, ""),
            ("indexes", self._indexes, ""),
            ("backlog", self._backlog, "GRANT SELECT ON strangler.strangler_change TO the role"),
        ]
        if patient.capture == "wal":
            ours.append(("capture from the log", self._log, ""))
        return checks_of(
            patient, ours, partial(explained, self._ask), "GRANT SELECT on the tables of the read"
        )

    def _rows(self, name: str, **parameters: object) -> list[Row]:
        return list(self._ask(sql_of(name, "postgresql"), parameters))

    @cached_property
    def _state(self) -> Row:
        return self._rows("server")[0]

    # --- the server and the session

    def _server(self, patient: Patient) -> Iterator[Ailment]:
        state = self._state
        if int(state["number"]) < OLDEST:
            yield Ailment(
                where=patient.where,
                what=f"PostgreSQL {state['version']} is too old: capture needs 13 or newer",
                next="upgrade the server",
                evidence=figures(state, "version"),
            )
        if state["standby"]:
            yield Ailment(
                where=patient.where,
                what="this is a standby: nothing can be installed or marked here, and its answers are as old as its replay",
                next="give the address of the primary (add target_session_attrs=read-write to the URL)",
                evidence=figures(state, "standby", "database"),
            )
        if patient.capture and state["zone"] not in ("UTC", "Etc/UTC", "GMT"):
            yield Ailment(
                where=patient.where,
                what=f"sessions speak {state['zone']}: an instant without a time zone is local there",
                next="give such columns a zone in [capability.NAME.compare]",
                severity=Severity.HINT,
                evidence=figures(state, "zone"),
            )
        if not state["sees_others"]:
            yield Ailment(
                where=patient.where,
                what=f"{state['role']} does not see what other sessions do: long transactions may go unnoticed",
                next=_SEES.format(role=state["role"]),
                severity=Severity.HINT,
                evidence=figures(state, "role"),
            )

    def _connections(self, patient: Patient) -> Iterator[Ailment]:
        state = self._state
        for who, places, used in (
            ("max_connections", state["places"], state["used"]),
            (f"the role {state['role']}", state["role_places"], state["role_used"]),
            (f"the database {state['database']}", state["database_places"], state["database_used"]),
        ):
            left = int(places) - int(used)
            if places >= 0 and left < max(patient.connections, int(places) * patient.limits.free):
                yield Ailment(
                    where=patient.where,
                    what=f"{left} connections are left of {places} ({who}); one process of ours may open {patient.connections}",
                    next="raise the limit, close what idles, or lower max_reads",
                    severity=Severity.RISK,
                    evidence={"used": int(used), "places": int(places), "needed": patient.connections},
                )

    def _pooler(self, patient: Patient) -> Iterator[Ailment]:
        told, says = self._pids() if self._pids else (0, 0)
        lost = bool(self._application) and self._state["application"] != self._application
        if told == says and not lost:
            return
        yield Ailment(
            where=patient.where,
            what="a pooler stands between us and the server"
            + (": the settings of our sessions do not arrive" if lost else ""),
            next="give the address of the server itself, or a pool with pool_mode = session",
            severity=Severity.RISK,
            evidence={"pid_told": told, "pid_of_server": says, **figures(self._state, "application")},
        )

    # --- what others do

    def _transactions(self, patient: Patient) -> Iterator[Ailment]:
        for row in self._rows("transactions", seconds=patient.limits.transaction.total_seconds()):
            idle = str(row["state"] or "").startswith("idle in transaction")
            what = "a transaction that writes" if row["writes"] else "a snapshot"
            yield Ailment(
                where=patient.where,
                what=f"{what} has been open for {span(row['age_seconds'])}"
                + (", and its session does nothing" if idle else "")
                + ": vacuum waits for it"
                + (", and what it wrote is not captured before it ends" if row["writes"] else ""),
                next=f"ask {row['user'] or 'its owner'} to end it, or: SELECT pg_terminate_backend({row['pid']})",
                severity=Severity.RISK,
                evidence=figures(row, "pid", "user", "application", "state", "database", "age_seconds"),
            )

    def _prepared(self, patient: Patient) -> Iterator[Ailment]:
        for row in self._rows("prepared", seconds=patient.limits.transaction.total_seconds()):
            yield Ailment(
                where=patient.where,
                what=f"transaction {row['gid']!r} was prepared {span(row['age_seconds'])} ago and holds its locks "
                "and its snapshot, restarts or not",
                next=f"in database {row['database']}: COMMIT PREPARED '{row['gid']}' or ROLLBACK PREPARED '{row['gid']}'",
                severity=Severity.RISK,
                evidence=figures(row, "gid", "user", "database", "age_seconds"),
            )

    def _blocked(self, patient: Patient) -> Iterator[Ailment]:
        for row in self._rows("blocked", seconds=patient.limits.blocked.total_seconds()):
            yield Ailment(
                where=patient.where,
                what=f"session {row['pid']} has waited {span(row['age_seconds'])} for {row['lock']}, "
                f"held by {row['blocking_pid']} ({row['blocking_user'] or 'unknown'})",
                next=f"end what {row['blocking_pid']} does, or: SELECT pg_terminate_backend({row['blocking_pid']})",
                severity=Severity.RISK,
                evidence=figures(
                    row,
                    *("pid", "application", "blocking_pid", "blocking_user", "blocking_application"),
                    *("blocking_state", "lock", "age_seconds"),
                ),
            )

    def _slots(self, patient: Patient) -> Iterator[Ailment]:
        return slots(patient, self._rows("slots"))

    def _log(self, patient: Patient) -> Iterator[Ailment]:
        return capture_from_log(patient, self._state)

    def _replica_roles(self, patient: Patient) -> Iterator[Ailment]:
        for row in self._rows("replica_roles") if patient.capture else ():
            yield Ailment(
                where=patient.where,
                what=f"sessions of {row['role']} in {row['database']} have session_replication_role = replica: "
                "the application's own triggers and foreign keys do not fire there (those of capture do)",
                next="take it away if it is not meant: ALTER ROLE ... RESET session_replication_role",
                severity=Severity.HINT,
                evidence=figures(row, "role", "database"),
            )

    # --- tables

    def _of(self, names: Sequence[str]) -> list[Table]:
        return [_table(row) for row in self._rows("tables", names=list(names))] if names else []

    def _tables(self, patient: Patient) -> Iterator[Ailment]:
        own = self._of([name.lower() for name in patient.own])
        legacy = self._of([one.table.lower() for one in patient.tables])
        role = str(self._state["role"])
        outboxes = {one.table.lower().rpartition(".")[2] for one in patient.tables if one.outbox}
        yield from ungranted(patient, role, own, needed=("SELECT", "INSERT", "UPDATE", "DELETE"))
        yield from ungranted(patient, role, legacy, needed=("SELECT",))
        if patient.capture == "trigger" and not own:
            yield from self._installing(patient, legacy)
        for table in [*own, *(one for one in legacy if one.name in outboxes)]:
            yield from bloated(patient, table, f"VACUUM (ANALYZE) {table.relation}")

    def _installing(self, patient: Patient, tables: Sequence[Table]) -> Iterator[Ailment]:
        """May this role install capture? Said once: it takes the tables, and a schema of our own."""
        state, others = self._state, [one for one in tables if not one.owned]
        role, database = str(state["role"]), str(state["database"])
        lacks = [f"does not own {', '.join(one.relation for one in others)}"] if others else []
        if tables and not state["creates"]:
            lacks.append(f"has no CREATE on the database {database} (for the schema strangler)")
        if lacks:
            owners = sorted({one.owner for one in others})
            yield Ailment(
                where=patient.where,
                what=f"{role} {' and '.join(lacks)}, so that it cannot install capture",
                next=_installer(role, database, others),
                severity=Severity.RISK,
                evidence={"role": role, **({"owner": ", ".join(owners)} if owners else {})},
            )

    def _indexes(self, patient: Patient) -> Iterator[Ailment]:
        names = [one.table.lower() for one in patient.tables]
        if not names:
            return
        rows = self._rows("indexes", names=names)
        tables = self._of(names)
        indexes = {(row["name"], row["columns"]) for row in rows if row["valid"] and not row["partial"]}
        for wanted in patient.tables:
            yield from without_index(patient, wanted, tables, indexes, "CREATE INDEX CONCURRENTLY")
        for row in rows:
            if not row["valid"]:
                yield Ailment(
                    where=patient.where,
                    what=f"the index {row['index']} is not valid: it costs every write and answers nothing",
                    next=f"REINDEX INDEX CONCURRENTLY {row['index']}",
                    severity=Severity.HINT,
                    evidence=figures(row, "index", "name"),
                )

    def _backlog(self, patient: Patient) -> Iterator[Ailment]:
        if patient.capture and any(one.name == "strangler_change" for one in self._of(patient.own)):
            yield from waiting(patient, self._rows("backlog")[0])


def _installer(role: str, database: str, others: Sequence[Table]) -> str:
    """Who should install: the owner, always. A membership is offered where it gives nothing but the tables."""
    creates = 'GRANT CREATE ON DATABASE "{}" TO "{}"'
    owners = sorted({one.owner for one in others})
    if not owners:
        return creates.format(database, role)
    poor = sorted({one.owner for one in others if not one.owner_creates})
    steps = [f"let the tables' owner install it ({', '.join(owners)})"]
    steps += [f"after: {creates.format(database, owner)}" for owner in poor]
    if len(owners) == 1 and not any(one.mighty for one in others):
        steps.append(f'or: GRANT "{owners[0]}" TO "{role}", which may then do all that {owners[0]} may')
    return ", ".join(steps)


def _table(row: Row) -> Table:
    rights = {name.upper() for name in ("select", "insert", "update", "delete") if row[name]}
    return Table(
        name=str(row["name"]),
        relation=str(row["relation"]),
        rows=int(row["rows"]),
        live=int(row["live"]),
        dead=int(row["dead"]),
        table_bytes=int(row["table_bytes"]),
        index_bytes=int(row["index_bytes"]),
        vacuumed_seconds=row["vacuumed_seconds"],
        never_vacuumed=bool(row["never_vacuumed"]),
        rights=frozenset(rights),
        hidden="" if row["usage"] else str(row["schema"]),
        owned=bool(row["owns"]),
        owner=str(row["owner"]),
        mighty=bool(row["mighty"]),
        owner_creates=bool(row["owner_creates"]),
    )


def backend_pids(engine: Engine) -> tuple[int, int]:
    """The server process that the driver was told of when it connected, and the one that answers."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        return int(driver.info.backend_pid), int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
