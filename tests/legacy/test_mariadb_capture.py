"""What only MariaDB has: transactions beside each other and their ids, DDL that commits, holes, accounts (R1, R2, R3, R10)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from adapters.engines import writing
from adapters.legacy import open_legacy
from adapters.legacy.mariadb import triggers as mariadb_triggers
from tests.legacy.test_installing import catalogue, holes
from tests.support.legacy import HOLD, POLICY, SOURCE, TABLES, Legacy, hold, policy
from tests.translate.domain import CATALOGUE, rules
from toolkit.core.changes import Change, Op
from toolkit.core.errors import UsageError
from toolkit.loops.translate import translate
from toolkit.ports import CapturedTable, Plan
from toolkit.settings import LegacySection

pytestmark = pytest.mark.mariadb


@pytest.fixture
def legacy_url(mariadb_url: str, tmp_path: Path) -> str:
    return mariadb_url


def pending(legacy: Legacy, limit: int = 100) -> list[Change]:
    return legacy.source.capture.pending(limit, [])


def mark_all(legacy: Legacy) -> None:
    legacy.source.capture.mark([one.number for one in pending(legacy, 10_000)])


@pytest.fixture
def two(captured: Legacy) -> Iterator[tuple[Connection, Connection]]:
    with captured.engine.connect() as one, captured.engine.connect() as other:
        yield one, other


# --- commits out of order


def test_a_late_commit_with_a_low_number_is_found(
    captured: Legacy, two: tuple[Connection, Connection]
) -> None:
    early, late = two
    early.execute(text(policy(1)))
    late.execute(text(policy(2)))
    late.commit()
    first = pending(captured)
    captured.source.capture.mark([one.number for one in first])
    early.commit()
    second = pending(captured)
    assert [one.subject for one in (*first, *second)] == ["P0002", "P0001"]
    assert second[0].number < first[0].number


def test_nothing_that_is_open_stalls_the_horizon_and_what_it_promised_stays_true(
    captured: Legacy, two: tuple[Connection, Connection]
) -> None:
    early, late = two
    early.execute(text(policy(1)))
    late.execute(text(policy(2)))
    late.commit()
    capture = captured.source.capture
    horizon = capture.horizon()
    assert capture.behind(horizon) == 1
    capture.mark([one.number for one in pending(captured)])
    assert capture.behind(horizon) == 0
    early.commit()
    assert capture.behind(capture.horizon()) == 1


def test_the_snapshot_of_the_horizon_is_younger_than_its_clock(
    captured: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever commits between the two is covered: the other way round, it would be promised and not there."""
    from adapters.legacy.mariadb import capture as mariadb_capture

    now = mariadb_capture.clock

    def late(connection: Connection) -> object:
        instant = now(connection)
        captured.run(policy(1))
        return instant

    monkeypatch.setattr(mariadb_capture, "clock", late)
    assert captured.source.capture.behind(captured.source.capture.horizon()) == 1


def test_two_transactions_that_wrote_one_row_are_translated_in_commit_order(
    captured: Legacy, two: tuple[Connection, Connection]
) -> None:
    """One draws the lower number first, on another row, then waits for the lock that the other holds."""
    captured.run(policy(1))
    mark_all(captured)
    waits, holds_ = two
    waits.execute(text(hold(1, of=1)))
    holds_.execute(text("UPDATE POLMAST SET STAT_CD = 'X '"))

    def go_on() -> None:
        waits.execute(text("UPDATE POLMAST SET STAT_CD = 'Y '"))
        waits.commit()

    thread = threading.Thread(target=go_on)
    thread.start()
    holds_.commit()
    thread.join()
    changes = pending(captured)
    assert changes[0].table == "POLHOLD"
    drafts = translate(changes, rules(), CATALOGUE, {}, captured.source.clock()).drafts
    assert [b'"X"' in one.data or b'"Y"' in one.data for one in drafts] == [True, False, True]
    assert b'"X"' in drafts[0].data


