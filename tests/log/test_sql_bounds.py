"""Where the embedded log begins and ends costs two probes of an index, however much of it there is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import event, text

from adapters.engines import open_engine, reading
from adapters.log.sql import SqlLog
from migrations.schema.state import metadata

TOPIC = "insurer.policy_admin"
RECORDS = 3000

pytestmark = pytest.mark.postgres


@pytest.fixture
def full(postgres_url: str) -> Any:
    """A log that has just been filled: of its table PostgreSQL has no statistics yet."""
    engine = open_engine(postgres_url)
    metadata.create_all(engine)
    log = SqlLog(engine)
    log.create(TOPIC, 1)
    with engine.begin() as connection:
        fill = (
            "INSERT INTO strangler_log_record SELECT :topic, 0, i, '' FROM generate_series(0, :last) AS s(i)"
        )
        connection.execute(text(fill), {"topic": TOPIC, "last": RECORDS - 1})
    yield log, engine
    log.close()


def rows_read(plan: dict[str, Any]) -> int:
    """The most rows that any step of a plan gave, in all."""
    own = plan["Actual Rows"] * plan["Actual Loops"]
    return max([own, *(rows_read(one) for one in plan.get("Plans", []))])


def test_the_bounds_of_a_log_that_was_just_filled_are_found_without_reading_it(full: Any) -> None:
    log, engine = full
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        asked.append((statement, given))

    event.listen(engine, "before_cursor_execute", note)
    assert log.bounds(TOPIC) == {0: (0, RECORDS)}
    event.remove(engine, "before_cursor_execute", note)
    (found,) = [one for one in asked if "strangler_log_record" in one[0]]
    with reading(engine) as connection:
        said = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {found[0]}", found[1]).scalar_one()
    plan = said if isinstance(said, list) else json.loads(said)
    assert rows_read(plan[0]["Plan"]) == 1
