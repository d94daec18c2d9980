"""What MariaDB's foreign keys do to rows, which fires no trigger, is recorded by the triggers of the parent (R1, R2)."""

from __future__ import annotations

import contextlib
import random
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.legacy import Legacy
from tests.support.waiting import wait_until
from toolkit.core.changes import Change, Op
from toolkit.ports import CapturedTable

pytestmark = pytest.mark.mariadb
BOOK = CapturedTable(table="BOOK", subject="NO")
COVER = CapturedTable(table="COVER", subject="BOOK")
CLAIM = CapturedTable(table="CLAIM", subject="BOOK")
NOTE = CapturedTable(table="NOTE", subject="BOOK")
FAMILY = [BOOK, COVER, CLAIM, NOTE]
SCHEMA = [
    "CREATE TABLE BOOK (NO VARCHAR(8) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, PREM INT)",
    "\nCREATE TABLE COVER (BOOK VARCHAR(8) COLLATE utf8mb4_general_ci NOT NULL, KIND INT NOT NULL, N INT,\n   PRIMARY KEY (BOOK, KIND), CONSTRAINT OF_BOOK FOREIGN KEY (BOOK) REFERENCES BOOK (NO)\n   ON DELETE CASCADE ON UPDATE CASCADE)",
    "\nCREATE TABLE CLAIM (ID INT NOT NULL PRIMARY KEY, BOOK VARCHAR(8) COLLATE utf8mb4_general_ci, KIND INT, N INT,\n   CONSTRAINT OF_COVER FOREIGN KEY (BOOK, KIND) REFERENCES COVER (BOOK, KIND) ON DELETE CASCADE ON UPDATE CASCADE)",
    "\nCREATE TABLE NOTE (ID INT NOT NULL PRIMARY KEY, BOOK VARCHAR(8) COLLATE utf8mb4_general_ci, N INT,\n   CONSTRAINT ABOUT_BOOK FOREIGN KEY (BOOK) REFERENCES BOOK (NO) ON DELETE SET NULL ON UPDATE CASCADE)",
]


@pytest.fixture
def legacy_url(mariadb_url: str, tmp_path: Path) -> str:
    return mariadb_url


@pytest.fixture
def family(legacy: Legacy) -> Legacy:
    legacy.run(*SCHEMA)
    legacy.install(FAMILY)
    return legacy


def pending(legacy: Legacy) -> list[Change]:
    """All that waits; it is marked."""
    found = legacy.source.capture.pending(10_000, [])
    legacy.source.capture.mark([one.number for one in found])
    return found


def brief(changes: list[Change]) -> list[tuple[str, str, str]]:
    return [(one.op.value, one.table, one.subject) for one in changes]