def test_a_transaction_in_two_phases_is_found_when_it_is_committed(captured: Legacy) -> None:
    with captured.engine.connect() as connection:
        for statement in ("XA START 'x'", policy(1), hold(1, of=1), "XA END 'x'", "XA PREPARE 'x'"):
            connection.exec_driver_sql(statement)
        captured.run(policy(2))
        assert [one.subject for one in pending(captured)] == ["P0002"]
        mark_all(captured)
        assert captured.source.capture.behind(captured.source.capture.horizon()) == 0
        connection.exec_driver_sql("XA COMMIT 'x'")
    found = pending(captured)
    assert [one.subject for one in found] == ["P0001", "P0001"]
    assert len({one.transaction for one in found}) == 1


def test_marking_holds_no_writer_up(captured: Legacy, two: tuple[Connection, Connection]) -> None:
    """Nor does a writer hold it up. With gaps locked, as is usual, every insert would wait for the marking's end."""
    writer, other = two
    captured.run(*(policy(number) for number in range(5)))
    capture = captured.source.capture
    numbers = [one.number for one in pending(captured)]
    writer.execute(text(policy(7)))
    capture.mark(numbers[:2])
    with writing(capture._engine) as marking:  # type: ignore[attr-defined]
        marking.exec_driver_sql(f"DELETE FROM strangler_change WHERE number = {numbers[2]}")
        for connection in two:
            connection.exec_driver_sql("SET innodb_lock_wait_timeout = 1")
        other.execute(text(policy(8)))
        other.commit()
        writer.execute(text(policy(9)))
    writer.commit()
    assert [one.subject for one in pending(captured)] == ["P0003", "P0004", "P0007", "P0008", "P0009"]


def test_what_waits_is_read_in_the_order_of_its_numbers_without_sorting(captured: Legacy) -> None:
    captured.run(*(policy(number) for number in range(300)))
    mark_all(captured)
    captured.run(policy(999))
    seen: list[str] = []
    from sqlalchemy import event

    engine = captured.source.capture._engine  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2] % args[3]))
    pending(captured)
    head = next(one for one in seen if "LIMIT" in one)
    with captured.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN {head}").mappings().one()
    assert plan["key"] == "PRIMARY"
    assert "filesort" not in plan["Extra"]


# --- legacy transactions


def test_the_changes_of_one_transaction_have_one_id_and_those_of_two_have_two(captured: Legacy) -> None:
    with captured.engine.connect() as connection:
        connection.execute(text(policy(1)))
        connection.exec_driver_sql("SAVEPOINT S")
        connection.execute(text(policy(2)))
        connection.exec_driver_sql("ROLLBACK TO S")
        connection.execute(text(hold(1, of=1)))
        connection.commit()
        connection.execute(text(policy(3)))
        connection.rollback()
        connection.execute(text(policy(4)))
        connection.commit()
        connection.execute(text(policy(5)))
        connection.execute(text(hold(5, of=5)))
        connection.commit()
    first, second, third, *fourth = (one.transaction for one in pending(captured))
    assert first == second
    assert fourth == [third] or len({third, *fourth}) == 2
    ids = [one.transaction for one in pending(captured)]
    assert [ids[0] == ids[1], ids[1] == ids[2], ids[2] == ids[3], ids[3] == ids[4]] == [
        True,
        False,
        False,
        True,
    ]


def test_a_transaction_that_the_binary_log_does_not_see_shows_change_by_change(captured: Legacy) -> None:
    captured.run("SET sql_log_bin = 0", policy(1), hold(1, of=1))
    assert [one.transaction for one in pending(captured)] == [None, None]


def test_no_limit_cuts_what_one_transaction_did_to_one_subject(captured: Legacy) -> None:
    captured.run(policy(1), *(hold(number, of=1 + number % 2) for number in range(10)))
    captured.run(policy(9))
    for limit in range(1, 14):
        units: dict[tuple[str | None, str], int] = {}
        for change in pending(captured, limit):
            key = (change.transaction, change.subject)
            units[key] = units.get(key, 0) + 1
        assert units
        assert all(
            count == {"P0001": 6, "P0002": 5, "P0009": 1}[subject] for (_, subject), count in units.items()
        )


# --- what the application does


