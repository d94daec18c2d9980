"""A key that changes and takes the rows that refer to it along (ON UPDATE CASCADE): both subjects hear of it (R1, R2)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.support.legacy import TABLES, Legacy
from tests.translate.world import World
from toolkit.ports import Hole

SCHEMA = """
DROP TABLE POLHOLD;
DROP TABLE POLMAST;
CREATE TABLE POLMAST (POL_NO VARCHAR(12) NOT NULL PRIMARY KEY, STAT_CD CHAR(2), PREM NUMERIC(12,2), NOTE VARCHAR(200));
CREATE TABLE POLHOLD (HLD_ID INTEGER NOT NULL PRIMARY KEY, POL_NO VARCHAR(12), HLD_TYP CHAR(1),
  CONSTRAINT OF_POLICY FOREIGN KEY (POL_NO) REFERENCES POLMAST (POL_NO) ON UPDATE CASCADE)
"""


@pytest.fixture
def moving(legacy: Legacy) -> Legacy:
    """The database, not captured yet: a hold follows its policy to another number."""
    if legacy.sqlite:  # which looks at foreign keys where the application asks for it alone

        @event.listens_for(legacy.engine, "connect")
        def enforce(connection: object, _record: object) -> None:
            connection.execute("PRAGMA foreign_keys=ON")  # type: ignore[attr-defined]

        legacy.engine.dispose()
    legacy.run(*SCHEMA.split(";"))
    return legacy


@pytest.fixture
def world(moving: Legacy, tmp_path: Path) -> Iterator[World]:
    moving.install()
    made = World(moving, f"sqlite:///{tmp_path}/state.db")
    made.skip_backfill()
    yield made
    made.close()


def test_both_subjects_hear_of_it_and_nothing_is_lost(world: World) -> None:
    world.legacy.run(
        "INSERT INTO POLMAST VALUES ('P0001', 'A ', 1.00, NULL)",
        "INSERT INTO POLHOLD VALUES (1, 'P0001', 'P')",
        "INSERT INTO POLHOLD VALUES (2, 'P0001', 'P')",
    )
    world.drain()
    world.legacy.run("UPDATE POLMAST SET POL_NO = 'P0002' WHERE POL_NO = 'P0001'")
    world.drain()
    assert world.folded() == world.stored()
    assert world.types("P0001")[3:] == ["HoldReleased", "HoldReleased", "PolicyWithdrawn"]
    came = ["HoldPlaced", "HoldPlaced"]
    if (
        world.legacy.sqlite
    ):  # a trigger does not know its transaction: each change stands where it was recorded
        assert world.types("P0002") == [*came, "PolicyStated"]
    else:
        assert world.types("P0002") == ["PolicyStated", *came]


def test_where_the_rows_come_before_the_one_they_follow_the_plan_and_a_hole_say_so(moving: Legacy) -> None:
    def told(holes: Sequence[Hole]) -> list[tuple[str, bool]]:
        return [(one.where, one.escapes) for one in holes if "before the row of POLMAST" in one.what]

    capture = moving.source.capture
    planned = capture.plan(TABLES)
    capture.install(planned)
    wanted = [("POLHOLD", False)] if moving.sqlite else []
    assert (told(planned.holes), told(capture.holes())) == (wanted, wanted)


def test_an_engine_that_tells_no_transaction_to_its_triggers_says_so_too(
    moving: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not moving.mariadb:
        pytest.skip("about MySQL, and MariaDB without a binary log")
    monkeypatch.setattr("adapters.legacy.mariadb.capture.knows_transactions", lambda _: False)
    holes = moving.source.capture.plan(TABLES).holes
    assert [(one.where, one.escapes) for one in holes] == [("POLHOLD", False)]
    assert "before the row of POLMAST" in holes[0].what
