"""What only the log has: commit order, images out of text, slots that grow, are lost, moved or made anew (R1, R2, R3, R10)."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Connection, text

from adapters.legacy import open_legacy
from adapters.legacy.wal import fetching
from adapters.legacy.wal.capture import WalCapture
from adapters.legacy.wal.guarding import SlotBroken
from adapters.legacy.wal.slot import Slot, SlotBusy
from tests.support.legacy import HOLD, OUTBOX, POLICY, SOURCE, TABLES, Legacy, hold, outbox, policy
from tests.support.wal import LogLegacy, legacy
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Fenced, UsageError
from toolkit.ports import CapturedTable, Cursor
from toolkit.settings import LegacySection, WalSection

__all__ = ["legacy"]
pytestmark = pytest.mark.postgres


def pending(legacy: Legacy, limit: int = 1000) -> list[Change]:
    return legacy.source.capture.pending(limit, [])


def mark_all(legacy: Legacy) -> None:
    legacy.source.capture.mark([one.number for one in pending(legacy)])


def holes(legacy: Legacy) -> list[tuple[str, str]]:
    return [(hole.where, hole.what) for hole in legacy.source.capture.holes()]


@pytest.fixture
def log(captured: LogLegacy) -> LogLegacy:
    return captured


@pytest.fixture
def other(log: LogLegacy) -> Iterator[Connection]:
    with log.engine.connect() as connection:
        yield connection


# --- what is installed


def test_the_slot_is_made_by_who_installs_alone(legacy: LogLegacy) -> None:
    """A slot waits for transactions that are open: the one that keeps the others out is none of those."""
    capture = legacy.source.capture
    assert isinstance(capture, WalCapture)
    with capture.alone():
        capture.install(capture.plan(TABLES))
    assert capture.installed()


def traces(legacy: LogLegacy) -> list[tuple[object, ...]]:
    sql = """
        SELECT 'publication', pubname::text FROM pg_publication
        UNION ALL SELECT 'slot', slot_name::text FROM pg_replication_slots WHERE database = current_database()
        UNION ALL SELECT 'schema', nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg_%'
        UNION ALL SELECT 'identity', oid::regclass::text || ' ' || relreplident::text FROM pg_class
          WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
        ORDER BY 1, 2"""
    with legacy.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def test_removal_gives_back_what_was_there_to_the_letter(legacy: LogLegacy) -> None:
    legacy.run(
        "CREATE UNIQUE INDEX POLHOLD_U ON POLHOLD (HLD_ID)",
        "ALTER TABLE POLHOLD REPLICA IDENTITY USING INDEX POLHOLD_U",
    )
    before = traces(legacy)
    legacy.install()
    assert ("identity", "polhold f") in traces(legacy)
    legacy.run(policy(1))
    legacy.capture.remove(legacy.capture.plan(TABLES))
    assert traces(legacy) == before
    assert legacy.capture.installed() == ()


def test_a_slot_that_cannot_be_made_leaves_nothing_behind(legacy: LogLegacy) -> None:
    before = traces(legacy)
    plan = legacy.capture.plan(TABLES)
    legacy.ask(f"SELECT pg_create_physical_replication_slot('{legacy.slot}')")
    try:
        with pytest.raises(UsageError, match="already exists"):
            legacy.capture.install(plan)
        assert traces(legacy) == before
    finally:
        legacy.ask(f"SELECT pg_drop_replication_slot('{legacy.slot}')")


def test_what_the_role_lacks_is_told_all_at_once(legacy: LogLegacy) -> None:
    legacy.run("DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN", "GRANT SELECT ON POLMAST TO reader")
    capture = legacy.capturing(legacy.url.replace("postgres@", "reader@"))
    try:
        with pytest.raises(UsageError) as said:
            capture.plan([POLICY])
        assert 'ALTER ROLE "reader" REPLICATION' in str(said.value)
        assert "GRANT CREATE ON DATABASE" in str(said.value)
    finally:
        capture.close()
        legacy.run("DROP OWNED BY reader", "DROP ROLE reader")


def test_a_table_that_the_log_does_not_have_is_refused(legacy: LogLegacy) -> None:
    legacy.run("CREATE UNLOGGED TABLE FAST (ID int PRIMARY KEY)")
    with pytest.raises(UsageError, match="is UNLOGGED: the log does not have it"):
        legacy.capture.plan([CapturedTable(table="FAST", subject="ID")])


# --- images

TYPES = """
    A int2, B int4, C int8, D numeric, E numeric(12,2), F float4, G float8, H bool, I text, J varchar(9), K char(9),
    L bytea, M date, N time, O timetz, P timestamp, Q timestamptz, R interval, S uuid, T json, U jsonb, V inet, W xml,
    X int4[], Y text[], Z numeric[], AA timestamptz[], AB jsonb[], AC mood, AD positive, AE mood[], AF int4range,
    AG bit(3), AH money, AI oid, AJ point, AK pair, AL pair[], AM box[], AN "char", AO name, AP bool[], AQ positive[]"""
ROWS = [
    """1, 2, 9223372036854775807, 12345678901234567890.123, 100.00, 0.1, 0.1, true, 'a "b" \\ ä', 'v ', 'c',
    '\\x00ff', '2024-02-29', '12:00:00.5', '12:00+02', '2024-07-01 12:00', '2024-07-01 12:00:00.25+02', '1 day 2 hours',
    '6b1e5d0e-9c1a-4b0a-8a1f-6d52aabbccdd', '{"b": 1e5, "a": [1.50, null, -0.0], "a": 2}', '{"x": {"y": 1.10}}', '10.0.0.1',
    '<a/>', '{{1,2},{3,NULL}}', ARRAY['a,b', NULL, 'say "x"', '', 'NULL'], '{1.50,NaN}', ARRAY['2024-07-01 12:00+00'::timestamptz],
    ARRAY['{"k": 1.0}'::jsonb], 'glad', 7, '{glad,sad}', '[1,5)', B'101', 12.5, 42, '(1,2)', ROW(1, 'x y'),
    ARRAY[ROW(2, NULL)::pair], ARRAY[box '(1,2),(0,0)'], 'q', 'n', '{t,f}', '{1,2}'""",
    """-1, 0, 0, 'NaN', -0.50, 'Infinity', 1e20, false, '', NULL, '', '', '0044-03-15 BC', '00:00', '00:00-11',
    '0044-03-15 12:00 BC', 'infinity', '-1 mon', NULL, '1e-3', '"text"', NULL, NULL, '{}', '[0:1]={a,b}', '{}', '{}',
    '{}', 'sad', 1, NULL, 'empty', B'000', -1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL""",
    ", ".join(["NULL"] * 43),
]


def test_the_log_gives_the_images_that_triggers_give(legacy: LogLegacy) -> None:
    legacy.run(
        "CREATE TYPE mood AS ENUM ('sad', 'glad')",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        "CREATE TYPE pair AS (n int, t text)",
        f"CREATE TABLE EVERY (ID int PRIMARY KEY, {TYPES})",
    )
    every = [CapturedTable(table="EVERY", subject="ID")]
    legacy.install(every)
    triggers = open_legacy(SOURCE, legacy.url, LegacySection(url=legacy.url, context="policies"))
    try:
        triggers.capture.install(triggers.capture.plan(every))
        with legacy.engine.begin() as connection:
            for number, values in enumerate(ROWS):
                connection.exec_driver_sql(f"INSERT INTO EVERY VALUES ({number}, {values})")
        legacy.run("UPDATE EVERY SET B = 5", "DELETE FROM EVERY")
        by_log, by_trigger = pending(legacy), triggers.capture.pending(100, [])
    finally:
        triggers.close()
    assert len(by_log) == 9
    for mine, theirs in zip(by_log, by_trigger, strict=True):
        for image, other in ((mine.before, theirs.before), (mine.after, theirs.after)):
            assert image == other
            kinds = {name: type(value) for name, value in (image or {}).items()}
            assert kinds == {name: type(value) for name, value in (other or {}).items()}
        assert (mine.op, mine.subject, mine.key) == (theirs.op, theirs.subject, theirs.key)


def test_a_generated_column_is_in_no_image_by_log_or_by_backfill(legacy: LogLegacy) -> None:
    legacy.run("CREATE TABLE GEN (ID int PRIMARY KEY, N int, TWICE int GENERATED ALWAYS AS (N * 2) STORED)")
    tables = [CapturedTable(table="GEN", subject="ID")]
    legacy.install(tables)
    legacy.run("INSERT INTO GEN VALUES (1, 2)")
    assert [dict(one.row) for one in pending(legacy)] == [{"ID": 1, "N": 2}]
    chunk = legacy.capture.chunk(tables, Cursor(tables=("GEN",)), 10)
    assert [dict(one.row) for one in chunk.changes] == [{"ID": 1, "N": 2}]


def test_columns_that_are_not_captured_are_in_no_image_and_make_no_change(legacy: LogLegacy) -> None:
    tables = [CapturedTable(table="POLMAST", subject="POL_NO", ignore=("NOTE", "PREM"))]
    legacy.install(tables)
    legacy.run(policy(1), "UPDATE POLMAST SET NOTE = 'x'", "UPDATE POLMAST SET STAT_CD = 'C'")
    assert [(one.op, set(one.row)) for one in pending(legacy)] == [
        (Op.INSERT, {"POL_NO", "STAT_CD"}),
        (Op.UPDATE, {"POL_NO", "STAT_CD"}),
    ]
    chunk = legacy.capture.chunk(tables, Cursor(tables=("POLMAST",)), 10)
    assert [set(one.row) for one in chunk.changes] == [{"POL_NO", "STAT_CD"}]


def test_a_large_value_that_was_not_touched_is_there_or_unknown_and_never_null(
    legacy: LogLegacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy.run(
        "CREATE TABLE DOC (ID int PRIMARY KEY, STATE text, BODY text)",
        "ALTER TABLE DOC ALTER BODY SET STORAGE EXTERNAL",
        "INSERT INTO DOC VALUES (1, 'a', repeat('x', 9000))",
    )
    tables = [CapturedTable(table="DOC", subject="ID")]
    legacy.install(tables)
    legacy.run("UPDATE DOC SET STATE = 'b'")
    (whole,) = pending(legacy)
    assert whole["BODY"] == "x" * 9000
    assert not whole.changed("BODY")
    legacy.capture.remove(legacy.capture.plan(tables))
    legacy.wal = WalSection(slot=legacy.slot, identity="default")
    legacy.again()
    legacy.install(tables)
    assert "REPLICA IDENTITY" not in " ".join(legacy.capture.plan(tables).statements)
    legacy.run("UPDATE DOC SET STATE = 'c'", "DELETE FROM DOC")
    updated, deleted = pending(legacy)
    assert (updated.before, updated.after) == ({"ID": 1}, {"ID": 1, "STATE": "c"})
    assert deleted.before == {"ID": 1}
    with pytest.raises(KeyError, match="BODY"):
        updated["BODY"]  # asked for, it parks the change


def test_where_the_key_does_not_hold_the_subject_the_whole_former_row_is_logged_all_the_same(
    legacy: LogLegacy,
) -> None:
    legacy.wal = WalSection(slot=legacy.slot, identity="default")
    legacy.again()
    statements = legacy.capture.plan(TABLES).statements
    assert [one for one in statements if "REPLICA IDENTITY" in one] == [
        "ALTER TABLE public.polhold REPLICA IDENTITY FULL"
    ]


def test_a_column_that_came_later_is_in_the_image_and_told(log: LogLegacy) -> None:
    log.run(policy(1))
    log.run("ALTER TABLE POLMAST ADD COLUMN LATER int", "ALTER TABLE POLMAST DROP COLUMN NOTE")
    log.run("INSERT INTO POLMAST (POL_NO, LATER) VALUES ('P2', 5)")
    first, second = pending(log)
    assert "NOTE" in first.row
    assert (second["LATER"], "NOTE" in second.row) == (5, False)
    ((where, what),) = holes(log)
    assert where == "POLMAST"
    assert 'came: "later"; went: "note"' in what
    log.install()
    assert holes(log) == []


def test_tables_elsewhere_and_their_new_names_are_known(legacy: LogLegacy) -> None:
    legacy.run("CREATE SCHEMA archive", "CREATE TABLE archive.OLD (ID int PRIMARY KEY, N int)")
    legacy.install([CapturedTable(table="archive.OLD", subject="ID")])
    legacy.run("INSERT INTO archive.OLD VALUES (1, 2)", "ALTER TABLE archive.OLD RENAME TO older")
    legacy.run("UPDATE archive.older SET N = 3")
    assert [(one.table, one["N"]) for one in pending(legacy)] == [("ARCHIVE.OLD", 2), ("ARCHIVE.OLD", 3)]


def test_partitions_are_told_as_their_table_with_whole_former_rows(legacy: LogLegacy) -> None:
    legacy.run(
        "CREATE TABLE PART (ID int, POL text, N int, PRIMARY KEY (ID)) PARTITION BY RANGE (ID)",
        "CREATE TABLE part_1 PARTITION OF PART FOR VALUES FROM (1) TO (10)",
    )
    legacy.install([CapturedTable(table="PART", subject="POL")])
    legacy.run("INSERT INTO PART VALUES (1, 'P1', 2)", "UPDATE PART SET POL = 'P2'")
    assert [(one.table, one.op, one.subject) for one in pending(legacy)] == [
        ("PART", Op.INSERT, "P1"),
        ("PART", Op.DELETE, "P1"),
        ("PART", Op.INSERT, "P2"),
    ]
    mark_all(legacy)
    legacy.run("CREATE TABLE part_2 PARTITION OF PART FOR VALUES FROM (10) TO (20)")
    legacy.run("INSERT INTO PART VALUES (11, 'P3', 2)", "DELETE FROM PART WHERE ID = 11")
    # What the partition does not log is unknown, not NULL.
    assert [one.before for one in pending(legacy)] == [None, {"ID": 11}]
    ((where, what),) = holes(legacy)
    assert where == "PART"
    assert "public.part_2 does not log former rows" in what
    legacy.install([CapturedTable(table="PART", subject="POL")])
    assert holes(legacy) == []


def test_an_outbox_without_a_primary_key_can_still_be_updated_and_deleted(legacy: LogLegacy) -> None:
    """A table that publishes deletions without an identity makes the application's own statements fail."""
    legacy.run(
        "ALTER TABLE OUTBOX DROP CONSTRAINT outbox_pkey", "CREATE UNIQUE INDEX OUTBOX_U ON OUTBOX (ID)"
    )
    legacy.install()
    legacy.run(outbox(1, of=1), "UPDATE OUTBOX SET TYPE = 'x'", "DELETE FROM OUTBOX")
    assert [one.op for one in pending(legacy)] == [Op.INSERT]


