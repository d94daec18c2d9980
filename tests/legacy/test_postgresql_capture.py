"""What only PostgreSQL has: transactions beside each other, roles, TRUNCATE, trigger modes (R1, R2)."""

import datetime as dt
import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from adapters.legacy import open_legacy
from tests.support.legacy import SOURCE, TABLES, Legacy, hold, policy
from tests.translate.domain import CATALOGUE, rules
from toolkit.core.changes import Change, Op
from toolkit.loops.translate import translate
from toolkit.settings import LegacySection

pytestmark = pytest.mark.postgres


@pytest.fixture
def legacy_url(postgres_url: str, tmp_path: Path) -> str:
    return postgres_url


def pending(legacy: Legacy, limit: int = 100) -> list[Change]:
    return legacy.source.capture.pending(limit, [])


@pytest.fixture
def two(captured: Legacy) -> Iterator[tuple[Connection, Connection]]:
    with captured.engine.connect() as one, captured.engine.connect() as other:
        yield one, other


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


def test_the_horizon_does_not_cover_what_is_still_open(
    captured: Legacy, two: tuple[Connection, Connection]
) -> None:
    early, late = two
    early.execute(text(policy(1)))
    late.execute(text(policy(2)))
    late.commit()
    capture = captured.source.capture
    horizon = capture.horizon()
    early.commit()
    assert capture.behind(horizon) == 1
    assert capture.behind(capture.horizon()) == 2


def test_two_transactions_that_wrote_one_row_are_translated_in_commit_order(
    captured: Legacy, two: tuple[Connection, Connection]
) -> None:
    """One draws the lower number first, on another row, then waits for the lock that the other holds."""
    captured.run(policy(1))
    captured.source.capture.mark([one.number for one in pending(captured)])
    waits, holds = two
    waits.execute(text(hold(1, of=1)))
    holds.execute(text("UPDATE POLMAST SET STAT_CD = 'X '"))

    def go_on() -> None:
        waits.execute(text("UPDATE POLMAST SET STAT_CD = 'Y '"))
        waits.commit()

    thread = threading.Thread(target=go_on)
    thread.start()
    holds.commit()
    thread.join()
    changes = pending(captured)
    assert changes[0].table == "POLHOLD"
    drafts = translate(changes, rules(), CATALOGUE, {}, captured.source.clock()).drafts
    assert [b'"X"' in one.data or b'"Y"' in one.data for one in drafts] == [True, False, True]
    assert b'"X"' in drafts[0].data


def test_no_limit_cuts_what_one_transaction_did_to_one_subject(captured: Legacy) -> None:
    captured.run(policy(1), *(hold(number, of=1 + number % 2) for number in range(10)))
    captured.run(policy(9))
    for limit in range(1, 14):
        units: dict[tuple[str | None, str], int] = {}
        for change in pending(captured, limit):
            key = (change.transaction, change.subject)
            units[key] = units.get(key, 0) + 1
        assert units
        assert set(units.values()) <= {6, 5, 1}
        assert all(
            count == {"P0001": 6, "P0002": 5, "P0009": 1}[subject] for (_, subject), count in units.items()
        )


