"""A backfill that is killed as a process, again and again, ends where one that was never killed ends (R1, R4)."""

from __future__ import annotations

import json
import random
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.support import python_child
from tests.support.legacy import legacy_url
from tests.whole.test_whole import Whole, company

__all__ = ["company", "legacy_url"]

SIGKILL = -9


def backfill(folder: Path, place: str = "", when: str = "", at: int = 0) -> tuple[int, list[str]]:
    """Run the command as a process; its exit code, and what it printed."""
    with python_child("-m", "tests.whole.killed", str(folder), place, when, str(at)) as child:
        return child.wait(120), child.lines


def let_the_lease_run_out(folder: Path) -> None:
    """What fifteen seconds do."""
    engine = create_engine(f"sqlite:///{folder / 'read.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE strangler_lease SET expires_at = '2020-01-01T00:00:00.000000+00:00'"))
    engine.dispose()


def test_killed_at_every_step_it_ends_with_what_the_tables_say(company: Whole) -> None:
    """The application writes on between the kills, so that each chunk absorbs changes and leaves others to the stream."""
    company.prepare()
    random_ = random.Random(11)
    kills = [
        ("append", "before"),
        ("append", "after"),
        ("mark", "before"),
        ("mark", "after"),
        ("chunk", "after"),
    ]
    if company.engine.dialect.name != "sqlite":
        kills = kills[::2]  # a process takes seconds to start
    for seed, (place, when) in enumerate(kills):
        company.write(seed, transactions=25)
        code, said = backfill(company.folder, place, when, random_.randint(1, 2))
        assert code == SIGKILL, said
        let_the_lease_run_out(company.folder)
    code, said = backfill(company.folder)
    assert code == 0, said
    *reports, last = [json.loads(line) for line in said]
    assert last == {"whole": {**last["whole"], "done": True}}
    assert reports[0]["remaining"] >= 0
    assert reports[0]["rows_per_second"] > 0
    company.compare()