# --- order, transactions, horizons


def test_changes_come_in_the_order_of_the_commits(log: LogLegacy, other: Connection) -> None:
    other.execute(text(policy(1)))
    log.run(policy(2))
    other.execute(text(hold(1, of=1)))
    other.commit()
    first, second, third = pending(log)
    assert [one.subject for one in (first, second, third)] == ["P0002", "P0001", "P0001"]
    assert second.transaction == third.transaction != first.transaction
    assert second.captured_at == third.captured_at >= first.captured_at


def test_a_table_whose_rows_get_another_subject_or_key_is_read_anew(legacy: LogLegacy) -> None:
    legacy.install([HOLD])
    known = {legacy.capture.installation(["POLHOLD"])}
    legacy.install([HOLD])
    assert {legacy.capture.installation(["POLHOLD"])} == known
    for other in (
        CapturedTable(table="POLHOLD", subject="HLD_ID"),
        CapturedTable(table="POLHOLD", subject="HLD_ID", key=("HLD_ID", "HLD_TYP")),
    ):
        legacy.install([other])
        now = legacy.capture.installation(["POLHOLD"])
        assert now not in known
        known.add(now)


def test_read_again_a_change_has_the_same_position(log: LogLegacy) -> None:
    log.run(policy(1), hold(1, of=1), "UPDATE POLHOLD SET POL_NO = 'P0002'")
    positions = [one.position for one in pending(log)]
    assert len(set(positions)) == 4
    before = log.state.inbox(SOURCE)
    log.run("SELECT 1")
    assert [one.position for one in log.capture.pending(10, [])] == positions
    assert before.last() == 4


