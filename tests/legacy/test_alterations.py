"""A captured table that is altered is never mis-captured in silence: each alteration is a hole, and says what to do (R1)."""

from pathlib import Path

import pytest

from tests.support.legacy import POLICY, Legacy, policy
from tests.translate.domain import CATALOGUE, rules
from toolkit.core.changes import Change, Op
from toolkit.loops.translate import translate
from toolkit.ports import CapturedTable


def holes(legacy: Legacy) -> list[str]:
    return [hole.what for hole in legacy.source.capture.holes()]


def pending(legacy: Legacy) -> list[Change]:
    return legacy.source.capture.pending(100, [])


def test_a_change_that_lacks_a_column_which_translators_read_is_parked_with_that_reason(
    legacy: Legacy,
) -> None:
    legacy.install([CapturedTable(table="POLMAST", subject="POL_NO", ignore=("STAT_CD",))])
    legacy.run(policy(1))
    outcome = translate(pending(legacy), rules(), CATALOGUE, {}, legacy.source.clock())
    (parked,) = outcome.parked
    assert (
        "POLMAST has no column STAT_CD: it was dropped or renamed, or capture leaves it out" in parked.reason
    )


@pytest.mark.parametrize("asked", ["changed", "became"])
def test_nobody_says_that_a_column_did_not_change_which_is_not_there(legacy: Legacy, asked: str) -> None:
    legacy.install([CapturedTable(table="POLMAST", subject="POL_NO", ignore=("STAT_CD",))])
    legacy.run(policy(1))
    legacy.run("UPDATE POLMAST SET PREM = 1")
    updated = pending(legacy)[1]
    with pytest.raises(KeyError, match="has no column STAT_CD"):
        updated.changed("STAT_CD") if asked == "changed" else updated.became("STAT_CD", "C ")


def test_a_renamed_column_is_a_hole(legacy: Legacy) -> None:
    legacy.install([POLICY])
    legacy.run("ALTER TABLE POLMAST RENAME COLUMN NOTE TO REMARK")
    legacy.run(policy(1))
    said = " ".join(holes(legacy)).lower()
    if legacy.sqlite:  # which follows the column in our triggers
        assert said == "the column note is called remark now; the changes have it under its old name"
        assert "NOTE" in (pending(legacy)[0].after or {})
        legacy.install([POLICY])
        assert holes(legacy) == []
        return
    assert "the column remark was added" in said
    assert "the column note is gone (dropped or renamed)" in said


def test_a_key_that_is_renamed_beside_a_trigger_that_somebody_changed_are_two_holes(legacy: Legacy) -> None:
    if not legacy.sqlite:
        pytest.skip("about SQLite, which changes triggers with their columns")
    legacy.install([POLICY])
    legacy.run(
        "ALTER TABLE POLMAST RENAME COLUMN POL_NO TO NUMBER",
        "DROP TRIGGER strangler_polmast_delete",
        "CREATE TRIGGER strangler_polmast_delete AFTER DELETE ON POLMAST BEGIN SELECT 1; END",
    )
    said = holes(legacy)
    assert said[0] == "the trigger strangler_polmast_delete is not the one we made"
    assert [one for one in said if "POL_NO is called NUMBER now" in one] == said[1:]


def test_a_dropped_table_that_is_made_again_is_a_hole(legacy: Legacy) -> None:
    legacy.install([POLICY])
    legacy.run("CREATE TABLE COPY AS SELECT * FROM POLMAST", "DROP TABLE POLMAST")
    assert any("is gone" in what for what in holes(legacy))
    legacy.run("ALTER TABLE COPY RENAME TO POLMAST")
    assert any("trigger" in what and "is gone" in what for what in holes(legacy))


def test_a_changed_key_is_a_hole_until_it_is_installed_again(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE T (A INTEGER NOT NULL, B INTEGER NOT NULL, S VARCHAR(9))",
        "CREATE UNIQUE INDEX ONE ON T (A)",
    )
    table = CapturedTable(table="T", subject="S")
    legacy.install([table])
    since = legacy.source.capture.installation(["T"])
    drop = "DROP INDEX ONE ON T" if legacy.mariadb else "DROP INDEX ONE"
    legacy.run(drop, "CREATE UNIQUE INDEX TWO ON T (A, B)")
    (what,) = holes(legacy)
    assert what.lower() == "its key is a, b now, and was a"
    legacy.install([table])
    assert holes(legacy) == []
    assert legacy.source.capture.installation(["T"]) != since, (
        "rows have other names: the backfill begins anew"
    )


def test_sqlite_refuses_to_drop_a_column_that_is_captured_and_the_application_goes_on(legacy: Legacy) -> None:
    if not legacy.sqlite:
        pytest.skip("PostgreSQL drops it: its triggers name no column")
    legacy.install([POLICY])
    with pytest.raises(Exception, match="error in trigger"):
        legacy.run("ALTER TABLE POLMAST DROP COLUMN NOTE")
    legacy.run(policy(1))
    assert [one.op for one in pending(legacy)] == [Op.INSERT]
    assert holes(legacy) == []


