"""Any history of rows that share a subject, looked at anywhere: the view has what the table has, or the subject is parked (R1, R6)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.support.legacy import SOURCE, Legacy
from tests.translate.domain import PolicyStated, PolicyWithdrawn
from tests.translate.world import World
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Untranslatable
from toolkit.core.events import Event
from toolkit.core.translators import Translators

PADS = ("", " ", "  ")


class Step(NamedTuple):
    """What the application does to one of the rows that are there, or comes to be; a relay takes so many changes, or all; or
    a rule is broken or mended, or what is parked is replayed."""

    what: str
    which: int
    to: int = 0


HAPPENS = (
    *("insert", "insert", "delete", "delete", "update", "touch", "touch", "move", "leave", "look", "drain"),
    *("break", "mend", "replay", "replay"),
)
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(HAPPENS),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    min_size=3,
    max_size=14,
)
COPIED = [Step("insert", 1), Step("drain", 0), Step("insert", 0), Step("delete", 1), Step("look", 0)]
"""A row is copied to its bare key and deleted; its copy was told, its end not yet."""
HALF_TOLD = [*COPIED, Step("break", 0), Step("touch", 0), Step("replay", 0)]
"""The original's end was told by now, and the copy is to be told whole as soon as its rule is mended."""
FAULTS: tuple[frozenset[Op], ...] = (
    frozenset({Op.INSERT, Op.UPDATE}),
    frozenset({Op.DELETE}),
    frozenset({Op.INSERT, Op.UPDATE, Op.DELETE}),
)
"""Which changes a broken rule fails at."""


class Table:
    """The rows of one subject, as the application writes them: inserted if they are not there, else changed."""

    def __init__(self, legacy: Legacy, subject: str) -> None:
        self._legacy, self._subject = legacy, subject
        self._values = count(1)
        self.rows: dict[int, int] = {}
        self.met = False

    def do(self, step: Step) -> None:
        there, free = sorted(self.rows), [pad for pad in range(len(PADS)) if pad not in self.rows]
        pad = there[step.which % len(there)] if there else 0
        key = self._key(pad)
        if step.what == "insert" or not there:
            self._insert(free[step.which % len(free)] if free else None)
        elif step.what == "update":
            self.rows[pad] = next(self._values)
            self._run(f"UPDATE POLMAST SET PREM = {self.rows[pad]} WHERE POL_NO = '{key}'")
        elif step.what == "touch":
            self._run(f"UPDATE POLMAST SET NOTE = '{next(self._values)}' WHERE POL_NO = '{key}'")
        elif step.what == "move" and free:
            to = free[step.to % len(free)]
            self.rows[to] = self.rows.pop(pad)
            self._run(f"UPDATE POLMAST SET POL_NO = '{self._key(to)}' WHERE POL_NO = '{key}'")
        elif step.what == "leave":
            del self.rows[pad]
            self._run(f"UPDATE POLMAST SET POL_NO = 'gone {key}{next(self._values)}' WHERE POL_NO = '{key}'")
        elif step.what == "delete":
            del self.rows[pad]
            self._run(f"DELETE FROM POLMAST WHERE POL_NO = '{key}'")
        self.met = self.met or len(self.rows) > 1

    def _insert(self, pad: int | None) -> None:
        if pad is not None:
            self.rows[pad] = next(self._values)
            self._run(f"INSERT INTO POLMAST VALUES ('{self._key(pad)}', 'A', {self.rows[pad]}, NULL)")

    def _key(self, pad: int) -> str:
        return self._subject + PADS[pad]

    def _run(self, statement: str) -> None:
        with self._legacy.engine.begin() as connection:
            connection.execute(text(statement))


def sparing(broken: Collection[Op] = ()) -> Translators:
    """Rules that say of a change no more than it changed; broken, they fail at changes of these kinds."""
    acl = Translators(SOURCE)
    acl.aggregate("policy", {"POLMAST": "POL_NO"})

    @acl.table("POLMAST")
    def policy(change: Change) -> Iterator[Event]:
        if change.op in broken:
            raise Untranslatable("the rule is broken")
        if change.op is Op.DELETE:
            yield PolicyWithdrawn(policy_no=change.subject)
        elif change.changed("PREM"):
            yield PolicyStated(policy_no=change.subject, status="A", premium=str(change["PREM"]))

    return acl


def said(world: World, subject: str) -> list[int]:
    """The premium of the subject's row, as the events say it; nothing where it has none."""
    events = world.events(subject)
    if not events or events[-1][0] == "PolicyWithdrawn":
        return []
    return [int(str(events[-1][1]["premium"]))]


def parked(world: World, subject: str) -> list[str]:
    return [one.reason for one in world.archive.parked(SOURCE) if one.change.subject == subject]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Iterator[int]]]:
    """One database for all histories: each has a subject of its own."""
    folder: Path = tmp_path_factory.mktemp("histories")
    with closing(Legacy(f"sqlite:///{folder}/legacy.db")) as legacy:
        legacy.install()
        made = World(legacy, f"sqlite:///{folder}/state.db")
        made.skip_backfill()
        yield made, count(1)
        made.close()


@settings(max_examples=150, deadline=None)
@given(begun=st.sampled_from([[], COPIED, HALF_TOLD]), history=steps)
def test_whatever_the_history_and_wherever_batches_end(
    worlds: tuple[World, Iterator[int]], begun: list[Step], history: list[Step]
) -> None:
    world, numbers = worlds
    subject = f"P{next(numbers)}"
    table = Table(world.legacy, subject)
    broken: frozenset[Op] = frozenset()
    failed = False
    for step in [*begun, *history, Step("drain", 0)]:
        if step.what in ("break", "mend"):
            broken = FAULTS[step.which] if step.what == "break" else frozenset()
            failed = failed or bool(broken)
        elif step.what == "look":
            world.translation(sparing(broken)).step(world.epoch, step.which + 1)
        elif step.what in ("drain", "replay"):
            world.drain(world.translation(sparing(broken)), limit=1)
            if step.what == "replay":
                world.translation(sparing(broken)).replay(world.epoch)
            waits = parked(world, subject)
            assert table.met or failed or not waits, "no two rows were there at a time"
            assert waits or said(world, subject) == list(table.rows.values())
        else:
            table.do(step)
    while len(table.rows) > 1:
        table.do(Step("delete", 1))
    if table.rows:
        table.do(Step("touch", 0))
    world.drain(world.translation(sparing(broken)))
    world.translation(sparing()).replay(world.epoch)
    assert not parked(world, subject), "what to do mends it"
    assert said(world, subject) == list(table.rows.values())