class Fold:
    """The rows as the changes tell them. It does not forgive: each change has to follow from those before."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, tuple[object, ...]], dict[str, object]] = {}

    def take(self, changes: list[Change]) -> None:
        for change in changes:
            if change.before is not None:
                name = (change.table, tuple(change.before[one] for one in change.key))
                assert self.rows.pop(name, None) == change.before, change
            if change.after is not None:
                self.rows[change.table, tuple(change.after[one] for one in change.key)] = dict(change.after)

    def tables(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {one.table: [] for one in FAMILY}
        for (table, _), row in self.rows.items():
            found[table].append(str(sorted(row.items())))
        return {table: sorted(rows) for table, rows in found.items()}


def tables(legacy: Legacy) -> dict[str, list[str]]:
    found = {}
    with legacy.engine.connect() as connection:
        for one in FAMILY:
            rows = connection.execute(text(f"SELECT * FROM {one.table}")).mappings()
            found[one.table] = sorted(str(sorted(dict(row).items())) for row in rows)
    return found


def begin(family: Legacy) -> Fold:
    family.run(
        "INSERT INTO BOOK VALUES ('a', 1), ('b', 2)",
        "INSERT INTO COVER VALUES ('a', 1, 0), ('a', 2, 0), ('b', 1, 0)",
        "INSERT INTO CLAIM VALUES (1, 'a', 1, 0), (2, 'a', 2, 0), (3, 'b', 1, 0), (4, NULL, NULL, 0)",
        "INSERT INTO NOTE VALUES (1, 'a', 0), (2, 'b', 0)",
    )
    fold = Fold()
    fold.take(pending(family))
    return fold


def test_children_and_grandchildren_that_go_with_a_row_are_deletions_before_its_own(family: Legacy) -> None:
    fold = begin(family)
    family.run("DELETE FROM BOOK WHERE NO = 'a'")
    changes = pending(family)
    assert sorted(brief(changes)[:-1]) == [
        ("delete", "CLAIM", "a"),
        ("delete", "CLAIM", "a"),
        ("delete", "COVER", "a"),
        ("delete", "COVER", "a"),
        ("delete", "NOTE", "a"),
        ("insert", "NOTE", ""),
    ]
    assert brief(changes)[-1] == ("delete", "BOOK", "a")
    assert len({one.transaction for one in changes}) == 1
    fold.take(changes)
    assert fold.tables() == tables(family)
    assert family.source.capture.holes() == []


def test_a_key_that_changes_takes_its_children_along_even_by_case_alone(family: Legacy) -> None:
    fold = begin(family)
    for statement in (
        "UPDATE BOOK SET NO = 'c' WHERE NO = 'a'",
        "UPDATE BOOK SET NO = 'C' WHERE NO = 'c'",
        "UPDATE BOOK SET PREM = 9",
        "UPDATE COVER SET KIND = 7 WHERE BOOK = 'C' AND KIND = 1",
        "DELETE COVER FROM COVER JOIN CLAIM ON CLAIM.BOOK = COVER.BOOK WHERE CLAIM.ID = 3",
        "DELETE FROM BOOK WHERE NO IN (SELECT BOOK FROM NOTE)",
    ):
        family.run(statement)
        fold.take(pending(family))
        assert fold.tables() == tables(family), statement


def test_of_a_parent_with_two_keys_only_what_refers_to_the_one_that_changes_is_touched(
    legacy: Legacy,
) -> None:
    """What an update sets to NULL cannot be told from the values: it happens when its own key changes, and not else."""
    legacy.run(
        "CREATE TABLE PARTY (ID INT NOT NULL PRIMARY KEY, CODE INT NOT NULL UNIQUE)",
        "CREATE TABLE ROLE (ID INT NOT NULL PRIMARY KEY, PARTY INT, CONSTRAINT BY_ID FOREIGN KEY (PARTY)"
        " REFERENCES PARTY (ID) ON UPDATE SET NULL)",
        "CREATE TABLE ALIAS (ID INT NOT NULL PRIMARY KEY, CODE INT UNIQUE, CONSTRAINT BY_CODE FOREIGN KEY (CODE)"
        " REFERENCES PARTY (CODE) ON UPDATE CASCADE)",
        "CREATE TABLE NICK (ID INT NOT NULL PRIMARY KEY, CODE INT, CONSTRAINT BY_ALIAS FOREIGN KEY (CODE)"
        " REFERENCES ALIAS (CODE) ON UPDATE SET NULL)",
    )
    legacy.install([CapturedTable(table=one, subject="ID") for one in ("PARTY", "ROLE", "ALIAS", "NICK")])
    legacy.run("INSERT INTO PARTY VALUES (1, 10)", "INSERT INTO ROLE VALUES (2, 1)")
    legacy.run("INSERT INTO ALIAS VALUES (3, 10)", "INSERT INTO NICK VALUES (4, 10)")
    pending(legacy)
    legacy.run("UPDATE PARTY SET CODE = 11")
    assert {one.table for one in pending(legacy)} == {"PARTY", "ALIAS", "NICK"}
    legacy.run("UPDATE PARTY SET ID = 5")
    told = {one.table: one.row for one in pending(legacy)}
    assert told["ROLE"]["PARTY"] is None
    assert told.keys() == {"PARTY", "ROLE"}


def test_what_does_not_happen_is_not_recorded(family: Legacy) -> None:
    """A row that stays (IGNORE), a session without the checks of foreign keys, a transaction that is rolled back."""
    fold = begin(family)
    family.run(
        "CREATE TABLE HELD (NO VARCHAR(8) COLLATE utf8mb4_general_ci, FOREIGN KEY (NO) REFERENCES BOOK (NO))"
    )
    family.run("INSERT INTO HELD VALUES ('a')")
    family.run("DELETE IGNORE FROM BOOK ORDER BY NO DESC")
    fold.take(pending(family))
    assert fold.tables() == tables(family)
    with pytest.raises(DBAPIError):
        family.run("DELETE FROM BOOK")
    family.run("SET foreign_key_checks = 0", "DELETE FROM BOOK", "SET foreign_key_checks = 1")
    fold.take(pending(family))
    assert fold.tables() == tables(family)


def test_a_child_that_lost_a_column_or_is_gone_does_not_break_the_application(family: Legacy) -> None:
    begin(family)
    family.run("ALTER TABLE NOTE DROP COLUMN N", "DELETE FROM BOOK WHERE NO = 'a'", "DROP TABLE CLAIM")
    family.run("DELETE FROM BOOK")
    assert ("BOOK", "b") in {(one.table, one.subject) for one in pending(family)}


def test_a_child_may_call_its_columns_as_we_call_ours(legacy: Legacy) -> None:
    legacy.run(
        *SCHEMA,
        *(f"ALTER TABLE NOTE ADD `{name}` INT" for name in ("table_name", "old_subject", "before", "place")),
    )
    legacy.install(FAMILY)
    legacy.run(
        "INSERT INTO BOOK VALUES ('a', 1)",
        "INSERT INTO NOTE VALUES (1, 'a', 0, 1, 2, 3, 4)",
        "DELETE FROM BOOK",
    )
    assert brief(pending(legacy))[-3:] == [
        ("delete", "NOTE", "a"),
        ("insert", "NOTE", ""),
        ("delete", "BOOK", "a"),
    ]


def test_a_key_that_comes_later_is_a_hole_and_installing_again_closes_it(family: Legacy) -> None:
    begin(family)
    family.run("ALTER TABLE NOTE DROP FOREIGN KEY ABOUT_BOOK")
    capture = family.source.capture
    assert any("not the one that we make" in one.what for one in capture.holes())
    since = capture.installation(["BOOK"])
    family.install(FAMILY)
    assert (capture.holes(), capture.installation(["BOOK"])) == ([], since)
    family.run(
        "ALTER TABLE NOTE ADD CONSTRAINT AGAIN FOREIGN KEY (BOOK) REFERENCES BOOK (NO) ON DELETE CASCADE"
    )
    family.install(FAMILY)
    assert capture.plan(FAMILY).statements == ()
    family.run("DELETE FROM BOOK WHERE NO = 'b'")
    assert ("delete", "NOTE", "b") in brief(pending(family))


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (
            [
                "ALTER TABLE BOOK ADD UP VARCHAR(8) COLLATE utf8mb4_general_ci REFERENCES BOOK (NO) ON DELETE CASCADE"
            ],
            "leads back",
        ),
        (["ALTER TABLE CLAIM ADD FOREIGN KEY (BOOK) REFERENCES BOOK (NO) ON DELETE CASCADE"], "in 2 ways"),
        (["ALTER TABLE NOTE ADD G VARCHAR(9) AS (concat(BOOK, 'x')) VIRTUAL"], "G is computed"),
    ],
)
def test_what_cannot_be_recorded_soundly_is_told_by_the_plan_and_by_a_hole(
    legacy: Legacy, keys: list[str], why: str
) -> None:
    legacy.run(*SCHEMA, *keys)
    plan = legacy.source.capture.plan(FAMILY)
    assert any(why in hole.what for hole in plan.holes)
    legacy.source.capture.install(plan)
    assert any(why in one.what for one in legacy.source.capture.holes())


def test_removal_takes_everything_away(family: Legacy) -> None:
    family.source.capture.remove(family.source.capture.plan(FAMILY))
    with family.engine.connect() as connection:
        assert not connection.scalar(
            text("SELECT count(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = database()")
        )
        assert not connection.scalar(
            text(
                "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = database() AND TABLE_NAME LIKE 'strangler%'"
            )
        )


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_a_child_that_comes_while_a_statement_takes_its_parents_away_one_by_one_is_recorded(
    family: Legacy, isolation: str
) -> None:
    """The statement's snapshot does not have it; what the engine deletes is what there is."""
    gate = "AFTER DELETE ON BOOK FOR EACH ROW BEGIN IF OLD.NO = 'a' THEN DO GET_LOCK('gate', 20); END IF; END"
    fold = begin(family)
    family.run(f"CREATE TRIGGER WAITS {gate}")

    def delete() -> None:
        with family.engine.connect().execution_options(isolation_level=isolation) as connection:
            connection.execute(text("DELETE FROM BOOK WHERE PREM > 0"))
            connection.commit()
            connection.execute(text("DO RELEASE_ALL_LOCKS()"))

    deleting = threading.Thread(target=delete)
    with family.engine.connect() as connection:
        connection.execute(text("DO GET_LOCK('gate', 20)"))
        deleting.start()
        waiting = text("SELECT count(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'")
        wait_until(lambda: connection.scalar(waiting) == 1, what="the first row to be gone")
        family.run("INSERT INTO NOTE VALUES (9, 'b', 0)")
        connection.execute(text("DO RELEASE_LOCK('gate')"))
        deleting.join()
    fold.take(pending(family))
    assert fold.tables() == tables(family)