def test_a_savepoint_that_is_rolled_back_and_one_that_is_kept(log: LogLegacy) -> None:
    log.run(
        policy(1), "SAVEPOINT a", policy(2), "ROLLBACK TO a", "SAVEPOINT b", policy(3), "RELEASE b", policy(4)
    )
    changes = pending(log)
    assert [one.subject for one in changes] == ["P0001", "P0003", "P0004"]
    assert len({one.transaction for one in changes}) == 1


def test_a_prepared_transaction_comes_when_it_is_committed(log: LogLegacy, other: Connection) -> None:
    other.execute(text(policy(1)))
    other.execute(text(f"PREPARE TRANSACTION '{log.slot}'"))
    other.rollback()
    log.run(policy(2))
    assert [one.subject for one in pending(log)] == ["P0002"]
    horizon = log.capture.horizon()
    mark_all(log)
    assert log.capture.behind(horizon) == 0
    log.ask(f"COMMIT PREPARED '{log.slot}'")
    assert [one.subject for one in pending(log)] == ["P0001"]


def test_a_transaction_that_stays_open_stalls_neither_the_others_nor_the_horizon(
    log: LogLegacy, other: Connection
) -> None:
    other.execute(text(policy(1)))
    for number in range(2, 5):
        log.run(policy(number))
        horizon = log.capture.horizon()
        mark_all(log)
        assert log.capture.behind(horizon) == 0
    other.commit()
    assert [one.subject for one in pending(log)] == ["P0001"]


