"""Each ailment of PostgreSQL is brought about for real, and found; a healthy server gives nothing but hints."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from adapters.doctor.postgresql import PostgresDoctor, backend_pids
from tests.doctor.world import POLICY, ask_of, examined, execute, found, read, serious, session
from tests.servers.postgres import PostgresServer
from tests.support.waiting import wait_until
from toolkit.core.ailments import Severity
from toolkit.diagnosis import Limits
from toolkit.ports import CapturedTable

CAPTURED: dict[str, Any] = {"capture": "trigger", "tables": (POLICY,)}


@pytest.fixture
def url(postgres_url: str) -> str:
    execute(
        postgres_url,
        "CREATE TABLE polmast (id int PRIMARY KEY, pol_no text, name text)",
        "INSERT INTO polmast SELECT n, 'P' || n, 'N' || n FROM generate_series(1, 2000) n",
        "ANALYZE polmast",
    )
    return postgres_url


@pytest.fixture
def doctor(url: str) -> PostgresDoctor:
    return PostgresDoctor(ask_of(url))


def of_role(url: str, role: str) -> PostgresDoctor:
    return PostgresDoctor(ask_of(make_url(url).set(username=role).render_as_string(hide_password=False)))


@pytest.fixture
def stranger(url: str) -> Iterator[str]:
    role = "stranger_" + (make_url(url).database or "")[-8:]
    execute(url, f"CREATE ROLE {role} LOGIN")
    yield role
    execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_healthy_server_gives_none(doctor: PostgresDoctor) -> None:
    assert serious(doctor, **CAPTURED) == []


def test_a_session_that_idles_in_a_transaction_is_named_with_pid_user_and_application(
    url: str, doctor: PostgresDoctor
) -> None:
    with session(url + "?application_name=nightly") as open_:
        open_.execute(text("UPDATE polmast SET name = 'x' WHERE id = 1"))
        pid = open_.scalar(text("SELECT pg_backend_pid()"))
        one = found(doctor, "a transaction that writes has been open")
        assert one.severity is Severity.RISK
        assert (one.evidence["pid"], one.evidence["application"]) == (pid, "nightly")
        assert one.evidence["user"] == "postgres"
        assert "its session does nothing" in one.what
        assert f"pg_terminate_backend({pid})" in one.next


def test_who_blocks_whom_is_told(url: str, doctor: PostgresDoctor) -> None:
    with session(url) as first, session(url) as second:
        first.execute(text("UPDATE polmast SET name = 'x' WHERE id = 1"))
        blocking = first.scalar(text("SELECT pg_backend_pid()"))
        update = text("UPDATE polmast SET name = 'y' WHERE id = 1")
        waiting = threading.Thread(target=lambda: second.execute(update))
        waiting.start()
        (one, *_) = wait_until(lambda: [one for one in examined(doctor).findings if "has waited" in one.what])
        assert one.evidence["blocking_pid"] == blocking
        first.rollback()
        waiting.join()


def test_a_prepared_transaction_that_nobody_ends_is_named(url: str, doctor: PostgresDoctor) -> None:
    with session(url) as open_:
        open_.execute(text("UPDATE polmast SET name = 'x' WHERE id = 1"))
        open_.execute(text("PREPARE TRANSACTION 'forgotten'"))
    try:
        one = found(doctor, "'forgotten' was prepared")
        assert "ROLLBACK PREPARED 'forgotten'" in one.next
    finally:
        execute(url, "ROLLBACK PREPARED 'forgotten'")


def test_a_slot_that_nobody_reads_holds_back_the_log(url: str, doctor: PostgresDoctor) -> None:
    execute(url, "SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')")
    try:
        execute(url, "INSERT INTO polmast VALUES (100001, 'P', 'N')")
        one = found(doctor, "the slot left_behind is not active")
        assert int(one.evidence["retained_bytes"] or 0) > 0
        assert "pg_drop_replication_slot('left_behind')" in one.next
    finally:
        execute(url, "SELECT pg_drop_replication_slot('left_behind')")


def test_the_slot_that_capture_reads_is_left_to_capture_and_one_left_behind_is_told(
    url: str, doctor: PostgresDoctor, postgres_server: PostgresServer
) -> None:
    execute(url, "SELECT pg_create_logical_replication_slot('strangler_crm', 'pgoutput')")
    try:
        reading = examined(doctor, capture="wal", tables=(POLICY,))
        assert not [one for one in reading.findings if "strangler_crm" in one.what]
        assert "is not active" in found(doctor, "the slot strangler_crm", Limits(), **CAPTURED).what
        elsewhere = PostgresDoctor(ask_of(postgres_server.url()))
        assert not [one for one in examined(elsewhere, Limits()).findings if "strangler_crm" in one.what]
        execute(url, "INSERT INTO polmast VALUES (100001, 'P', 'N')")
        assert "holds back more log" in found(elsewhere, "the slot strangler_crm").what
    finally:
        execute(url, "SELECT pg_drop_replication_slot('strangler_crm')")


def test_capture_from_the_log_wants_wal_level_logical_a_right_and_a_slot() -> None:
    server = PostgresServer(wal_level="replica", max_wal_senders="0", max_replication_slots="0")
    server.start()
    try:
        execute(server.url(), "CREATE ROLE plain LOGIN")
        doctor = PostgresDoctor(ask_of(server.url(user="plain")))
        level = found(doctor, "wal_level is replica", capture="wal")
        assert level.severity is Severity.BROKEN
        assert "ALTER SYSTEM SET wal_level = logical" in level.next
        assert found(doctor, "may not use", capture="wal").next == 'ALTER ROLE "plain" REPLICATION'
        assert found(doctor, "no replication slot is left", capture="wal").severity is Severity.RISK
    finally:
        server.stop()


def test_missing_rights_are_told_as_the_grants_that_give_them(url: str, stranger: str) -> None:
    one = found(of_role(url, stranger), f"{stranger} lacks SELECT on public.polmast", **CAPTURED)
    assert one.next == f'GRANT SELECT ON public.polmast TO "{stranger}"'
    execute(url, one.next)
    assert not [one for one in examined(of_role(url, stranger), **CAPTURED).findings if "lacks" in one.what]


def test_who_does_not_see_others_and_may_not_install_is_told(url: str, stranger: str) -> None:
    doctor = of_role(url, stranger)
    assert "GRANT pg_monitor" in found(doctor, "does not see what other sessions do").next
    one = found(doctor, "does not own public.polmast", **CAPTURED)
    assert one.severity is Severity.RISK
    assert "has no CREATE on the database" in one.what
    # The tables' owner is a superuser here: whoever only reads is not made a member of it.
    assert "let the tables' owner install it" in one.next
    assert "GRANT" not in one.next


def test_an_owner_that_lacks_create_is_told_and_a_membership_costs_no_more_than_the_tables(
    url: str, stranger: str
) -> None:
    owner = f"{stranger}_owner"
    execute(url, f"CREATE ROLE {owner}", f"ALTER TABLE polmast OWNER TO {owner}")
    try:
        one = found(of_role(url, stranger), "does not own public.polmast", **CAPTURED)
        assert f'TO "{owner}", or: GRANT "{owner}" TO "{stranger}"' in one.next
        assert "GRANT CREATE ON DATABASE" in one.next
        execute(url, f"ALTER ROLE {owner} CREATEROLE")
        one = found(of_role(url, stranger), "does not own public.polmast", **CAPTURED)
        assert f'GRANT "{owner}"' not in one.next
    finally:
        execute(
            url, f"REASSIGN OWNED BY {owner} TO CURRENT_USER", f"DROP OWNED BY {owner}", f"DROP ROLE {owner}"
        )


def test_a_check_that_may_not_ask_is_a_finding_and_hides_no_other(url: str, stranger: str) -> None:
    asked = read("SELECT * FROM polmast WHERE id = :id", id=1)
    result = examined(of_role(url, stranger), reads=(asked,), **CAPTURED)
    (one,) = [one for one in result.findings if "could not be checked" in one.what]
    assert "permission denied" in one.what
    assert one.next == "GRANT SELECT on the tables of the read"
    assert [one for one in result.findings if "lacks SELECT" in one.what]


def test_a_read_that_scans_a_large_table_is_told_with_its_filter(url: str, doctor: PostgresDoctor) -> None:
    by_name = read("SELECT * FROM polmast WHERE name = :name", name="N7")
    one = found(doctor, "goes through all 2000 rows of public.polmast", reads=(by_name,))
    assert (one.severity, one.where) == (Severity.HINT, "here, portal")
    assert "name" in str(one.evidence["filter"])
    by_key = read("SELECT * FROM polmast WHERE id = :id", id=7)
    assert examined(doctor, reads=(by_key,)).findings == []


def test_a_subject_that_no_index_begins_with_is_told(url: str, doctor: PostgresDoctor) -> None:
    one = found(doctor, "no index of public.polmast begins with its subject pol_no", **CAPTURED)
    assert one.next == "CREATE INDEX CONCURRENTLY ON public.polmast (pol_no)"
    execute(url, one.next)
    assert examined(doctor, **CAPTURED).findings == []


def test_dead_rows_that_nobody_vacuums_are_told(url: str, doctor: PostgresDoctor) -> None:
    execute(
        url, "ALTER TABLE polmast SET (autovacuum_enabled = false)", "UPDATE polmast SET name = name || 'x'"
    )
    outbox = (CapturedTable(table="POLMAST", subject="POL_NO", outbox=True),)

    def bloat() -> Any:
        return [
            one for one in examined(doctor, capture="outbox", tables=outbox).findings if "dead" in one.what
        ]

    (one,) = wait_until(bloat)
    assert int(one.evidence["dead"]) >= 2000
    assert "VACUUM (ANALYZE) public.polmast" in one.next
    never = found(doctor, "is never vacuumed by itself", capture="outbox", tables=outbox)
    assert "RESET (autovacuum_enabled)" in never.next


def test_sessions_that_fire_no_triggers_are_told(url: str, doctor: PostgresDoctor, stranger: str) -> None:
    execute(url, f"ALTER ROLE {stranger} SET session_replication_role = replica")
    assert stranger in found(doctor, "session_replication_role = replica", **CAPTURED).what


def test_connections_that_run_out_are_told(url: str, stranger: str) -> None:
    execute(url, f"ALTER ROLE {stranger} CONNECTION LIMIT 3")
    one = found(of_role(url, stranger), "connections are left of 3", connections=6)
    assert one.evidence["needed"] == 6


def test_a_pooler_is_known_by_the_process_that_is_another_than_was_told(url: str) -> None:
    engine = create_engine(url)
    told, says = backend_pids(engine)
    assert told == says
    assert serious(PostgresDoctor(ask_of(url), lambda: (told, says + 1)))[0].what.startswith("a pooler")
    lost = PostgresDoctor(ask_of(url), application="strangler")
    assert "the settings of our sessions do not arrive" in found(lost, "a pooler stands between").what
    engine.dispose()


def test_a_standby_is_told(tmp_path: Any) -> None:
    with contextlib.closing(_Standby()) as standby:
        one = found(PostgresDoctor(ask_of(standby.url)), "this is a standby")
        assert one.severity is Severity.BROKEN


class _Standby:
    """A cluster that recovers for ever: told by its signal file alone."""

    def __init__(self) -> None:
        self.server = PostgresServer(hot_standby="on", restore_command="false")
        self.server.start()
        self.server.stop()
        (self.server.directory / "data" / "standby.signal").touch()
        self.server.start()
        self.url = self.server.url()

    def close(self) -> None:
        self.server.stop()
