"""What capture installs is printed before, done to the letter, taken away without a trace; and its holes are seen (R10, R1)."""

import pytest
from sqlalchemy import text

from tests.support.legacy import HOLD, OUTBOX, POLICY, TABLES, Legacy, hold, policy
from toolkit.core.errors import ReadTimeout
from toolkit.ports import CapturedTable


def catalogue(legacy: Legacy) -> list[tuple[object, ...]]:
    """Everything in the database that somebody could have made."""
    if legacy.sqlite:
        sql = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
    elif legacy.mariadb:
        sql = """
            SELECT 'table', table_name, engine FROM information_schema.tables WHERE table_schema = database()
            UNION ALL SELECT 'trigger', concat(trigger_name, event_object_table), action_statement
              FROM information_schema.triggers WHERE trigger_schema = database()
            UNION ALL SELECT 'routine', routine_name, routine_definition
              FROM information_schema.routines WHERE routine_schema = database() ORDER BY 1, 2, 3"""
    else:
        sql = """
            SELECT 'schema', nspname::text, nspacl::text FROM pg_namespace WHERE nspname NOT LIKE 'pg_%'
            UNION ALL SELECT 'relation', c.oid::regclass::text, c.relkind::text || ' ' || coalesce(c.relacl::text, '')
              FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
              WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
            UNION ALL SELECT 'function', p.oid::regprocedure::text, prosrc FROM pg_proc p
              JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname NOT IN ('pg_catalog', 'information_schema')
            UNION ALL SELECT 'trigger', tgname::text, tgrelid::regclass::text FROM pg_trigger ORDER BY 1, 2, 3"""
    with legacy.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def holes(legacy: Legacy) -> list[tuple[str, str]]:
    return [(hole.where, hole.what) for hole in legacy.source.capture.holes()]


def test_a_plan_changes_nothing(legacy: Legacy) -> None:
    before = catalogue(legacy)
    plan = legacy.source.capture.plan(TABLES)
    assert plan.statements
    assert catalogue(legacy) == before


def test_removal_leaves_no_trace(legacy: Legacy) -> None:
    before = catalogue(legacy)
    plan = legacy.source.capture.plan(TABLES)
    legacy.source.capture.install(plan)
    assert catalogue(legacy) != before
    legacy.run(policy(1))
    legacy.source.capture.remove(plan)
    assert catalogue(legacy) == before
    legacy.run(policy(2))


def test_another_process_removes_what_one_installed(legacy: Legacy) -> None:
    before = catalogue(legacy)
    legacy.install()
    other = legacy.open()
    other.capture.remove(other.capture.plan(TABLES))
    other.close()
    assert catalogue(legacy) == before


def test_what_is_installed_needs_no_plan(captured: Legacy) -> None:
    assert captured.source.capture.plan(TABLES).statements == ()
    assert captured.source.capture.installed() == ("OUTBOX", "POLHOLD", "POLMAST")


def test_a_plan_that_fails_midway_leaves_no_trace(legacy: Legacy) -> None:
    before = catalogue(legacy)
    plan = legacy.source.capture.plan(TABLES)
    broken = type(plan)(statements=(*plan.statements, "SELECT nonsense"), removal=(), guarantees={})
    with pytest.raises(Exception, match="nonsense"):
        legacy.source.capture.install(broken)
    assert catalogue(legacy) == before


def test_tables_come_and_go_one_by_one(legacy: Legacy) -> None:
    capture = legacy.source.capture
    before = catalogue(legacy)
    legacy.install([POLICY])
    legacy.run(policy(1), hold(1, of=1))
    legacy.install([HOLD])
    legacy.run(hold(2, of=1))
    assert [one.table for one in capture.pending(10, [])] == ["POLMAST", "POLHOLD"]
    capture.remove(capture.plan([POLICY]))
    assert capture.installed() == ("POLHOLD",)
    assert [one.table for one in capture.pending(10, [])] == ["POLMAST", "POLHOLD"]
    capture.remove(capture.plan([HOLD]))
    assert catalogue(legacy) == before


def test_another_subject_column_is_installed_in_place_of_the_first(captured: Legacy) -> None:
    captured.install([CapturedTable(table="POLHOLD", subject="HLD_ID")])
    captured.run(hold(7, of=1))
    assert [one.subject for one in captured.source.capture.pending(10, [])] == ["7"]


def test_every_guarantee_is_declared(legacy: Legacy) -> None:
    declared = legacy.source.capture.plan(TABLES).guarantees
    assert {"loss", "order", "deletes", "intermediate states", "stalls"} <= declared.keys()


def test_capture_as_it_was_installed_has_no_hole(captured: Legacy) -> None:
    assert holes(captured) == []


def test_capture_that_is_not_there_is_a_hole(legacy: Legacy) -> None:
    assert holes(legacy) == [("policy_admin", "capture is not installed")]


def test_a_trigger_that_is_gone_is_a_hole(captured: Legacy) -> None:
    if not captured.postgres:
        captured.run("DROP TRIGGER strangler_polmast_update")
        assert holes(captured) == [("POLMAST", "the trigger strangler_polmast_update is gone")]
    else:
        captured.run("DROP TRIGGER strangler_capture_truncate ON POLMAST")
        assert holes(captured) == [("POLMAST", "the trigger strangler_capture_truncate is gone")]


def test_a_column_that_came_later_is_captured_or_a_hole(captured: Legacy) -> None:
    captured.run("ALTER TABLE POLMAST ADD COLUMN LATER INTEGER")
    captured.run("INSERT INTO POLMAST (POL_NO, LATER) VALUES ('P1', 5)")
    change = captured.source.capture.pending(10, [])[0]
    if not captured.postgres:
        assert "LATER" not in change.row
        assert holes(captured) == [("POLMAST", "the column LATER was added and is not captured")]
    else:
        assert change["LATER"] == 5
        what = "the column later was added: it is captured, and translators do not know it"
        assert holes(captured) == [("POLMAST", what)]
    since = captured.source.capture.installation(["POLMAST"])
    captured.install()
    captured.run("UPDATE POLMAST SET LATER = 6")
    assert captured.source.capture.pending(10, [])[1]["LATER"] == 6
    assert holes(captured) == []
    assert captured.source.capture.installation(["POLMAST"]) == since, "its backfill stays valid"


def test_names_that_must_be_quoted_are(legacy: Legacy) -> None:
    legacy.run(
        'CREATE TABLE "Order" ("Select" INTEGER PRIMARY KEY, "it\'s ""odd""" VARCHAR(20), "Größe %" INTEGER)'
    )
    legacy.install([CapturedTable(table="ORDER", subject="SELECT")])
    with legacy.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO \"Order\" VALUES (1, 'x', 3)")
    change = legacy.source.capture.pending(10, [])[0]
    assert dict(change.row) == {"SELECT": 1, 'IT\'S "ODD"': "x", "GRÖSSE %": 3}


def test_an_installation_does_not_stand_in_a_lock_queue_for_long(legacy: Legacy) -> None:
    if legacy.sqlite:
        pytest.skip("SQLite's busy timeout is the same setting; its wait is not worth the seconds")
    plan = legacy.source.capture.plan([OUTBOX])
    lock = "LOCK TABLE OUTBOX IN ACCESS EXCLUSIVE MODE" if legacy.postgres else "SELECT * FROM OUTBOX"
    with legacy.engine.connect() as busy:
        busy.execute(text(lock))
        with pytest.raises(ReadTimeout, match=r"(?i)lock (wait )?timeout"):
            legacy.source.capture.install(plan)
    assert legacy.source.capture.installed() == ()
