"""What ails a MariaDB database, told by its information schema."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from adapters.doctor.asking import Row, checks_of, figures, span, sql_of
from adapters.doctor.tables import Table, ungranted, waiting, without_index
from toolkit.core.ailments import Ailment, Severity
from toolkit.diagnosis import Ask, Check, Patient, SampleRead

OLDEST = (10, 5)
"""REPLICA MONITOR, and most of what these checks ask, came with MariaDB 10.5."""
_LONG_HISTORY = 1_000_000
_UTC = frozenset({"UTC", "GMT", "+00:00", "Etc/UTC"})


class MariaDbDoctor:
    """Implements `toolkit.diagnosis.Diagnosis`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def clock(self) -> dt.datetime:
        """The server's clock."""
        now = self._ask("SELECT UTC_TIMESTAMP(6) AS now", {})[0]["now"]
        assert isinstance(now, dt.datetime)
        return now.replace(tzinfo=dt.UTC)

    def checks(self, patient: Patient) -> Sequence[Check]:
        """Server, replication, sessions, tables, indexes and plans."""
        process = "GRANT PROCESS ON *.* TO the user"
        ours = [
            ("server", self._server, ""),
            ("replica", self._replica, "GRANT REPLICA MONITOR ON *.* TO the user"),
            ("connections", self._connections, ""),
            ("long transactions", self._transactions, process),
            ("prepared transactions", self._prepared, ""),
            ("blocked sessions", self._blocked, process),
            ("purge", self._history, ""),
            ("tables", self._tables, ""),
            ("indexes", self._indexes, ""),
            ("backlog", self._backlog, "GRANT SELECT ON strangler_change TO the user"),
        ]
        return checks_of(
            patient, ours, self._explained, "GRANT SELECT, SHOW VIEW on the tables and views of the read"
        )

    def _rows(self, name: str, **parameters: object) -> list[Row]:
        return list(self._ask(sql_of(name, "mariadb"), parameters))

    @cached_property
    def _state(self) -> Row:
        return self._rows("server")[0]

    @cached_property
    def _rights(self) -> set[tuple[str | None, str]]:
        return {(row["name"], str(row["granted"])) for row in self._rows("rights")}

    def _may(self, right: str, table: str | None = None) -> bool:
        return bool({(None, right), (table, right)} & self._rights)

    # --- the server

    def _server(self, patient: Patient) -> Iterator[Ailment]:
        state = self._state
        version = tuple(int(part) for part in re.findall(r"\d+", str(state["version"]))[:2])
        if version < OLDEST:
            yield Ailment(
                where=patient.where,
                what=f"MariaDB {state['version']} is too old: 10.5 or newer is needed",
                next="upgrade the server",
                evidence=figures(state, "version"),
            )
        zone = state["system_zone"] if state["zone"] == "SYSTEM" else state["zone"]
        if patient.capture and zone not in _UTC:
            yield Ailment(
                where=patient.where,
                what=f"sessions speak {zone}: an instant in an answer is local there",
                next="give such columns a zone in [capability.NAME.compare]",
                severity=Severity.HINT,
                evidence=figures(state, "zone", "system_zone"),
            )
        if (
            patient.capture == "trigger"
            and state["log_bin"]
            and not state["trusted"]
            and not self._may("SUPER")
        ):
            yield Ailment(
                where=patient.where,
                what="the binary log is on, and log_bin_trust_function_creators is off: this user may not create triggers",
                next="SET GLOBAL log_bin_trust_function_creators = 1, or install capture as a user with SUPER",
                severity=Severity.RISK,
                evidence=figures(state, "role", "log_bin", "trusted"),
            )
        if not self._may("PROCESS"):
            yield Ailment(
                where=patient.where,
                what=f"{state['role']} does not see what other sessions do: long transactions go unnoticed",
                next=f"GRANT PROCESS ON *.* TO {_account(state)}",
                severity=Severity.HINT,
                evidence=figures(state, "role"),
            )

    def _replica(self, patient: Patient) -> Iterator[Ailment]:
        if self._state["read_only"]:
            yield Ailment(
                where=patient.where,
                what="the server is read_only: nothing can be installed or marked here",
                next="give the address of the primary",
                evidence=figures(self._state, "read_only", "db"),
            )
        for row in self._ask("SHOW REPLICA STATUS", {}):
            yield Ailment(
                where=patient.where,
                what=f"the server is a replica of {row['master_host']}: triggers do not fire for what it replicates, and "
                "its answers are as old as its replay",
                next="give the address of the primary",
                severity=Severity.BROKEN if patient.capture == "trigger" else Severity.RISK,
                evidence=figures(
                    row, "master_host", "slave_io_running", "slave_sql_running", "seconds_behind_master"
                ),
            )

    def _connections(self, patient: Patient) -> Iterator[Ailment]:
        places, used = int(self._state["places"]), int(self._state["used"])
        if places - used < max(patient.connections, places * patient.limits.free):
            yield Ailment(
                where=patient.where,
                what=f"{places - used} connections are left of {places}; one process of ours may open {patient.connections}",
                next="raise max_connections, close what idles, or lower max_reads",
                severity=Severity.RISK,
                evidence={"used": used, "places": places, "needed": patient.connections},
            )
        limit = int(self._state["role_places"])
        if 0 < limit < patient.connections:
            yield Ailment(
                where=patient.where,
                what=f"{self._state['role']} may open {limit} connections; one process of ours may open {patient.connections}",
                next="raise MAX_USER_CONNECTIONS, or lower max_reads",
                severity=Severity.RISK,
                evidence={"places": limit, "needed": patient.connections},
            )

    # --- what others do

    def _transactions(self, patient: Patient) -> Iterator[Ailment]:
        for row in self._rows("transactions", seconds=patient.limits.transaction.total_seconds()):
            idle = row["command"] == "Sleep"
            yield Ailment(
                where=patient.where,
                what=f"a transaction has been open for {span(float(row['age_seconds']))}"
                + (", and its session does nothing" if idle else "")
                + ": what it wrote is not captured before it ends, and purge waits for it",
                next=f"ask {row['user'] or 'its owner'} to end it, or: KILL {row['pid']}",
                severity=Severity.RISK,
                evidence=figures(
                    row, "pid", "user", "host", "db", "command", "state", "written", "age_seconds"
                ),
            )

    def _prepared(self, patient: Patient) -> Iterator[Ailment]:
        for row in self._ask("XA RECOVER", {}):
            xid = _xid(row)
            yield Ailment(
                where=patient.where,
                what=f"the XA transaction {xid} is prepared, neither committed nor rolled back: it holds its locks, "
                "restarts or not",
                next=f"XA COMMIT {xid} or XA ROLLBACK {xid} (unless its coordinator is about to)",
                severity=Severity.RISK,
                evidence={"xid": xid},
            )

    def _blocked(self, patient: Patient) -> Iterator[Ailment]:
        for row in self._rows("blocked", seconds=patient.limits.blocked.total_seconds()):
            yield Ailment(
                where=patient.where,
                what=f"session {row['pid']} has waited {span(float(row['age_seconds']))} for a row that "
                f"{row['blocking_pid']} ({row['blocking_user'] or 'unknown'}) holds",
                next=f"end what {row['blocking_pid']} does, or: KILL {row['blocking_pid']}",
                severity=Severity.RISK,
                evidence=figures(
                    row, "pid", "blocking_pid", "blocking_user", "blocking_state", "age_seconds"
                ),
            )

    def _history(self, patient: Patient) -> Iterator[Ailment]:
        for row in self._rows("history"):
            if int(row["length"]) > _LONG_HISTORY:
                yield Ailment(
                    where=patient.where,
                    what=f"{row['length']} old versions of rows wait for purge: every read has to step over them",
                    next="end the oldest transactions (see: information_schema.INNODB_TRX)",
                    severity=Severity.RISK,
                    evidence={"history_list_length": int(row["length"])},
                )

    # --- tables

    def _of(self, names: Sequence[str]) -> list[Row]:
        return self._rows("tables", names=[_bare(name) for name in names]) if names else []

    def _tables(self, patient: Patient) -> Iterator[Ailment]:
        role = str(self._state["role"])
        own, legacy = self._of(patient.own), self._of([one.table for one in patient.tables])
        yield from self._ungranted(patient, role, own, ("SELECT", "INSERT", "UPDATE", "DELETE"))
        first = ("SELECT",) if own or patient.capture != "trigger" else ("SELECT", "TRIGGER")
        yield from self._ungranted(patient, role, legacy, first)
        for row in legacy:
            if row["engine"] != "InnoDB":
                yield Ailment(
                    where=patient.where,
                    what=f"{row['relation']} is kept by {row['engine']}, which has no transactions: what is rolled back "
                    "stays written, and was captured or not by chance",
                    next=f"ALTER TABLE {row['relation']} ENGINE = InnoDB",
                    evidence=figures(row, "relation", "engine"),
                )
        for row in own:
            if int(row["free_bytes"]) > max(patient.limits.retained, int(row["table_bytes"])):
                yield Ailment(
                    where=patient.where,
                    what=f"{row['relation']} keeps more room free than it fills",
                    next=f"OPTIMIZE TABLE {row['relation']}",
                    severity=Severity.HINT,
                    evidence=figures(row, "table_bytes", "index_bytes", "free_bytes"),
                )

    def _ungranted(
        self, patient: Patient, role: str, rows: Sequence[Row], needed: Sequence[str]
    ) -> Iterator[Ailment]:
        for row in rows:
            rights = frozenset(right for right in needed if self._may(right, str(row["name"])))
            table = _table(row, rights)
            for one in ungranted(patient, role, [table], needed=needed):
                missing = ", ".join(right for right in needed if right not in rights)
                grant = (
                    f"GRANT {missing} ON `{self._state['db']}`.`{row['relation']}` TO {_account(self._state)}"
                )
                yield Ailment(where=one.where, what=one.what, next=grant, evidence=one.evidence)

    def _indexes(self, patient: Patient) -> Iterator[Ailment]:
        names = [one.table for one in patient.tables]
        if not names:
            return
        tables = [_table(row, frozenset()) for row in self._of(names)]
        rows = self._rows("indexes", names=[_bare(name) for name in names])
        indexes = {(str(row["name"]), str(row["columns"])) for row in rows}
        for wanted in patient.tables:
            yield from without_index(
                patient, wanted, tables, indexes, f"CREATE INDEX {wanted.subjects[0].lower()}_of_subject"
            )

    def _backlog(self, patient: Patient) -> Iterator[Ailment]:
        if patient.capture and self._of(["strangler_change"]):
            yield from waiting(patient, self._rows("backlog")[0])

    def _explained(self, patient: Patient, read: SampleRead) -> Iterator[Ailment]:
        parameters = read.parameters()
        if parameters is None:
            return
        for row in self._ask(f"EXPLAIN {read.sql}", parameters):
            if row["type"] == "ALL" and int(str(row["rows"] or 0)) > patient.limits.rows:
                yield Ailment(
                    where=f"{patient.where}, {read.capability}",
                    what=f"the read goes through all {row['rows']} rows of {row['table']}",
                    next=f"CREATE INDEX on the columns by which {row['table']} is asked",
                    severity=Severity.HINT,
                    evidence={"table": str(row["table"]), "rows": int(str(row["rows"]))},
                )


def _bare(name: str) -> str:
    return name.lower().rpartition(".")[2]


def _account(state: Row) -> str:
    user, _, host = str(state["role"]).rpartition("@")
    return f"'{user}'@'{host}'"


def _xid(row: Row) -> str:
    """The name of an XA transaction as XA COMMIT takes it: its global part, its branch, its format."""
    data = row["data"] if isinstance(row["data"], bytes) else str(row["data"]).encode()
    first, second = int(row["gtrid_length"]), int(row["bqual_length"])
    parts = [data[:first], data[first : first + second]]
    printable = all(one.isascii() and one.decode().isprintable() and b"'" not in one for one in parts)
    shown = [f"'{one.decode()}'" if printable else f"X'{one.hex()}'" for one in parts]
    plain = not second and int(row["formatid"]) == 1
    return shown[0] if plain else f"{shown[0]}, {shown[1]}, {row['formatid']}"


def _table(row: Row, rights: frozenset[str]) -> Table:
    return Table(
        name=str(row["name"]),
        relation=str(row["relation"]),
        rows=int(row["row_count"]),
        table_bytes=int(row["table_bytes"]),
        index_bytes=int(row["index_bytes"]),
        rights=rights,
    )