def test_beside_many_writers_the_fold_of_the_changes_is_the_tables(family: Legacy) -> None:
    """Parents go and get other keys while others write their children; some transactions roll back, some are the victim of a deadlock."""
    stop, failures = threading.Event(), list[BaseException]()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for at in range(60):
                book, other, kind = f"B{chance.randrange(6)}", f"B{chance.randrange(6)}", chance.randrange(3)
                number = seed * 1000 + at
                statements = chance.sample(
                    [
                        f"INSERT IGNORE INTO BOOK VALUES ('{book}', 1)",
                        f"INSERT IGNORE INTO COVER VALUES ('{book}', {kind}, 0)",
                        f"INSERT IGNORE INTO CLAIM VALUES ({number}, '{book}', {kind}, 0)",
                        f"INSERT IGNORE INTO NOTE VALUES ({number}, '{book}', 0)",
                        f"UPDATE CLAIM SET N = N + 1 WHERE BOOK = '{book}'",
                        f"UPDATE IGNORE BOOK SET NO = '{other}' WHERE NO = '{book}'",
                        f"UPDATE IGNORE COVER SET KIND = {kind + 3} WHERE BOOK = '{book}' AND KIND = {kind}",
                        f"DELETE FROM BOOK WHERE NO = '{book}'",
                        f"DELETE FROM COVER WHERE BOOK = '{book}'",
                    ],
                    4,
                )
                with contextlib.suppress(DBAPIError), family.engine.connect() as connection:
                    for statement in statements:
                        connection.execute(text(statement))
                    if chance.random() < 0.8:
                        connection.commit()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    found: list[Change] = []
    while not stop.is_set():
        if not any(thread.is_alive() for thread in threads):
            stop.set()
        found += pending(family)
    found += pending(family)
    assert not failures
    fold = Fold()
    fold.take(sorted(found, key=lambda one: one.number))
    assert fold.tables() == tables(family)
    assert {Op.INSERT, Op.UPDATE, Op.DELETE} == {one.op for one in found}
    family.source.close()
    family.source = family.open()
    family.source.capture.mark([])
    with family.engine.connect() as connection:
        assert not connection.scalar(text("SELECT count(*) FROM strangler_cascade"))
