"""What ails a SQLite file: its library, its journal, who holds its locks, and how it would answer a read."""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from adapters.doctor.asking import checks_of, size, sql_of
from adapters.doctor.tables import Table, waiting, without_index
from toolkit.core.ailments import Ailment, Severity
from toolkit.diagnosis import Ask, Check, Patient, SampleRead

OLDEST = (3, 35, 0)
_LOCKS = Path("/proc/locks")
_WRITER_IN_WAL = 120
_READERS_IN_WAL = range(123, 128)
_RESERVED = 0x40000001


class Held(msgspec.Struct, frozen=True):
    """A lock of a process on some bytes of a file."""

    pid: int
    writes: bool
    first: int
    last: int

    def covers(self, byte: int) -> bool:
        """Is the byte among those that are locked?"""
        return self.first <= byte <= self.last


class SqliteDoctor:
    """Implements `toolkit.diagnosis.Diagnosis`. Looks at the file from outside: opening its parts would drop our own locks."""

    def __init__(self, ask: Ask, path: Path) -> None:
        self._ask, self._path = ask, path

    def clock(self) -> dt.datetime:
        """The clock of the machine that asks."""
        seconds = self._one("SELECT (julianday('now') - 2440587.5) * 86400 AS now")
        return dt.datetime.fromtimestamp(float(str(seconds)), dt.UTC)

    def checks(self, patient: Patient) -> Sequence[Check]:
        """Library, journal, locks, indexes and plans."""
        ours = [
            ("server", self._server, ""),
            ("journal", self._journal, ""),
            ("long transactions", self._writer, ""),
            ("readers that hold the WAL", self._readers, ""),
            ("indexes", self._indexes, ""),
            ("backlog", self._backlog, ""),
        ]
        return checks_of(patient, ours, self._explained, "")

    def _one(self, sql: str) -> object:
        (row,) = self._ask(sql, {})
        (value,) = row.values()
        return value

    def _server(self, patient: Patient) -> Iterator[Ailment]:
        self._one("SELECT count(*) AS n FROM sqlite_master")
        if sqlite3.sqlite_version_info < OLDEST:
            yield Ailment(
                where=patient.where,
                what=f"SQLite {sqlite3.sqlite_version} is older than what the toolkit is tested with",
                next="use a Python with SQLite 3.35 or newer",
                severity=Severity.RISK,
                evidence={"version": sqlite3.sqlite_version},
            )
        if sqlite3.threadsafety == 0:
            yield Ailment(
                where=patient.where,
                what="this SQLite is built for a single thread: reads at once may corrupt memory",
                next="use a Python whose SQLite is built with SQLITE_THREADSAFE=1",
                evidence={"version": sqlite3.sqlite_version, "threadsafety": 0},
            )

    def _journal(self, patient: Patient) -> Iterator[Ailment]:
        mode = str(self._one("PRAGMA journal_mode"))
        if mode == "wal" and loses_resets(sqlite3.sqlite_version_info):
            yield Ailment(
                where=patient.where,
                what=f"SQLite {sqlite3.sqlite_version} can, very rarely, lose what was committed while the WAL begins anew "
                "(https://sqlite.org/wal.html#walresetbug)",
                next="use a Python with SQLite 3.51.3 or newer (or 3.50.7, 3.44.6); the application, too",
                severity=Severity.HINT,
                evidence={"version": sqlite3.sqlite_version},
            )
        if mode != "wal":
            yield Ailment(
                where=patient.where,
                what=f"journal_mode is {mode}: whoever reads holds up whoever writes, and the other way round",
                next="PRAGMA journal_mode = WAL, if the application allows it",
                severity=Severity.HINT,
                evidence={"journal_mode": mode},
            )

    # --- locks

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def _writers(self) -> set[int]:
        in_wal = [one for one in locks_of(self._beside("-shm")) if one.covers(_WRITER_IN_WAL)]
        beside = [one for one in locks_of(self._path) if one.covers(_RESERVED)]
        return {one.pid for one in [*in_wal, *beside] if one.writes}

    def _writer(self, patient: Patient) -> Iterator[Ailment]:
        """SQLite does not say since when a lock is held: so it is watched."""
        limit = patient.limits.blocked.total_seconds()
        until, held = time.monotonic() + limit, self._writers()
        while held and time.monotonic() < until:
            time.sleep(0.05)
            held &= self._writers()
        for pid in sorted(held):
            yield Ailment(
                where=patient.where,
                what=f"process {pid} ({_name(pid)}) has held the write lock for {limit:g} s or longer: nobody else "
                "can write, and no change can be marked",
                next=f"let process {pid} end its transaction, or end it",
                severity=Severity.RISK,
                evidence={"pid": pid, "process": _name(pid), "age_seconds": limit},
            )

    def _readers(self, patient: Patient) -> Iterator[Ailment]:
        wal = self._beside("-wal")
        length = wal.stat().st_size if wal.is_file() else 0
        if length <= patient.limits.wal:
            return
        locks = locks_of(self._beside("-shm"))
        pids = sorted({one.pid for one in locks for byte in _READERS_IN_WAL if one.covers(byte)})
        names = ", ".join(f"{pid} ({_name(pid)})" for pid in pids)
        yield Ailment(
            where=patient.where,
            what=f"the WAL has grown to {size(length)}"
            + (
                f"; processes that read it now: {names}: while one does, it cannot begin anew" if pids else ""
            ),
            next="end the long reads, then: PRAGMA wal_checkpoint(TRUNCATE)",
            severity=Severity.RISK if pids else Severity.HINT,
            evidence={"wal_bytes": length, "pids": ", ".join(map(str, pids))},
        )

    # --- tables

    def _rows(self, name: str, most: int) -> int:
        quoted = '"' + name.replace('"', '""') + '"'
        return int(str(self._one(f"SELECT count(*) FROM (SELECT 1 FROM {quoted} LIMIT {most + 1}) t")))

    def _named(self, wanted: str) -> str | None:
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(:name)"
        rows = self._ask(sql, {"name": wanted})
        return str(rows[0]["name"]) if rows else None

    def _indexes(self, patient: Patient) -> Iterator[Ailment]:
        for wanted in patient.tables:
            name = self._named(wanted.table)
            if name is None:
                continue
            rows = self._ask(sql_of("indexes", "sqlite"), {"table": name})
            indexes = {(wanted.table.lower(), str(row["columns"])) for row in rows}
            table = Table(
                name=wanted.table.lower(), relation=name, rows=self._rows(name, patient.limits.rows)
            )
            create = f"CREATE INDEX {name}_{wanted.subjects[0].lower()}"
            yield from without_index(patient, wanted, [table], indexes, create)

    def _backlog(self, patient: Patient) -> Iterator[Ailment]:
        if patient.capture and self._named("strangler_change"):
            yield from waiting(patient, self._ask(sql_of("backlog", "sqlite"), {})[0])

    def _explained(self, patient: Patient, read: SampleRead) -> Iterator[Ailment]:
        """The program of the read tells which tables it rewinds: begins at the first row and goes through all."""
        parameters = read.parameters()
        if parameters is None:
            return
        program = self._ask(f"EXPLAIN {read.sql}", parameters)
        pages = {row["p1"]: row["p2"] for row in program if row["opcode"] == "OpenRead"}
        rewound = {pages[row["p1"]] for row in program if row["opcode"] == "Rewind" and row["p1"] in pages}
        for row in self._ask("SELECT tbl_name AS name, rootpage FROM sqlite_master WHERE rootpage > 0", {}):
            name = str(row["name"])
            if row["rootpage"] in rewound and self._rows(name, patient.limits.rows) > patient.limits.rows:
                yield Ailment(
                    where=f"{patient.where}, {read.capability}",
                    what=f"the read goes through all rows of {name} ({patient.limits.rows} or more)",
                    next=f"EXPLAIN QUERY PLAN shows why; CREATE INDEX on the columns by which {name} is asked",
                    severity=Severity.HINT,
                    evidence={"table": name, "rows": patient.limits.rows},
                )


def loses_resets(version: tuple[int, ...]) -> bool:
    """Has this version the race of 3.7.0 to 3.51.2 between a checkpoint and a reset of the WAL?"""
    mended = {(3, 44): 6, (3, 50): 7}
    return version < (3, 51, 3) and version[2] < mended.get((version[0], version[1]), 1_000)


def locks_of(path: Path) -> list[Held]:
    """The locks that other processes hold on a file, where the system tells (Linux)."""
    if not (_LOCKS.is_file() and path.is_file()):
        return []
    inode = str(path.stat().st_ino)
    found = []
    for line in _LOCKS.read_text(encoding="ascii").splitlines():
        words = line.split()
        if "->" in words or words[5].rpartition(":")[2] != inode:
            continue
        last = 1 << 63 if words[7] == "EOF" else int(words[7])
        found.append(Held(int(words[4]), words[3] == "WRITE", int(words[6]), last))
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"
