"""What a statement makes the engine read: the plan of what the code under test really asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

from adapters.engines import reading


def asked(engine: Engine, table: str, act: Callable[[], object]) -> list[tuple[str, Any]]:
    """The SELECTs about a table that something asks, with what they are given."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if table in statement and "SELECT" in statement:
            found.append((statement, given))

    event.listen(engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return found


def most_read(engine: Engine, statement: str, given: Any) -> int:
    """The most rows (or entries of an index) that one step of PostgreSQL's plan goes through, all its turns together."""
    with reading(engine) as connection:
        said = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", given).scalar_one()
    plan = said if isinstance(said, list) else json.loads(said)
    return _most(plan[0]["Plan"])


def _most(step: dict[str, Any]) -> int:
    dropped = step.get("Rows Removed by Filter", 0) + step.get("Rows Removed by Index Recheck", 0)
    own: int = (step["Actual Rows"] + dropped) * step["Actual Loops"]
    return max([own, *(_most(one) for one in step.get("Plans", []))])


def sqlite_steps(engine: Engine, statement: str, given: Any) -> list[str]:
    """SQLite's plan, a line a step."""
    with reading(engine) as connection:
        return [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]