def test_a_commit_that_is_visible_before_it_is_on_disk_is_covered_by_the_horizon(log: LogLegacy) -> None:
    pending(log)
    for number in range(5):
        log.run("SET LOCAL synchronous_commit = off", policy(number))
        horizon = log.capture.horizon()
        assert log.capture.behind(horizon) == number + 1


def test_a_process_that_only_looks_fetches_nothing(log: LogLegacy) -> None:
    log.run(policy(1), policy(2))
    looking = log.capturing(log.url)
    assert looking.behind(looking.horizon()) == 2
    assert log.state.inbox(SOURCE).last() == 0
    looking.close()


def test_who_fetches_beside_the_leader_stores_nothing(log: LogLegacy) -> None:
    log.run(policy(1))
    late = log.capturing(log.url)
    reading = late._fetcher._open()
    assert reading is not None
    assert reading.read()
    assert len(pending(log)) == 1
    with pytest.raises(Fenced):
        reading.store()
    reading.stream.close()
    late.close()
    assert len(pending(log)) == 1


# --- one huge transaction


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PART", 10)
    monkeypatch.setattr(fetching, "READ", 7)
    monkeypatch.setattr(fetching, "PEEK", 30)


def test_a_huge_transaction_is_stored_in_parts_and_offered_whole(
    log: LogLegacy, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.run(policy(1))
    log.run("INSERT INTO POLHOLD SELECT n, 'P0001', 'P' FROM generate_series(1, 95) n")
    log.run(policy(2))
    monkeypatch.setattr(fetching, "STEP_SECONDS", -1.0)
    seen: list[int] = []
    for turn in range(100):
        offered = pending(log)
        seen.append(len(offered))
        horizon_covers = log.capture.behind(log.capture.horizon())
        if len(offered) == 97:
            break
        assert len(offered) in (0, 1, 96)  # whole transactions only
        assert horizon_covers > len(offered)
        if turn == 8:
            log.again()  # what was stored of the transaction is not stored again
    assert seen[-1] == 97
    assert 10 < log.state.inbox(SOURCE).last() == 97
    assert [one["HLD_ID"] for one in pending(log) if one.table == "POLHOLD"] == list(range(1, 96))
    assert [one.position for one in pending(log)] == sorted(
        (one.position for one in pending(log)),
        key=lambda one: [int(x, 16) for x in one.split(":")[2].split("/")] + [int(one.split(":")[3])],
    )


# --- crashes


class Killed(Exception):
    pass


@pytest.mark.parametrize("step", ["peek", "put", "stored", "advance", "advanced", "mark"])
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(
    log: LogLegacy, small: None, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    got: list[str] = []

    def relay() -> None:
        while changes := log.capture.pending(1000, []):
            # What is archived before it is marked is known by its position.
            got.extend(one.position for one in changes if one.position not in got)
            names.extend(one.subject for one in changes if one.position in got[-len(changes) :])
            if step == "mark" and next(countdown) == 0:
                raise Killed
            log.capture.mark([one.number for one in changes])

    names: list[str] = []
    for kill_at in range(3):
        countdown = iter([*range(kill_at, -1, -1), *[99] * 1000])
        log.run(*(policy(kill_at * 100 + number) for number in range(15)))
        log.run(policy(kill_at * 100 + 50))
        with monkeypatch.context() as patch:
            _break(patch, log, step, countdown)
            try:
                relay()
            except Killed:
                log.again()
        log.again()
        relay()
    expected = [f"P{at * 100 + number:04}" for at in range(3) for number in [*range(15), 50]]
    assert len(got) == len(set(got)) == len(expected)
    assert log.state.inbox(SOURCE).last() == len(expected)


def _break(patch: pytest.MonkeyPatch, log: LogLegacy, step: str, countdown: Iterator[int]) -> None:
    slot, inbox = log.capture._slot, log.capture._inbox

    def breaking(call: object, *, after: bool) -> object:
        def broken(*args: object, **kwargs: object) -> object:
            dies = next(countdown) == 0
            if dies and not after:
                raise Killed
            made = call(*args, **kwargs)  # type: ignore[operator]
            if dies:
                raise Killed
            return made

        return broken

    if step == "peek":
        patch.setattr(slot, "peek", breaking(slot.peek, after=False))
    elif step in ("put", "stored"):
        patch.setattr(inbox, "put", breaking(inbox.put, after=step == "stored"))
    elif step in ("advance", "advanced"):
        patch.setattr(slot, "advance", breaking(slot.advance, after=step == "advanced"))


# --- TRUNCATE


@pytest.mark.parametrize("part", [1, 5000])
def test_a_truncate_is_a_hole_that_ends_promises_while_all_else_flows(
    log: LogLegacy, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(fetching, "PART", part)
    log.run(policy(1))
    log.run("DELETE FROM POLHOLD", "TRUNCATE POLMAST", hold(1, of=1))
    log.run(policy(2))
    assert [one.subject for one in pending(log)] == ["P0001", "P0001", "P0002"]
    mark_all(log)
    for _ in range(2):
        log.run(policy(5), "DELETE FROM POLMAST WHERE POL_NO = 'P0005'")
        mark_all(log)
        assert log.capture.behind(log.capture.horizon()) == 1
        (found,) = holes(log)
        assert "TRUNCATE of POLMAST" in found[1]
        assert "nothing is promised" in found[1]
        log.again()
    before = log.capture.installation(["POLMAST"])
    log.install()
    assert log.capture.installation(["POLMAST"]) != before
    log.run(policy(3))
    assert [one.subject for one in pending(log)] == ["P0003"]
    mark_all(log)
    assert (holes(log), log.capture.behind(log.capture.horizon())) == ([], 0)


def test_who_looks_how_much_waits_and_who_reads_do_not_disturb_each_other(log: LogLegacy) -> None:
    """`strangler status` while the leader reads: a slot has one reader at a time."""
    status, done, failures, rounds = (
        log.capturing(log.url),
        threading.Event(),
        list[BaseException](),
        list[int](),
    )

    def look() -> None:
        try:
            while not done.is_set():
                rounds.append(status.behind(status.horizon()))
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    looking = threading.Thread(target=look)
    looking.start()
    found = 0
    try:
        for at in range(5):
            number = f"i + {at} * 2000"
            log.run(f"INSERT INTO POLHOLD SELECT {number}, 'P' || i, 'P' FROM generate_series(1, 2000) i")
            while log.capture.behind(log.capture.horizon()) or found < (at + 1) * 2000:
                some = pending(log, 5000)
                log.capture.mark([one.number for one in some])
                found += len(some)
    finally:
        done.set()
        looking.join()
    assert (failures, found) == ([], 10_000)
    assert len(rounds) > 3
    assert status.behind(status.horizon()) == 0


def test_what_is_fetched_is_not_counted_again_where_the_slot_could_not_be_advanced(
    log: LogLegacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who looks has the slot in the moment in which the leader would advance it."""

    def busy(self: Slot, place: int) -> None:
        raise SlotBusy("in use")

    monkeypatch.setattr(Slot, "advance", busy)
    log.run(policy(1), policy(2))
    mark_all(log)
    status = log.capturing(log.url)
    log.run("CREATE TABLE further (x int)")  # the log goes on
    assert status.behind(status.horizon()) == 0
    log.run(policy(3))
    assert status.behind(status.horizon()) == 1
    mark_all(log)
    log.run("DROP TABLE further")
    assert status.behind(status.horizon()) == 0
    monkeypatch.setattr("adapters.legacy.wal.capture._COUNTED", 2)
    assert status.behind(status.horizon()) == 1, "what lies behind the limit is not known to be nothing"


def test_a_truncate_of_what_is_not_captured_is_none_of_our_business(legacy: LogLegacy) -> None:
    legacy.install([POLICY, OUTBOX])
    legacy.run("TRUNCATE POLHOLD", "TRUNCATE OUTBOX", policy(1))
    assert [one.subject for one in pending(legacy)] == ["P0001"]


# --- the slot


def _drop(log: LogLegacy) -> None:
    log.ask(f"SELECT pg_drop_replication_slot('{log.slot}')")


def _recreate(log: LogLegacy) -> None:
    _drop(log)
    log.ask(f"SELECT pg_create_logical_replication_slot('{log.slot}', 'pgoutput')")


def _advance(log: LogLegacy) -> None:
    log.ask(f"SELECT pg_replication_slot_advance('{log.slot}', pg_current_wal_flush_lsn())")


def _unpublish(log: LogLegacy) -> None:
    log.run(f"DROP PUBLICATION {log.slot}")


@pytest.mark.parametrize(
    ("harm", "says"),
    [(_drop, "it is gone"), (_recreate, "beyond"), (_advance, "beyond"), (_unpublish, "publication is gone")],
)
def test_a_slot_that_was_touched_is_never_read_on(log: LogLegacy, harm: object, says: str) -> None:
    log.run(policy(1))
    mark_all(log)
    installation = log.capture.installation(["POLMAST"])
    log.run(policy(2))
    harm(log)  # type: ignore[operator]
    log.run(policy(3))
    for _ in range(2):
        with pytest.raises(SlotBroken, match=says) as said:
            pending(log)
        log.again()
    assert "strangler capture install" in str(said.value)
    assert any(says in what for _, what in holes(log))
    log.install()
    assert holes(log) == []
    assert log.capture.installation(["POLMAST"]) not in (installation, None)
    log.run(policy(4))
    assert [one.subject for one in pending(log)] == ["P0004"]


def test_log_that_does_not_concern_us_is_let_go(log: LogLegacy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "IDLE_BYTES", 1000)
    pending(log)
    confirmed = f"SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{log.slot}'"
    before = log.ask(confirmed)
    log.run("CREATE TABLE NOISE AS SELECT n FROM generate_series(1, 2000) n")
    assert pending(log) == []
    assert log.ask(confirmed) > before  # type: ignore[operator]
    log.again()
    assert pending(log) == []


def test_log_that_grows_is_a_hole_with_what_holds_it(legacy: LogLegacy) -> None:
    legacy.wal = WalSection(slot=legacy.slot, max_retained="1kB")
    legacy.again()
    legacy.install()
    legacy.run("CREATE TABLE NOISE AS SELECT n FROM generate_series(1, 2000) n")
    ((where, what),) = holes(legacy)
    assert where == f"slot {legacy.slot}"
    assert "of log for it (max_retained" in what


def test_a_table_that_was_taken_out_of_the_publication_is_a_hole(log: LogLegacy) -> None:
    log.run(
        f"ALTER PUBLICATION {log.slot} DROP TABLE POLHOLD", "ALTER TABLE POLMAST REPLICA IDENTITY DEFAULT"
    )
    assert [(where, what.split(":")[0]) for where, what in holes(log)] == [
        ("POLHOLD", "the table is not in the publication any more"),
        ("POLMAST", "public.polmast does not log former rows"),
    ]


# --- many writers


def test_beside_eight_writers_nothing_is_lost_and_the_order_is_that_of_the_commits(log: LogLegacy) -> None:
    """Each transaction counts one row up last, so that its number is its place among the commits."""
    log.run(policy(0, premium="0"))
    committed: list[int] = []

    def write(seed: int) -> None:
        for at in range(25):
            with log.engine.connect() as connection:
                row = seed * 1000 + at
                connection.execute(text(hold(row, of=1 + seed)))
                connection.execute(text("SAVEPOINT s"))
                connection.execute(text(hold(row + 500, of=1 + seed)))
                if at % 3 == 0:
                    connection.execute(text("ROLLBACK TO s"))
                connection.execute(text("UPDATE POLMAST SET PREM = PREM + 1"))
                if at % 5 == 1:
                    connection.rollback()
                    continue
                if at % 5 == 2:
                    connection.execute(text(f"PREPARE TRANSACTION '{log.slot}-{row}'"))
                    connection.rollback()
                    log.ask(f"COMMIT PREPARED '{log.slot}-{row}'")
                else:
                    connection.commit()
                committed.append(row)

    with log.engine.connect() as idle:
        idle.execute(text(policy(9)))
        threads = [threading.Thread(target=write, args=(seed,)) for seed in range(1, 9)]
        for thread in threads:
            thread.start()
        changes: list[Change] = []
        last = False
        while not last:
            last = not any(thread.is_alive() for thread in threads)
            while some := pending(log, 50):
                changes += some
                log.capture.mark([one.number for one in some])
        idle.rollback()
    held = [int(str(one["HLD_ID"])) for one in changes if one.table == "POLHOLD"]
    assert sorted(one for one in held if one % 1000 < 500) == sorted(committed)
    counted = [int(str(one["PREM"]).split(".")[0]) for one in changes if one.table == "POLMAST"]
    assert counted == list(range(len(committed) + 1))


def test_a_backfill_beside_writers_and_the_stream_after_it_give_the_table(log: LogLegacy) -> None:
    log.run(*(policy(number, premium="0") for number in range(40)))
    stop = threading.Event()

    def write(seed: int) -> None:
        at = 0
        while not stop.is_set():
            at += 7
            number = (seed * 13 + at) % 60
            log.run(
                f"INSERT INTO POLMAST VALUES ('P{number:04}', 'A', 0, NULL)"
                " ON CONFLICT (POL_NO) DO UPDATE SET PREM = POLMAST.PREM + 1",
                f"DELETE FROM POLMAST WHERE POL_NO = 'P{(number * 7) % 60:04}' AND PREM > 3",
            )

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    rows: dict[str, object] = {}

    def fold(changes: list[Change]) -> None:
        for one in changes:
            if one.op is Op.DELETE:
                assert rows.pop(one.subject) == (one.before or {})["PREM"]
            else:
                assert one.op is Op.SNAPSHOT or rows.get(one.subject) == (one.before or {}).get("PREM")
                rows[one.subject] = one["PREM"]

    cursor = Cursor(tables=("POLMAST",))
    while not cursor.done:
        chunk = log.capture.chunk([POLICY], cursor, 3)
        fold(chunk.changes)
        log.capture.mark(chunk.absorbed)
        cursor = chunk.cursor
        some = log.capture.pending(100, [cursor])
        fold(some)
        log.capture.mark([one.number for one in some])
    stop.set()
    for thread in threads:
        thread.join()
    while some := log.capture.pending(1000, [cursor]):
        fold(some)
        log.capture.mark([one.number for one in some])
    with log.engine.connect() as connection:
        table = connection.execute(text("SELECT rtrim(POL_NO::text), PREM FROM POLMAST")).all()
    assert rows == {str(row[0]): row[1] for row in table}


def test_tables_are_added_without_a_gap_for_the_others(legacy: LogLegacy) -> None:
    legacy.install([POLICY])
    first = legacy.capture.installation(["POLMAST"])
    legacy.run(policy(1), hold(1, of=1))
    legacy.install([POLICY, HOLD])
    legacy.run(policy(2), hold(2, of=2))
    assert [(one.table, one.subject) for one in pending(legacy)] == [
        ("POLMAST", "P0001"),
        ("POLMAST", "P0002"),
        ("POLHOLD", "P0002"),
    ]
    assert legacy.capture.installation(["POLMAST"]) == first
    assert legacy.capture.installation(["POLMAST", "POLHOLD"]) != first


def test_a_row_that_comes_beside_one_with_the_same_key_but_for_blanks_is_told_of_it(
    legacy: LogLegacy,
) -> None:
    legacy.run("ALTER TABLE POLMAST ALTER COLUMN POL_NO TYPE VARCHAR(12)")
    legacy.install()
    insert = "INSERT INTO POLMAST (POL_NO, STAT_CD) VALUES ('{}', 'A')"
    legacy.run(insert.format("P1 "), insert.format("P2 "))
    mark_all(legacy)
    legacy.run(insert.format("P1"))
    assert [one.beside for one in pending(legacy)] == [("P1 ",)]
    (told,) = [what for where, what in holes(legacy) if where == "POLMAST"]
    assert told.startswith(
        "the keys 'P1' and 'P1 ' are one subject: they differ in nothing but blanks at their end"
    )


def test_a_row_that_goes_is_told_of_its_copy_but_not_of_one_that_the_log_has_later(
    legacy: LogLegacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are read later than the log was: the log is read to its end, which shows what was not there yet."""
    legacy.run("ALTER TABLE POLMAST ALTER COLUMN POL_NO TYPE VARCHAR(12)")
    legacy.install()
    insert, delete = (
        "INSERT INTO POLMAST (POL_NO, STAT_CD) VALUES ('{}', 'A')",
        "DELETE FROM POLMAST WHERE POL_NO = '{}'",
    )
    legacy.run(insert.format("P1 "), insert.format("P2 "))
    mark_all(legacy)
    legacy.run(insert.format("P1"))
    legacy.run(delete.format("P1 "))
    assert [one.beside for one in pending(legacy, 1)] == [()], "the copy looks alone"
    legacy.source.capture.mark([one.number for one in pending(legacy, 1)])
    assert [one.beside for one in pending(legacy)] == [("P1",)]
    mark_all(legacy)
    capture = legacy.source.capture
    assert isinstance(capture, WalCapture)
    fetched = capture._fetched

    def overtaken(limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        found = fetched(limit, cursors)
        legacy.run(insert.format("P2"))
        return found

    legacy.run(delete.format("P2 "), policy(3))
    with monkeypatch.context() as patched:
        patched.setattr(capture, "_fetched", overtaken)
        patched.setattr(capture, "_reach", lambda _: False)
        assert [one.subject for one in pending(legacy)] == ["P0003"], (
            "what is not known yet waits, and all else flows"
        )
        legacy.run(delete.format("P2"))
        patched.undo()
        patched.setattr(capture, "_fetched", overtaken)
        went = next(one for one in pending(legacy) if one.subject == "P2")
        assert (went.op, went.beside) == (Op.DELETE, ())
