"""Each ailment of MariaDB is brought about for real, and found; a healthy server gives nothing but hints."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from adapters.doctor.mariadb import MariaDbDoctor
from tests.doctor.world import POLICY, ask_of, examined, execute, found, read, serious, session
from tests.support.waiting import wait_until
from toolkit.core.ailments import Severity

CAPTURED: dict[str, Any] = {"capture": "trigger", "tables": (POLICY,)}


@pytest.fixture
def url(mariadb_url: str) -> str:
    execute(
        mariadb_url,
        "CREATE TABLE polmast (id int PRIMARY KEY, pol_no varchar(20), name varchar(20)) ENGINE = InnoDB",
        "INSERT INTO polmast SELECT seq, concat('P', seq), concat('N', seq) FROM seq_1_to_2000",
        "ANALYZE TABLE polmast",
    )
    return mariadb_url


@pytest.fixture
def doctor(url: str) -> MariaDbDoctor:
    return MariaDbDoctor(ask_of(url))


@pytest.fixture
def stranger(url: str) -> Iterator[str]:
    user = "stranger_" + (make_url(url).database or "")[-6:]
    execute(url, f"CREATE USER '{user}'@'%'", f"GRANT CREATE ON `{make_url(url).database}`.* TO '{user}'@'%'")
    yield user
    execute(url, f"DROP USER '{user}'@'%'")


def of_user(url: str, user: str) -> MariaDbDoctor:
    return MariaDbDoctor(ask_of(make_url(url).set(username=user).render_as_string(hide_password=False)))


def test_a_healthy_server_gives_none(doctor: MariaDbDoctor) -> None:
    assert serious(doctor, **CAPTURED) == []


def test_a_session_that_sleeps_in_a_transaction_is_named(url: str, doctor: MariaDbDoctor) -> None:
    with session(url) as open_:
        open_.execute(text("UPDATE polmast SET name = 'x' WHERE id = 1"))
        pid = open_.scalar(text("SELECT CONNECTION_ID()"))
        one = found(doctor, "a transaction has been open")
        assert (one.evidence["pid"], one.evidence["user"], one.severity) == (pid, "root", Severity.RISK)
        assert "its session does nothing" in one.what
        assert one.next.endswith(f"KILL {pid}")


def test_an_xa_transaction_that_nobody_ends_is_named(url: str, doctor: MariaDbDoctor) -> None:
    with session(url) as open_:
        driver: Any = open_.connection.driver_connection
        for statement in ("XA START 'forgotten'", "UPDATE polmast SET name = 'x'", "XA END 'forgotten'"):
            driver.cursor().execute(statement)
        driver.cursor().execute("XA PREPARE 'forgotten'")
        try:
            assert "XA ROLLBACK 'forgotten'" in found(doctor, "XA transaction 'forgotten'").next
        finally:
            driver.cursor().execute("XA ROLLBACK 'forgotten'")


def test_who_blocks_whom_is_told(url: str, doctor: MariaDbDoctor) -> None:
    with session(url) as first, session(url) as second:
        first.execute(text("UPDATE polmast SET name = 'x' WHERE id = 1"))
        blocking = first.scalar(text("SELECT CONNECTION_ID()"))
        update = text("UPDATE polmast SET name = 'y' WHERE id = 1")
        waiting = threading.Thread(target=lambda: second.execute(update))
        waiting.start()
        (one, *_) = wait_until(lambda: [one for one in examined(doctor).findings if "has waited" in one.what])
        assert (one.evidence["blocking_pid"], one.evidence["blocking_user"]) == (blocking, "root")
        first.rollback()
        waiting.join()


def test_missing_rights_are_told_as_the_grants_that_give_them(url: str, stranger: str) -> None:
    execute(url, f"GRANT SELECT (id) ON polmast TO '{stranger}'@'%'")
    one = found(of_user(url, stranger), "lacks SELECT, TRIGGER on polmast", **CAPTURED)
    assert one.next == f"GRANT SELECT, TRIGGER ON `{make_url(url).database}`.`polmast` TO '{stranger}'@'%'"
    execute(url, one.next)
    after = examined(of_user(url, stranger), **CAPTURED).findings
    assert not [one for one in after if "lacks" in one.what]


def test_a_check_that_may_not_ask_is_a_finding_with_its_grant_and_hides_no_other(
    url: str, stranger: str
) -> None:
    result = examined(of_user(url, stranger), **CAPTURED)
    said = {one.evidence.get("check"): one for one in result.findings if "could not be checked" in one.what}
    assert said["replica"].next == "GRANT REPLICA MONITOR ON *.* TO the user"
    assert said["long transactions"].next == "GRANT PROCESS ON *.* TO the user"
    assert [one for one in result.findings if "may not create triggers" in one.what]
    assert not result.unreachable


def test_a_table_without_transactions_is_told(url: str, doctor: MariaDbDoctor) -> None:
    execute(url, "ALTER TABLE polmast ENGINE = Aria")
    one = found(doctor, "is kept by Aria", **CAPTURED)
    assert (one.severity, one.next) == (Severity.BROKEN, "ALTER TABLE polmast ENGINE = InnoDB")


def test_a_server_that_only_reads_is_told(url: str, doctor: MariaDbDoctor) -> None:
    execute(url, "SET GLOBAL read_only = 1")
    try:
        assert found(doctor, "the server is read_only").severity is Severity.BROKEN
    finally:
        execute(url, "SET GLOBAL read_only = 0")


def test_a_replica_is_told(url: str, doctor: MariaDbDoctor) -> None:
    execute(url, "CHANGE MASTER TO MASTER_HOST = 'primary.example', MASTER_USER = 'r'")
    try:
        one = found(doctor, "is a replica of primary.example", **CAPTURED)
        assert one.severity is Severity.BROKEN
    finally:
        execute(url, "RESET SLAVE ALL")


def test_a_read_that_goes_through_a_large_table_is_told(doctor: MariaDbDoctor) -> None:
    one = found(
        doctor, "goes through all", reads=(read("SELECT * FROM polmast p WHERE name = :name", name="N7"),)
    )
    assert (one.severity, one.where) == (Severity.HINT, "here, portal")
    by_key = read("SELECT * FROM polmast p WHERE id = :id", id=7)
    assert not [one for one in examined(doctor, reads=(by_key,)).findings if "goes through" in one.what]


def test_a_subject_that_no_index_begins_with_is_told(url: str, doctor: MariaDbDoctor) -> None:
    one = found(doctor, "no index of polmast begins with its subject pol_no", **CAPTURED)
    execute(url, one.next)
    assert not [one for one in examined(doctor, **CAPTURED).findings if "no index" in one.what]


def test_a_read_that_does_not_parse_is_told_from_one_that_nobody_may_make(url: str, stranger: str) -> None:
    sql = "SELECT id FROM polmast WHERE id = CAST(:id AS BIGINT)"
    one = found(MariaDbDoctor(ask_of(url)), "portal.read.sql cannot be run", reads=(read(sql, id="1"),))
    assert "1064" in one.what
    assert (one.next, one.severity) == ("mend portal.read.sql", Severity.BROKEN)
    gone = found(MariaDbDoctor(ask_of(url)), "cannot be run", reads=(read("SELECT 1 FROM nowhere"),))
    assert gone.severity is Severity.RISK
    denied = examined(of_user(url, stranger), reads=(read("SELECT id FROM polmast"),)).findings
    (plan,) = [one for one in denied if one.evidence.get("check") == "plan of the read"]
    assert plan.next.startswith("GRANT SELECT, SHOW VIEW")