def test_bulk_loads_and_replacements_are_captured_row_by_row(captured: Legacy, tmp_path: Path) -> None:
    captured.run(policy(1), "INSERT INTO POLMAST SELECT 'P0002', STAT_CD, PREM, NOTE FROM POLMAST")
    captured.run("INSERT INTO POLMAST VALUES ('P0001', 'B', 1, NULL) ON DUPLICATE KEY UPDATE STAT_CD = 'B'")
    captured.run("REPLACE INTO POLMAST VALUES ('P0002', 'C', 1, NULL)")
    assert [(one.op, one.subject) for one in pending(captured)] == [
        (Op.INSERT, "P0001"),
        (Op.INSERT, "P0002"),
        (Op.UPDATE, "P0001"),
        (Op.DELETE, "P0002"),
        (Op.INSERT, "P0002"),
    ]


def test_the_application_notices_nothing(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE COUNTED (ID INT AUTO_INCREMENT PRIMARY KEY, X INT) AUTO_INCREMENT = 77")
    legacy.install([CapturedTable(table="COUNTED", subject="ID"), *TABLES])
    with legacy.engine.begin() as connection:
        done = connection.exec_driver_sql("INSERT INTO COUNTED (X) VALUES (1)")
        assert (done.lastrowid, done.rowcount) == (77, 1)
        assert connection.exec_driver_sql("SHOW WARNINGS").all() == []
        assert connection.exec_driver_sql("SELECT last_insert_id()").scalar() == 77
        assert connection.execute(text(policy(1))).lastrowid == 0
        assert connection.exec_driver_sql("UPDATE COUNTED SET X = 2").rowcount == 1
        assert connection.exec_driver_sql("SELECT last_insert_id()").scalar() == 77


def test_triggers_that_are_there_already_go_on(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE AUDIT (WHAT VARCHAR(20))",
        "CREATE TRIGGER THEIRS AFTER INSERT ON POLMAST FOR EACH ROW INSERT INTO AUDIT VALUES (NEW.POL_NO)",
        "CREATE TRIGGER BEFORE_IT BEFORE INSERT ON POLMAST FOR EACH ROW SET NEW.STAT_CD = 'Z'",
    )
    before = catalogue(legacy)
    legacy.install()
    legacy.run(policy(1))
    assert pending(legacy)[0]["STAT_CD"] == "Z"
    with legacy.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT WHAT FROM AUDIT").scalar() == "P0001"
    legacy.source.capture.remove(legacy.source.capture.plan(TABLES))
    assert [one for one in catalogue(legacy) if one not in before] == []


# --- schema changes


def test_a_dropped_column_does_not_break_the_application_and_is_missing_in_its_changes(
    captured: Legacy,
) -> None:
    captured.run("ALTER TABLE POLMAST DROP COLUMN PREM")
    captured.run("INSERT INTO POLMAST VALUES ('P1', 'A', 'n')", "INSERT INTO POLMAST VALUES ('P2', 'A', 'n')")
    captured.run(
        "UPDATE POLMAST SET NOTE = 'm' WHERE POL_NO = 'P1'", "DELETE FROM POLMAST WHERE POL_NO = 'P2'"
    )
    found = pending(captured)
    assert [one.op for one in found] == [Op.INSERT, Op.INSERT, Op.UPDATE, Op.DELETE]
    assert found[0].after == {"POL_NO": "P1", "STAT_CD": "A", "NOTE": "n"}
    assert found[2].before == found[0].after
    assert [one.subject for one in found] == ["P1", "P2", "P1", "P2"]
    (hole,) = captured.source.capture.holes()
    assert hole.what.startswith("the column PREM is gone (dropped or renamed): the changes have it no more")
    captured.install()
    assert holes(captured) == []


def test_a_renamed_subject_column_is_a_hole_and_breaks_nothing(captured: Legacy) -> None:
    captured.run(
        "ALTER TABLE POLHOLD CHANGE POL_NO POLICY VARCHAR(12)", "INSERT INTO POLHOLD VALUES (1, 'P1', 'P')"
    )
    assert [one.subject for one in pending(captured)] == [""]
    assert ("POLHOLD", "the subject column POL_NO is gone") in holes(captured)


def test_a_column_of_another_type_is_a_hole_and_stays_readable(captured: Legacy) -> None:
    captured.run("ALTER TABLE POLMAST MODIFY PREM VARCHAR(20)")
    captured.run("INSERT INTO POLMAST VALUES ('P1', 'A', 'a \"lot\"', NULL)")
    assert pending(captured)[0]["PREM"] == 'a "lot"'
    assert holes(captured) == [("POLMAST", "the column PREM is varchar(20) now, and was decimal(12,2)")]
    captured.install()
    assert holes(captured) == []


def test_an_installation_over_another_misses_nothing_and_keeps_the_backfill(captured: Legacy) -> None:
    since = captured.source.capture.installation(["POLMAST"])
    captured.run("ALTER TABLE POLMAST ADD COLUMN LATER INTEGER")
    plan = captured.source.capture.plan(TABLES)
    assert all(
        one.startswith(("CREATE OR REPLACE TRIGGER", "SET SESSION", "DELETE", "INSERT"))
        for one in plan.statements
    )
    captured.source.capture.install(plan)
    assert captured.source.capture.installation(["POLMAST"]) == since


def test_a_trigger_that_was_gone_means_another_backfill(captured: Legacy) -> None:
    since = captured.source.capture.installation(["POLMAST"])
    captured.run("DROP TRIGGER strangler_polmast_update")
    captured.install()
    assert holes(captured) == []
    assert captured.source.capture.installation(["POLMAST"]) != since


# --- what passes triggers by


def test_a_truncated_table_is_a_hole_and_a_rebuilt_one_is_none(legacy: Legacy) -> None:
    legacy.run("DO sleep(2.1)")  # the engine notes in whole seconds when a table was defined
    legacy.install()
    legacy.run("ALTER TABLE POLHOLD FORCE", "OPTIMIZE TABLE POLHOLD")
    assert holes(legacy) == []
    legacy.run("TRUNCATE TABLE POLMAST")
    assert holes(legacy) == [("POLMAST", "the table was truncated, which fires no trigger")]


def test_a_truncated_table_shows_by_its_last_row_too(captured: Legacy) -> None:
    captured.run(policy(1), "TRUNCATE TABLE POLMAST")
    (found,) = holes(captured)
    assert found[1].startswith("the row POL_NO=P0001 is gone, and no change tells of it")


def test_a_foreign_key_of_a_table_that_is_not_captured_is_a_hole_before_and_after_it_did(
    legacy: Legacy,
) -> None:
    legacy.run(
        "ALTER TABLE POLHOLD MODIFY POL_NO CHAR(8)",
        "ALTER TABLE POLHOLD ADD CONSTRAINT OF_POLICY FOREIGN KEY (POL_NO) REFERENCES POLMAST (POL_NO) ON DELETE CASCADE",
    )
    plan = legacy.source.capture.plan([HOLD])
    said = (
        "the foreign key OF_POLICY to POLMAST changes its rows by ON DELETE CASCADE, which fires no trigger"
    )
    assert [(one.where, one.what) for one in plan.holes] == [("POLHOLD", f"{said}: POLMAST is not captured")]
    legacy.source.capture.install(plan)
    legacy.run(policy(1), hold(1, of=1))
    assert holes(legacy) == [("POLHOLD", f"{said}: POLMAST is not captured")]
    legacy.run("DELETE FROM POLMAST")
    assert [one.table for one in pending(legacy)] == ["POLHOLD"]
    assert (
        "POLHOLD",
        "the row HLD_ID=1 is gone, and no change tells of it: TRUNCATE, or a foreign key's rule",
    ) in holes(legacy)


def test_a_trigger_that_somebody_replaced_leaves_a_gap_that_the_next_installation_knows(
    captured: Legacy,
) -> None:
    """What was written while another body stood there is in no change: the history is due again."""
    capture = captured.source.capture
    since = capture.installation(["POLMAST"]), capture.installation(["POLHOLD"])
    captured.run(
        "CREATE OR REPLACE TRIGGER strangler_polmast_update AFTER UPDATE ON POLMAST FOR EACH ROW SET @nothing = 1",
        policy(1),
        "UPDATE POLMAST SET STAT_CD = 'X'",
    )
    captured.install()
    assert capture.holes() == []
    assert capture.installation(["POLMAST"]) != since[0]
    assert capture.installation(["POLHOLD"]) == since[1]


def test_an_update_that_a_key_does_not_let_happen_is_none(legacy: Legacy) -> None:
    """UPDATE IGNORE fires the triggers for such a row, too."""
    legacy.run(
        "CREATE TABLE SEAT (NO INT NOT NULL PRIMARY KEY, WHO VARCHAR(9) COLLATE utf8mb4_general_ci UNIQUE, N INT)",
        "CREATE TABLE SOLD (NO INT, FOREIGN KEY (NO) REFERENCES SEAT (NO))",
        "INSERT INTO SEAT VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1)",
        "INSERT INTO SOLD VALUES (3)",
    )
    legacy.install([CapturedTable(table="SEAT", subject="NO")])
    legacy.run(
        "UPDATE IGNORE SEAT SET NO = 2 WHERE NO = 1",
        "UPDATE IGNORE SEAT SET WHO = 'b', N = 2 WHERE NO = 1",
        "UPDATE IGNORE SEAT SET NO = 4 WHERE NO = 3",
    )
    assert pending(legacy) == []
    legacy.run(
        "UPDATE IGNORE SEAT SET WHO = 'A' WHERE NO = 1",
        "UPDATE IGNORE SEAT SET NO = 9, WHO = 'x' WHERE NO = 2",
    )
    assert [(one.op, one.subject) for one in pending(legacy)] == [
        (Op.UPDATE, "1"),
        (Op.DELETE, "2"),
        (Op.INSERT, "9"),
    ]


def test_a_table_without_transactions_is_refused_with_the_reason(legacy: Legacy) -> None:
    legacy.run("CREATE TABLE OLD (ID INT PRIMARY KEY) ENGINE = MyISAM")
    with pytest.raises(UsageError, match="OLD: its engine MyISAM has no transactions"):
        legacy.source.capture.plan([CapturedTable(table="OLD", subject="ID")])


def test_a_table_that_loses_its_transactions_is_a_hole(captured: Legacy) -> None:
    captured.run("ALTER TABLE POLMAST ENGINE = Aria")
    assert "its engine is Aria now" in " ".join(what for _, what in holes(captured))


def test_a_dropped_table_is_a_hole(captured: Legacy) -> None:
    captured.run("DROP TABLE OUTBOX")
    assert next(what for _, what in holes(captured)).endswith("is gone")


# --- DDL that commits as it goes


def test_an_installation_over_another_that_fails_puts_the_former_back(captured: Legacy) -> None:
    before = catalogue(captured)
    captured.run("ALTER TABLE POLMAST ADD COLUMN LATER INTEGER")
    plan = captured.source.capture.plan(TABLES)
    broken = Plan(statements=(*plan.statements, "SELECT nonsense"), removal=(), guarantees={})
    with pytest.raises(UsageError, match="nonsense"):
        captured.source.capture.install(broken)
    assert catalogue(captured) == before
    captured.run("INSERT INTO POLMAST (POL_NO) VALUES ('P1')")
    assert len(pending(captured)) == 1


def test_an_installation_that_was_killed_anywhere_is_ended_by_the_next(legacy: Legacy) -> None:
    before = catalogue(legacy)
    capture = legacy.source.capture
    whole = capture.plan([POLICY]).statements
    for at in range(1, len(whole)):
        capture._execute(whole[:at])  # type: ignore[attr-defined]
        again = capture.plan([POLICY])
        capture.install(again)
        assert holes(legacy) == []
        legacy.run(policy(at))
        assert [one.subject for one in pending(legacy)] == [f"P{at:04}"]
        capture.remove(again)
        assert catalogue(legacy) == before


def test_a_long_name_fits(legacy: Legacy) -> None:
    name = "A_TABLE_WITH_THE_LONGEST_NAME_THAT_THE_ENGINE_LETS_ANYBODY_GIVE_"
    legacy.run(f"CREATE TABLE {name} (ID INT PRIMARY KEY)")
    legacy.install([CapturedTable(table=name, subject="ID")])
    legacy.run(f"INSERT INTO {name} VALUES (1)")
    assert len(pending(legacy)) == 1


def test_a_table_of_another_database_is_captured_beside_ours(legacy: Legacy) -> None:
    other = f"{make_url(legacy.url).database}_b"
    legacy.run(f"CREATE DATABASE {other}", f"CREATE TABLE {other}.T (ID INT PRIMARY KEY)")
    try:
        legacy.install([CapturedTable(table=f"{other}.t", subject="ID")])
        legacy.run(f"INSERT INTO {other}.T VALUES (1)")
        assert [one.table for one in pending(legacy)] == [f"{other}.t".upper()]
    finally:
        legacy.run(f"DROP DATABASE {other}")


# --- accounts


def test_an_account_without_any_right_on_our_tables_is_captured(captured: Legacy) -> None:
    database = make_url(captured.url).database
    captured.run(
        "CREATE OR REPLACE USER clerk@'127.0.0.1'",
        *(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.{one} TO clerk@'127.0.0.1'"
            for one in ("POLMAST",)
        ),
    )
    url = make_url(captured.url).set(username="clerk").render_as_string(hide_password=False)
    source = open_legacy(SOURCE, url, LegacySection(url=url, context="policies"))
    try:
        with source._writer.begin() as connection:  # type: ignore[attr-defined]
            connection.execute(text(policy(1)))
        assert [one.subject for one in pending(captured)] == ["P0001"]
    finally:
        source.close()
        captured.run("DROP USER clerk@'127.0.0.1'")


def test_an_account_with_rights_on_our_tables_only_can_translate(captured: Legacy) -> None:
    captured.run(policy(1))
    database = make_url(captured.url).database
    captured.run(
        "CREATE OR REPLACE USER translator@'127.0.0.1'",
        f"GRANT SELECT ON {database}.* TO translator@'127.0.0.1'",
        f"GRANT DELETE ON {database}.strangler_change TO translator@'127.0.0.1'",
    )
    url = make_url(captured.url).set(username="translator").render_as_string(hide_password=False)
    source = open_legacy(SOURCE, url, LegacySection(url=url, context="policies"))
    try:
        capture = source.capture
        changes = capture.pending(10, [])
        horizon = capture.horizon()
        capture.mark([one.number for one in changes])
        assert (len(changes), capture.behind(horizon)) == (1, 0)
        assert capture.installed() == ("OUTBOX", "POLHOLD", "POLMAST")
        assert {hole.next for hole in capture.holes()} == {"grant it TRIGGER on the captured tables"}
        captured.run(f"GRANT TRIGGER ON {database}.* TO translator@'127.0.0.1'")
        with source._writer.connect() as connection:  # type: ignore[attr-defined]
            connection.invalidate()
        assert capture.holes() == []
    finally:
        source.close()
        captured.run("DROP USER translator@'127.0.0.1'")


def test_where_transactions_cannot_be_told_the_plan_says_so_and_each_change_stands_for_itself(
    legacy: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters.legacy.mariadb import capture as mariadb_capture

    monkeypatch.setattr(mariadb_capture, "knows_transactions", lambda _: False)
    plan = legacy.source.capture.plan(TABLES)
    assert plan.guarantees["transactions"].startswith("not known")
    legacy.source.capture.install(plan)
    legacy.run(policy(1), hold(1, of=1))
    assert [one.transaction for one in pending(legacy)] == [None, None]
    assert holes(legacy) == []


def test_a_url_without_a_driver_name_is_ours(captured: Legacy) -> None:
    for scheme in ("mariadb", "mysql", "mariadb+pymysql"):
        url = captured.url.replace("mysql+pymysql", scheme)
        source = open_legacy(SOURCE, url, LegacySection(url=url, context="policies"))
        try:
            assert source.capture.installed() == ("OUTBOX", "POLHOLD", "POLMAST")
        finally:
            source.close()


def test_the_plan_names_the_triggers_of_a_table(legacy: Legacy) -> None:
    plan = "\n".join(legacy.source.capture.plan([HOLD]).statements)
    assert all(f"`strangler_polhold_{event}`" in plan for event in ("insert", "update", "delete"))
    assert legacy.source.capture.plan([HOLD]).statements[0] == mariadb_triggers.SESSION


def test_a_transaction_that_stays_open_does_not_hold_up_marking(captured: Legacy) -> None:
    """A small table is read whole by choice of the engine, and a DELETE waits for each row that it reads."""
    with captured.engine.connect() as open_:
        open_.execute(text(policy(0)))
        captured.run(*(policy(number) for number in range(1, 60)))
        capture = captured.source.capture
        capture.mark([one.number for one in capture.pending(100, [])])
        assert capture.pending(100, []) == []
        assert capture.behind(capture.horizon()) == 0
        open_.commit()
    assert [one.subject for one in capture.pending(100, [])] == ["P0000"]