@pytest.mark.parametrize("recursive", [False, True])
def test_what_sqlite_tells_of_a_replaced_row(legacy: Legacy, recursive: bool) -> None:
    if not legacy.sqlite:
        pytest.skip("SQLite's own statement")
    legacy.install([POLICY])
    legacy.run(policy(1))
    with legacy.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA recursive_triggers = {int(recursive)}")
        connection.exec_driver_sql("INSERT OR REPLACE INTO POLMAST VALUES ('P0001   ', 'B ', 1, NULL)")
        connection.commit()
    legacy.run(
        "INSERT INTO POLMAST VALUES ('P0001   ', 'C ', 1, NULL) ON CONFLICT DO UPDATE SET STAT_CD = 'D '"
    )
    replaced = [Op.DELETE, Op.INSERT] if recursive else [Op.INSERT]
    assert [one.op for one in pending(legacy)] == [Op.INSERT, *replaced, Op.UPDATE]


def test_without_a_where_sqlite_deletes_row_by_row_while_it_is_captured(legacy: Legacy) -> None:
    """Without triggers SQLite empties the pages (its truncate optimization)."""
    legacy.install([POLICY])
    legacy.run(policy(1), policy(2))
    legacy.run("DELETE FROM POLMAST")
    assert [one.op for one in pending(legacy)][2:] == [Op.DELETE, Op.DELETE]


class TestPostgres:
    """What only PostgreSQL lets happen to a table."""

    pytestmark = pytest.mark.postgres

    @pytest.fixture
    def legacy_url(self, postgres_url: str, tmp_path: Path) -> str:
        return postgres_url

    def test_a_dropped_column_does_not_break_the_application(self, legacy: Legacy) -> None:
        legacy.install([CapturedTable(table="POLMAST", subject="POL_NO", columns=("NOTE", "STAT_CD"))])
        legacy.run("ALTER TABLE POLMAST DROP COLUMN NOTE", "INSERT INTO POLMAST VALUES ('P1', 'A', 1)")
        assert set(pending(legacy)[0].row) == {"POL_NO", "STAT_CD"}
        (what,) = holes(legacy)
        assert what.startswith("the column note is gone (dropped or renamed)")

    def test_a_column_of_another_type_is_a_hole(self, legacy: Legacy) -> None:
        legacy.install([POLICY])
        legacy.run("ALTER TABLE POLMAST ALTER PREM TYPE text")
        assert holes(legacy) == ["the column prem is text now, and was numeric(12,2)"]

    def test_a_table_in_the_place_of_another_is_a_hole(self, legacy: Legacy) -> None:
        legacy.install([POLICY])
        legacy.run(
            "CREATE TABLE FRESH (LIKE POLMAST INCLUDING ALL)",
            "ALTER TABLE POLMAST RENAME TO OLDPOL",
            "ALTER TABLE FRESH RENAME TO POLMAST",
        )
        said = holes(legacy)
        assert (
            'what is written to public.oldpol comes as changes of "public"."polmast": a table was renamed'
            in said
        )
        assert "the trigger strangler_capture is gone" in said

    def test_partitions_that_come_and_go_are_holes_and_rows_move_between_them(self, legacy: Legacy) -> None:
        legacy.run(
            "CREATE TABLE T (ID int PRIMARY KEY, S text) PARTITION BY RANGE (ID)",
            "CREATE TABLE T1 PARTITION OF T FOR VALUES FROM (1) TO (10)",
            "CREATE TABLE T2 PARTITION OF T FOR VALUES FROM (10) TO (20)",
        )
        table = CapturedTable(table="T", subject="S")
        legacy.install([table])
        assert holes(legacy) == []
        legacy.run("INSERT INTO T VALUES (1, 'a'), (2, 'b')", "UPDATE T SET ID = 11 WHERE ID = 1")
        legacy.run("TRUNCATE T1", "TRUNCATE T")
        told = [(one.op, one.subject) for one in pending(legacy)]
        moved = [(Op.DELETE, "a"), (Op.INSERT, "a")]
        assert told == [(Op.INSERT, "a"), (Op.INSERT, "b"), *moved, (Op.DELETE, "b"), (Op.DELETE, "a")]
        legacy.run(
            "ALTER TABLE T DETACH PARTITION T2", "CREATE TABLE T3 PARTITION OF T FOR VALUES FROM (30) TO (40)"
        )
        said = holes(legacy)
        assert [what.split(":")[0] for what in said] == [
            "the partition public.t3 is new",
            "the partition public.t2 is gone",
        ]
        legacy.install([table])
        assert holes(legacy) == []
        legacy.run("INSERT INTO T VALUES (30, 'c')", "TRUNCATE T3")
        assert [one.op for one in pending(legacy)][-2:] == [Op.INSERT, Op.DELETE]
        legacy.run("ALTER TABLE T1 DISABLE TRIGGER strangler_capture")
        assert holes(legacy) == ["the trigger strangler_capture of public.t1 is disabled"]

    def test_what_a_crash_empties_and_what_lends_rights_are_holes(self, legacy: Legacy) -> None:
        legacy.run("DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk", "ALTER TABLE POLMAST SET UNLOGGED")
        legacy.install([POLICY])
        try:
            legacy.run("ALTER TABLE POLMAST OWNER TO clerk")
            unlogged, lent = holes(legacy)
            assert unlogged.startswith("it is unlogged")
            assert lent.startswith("capture was installed by a superuser")
        finally:
            legacy.run("DROP OWNED BY clerk CASCADE", "DROP ROLE clerk")