def test_beside_many_writers_nothing_is_lost_and_each_subject_is_in_order(captured: Legacy) -> None:
    """Writers lock the policy's row, then count it up: each subject's events must count without a gap."""
    subjects, writers, each = 4, 4, 40
    captured.run(*(policy(number, premium="0") for number in range(subjects)))
    commits = itertools.count()

    def write(seed: int) -> None:
        random_ = random.Random(seed)
        for at in range(each):
            number = random_.randrange(subjects)
            with captured.engine.connect() as connection:
                if random_.random() < 0.5:
                    connection.execute(text(hold(seed * 1000 + at, of=number)))
                connection.execute(text(f"UPDATE POLMAST SET PREM = PREM + 1 WHERE POL_NO = 'P{number:04}'"))
                if random_.random() < 0.2:
                    connection.rollback()
                else:
                    connection.commit()
                    next(commits)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(writers)]
    for thread in threads:
        thread.start()
    seen: list[Change] = []
    last_pass = False
    while not last_pass:
        last_pass = not any(thread.is_alive() for thread in threads)
        while changes := pending(captured, 5):
            result = translate(changes, rules(), CATALOGUE, {}, captured.source.clock())
            by_position = {one.position: one for one in changes}
            seen.extend(by_position[draft.envelope.position] for draft in result.drafts)
            captured.source.capture.mark([one.number for one in changes])
    counts: dict[str, list[int]] = {}
    for change in seen:
        if change.table == "POLMAST":
            counts.setdefault(change.subject, []).append(int(str(change["PREM"]).split(".", maxsplit=1)[0]))
    assert all(found == list(range(len(found))) for found in counts.values())
    assert sum(map(len, counts.values())) == subjects + next(commits)


def test_truncate_is_captured_as_the_deletion_of_every_row(captured: Legacy) -> None:
    captured.run(policy(1), policy(2))
    captured.source.capture.mark([one.number for one in pending(captured)])
    captured.run("TRUNCATE POLMAST")
    assert [(one.op, one.subject, one.after) for one in pending(captured)] == [
        (Op.DELETE, "P0001", None),
        (Op.DELETE, "P0002", None),
    ]


def test_a_role_without_any_right_on_the_capture_schema_is_captured(captured: Legacy) -> None:
    captured.run(
        "DROP ROLE IF EXISTS clerk",
        "CREATE ROLE clerk",
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON POLMAST TO clerk",
    )
    try:
        captured.run("SET ROLE clerk", policy(1), "TRUNCATE POLMAST", "RESET ROLE")
        assert [one.op for one in pending(captured)] == [Op.INSERT, Op.DELETE]
    finally:
        captured.run("REVOKE ALL ON POLMAST FROM clerk", "DROP ROLE clerk")


def test_a_role_with_rights_on_the_capture_schema_only_can_translate(captured: Legacy) -> None:
    captured.run(policy(1))
    captured.run(
        "DROP ROLE IF EXISTS translator",
        "CREATE ROLE translator LOGIN",
        "GRANT USAGE ON SCHEMA strangler TO translator",
        "GRANT SELECT ON ALL TABLES IN SCHEMA strangler TO translator",
        "GRANT DELETE ON strangler.strangler_change TO translator",
        "GRANT SELECT ON POLMAST, POLHOLD, OUTBOX TO translator",
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
        assert capture.holes() == []
    finally:
        source.close()
        captured.run("DROP OWNED BY translator", "DROP ROLE translator")


def test_nobody_else_may_hang_the_function_on_a_table_of_his(captured: Legacy) -> None:
    captured.run("DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk")
    try:
        with pytest.raises(Exception, match="permission denied"):
            captured.run(
                "SET LOCAL ROLE clerk",
                "CREATE TEMP TABLE mine (x int)",
                "CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION strangler.capture('POLMAST', 'x')",
            )
    finally:
        captured.run("DROP ROLE clerk")


def test_a_bulk_load_that_silences_triggers_is_captured_all_the_same(captured: Legacy) -> None:
    captured.run("SET LOCAL session_replication_role = replica", policy(1))
    assert [one.subject for one in pending(captured)] == ["P0001"]


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("DISABLE TRIGGER", "is disabled"),
        ("ENABLE TRIGGER", "does not fire where session_replication_role is replica"),
        ("ENABLE REPLICA TRIGGER", "fires only where session_replication_role is replica"),
    ],
)
def test_a_trigger_that_does_not_always_fire_is_a_hole(captured: Legacy, mode: str, what: str) -> None:
    captured.run(f"ALTER TABLE POLMAST {mode} strangler_capture")
    (hole,) = captured.source.capture.holes()
    assert (hole.where, hole.what) == ("POLMAST", f"the trigger strangler_capture {what}")
    assert "ENABLE ALWAYS" in hole.next


