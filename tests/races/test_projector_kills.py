"""kill -9 of what projects, at each step of its batch and at random: every table is the fold of the distinct events (R4).

Meanwhile events come twice, too early, from several producers and in any order of partitions; processes read the log
again from before their checkpoint; and one that slept wakes up when another has taken over.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.races.conftest import SERVER_MARKS
from tests.races.killing import Killing, Place
from tests.support.agency import Agency
from tests.support.narrator import Narrator

NEEDED = {
    "consumer.assign",
    "consumer.poll",
    "store.seize",
    "store.load",
    "store.load_under",
    "store.commit",
    "rows.add",
    "rows.upsert",
    "rows.delete",
    "bookkeeping.fence",
    "bookkeeping.move",
    "transaction.do_executemany",
    "transaction.do_commit",
    "keeper.take_over",
    "keeper.fold",
    "keeper.write",
    "keeper.written",
    "report",
    "leases.acquire",
    "leases.release",
}
"""steps that a batch, and who keeps a version, cannot do without"""

IN_THE_MIDST = ("store.commit", "rows.upsert", "rows.add", "rows.delete", "keeper.fold", "consumer.poll")
BETWEEN: Place = ("before", "bookkeeping.move", 6)
"""the rows are written, and the checkpoint is not"""
SOME: list[Place] = [
    ("after", "consumer.poll", 2),
    ("after", "keeper.fold", 4),
    ("during", "store.commit", 3),
    ("before", "transaction.do_commit", 40),
    ("after", "store.commit", 5),
    ("before", "report", 6),
]


def on(read_store: str, log: str) -> ParameterSet:
    """The read store's engine, and what the log is: Kafka, or tables of the state database (of this engine)."""
    marks = [SERVER_MARKS[one] for one in {read_store, log} & SERVER_MARKS.keys()]
    if log == "kafka":
        marks += [pytest.mark.kafka, pytest.mark.postgres]
    return pytest.param((read_store, log), marks=marks, id=f"{read_store}-{log}")


ENGINES = [on("postgres", "kafka"), on("mariadb", "postgres"), on("sqlite", "sqlite")]


@pytest.fixture(params=ENGINES)
def killing(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str) -> Iterator[Killing]:
    """All versions side by side, and somebody who tells events; nothing projects yet."""
    read_store, log = request.param
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def database(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path}/database{next(numbers)}.db"
            return str(stack.enter_context(request.getfixturevalue(f"{kind}_server").database()))

        state = database("postgres" if log == "kafka" else log)
        agency = Agency(
            tmp_path / "agency",
            name=topic_name,
            log=f"kafka://{request.getfixturevalue('kafka_bootstrap')}" if log == "kafka" else "sql:",
            state=state,
            # In one file, as it is when nothing is said.
            read_store=state if (read_store, log) == ("sqlite", "sqlite") else database(read_store),
        )
        agency.prepare()
        app = stack.enter_context(agency.opened())
        narrator = Narrator(app, seed=11)
        stack.callback(narrator.close)
        yield Killing(
            agency=agency,
            app=app,
            narrator=narrator,
            fresh=lambda: database(read_store),
            random=random.Random(f"{read_store} {log}"),
        )


def told(text: str) -> None:
    print(f"\n{text}")  # noqa: T201


def test_killed_at_some_of_its_steps_it_applies_every_event_once(killing: Killing) -> None:
    with killing.narrator:
        for place in (BETWEEN, *killing.random.sample(SOME, 2)):
            killing.kill_at(place)
        killing.kill_zombie()
        killing.kill_at_random()
    told(killing.judge())


def places(steps: dict[str, int], random_: random.Random) -> list[Place]:
    """Before and after each step, at its first call or a later one; and in the midst of what takes its time."""
    found = [
        (when, step, random_.randint(1, min(count, 12)))
        for step, count in steps.items()
        for when in ("before", "after")
    ]
    return found + [
        ("during", step, random_.randint(1, 6)) for step in IN_THE_MIDST if step in steps for _ in range(4)
    ]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_a_hundred_times_at_each_of_its_steps_and_at_random_it_applies_every_event_once(
    killing: Killing,
) -> None:
    with killing.narrator:
        steps = killing.steps()
    assert steps.keys() >= NEEDED
    chosen: list[Place | str] = [*places(steps, killing.random), *["zombie"] * 10]
    chosen += ["random"] * max(20, 100 - len(chosen))
    killing.random.shuffle(chosen)
    told(f"{len(chosen)} kills at {len(steps)} steps: {', '.join(sorted(steps))}")
    for first in range(0, len(chosen), 20):
        with killing.narrator:
            for one in chosen[first : first + 20]:
                if one == "zombie":
                    killing.kill_zombie()
                elif one == "random":
                    killing.kill_at_random()
                else:
                    assert not isinstance(one, str)
                    killing.kill_at(one)
        told(killing.judge())
