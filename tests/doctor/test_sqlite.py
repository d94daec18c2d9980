"""Each ailment of a SQLite file is brought about by another process, and found; a healthy file gives nothing but hints."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.doctor.sqlite import SqliteDoctor, loses_resets
from tests.doctor.world import POLICY, ask_of, examined, execute, found, read, serious, session
from tests.support import python_child
from toolkit.core.ailments import Severity
from toolkit.diagnosis import Limits

CAPTURED: dict[str, Any] = {"capture": "trigger", "tables": (POLICY,)}
HOLD = """
import os, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA busy_timeout = 5000")
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM polmast").fetchall()
print("holding", os.getpid())
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "legacy.db"
    execute(
        f"sqlite:///{path}",
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE polmast (id INTEGER PRIMARY KEY, pol_no TEXT, name TEXT)",
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2000)"
        " INSERT INTO polmast SELECT n, 'P' || n, 'N' || n FROM n",
    )
    return path


@pytest.fixture
def doctor(path: Path) -> SqliteDoctor:
    return SqliteDoctor(ask_of(f"sqlite:///{path}"), path)


@contextmanager
def holding(path: Path, begin: str) -> Iterator[int]:
    """Another process that stays in a transaction; its pid."""
    with python_child("-c", HOLD, str(path), begin) as child:
        yield int(child.wait_for("holding").split()[1])


def test_a_healthy_file_gives_none(doctor: SqliteDoctor) -> None:
    assert serious(doctor, **CAPTURED) == []


def test_a_process_that_keeps_the_write_lock_is_named(path: Path, doctor: SqliteDoctor) -> None:
    with holding(path, "BEGIN IMMEDIATE") as pid:
        one = found(doctor, "has held the write lock")
        assert one.evidence["pid"] == pid
        assert one.severity is Severity.RISK


def test_a_lock_that_is_given_back_while_it_is_watched_is_no_finding(
    path: Path, doctor: SqliteDoctor
) -> None:
    limits = Limits(blocked=dt.timedelta(milliseconds=200))
    assert not [one for one in examined(doctor, limits).findings if "write lock" in one.what]


def test_a_file_without_wal_tells_who_keeps_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    execute(f"sqlite:///{path}", "CREATE TABLE polmast (pol_no TEXT)")
    doctor = SqliteDoctor(ask_of(f"sqlite:///{path}"), path)
    assert found(doctor, "journal_mode is delete").severity is Severity.HINT
    with holding(path, "BEGIN IMMEDIATE") as pid:
        assert found(doctor, "has held the write lock").evidence["pid"] == pid


def test_a_reader_that_keeps_the_wal_from_beginning_anew_is_named(path: Path, doctor: SqliteDoctor) -> None:
    limits = Limits(wal=100_000)
    execute(f"sqlite:///{path}", "INSERT INTO polmast VALUES (9999, 'P', 'N')")
    with holding(path, "BEGIN") as pid:
        execute(f"sqlite:///{path}", *["UPDATE polmast SET name = name || 'x'"] * 5)
        one = found(doctor, "the WAL has grown", limits)
        assert str(pid) in str(one.evidence["pids"])
        assert one.severity is Severity.RISK


def test_looking_at_locks_drops_none_of_ours(path: Path, doctor: SqliteDoctor) -> None:
    with session(f"sqlite:///{path}") as ours:
        ours.exec_driver_sql("BEGIN IMMEDIATE")
        examined(doctor)
        begin = HOLD.replace("5000", "100")
        with python_child("-c", begin, str(path), "BEGIN IMMEDIATE") as child:
            assert "database is locked" in child.wait_for("locked")


def test_a_read_that_goes_through_a_large_table_is_told(doctor: SqliteDoctor) -> None:
    by_name = read("SELECT p.id FROM polmast p WHERE p.name = :name", name="N7")
    one = found(doctor, "goes through all rows of polmast", reads=(by_name,))
    assert (one.severity, one.where) == (Severity.HINT, "here, portal")
    by_key = read("SELECT p.name FROM polmast p WHERE p.id = :id", id=7)
    assert not [one for one in examined(doctor, reads=(by_key,)).findings if "goes through" in one.what]


def test_a_subject_that_no_index_begins_with_is_told(path: Path, doctor: SqliteDoctor) -> None:
    one = found(doctor, "no index of polmast begins with its subject pol_no", **CAPTURED)
    execute(f"sqlite:///{path}", one.next)
    assert not [one for one in examined(doctor, **CAPTURED).findings if "no index" in one.what]


def test_the_versions_that_may_lose_a_reset_of_the_wal_are_known() -> None:
    assert loses_resets((3, 40, 1))
    assert loses_resets((3, 51, 2))
    assert not loses_resets((3, 51, 3))
    assert not loses_resets((3, 50, 7))
    assert not loses_resets((3, 44, 6))
    assert not loses_resets((3, 53, 0))