def test_a_renamed_subject_column_is_a_hole_and_breaks_nothing(captured: Legacy) -> None:
    captured.run(
        "ALTER TABLE POLHOLD RENAME COLUMN POL_NO TO POLICY", "INSERT INTO POLHOLD VALUES (1, 'P1', 'P')"
    )
    assert [hole.what for hole in captured.source.capture.holes()] == [
        "the subject column pol_no is gone",
        "the column policy was added: it is captured, and translators do not know it",
    ]


def test_a_dropped_table_and_an_inherited_one_are_holes(captured: Legacy) -> None:
    captured.run("CREATE TABLE OLDPOL () INHERITS (POLMAST)", "DROP TABLE OUTBOX")
    assert [(hole.where, hole.what.split(",")[0]) for hole in captured.source.capture.holes()] == [
        ("OUTBOX", 'the table "public"."outbox" is gone'),
        ("POLMAST", "tables inherit from it"),
    ]


def test_a_partitioned_table_is_captured_under_its_own_name(legacy: Legacy) -> None:
    legacy.run(
        "DROP TABLE OUTBOX",
        "CREATE TABLE OUTBOX (ID int PRIMARY KEY, AGGREGATEID text, TYPE text) PARTITION BY RANGE (ID)",
        "CREATE TABLE outbox_1 PARTITION OF OUTBOX FOR VALUES FROM (1) TO (10)",
    )
    legacy.install()
    legacy.run("INSERT INTO OUTBOX VALUES (1, 'P1', 't')")
    assert [one.table for one in pending(legacy)] == ["OUTBOX"]


def test_the_text_of_a_value_does_not_depend_on_the_session(captured: Legacy) -> None:
    captured.run(
        "CREATE TABLE ODD (ID int PRIMARY KEY, AT timestamptz, RAW bytea, SPAN interval, RATIO float8)"
    )
    captured.install([*TABLES, type(TABLES[0])(table="ODD", subject="ID")])
    values = "TIMESTAMPTZ '2024-07-01 12:00+00', '\\x00ff'::bytea, INTERVAL '1 day 2 hours', 0.1::float8"
    captured.run(f"INSERT INTO ODD VALUES (1, {values})")
    captured.run(
        "SET LOCAL timezone = 'Asia/Tokyo'",
        "SET LOCAL bytea_output = 'escape'",
        "SET LOCAL intervalstyle = 'postgres'",
        "SET LOCAL extra_float_digits = 0",
        "UPDATE ODD SET ID = ID",
    )
    inserted, updated = pending(captured)
    assert inserted.after == updated.before == updated.after


def test_a_url_without_a_driver_name_is_ours(captured: Legacy) -> None:
    url = captured.url.replace("postgresql+psycopg", "postgresql")
    source = open_legacy(SOURCE, url, LegacySection(url=url, context="policies"))
    try:
        assert source.query("SELECT 1 AS ONE", {}, timeout=dt.timedelta(seconds=5)).rows == [{"one": 1}]
    finally:
        source.close()


def test_functions_of_another_version_are_a_hole_and_the_next_installation_replaces_them(
    captured: Legacy,
) -> None:
    capture = captured.source.capture
    captured.run(
        "CREATE OR REPLACE FUNCTION strangler.capture() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "DROP FUNCTION strangler.joined_subject(json, text[])",
    )
    (hole,) = capture.holes()
    assert "not those that we make" in hole.what
    since = capture.installation(["POLMAST"])
    captured.install()
    assert (capture.holes(), capture.installation(["POLMAST"])) == ([], since)
    captured.run(policy(1))
    assert [one.subject for one in pending(captured)] == ["P0001"]
    assert capture.plan(TABLES).statements == ()
