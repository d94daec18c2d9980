"""Any history of rows that share a subject, looked at anywhere: the view has what the table has, or the subject is parked (R1, R6)."""

from __future__ import annotations

from collections.abc import Iterator
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
from toolkit.core.events import Event
from toolkit.core.translators import Translators

PADS = ("", " ", "  ")


class Step(NamedTuple):
    """What the application does to the row with this padding, or (look > 0) a relay that takes so many changes."""

    what: str
    pad: int
    to: int = 0


steps = st.lists(
    st.one_of(
        st.builds(
            Step, st.sampled_from(["write", "move", "delete", "leave"]), st.integers(0, 2), st.integers(0, 2)
        ),
        st.builds(Step, st.just("look"), st.integers(1, 3)),
    ),
    min_size=3,
    max_size=14,
)


class Table:
    """The rows of one subject, as the application writes them: inserted if they are not there, else changed."""

    def __init__(self, legacy: Legacy, subject: str) -> None:
        self._legacy, self._subject = legacy, subject
        self._values = count(1)
        self.rows: dict[int, int] = {}
        self.met = False

    def do(self, step: Step) -> None:
        key, other = self._key(step.pad), self._key(step.to)
        if step.what == "write" and step.pad in self.rows:
            self.rows[step.pad] = next(self._values)
            self._run(f"UPDATE POLMAST SET PREM = {self.rows[step.pad]} WHERE POL_NO = '{key}'")
        elif step.what == "write":
            self.rows[step.pad] = next(self._values)
            self._run(f"INSERT INTO POLMAST VALUES ('{key}', 'A', {self.rows[step.pad]}, NULL)")
        elif step.pad not in self.rows or (step.what == "move" and step.to in self.rows):
            return
        elif step.what == "move":
            self.rows[step.to] = self.rows.pop(step.pad)
            self._run(f"UPDATE POLMAST SET POL_NO = '{other}' WHERE POL_NO = '{key}'")
        elif step.what == "delete":
            del self.rows[step.pad]
            self._run(f"DELETE FROM POLMAST WHERE POL_NO = '{key}'")
        else:
            del self.rows[step.pad]
            self._run(f"UPDATE POLMAST SET POL_NO = 'gone {key}{next(self._values)}' WHERE POL_NO = '{key}'")
        self.met = self.met or len(self.rows) > 1

    def _key(self, pad: int) -> str:
        return self._subject + PADS[pad]

    def _run(self, statement: str) -> None:
        with self._legacy.engine.begin() as connection:
            connection.execute(text(statement))


def sparing() -> Translators:
    """Rules that say of a change no more than it changed."""
    acl = Translators(SOURCE)
    acl.aggregate("policy", {"POLMAST": "POL_NO"})

    @acl.table("POLMAST")
    def policy(change: Change) -> Iterator[Event]:
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


@settings(max_examples=60, deadline=None)
@given(history=steps)
def test_whatever_the_history_and_wherever_batches_end(
    worlds: tuple[World, Iterator[int]], history: list[Step]
) -> None:
    world, numbers = worlds
    subject = f"P{next(numbers)}"
    table = Table(world.legacy, subject)
    for step in history:
        if step.what == "look":
            world.translation(sparing()).step(world.epoch, step.pad)
        else:
            table.do(step)
    world.drain(world.translation(sparing()), limit=1)
    parked = [one for one in world.archive.parked(SOURCE) if one.change.subject == subject]
    assert table.met or not parked, "no two rows were there at a time"
    if not parked:
        assert said(world, subject) == list(table.rows.values())
    for pad in list(table.rows)[1:]:
        table.do(Step("delete", pad))
    for pad in list(table.rows):
        table.do(Step("write", pad))
    world.drain(world.translation(sparing()))
    world.translation(sparing()).replay(world.epoch)
    parked = [one for one in world.archive.parked(SOURCE) if one.change.subject == subject]
    assert parked == [], "what to do mends it"
    assert said(world, subject) == list(table.rows.values())
